"""CloudTrail's event history, which moto doesn't have: the changes that the emulator made, by whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.responses import ActionResult

from .script import Script

PAGE = 50  # "The default is 50." (MaxResults)


class MendedCloudTrail(CloudTrailResponse):
    script: ClassVar[Script]

    def __init__(self) -> None:
        super().__init__()
        self.automated_parameter_parsing = True

    # "Looks up management events [...] that are captured by CloudTrail. You can look up events that occurred in a
    # Region within the last 90 days. [...] The results include a representation of the CloudTrail event". One
    # attribute at most. NextToken "must be passed in with the same parameters". (API_LookupEvents)
    def lookup_events(self) -> ActionResult:
        [wanted] = self._get_param("LookupAttributes")
        assert wanted["AttributeKey"] == "EventName", "the agent asks by no other"
        since = self._get_param("StartTime").replace(tzinfo=UTC)
        with self.script.lock:
            found = [event for event in reversed(self.script.trail) if self._asked(event, wanted, since)]
        first = int(self._get_param("NextToken") or 0)
        page, more = found[first : first + PAGE], len(found) > first + PAGE
        said = {"Events": [event["said"] for event in page]}
        return ActionResult({**said, "NextToken": str(first + PAGE)} if more else said)

    def _asked(self, event: dict[str, Any], wanted: dict[str, str], since: datetime) -> bool:
        said = event["said"]
        return (
            said["EventTime"] >= since
            and said["EventName"] == wanted["AttributeValue"]
            and event["region"] == self.region
        )


# Route 53's events are in US East (N. Virginia), whichever Region its caller is in (Route 53 developer guide, Logging
# Amazon Route 53 API calls with AWS CloudTrail).
def region(service: str, asked: str) -> str:
    return "us-east-1" if service == "route53" else asked


def mend(script: Script) -> type[CloudTrailResponse]:
    return type("MendedCloudTrail", (MendedCloudTrail,), {"script": script})
