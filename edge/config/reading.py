"""Configuration: a TOML file becomes frozen models, or one error that lists every mistake in it.

Three passes, so that one run tells all:

1. *values*: pydantic checks every key by itself. Each wrong or missing value is one problem.
2. *stand-ins*: a wrong value is replaced by its default, or by the field's first example, and the file is
   read again, so that one wrong value hides nothing else.
3. *clashes*: the checks that compare keys with each other run on that. A clash names every key that it has
   read, and is kept only if none of them is a stand-in: what is said is true of the file as it was written.

Bad timings are refused with their arithmetic and never adjusted in silence. Models use the TOML's keys as
aliases (`interval`) and say the unit in the attribute's name (`interval_s`).
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import (
    ValidationError,
)
from pydantic_core import ErrorDetails

from edge.config.clashes.clash import Clash, Loc
from edge.config.clashes.every import clashes_of
from edge.config.models import Config, Model
from edge.config.values import LATER
from edge.errors import ConfigError


def load(path: Path) -> Config:
    """Raises ConfigError with every problem, each as `file: key: what was found, and what would be right`."""
    config, problems = _examine(_read(path))
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    except ValueError as error:  # TOMLDecodeError says line and column; UnicodeDecodeError the byte
        raise ConfigError([f"{path}: not a TOML file: {error}"]) from error


def _examine(raw: dict[str, Any]) -> tuple[Config, list[str]]:
    raw = _with_zones_listed(raw)
    try:
        return _judged(Config.model_validate(raw), [])
    except ValidationError as error:
        errors = error.errors(include_url=False)
        return _judged(_with_stand_ins(raw, errors), errors)


def _with_zones_listed(raw: dict[str, Any]) -> dict[str, Any]:
    """[zone] is as good as [[zone]] where there is but one."""
    return {**raw, "zone": [raw["zone"]]} if isinstance(raw.get("zone"), dict) else raw


def _judged(config: Config, errors: Sequence[ErrorDetails]) -> tuple[Config, list[str]]:
    wrong = [_meant(error) for error in errors]
    clashes = [clash for clash in clashes_of(config) if not _reads(clash, wrong)]
    told = [(_told(error), _complaint(error)) for error in errors] + [(clash.keys[0], clash.text) for clash in clashes]
    return config, [f"{_key(config, loc)}: {text}" for loc, text in told]


def _with_stand_ins(raw: dict[str, Any], errors: Iterable[ErrorDetails]) -> Config:
    for loc in sorted((_field_loc(error["loc"]) for error in errors), key=len, reverse=True):
        raw = _replaced(raw, loc)
    return Config.model_validate(raw)


def _replaced(raw: Any, loc: Loc, at: Loc = ()) -> Any:
    """A copy in which the key at `loc` is its field's example, or gone if it can do without."""
    key, rest = loc[0], loc[1:]
    if rest:
        inner = _replaced(raw[key], rest, (*at, key))
        return {**raw, key: inner} if isinstance(raw, dict) else [*raw[:key], inner, *raw[int(key) + 1 :]]
    kept = {k: v for k, v in raw.items() if k != key}
    field = _fields(_model_at(at)).get(str(key))
    return {**kept, key: field.examples[0]} if field and field.is_required() and field.examples else kept


def _field_loc(loc: Loc) -> Loc:
    """Up to the last key of a model: what lies below (a list's item, a table's free key) goes with it."""
    ends = (end for end in range(len(loc), 0, -1) if isinstance(loc[end - 1], str))
    return loc[: next(end for end in ends if _model_at(loc[: end - 1]))]


def _meant(error: ErrorDetails) -> Loc:
    """The key that a clash must not have read: for an unknown key, the one that was probably meant."""
    loc = _field_loc(error["loc"])
    near = _nearest(str(loc[-1]), _fields(_model_at(loc[:-1])))
    return (*loc[:-1], near) if near else loc


def _reads(clash: Clash, wrong: Iterable[Loc]) -> bool:
    return any(all(a == b for a, b in zip(key, loc, strict=False)) for key in clash.keys for loc in wrong)


def _model_at(loc: Loc) -> type[Model] | None:
    model: type[Model] | None = Config
    for key in loc:
        if isinstance(key, str):
            field = _fields(model).get(key)
            model = next(_models_in(field.annotation), None) if field else None
    return model


def _models_in(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _fields(model: type[Model] | None) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()} if model else {}


# --- sentences ------------------------------------------------------------


def _told(error: ErrorDetails) -> Loc:
    """Without the mark that pydantic puts behind a wrong key."""
    return tuple(part for part in error["loc"] if part != "[key]")


def _key(config: Config, loc: Loc) -> str:
    match loc:
        case ("zone", int(index), *rest):
            return config.zone_key(index) + _path(rest)
    return _path(loc).removeprefix(".")


def _path(loc: Iterable[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_quoted(part)}" for part in loc)


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'


def _complaint(error: ErrorDetails) -> str:
    known = _fields(_model_at(_told(error)[:-1]))
    match error["type"]:
        case "missing":
            return f"missing{_such_as(known.get(str(error['loc'][-1])))}"
        case "extra_forbidden":
            return f"unknown key; {_advice(str(error['loc'][-1]), known)}"
        case "enum":
            allowed = [str(word) for word in re.findall(r"'(\w+)'", error["ctx"]["expected"])]
            return f"found {_found(error['input'])}; {_advice(str(error['input']), allowed)}"
        case "value_error":
            return f"found {_found(error['input'])}; {error['ctx']['error']}"
        case "string_pattern_mismatch":
            *at, key = _field_loc(_told(error))  # an item of a list is of the list's form
            such_as = _such_as(_fields(_model_at(tuple(at))).get(str(key)))
            return f"found {_found(error['input'])}; not in its form{such_as}"
        case "tuple_type":
            return f"found {_found(error['input'])}; a list of such: [{_found(error['input'])}]"
    return f"found {_found(error['input'])}; {error['msg'].replace('Input should', 'it should')}"


def _such_as(field: Any) -> str:
    example = field.examples[0] if field and field.examples else None
    return f'; for example "{example}"' if isinstance(example, str) else ""


def _advice(word: str, known: Iterable[str]) -> str:
    near = _nearest(word, known)
    if word in LATER:
        return f"this version does not have it yet; available: {', '.join(known)}"
    return f'did you mean "{near}"?' if near else f"known here: {', '.join(known)}"


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word.lower(), known, n=1)), None)


def _found(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
