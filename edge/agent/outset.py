"""What the shared store has, before the first answer.

An agent that comes back may have missed a switch: what it served last would be the node that died. So it asks first,
for so short a time that a store which is out of reach costs little; after that its own disk has to do.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

from edge.agent import build
from edge.config import Config
from edge.errors import StoreError
from edge.failover.model import Assignment
from edge.stores.dynamodb import DynamoStore
from edge.stores.records import Clock, Records
from edge.switches.session import Session

FIRST_READ_S = 1.0  # two small reads take some milliseconds
Told = Mapping[str, Assignment]
log = logging.getLogger("edge")


def committed(config: Config, clock: Clock, within_s: float = FIRST_READ_S) -> Told:
    """By service; nothing where the store does not tell in time."""
    session = build.store_session(config)
    with suppress(Exception):  # what is wrong with it, the first call says
        session.build()  # a third of a second of our own work, which is none of the store's
    told: SimpleQueue[Told | StoreError] = SimpleQueue()
    Thread(target=lambda: told.put(_read(session, config, clock)), daemon=True).start()
    try:
        found = told.get(timeout=within_s)
    except Empty:
        found = StoreError(f"it does not tell within {within_s:g} s")
    if isinstance(found, StoreError):
        log.warning("the shared store, at the start: %s. What this agent served last is answered", found)
        return {}
    return found


def _read(session: Session, config: Config, clock: Clock) -> Told | StoreError:
    try:
        return Records(DynamoStore(build.dynamodb(session), config.store.table), clock).assignments()
    except StoreError as error:
        return error


def newest(config: Config, served: Told, committed: Told) -> Told:
    """Of each service. A node that our file lacks can't be served, and what was served last stays."""
    nodes = {service.name: {node.name for node in service.nodes} for service in config.services}
    newer = {
        name: live
        for name, live in committed.items()
        if live.node in nodes.get(name, ()) and (name not in served or live.at > served[name].at)
    }
    return {**served, **newer}
