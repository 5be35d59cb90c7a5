"""The way to AWS: boto3 with every time-out said, one attempt a call, and each failure put into its class.

botocore's own defaults try again after a read time-out, mutations too, and wait for minutes; here a call is sent once, and the
runner decides what follows after it has read back (boto3 guide, *Retries*; botocore `Config`: connect_timeout, read_timeout,
retries.total_max_attempts). Creating a client holds the interpreter for about 0.1 s (measured), so `warm` does it before the
probes start.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.errors import CloudError, Fault
from edge.switches.contract import Call

WARM = ("route53", "ec2", "sts")
_POOL = 10

_CODES = {
    "AccessDenied": Fault.DENIED,
    "AccessDeniedException": Fault.DENIED,
    "AuthFailure": Fault.DENIED,
    "InvalidClientTokenId": Fault.DENIED,
    "OptInRequired": Fault.DENIED,
    "SignatureDoesNotMatch": Fault.DENIED,
    "UnauthorizedOperation": Fault.DENIED,
    "ExpiredToken": Fault.EXPIRED,
    "ExpiredTokenException": Fault.EXPIRED,
    "RequestExpired": Fault.EXPIRED,
    "InternalError": Fault.UNREACHABLE,
    "InternalFailure": Fault.UNREACHABLE,
    "ServiceUnavailable": Fault.UNREACHABLE,
    "Unavailable": Fault.UNREACHABLE,
    "PriorRequestNotComplete": Fault.THROTTLED,
    "RequestLimitExceeded": Fault.THROTTLED,
    "RequestThrottled": Fault.THROTTLED,
    "Throttling": Fault.THROTTLED,
    "ThrottlingException": Fault.THROTTLED,
    "RequestTimeTooSkewed": Fault.SKEWED,
    "InvalidChangeBatch": Fault.CONFLICT,
}
"""AWS's error codes (EC2 API *Error codes*, Route 53 API *Common errors*). A code that is not here is a request that can't work."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`endpoints`: URLs by service name, for interface endpoints; the SDK's own where there is none."""

    region: str
    connect_timeout_s: float
    read_timeout_s: float
    endpoints: Mapping[str, str] = field(default_factory=dict)

    @property
    def call_s(self) -> float:
        """The longest that one call may take. The connect time-out counts per address; we send to one name."""
        return self.connect_timeout_s + self.read_timeout_s


Heard = Callable[[str, float, Fault | None], None]
"""Told of each call: its API name, its seconds, how it failed if it did."""


class Session:
    """AWS, for this agent. Every method blocks, and raises CloudError and nothing else."""

    def __init__(self, settings: Settings, heard: Heard) -> None:
        self.settings = settings
        self._heard = heard
        self._clients: dict[str, Any] = {}
        self._boto: Any = None

    def warm(self) -> None:
        """Import boto3 and build the clients."""
        for service in WARM:
            self._client(service)

    def call(self, call: Call) -> Mapping[str, Any]:
        api = "".join(part.capitalize() for part in call.method.split("_"))
        begun = time.monotonic()
        fault: Fault | None = None
        try:
            method = getattr(self._client(call.service), call.method)
            answer: Mapping[str, Any] = method(**call.parameters)
        except Exception as error:
            failed = _failed(api, error)
            fault = failed.fault
            raise failed from error
        else:
            return answer
        finally:
            self._heard(api, time.monotonic() - begun, fault)

    def read(self, service: str, method: str, **parameters: Any) -> Mapping[str, Any]:
        """A call that changes nothing: Describe, List, Get."""
        return self.call(Call(service, method, parameters))

    def credentials_end(self) -> float | None:
        """When the credentials end, in seconds since 1970; None where they don't. Raises CloudError where there are none."""
        credentials = self._session().get_credentials()
        if credentials is None:
            raise CloudError("GetCredentials", Fault.DENIED, "no AWS credentials are configured")
        ends = getattr(credentials, "_expiry_time", None)
        return ends.timestamp() if ends else None

    def _session(self) -> Any:
        if self._boto is None:
            import boto3  # 0.15 s that neither edgectl nor the first DNS answer has to wait for

            self._boto = boto3.session.Session(region_name=self.settings.region)
        return self._boto

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            from botocore.config import Config

            config = Config(
                connect_timeout=self.settings.connect_timeout_s,
                read_timeout=self.settings.read_timeout_s,
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=_POOL,
            )
            url = self.settings.endpoints.get(service)
            self._clients[service] = self._session().client(service, config=config, endpoint_url=url)
        return self._clients[service]


def _failed(api: str, error: Exception) -> CloudError:
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _refused(api, error.response)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return CloudError(api, Fault.DENIED, f"no usable AWS credentials: {error}")
    if isinstance(error, boto.ParamValidationError):
        return CloudError(api, Fault.IMPOSSIBLE, str(error))
    return CloudError(api, Fault.UNREACHABLE, f"{type(error).__name__}: {error}")


def _refused(api: str, response: Mapping[str, Any]) -> CloudError:
    code, message = response["Error"].get("Code", "?"), response["Error"].get("Message", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    fallback = Fault.UNREACHABLE if status >= 500 else Fault.IMPOSSIBLE
    return CloudError(api, _CODES.get(code, fallback), f"{code}: {message}")
