"""What agents say to each other of how they stand.

Question and answer are each signed (HMAC-SHA256) with the key that all agents have. The answer repeats the question's
nonce, so no older answer is taken for it; nothing in it is secret.
"""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from secrets import token_hex
from typing import Any

from edge.config import Config
from edge.control.contract import Signed
from edge.errors import ConfigError
from edge.failover.model import Assignment, Listed
from edge.failover.unanimity import Stance

Stances = Mapping[str, Stance]
_ADVICE = "`openssl rand -hex 32` makes some, the same for every agent"


class UnsignedError(Exception):
    """It is not what an agent with our key says."""


def question(key: bytes, us: str) -> Signed:
    return _signed(key, json.dumps({"agent": us, "nonce": token_hex(16)}))


def asker(key: bytes, asked: Signed) -> str:
    """Who asks. Raises UnsignedError."""
    found = _opened(key, asked)
    if "nonce" not in found:
        raise UnsignedError("it is no question")
    return str(found.get("agent"))


def answer(key: bytes, asked: Signed, us: str, stances: Stances) -> Signed:
    """Of a question that is signed."""
    services = {service: asdict(said) for service, said in stances.items()}
    return _signed(key, json.dumps({"agent": us, "to": asked.text, "services": services}))


def answered(key: bytes, asked: Signed, peer: str, told: Signed) -> Stances:
    """Raises UnsignedError where this is not that agent's answer to that question."""
    found = _opened(key, told)
    if found.get("agent") != peer or found.get("to") != asked.text:
        raise UnsignedError(f"it is {found.get('agent')}'s answer to another question")
    try:
        return {service: _stance(said) for service, said in found["services"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnsignedError(f"it can't be understood: {error!r}") from error


def key_of(config: Config) -> bytes:
    """Empty where none is needed. Raises ConfigError."""
    path = config.vantage.key_file
    if path is None:
        return b""
    try:
        text = path.read_text(errors="replace").strip()
    except OSError as error:
        raise ConfigError([f"vantage.key_file: {path} can't be read: {error.strerror}; {_ADVICE}"]) from error
    if not re.fullmatch(r"([0-9a-fA-F]{2}){16,}", text):
        raise ConfigError([f"vantage.key_file: {path} does not hold 32 hex digits or more: {_ADVICE}"])
    return bytes.fromhex(text)


def _signed(key: bytes, text: str) -> Signed:
    return Signed(text, hmac.digest(key, text.encode(), "sha256").hex())


def _opened(key: bytes, said: Signed) -> Mapping[str, Any]:
    if not hmac.compare_digest(_signed(key, said.text).mac.encode(), said.mac.encode()):
        raise UnsignedError("it is not signed with our key (vantage.key_file)")
    found = json.loads(said.text)  # what is signed is JSON
    return found if isinstance(found, dict) else {}


def _stance(said: Mapping[str, Any]) -> Stance:
    live, listed = said["assignment"], said["listed"]
    assignment = Assignment(str(live["node"]), int(live["epoch"]), int(live["round"])) if live else None
    node = None if said["node"] is None else str(said["node"])
    agents, witnesses = (tuple(map(str, listed[word])) for word in ("agents", "witnesses"))
    return Stance(assignment, node, str(said["why"]), Listed(agents, witnesses, int(listed["quorum"])))
