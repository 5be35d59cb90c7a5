"""Parts of a page that are generated: each stands between `<!-- NAME ... -->` and `<!-- /NAME -->`."""

import re


def marked(text: str, name: str) -> str:
    """What stands there. ValueError where the marks are missing."""
    return _between(text, name)[2]


def replaced(text: str, name: str, content: str) -> str:
    """The page with `content` there, between empty lines. ValueError where the marks are missing."""
    found = _between(text, name)
    return f"{text[: found.start()]}{found[1]}\n\n{content}\n\n{found[3]}{text[found.end() :]}"


def _between(text: str, name: str) -> re.Match[str]:
    if found := re.search(rf"(<!-- {name}[ :][^\n]*?-->)(.*?)(<!-- /{name} -->)", text, re.DOTALL):
        return found
    raise ValueError(f"no place for {name}")
