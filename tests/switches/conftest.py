"""One emulated AWS for the folder, and sessions that find it."""

from collections.abc import Callable

import pytest

from edge.switches.session import Session
from tests.cloud.conftest import aws, emulator  # noqa: F401 fixtures
from tests.cloud.emulator import Emulator
from tests.switches.site import Hands, Site, furnish, signed_in


@pytest.fixture(scope="session")
def shared(emulator: Emulator) -> Session:  # noqa: F811
    """A session for the whole folder: to build clients takes longer than most tests."""
    return signed_in(emulator)


@pytest.fixture(scope="session")
def hands(emulator: Emulator) -> Hands:  # noqa: F811
    return Hands(*(emulator.client(service, spared=True) for service in ("ec2", "route53", "ssm")))


@pytest.fixture
def site(aws: Emulator, shared: Session, hands: Hands) -> Site:  # noqa: F811
    return furnish(aws, shared, hands)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Sets exactly these AWS_ variables, and no others."""

    def use(variables: dict[str, str]) -> None:
        nothing = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null"}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**nothing, "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", **variables}.items():
            monkeypatch.setenv(name, value)

    return use
