"""The stores that keep the contract. A new one adds its factory, and test_contract.py runs with it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from edge.stores.contract import Store
from edge.stores.dynamodb import Calls, DynamoStore
from edge.stores.sqlite import SqliteStore
from edge.stores.table import create
from edge.switches.contract import Call
from edge.switches.session import Session, Settings
from tests.cloud.emulator import REGION, Emulator
from tests.stores import dynalite as second

PATIENCE_S = 60.0


def asking(url: str, read_timeout_s: float = PATIENCE_S) -> Calls:
    """A session whose time-outs no slow machine meets, unless they are given."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "EDGEEMULATEDKEY00000")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "emulated")
        session = Session(Settings(REGION, PATIENCE_S, read_timeout_s, {"dynamodb": url}), lambda *_: None)
        session.credentials_end()  # they are obtained now, and kept

    def call(method: str, **parameters: Any) -> Mapping[str, Any]:
        return session.call(Call("dynamodb", method, parameters))

    return call


@pytest.fixture(scope="session")
def cloud() -> Iterator[Emulator]:
    with Emulator() as aws:
        yield aws


@pytest.fixture(scope="session")
def moto(cloud: Emulator) -> Calls:
    return asking(cloud.endpoint_url)


@pytest.fixture(scope="session")
def dynalite() -> Iterator[Calls]:
    if reason := second.why_not():
        pytest.skip(reason)
    with second.dynalite() as url:
        yield asking(url)


@pytest.fixture(params=["moto", "dynalite"])
def calls(request: pytest.FixtureRequest) -> Calls:
    made: Calls = request.getfixturevalue(request.param)
    return made


def sqlite_store(request: pytest.FixtureRequest) -> Store:
    state: Path = request.getfixturevalue("tmp_path") / "state"
    opened = SqliteStore(state)
    request.addfinalizer(opened.close)
    return opened


def dynamodb_store(calls: Calls) -> DynamoStore:
    table = f"lent-{uuid4().hex}"
    create(calls, table)
    return DynamoStore(calls, table)


FACTORIES: Mapping[str, Callable[[pytest.FixtureRequest], Store]] = {
    "sqlite": sqlite_store,
    "moto": lambda request: dynamodb_store(request.getfixturevalue("moto")),
    "dynalite": lambda request: dynamodb_store(request.getfixturevalue("dynalite")),
}


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest) -> Store:
    return FACTORIES[request.param](request)
