"""The way to AWS: boto3 with every time-out said, one attempt a call, and each failure put into its class.

botocore's own defaults try again after a read time-out, mutations too, and wait for minutes; here a call is sent once,
and the runner decides what follows after it has read back (boto3 guide, *Retries*; botocore `Config`: connect_timeout,
read_timeout, retries.total_max_attempts). Creating a client holds the interpreter for about 0.1 s (measured), so `warm`
does it before the probes start.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.errors import CloudError, Fault
from edge.switches.contract import Call

if TYPE_CHECKING:
    from edge.switches.credentials import Keys

WARM = ("route53", "ec2", "sts")
_POOL = 10

_CODES = {
    "AccessDenied": Fault.DENIED,
    "AccessDeniedException": Fault.DENIED,
    "AuthFailure": Fault.DENIED,
    "Blocked": Fault.DENIED,
    "IncompleteSignature": Fault.DENIED,
    "InvalidClientTokenId": Fault.DENIED,
    "InvalidSignatureException": Fault.DENIED,
    "MissingAuthenticationToken": Fault.DENIED,
    "OptInRequired": Fault.DENIED,
    "PendingVerification": Fault.DENIED,
    "SignatureDoesNotMatch": Fault.DENIED,
    "UnrecognizedClientException": Fault.DENIED,
    "UnauthorizedOperation": Fault.DENIED,
    "ExpiredToken": Fault.EXPIRED,
    "ExpiredTokenException": Fault.EXPIRED,
    "RequestExpired": Fault.EXPIRED,
    "InternalError": Fault.UNREACHABLE,
    "InternalFailure": Fault.UNREACHABLE,
    "InternalServerError": Fault.UNREACHABLE,
    "RequestTimeout": Fault.UNREACHABLE,
    "ServiceUnavailable": Fault.UNREACHABLE,
    "Unavailable": Fault.UNREACHABLE,
    "EC2ThrottledException": Fault.THROTTLED,
    "PriorRequestNotComplete": Fault.THROTTLED,
    "ProvisionedThroughputExceededException": Fault.THROTTLED,
    "RequestLimitExceeded": Fault.THROTTLED,
    "RequestThrottled": Fault.THROTTLED,
    "RequestThrottledException": Fault.THROTTLED,
    "ThrottledException": Fault.THROTTLED,
    "Throttling": Fault.THROTTLED,
    "ThrottlingException": Fault.THROTTLED,
    "TooManyRequestsException": Fault.THROTTLED,
    "RequestInTheFuture": Fault.SKEWED,
    "RequestTimeTooSkewed": Fault.SKEWED,
    "ConditionalCheckFailedException": Fault.CONFLICT,
    "InvalidChangeBatch": Fault.CONFLICT,
    "IncorrectInstanceState": Fault.CONFLICT,
    "Resource.AlreadyAssociated": Fault.CONFLICT,
    "ResourceInUseException": Fault.CONFLICT,  # DynamoDB's word for a table that is there already
    "RouteAlreadyExists": Fault.CONFLICT,
    "InvalidParameterValue": Fault.CONFLICT,  # EC2's word for an address that is not where we read it, among others
}
"""AWS's error codes (EC2 API *Error codes*, Route 53 API *Common errors*, DynamoDB guide *Error handling*).

Any other: a request that can't work.
"""

_SKEWED = ("Signature expired", "Signature not yet current")
"""How a signature of another time is refused, under the code for wrong keys (IAM, *Troubleshoot SigV4*)."""


_SIGNED_S = 300.0  # how old a signature may be (IAM, *Signing AWS API requests*)


@dataclass(frozen=True, slots=True)
class Settings:
    """`endpoints`: URLs by service name, for interface endpoints; the SDK's own where there is none.

    `warm`: the services whose clients are built before they are needed.
    """

    region: str
    connect_timeout_s: float
    read_timeout_s: float
    endpoints: Mapping[str, str] = field(default_factory=dict)
    warm: tuple[str, ...] = WARM

    @property
    def call_s(self) -> float:
        """The longest that one call may take: credentials that ended are waited for as long as a connection is.

        Both time-outs are of the whole, whatever botocore makes of them (edge.switches.connection).
        """
        return 2 * self.connect_timeout_s + self.read_timeout_s


class _WouldDoError(CloudError):
    """A dry run that would have succeeded: AWS says so by an error."""


Heard = Callable[[str, float, Fault | None], None]
"""Told of each call: its API name, its seconds, how it failed if it did."""


class Session:
    """AWS, for this agent. Every method may block, and raises CloudError and nothing else."""

    def __init__(self, settings: Settings, heard: Heard) -> None:
        self.settings = settings
        self._heard = heard
        self._mutex = threading.Lock()  # a boto3 session builds its clients one at a time (boto3 guide, *Session*)
        self._clients: dict[tuple[str, str | None], Any] = {}
        self._boto: Any = None
        self._keys: Keys | None = None
        self._pools: Mapping[str, type] = {}
        self.ahead_s: float | None = None  # AWS's clock of this host's, by its last answer; its seconds are whole

    def warm(self) -> None:
        """Build, and obtain the credentials. What goes wrong, the first call says."""
        with suppress(Exception):
            self.build()
            self._signed_in()

    def build(self) -> None:
        """Import boto3 and build the clients: work, and no waiting."""
        for service in self.settings.warm:
            self._client(service)

    def call(self, call: Call) -> Mapping[str, Any]:
        api = "".join(part.capitalize() for part in call.method.split("_"))
        begun = time.monotonic()
        fault: Fault | None = None
        try:
            method = getattr(self._client(call.service, call.region), call.method)
            self._signed_in()
            answer: Mapping[str, Any] = method(**call.parameters)
            self._told_time(answer)
        except Exception as error:
            self._told_time(getattr(error, "response", None) or {})
            failed = _failed(api, error)
            fault = None if isinstance(failed, _WouldDoError) else failed.fault
            raise failed from error
        else:
            return answer
        finally:
            self._heard(api, time.monotonic() - begun, fault)

    def _told_time(self, answer: Mapping[str, Any]) -> None:
        told = _ahead_s(answer)
        self.ahead_s = self.ahead_s if told is None else told

    def read(self, service: str, method: str, **parameters: Any) -> Mapping[str, Any]:
        """A call that changes nothing: Describe, List, Get."""
        return self.call(Call(service, method, parameters))

    def rehearse(self, call: Call) -> None:
        """Ask whether AWS would take a call, without effect. One that has no dry run (AWS, *DryRun*) passes unasked."""
        with suppress(_WouldDoError):
            if dry := self.dry(call):
                self.call(dry)

    def dry(self, call: Call) -> Call | None:
        """The dry run of a call, None where AWS has none."""
        meta = self._client(call.service).meta
        operation = meta.service_model.operation_model(self.api(call))
        there = "DryRun" in operation.input_shape.members
        return Call(call.service, call.method, {**call.parameters, "DryRun": True}) if there else None

    def api(self, call: Call) -> str:
        """AWS's name of a call, as it stands in policies and in CloudTrail."""
        name: str = self._client(call.service).meta.method_to_api_mapping[call.method]
        return name

    def credentials_end(self) -> float | None:
        """When the credentials end, in seconds since 1970; None where they don't. Raises CloudError."""
        try:
            return self._signed_in().ends_s
        except Exception as error:
            raise _failed("GetCredentials", error) from error

    def _signed_in(self) -> "Keys":
        """The credentials, once there are some."""
        keys, _ = self._session()
        keys.obtain(self.settings.connect_timeout_s)
        return keys

    def _session(self) -> "tuple[Keys, Any]":
        with self._mutex:
            if self._keys is None:
                import boto3  # 0.15 s that neither edgectl nor the first DNS answer has to wait for
                import botocore.session

                from edge.switches.connection import Lookup, pools
                from edge.switches.credentials import Keys

                self._pools = pools(Lookup())
                keys, core = Keys(), botocore.session.Session()
                core.register_component("credential_provider", keys)
                self._boto = boto3.session.Session(botocore_session=core, region_name=self.settings.region)
                self._keys = keys
            return self._keys, self._boto

    def _client(self, service: str, region: str | None = None) -> Any:
        _, boto = self._session()
        with self._mutex:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._made(boto, service, region)
            return self._clients[service, region]

    def _made(self, boto: Any, service: str, region: str | None) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=self.settings.connect_timeout_s,
            read_timeout=self.settings.read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=_POOL,
            user_agent_extra=f"edge/{__version__}",  # CloudTrail tells who called
        )
        url = self.settings.endpoints.get(service)
        client = boto.client(service, region_name=region, config=config, endpoint_url=url)
        client._endpoint.http_session._pool_classes_by_scheme.update(self._pools)  # noqa: SLF001 botocore has no other way
        return client


def _failed(api: str, error: Exception) -> CloudError:
    from botocore import exceptions as boto

    if isinstance(error, CloudError):
        return error
    if isinstance(error, boto.ClientError):
        return _refused(api, error.response)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return CloudError(api, Fault.DENIED, f"no usable AWS credentials: {error}")
    if isinstance(error, boto.BotoCoreError) and not isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        return CloudError(api, Fault.IMPOSSIBLE, f"{type(error).__name__}: {error}")
    return CloudError(api, Fault.UNREACHABLE, f"{type(error).__name__}: {error}")


def _refused(api: str, response: Mapping[str, Any]) -> CloudError:
    error = response.get("Error", {})
    code, message = error.get("Code") or "?", error.get("Message") or ""
    if code == "DryRunOperation":
        return _WouldDoError(api, Fault.IMPOSSIBLE, message)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    fallback = Fault.UNREACHABLE if status >= 500 else Fault.IMPOSSIBLE
    fault = Fault.SKEWED if any(said in message for said in _SKEWED) else _CODES.get(code, fallback)
    ahead_s = _ahead_s(response) or 0.0
    if fault in (Fault.DENIED, Fault.EXPIRED) and abs(ahead_s) > _SIGNED_S:
        # EC2 says RequestExpired of ended credentials and of a wrong clock alike (EC2 API, *Error codes*).
        return CloudError(api, Fault.SKEWED, f"{code}: {message} (AWS's clock differs from ours by {ahead_s:.0f} s)")
    return CloudError(api, fault, f"{code}: {message}")


def _ahead_s(answer: Mapping[str, Any]) -> float | None:
    """How far AWS's clock is ahead of ours, by the date of an answer (RFC 9110 6.6.1)."""
    with suppress(KeyError, ValueError):
        told = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return told.timestamp() - time.time()
    return None
