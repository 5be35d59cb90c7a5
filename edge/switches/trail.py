"""CloudTrail: who changed what a service's sides read, for people to know. Nothing is decided by it.

It has an event some minutes after the call, and promises no time (AWS, *How CloudTrail works*). Two lookups a second
are granted (*LookupEvents*). Route 53's events are kept in one Region alone (Route 53 guide, *Logging API calls*).
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edge.switches.contract import Call
from edge.switches.session import Session

ROUTE53_REGION = "us-east-1"
LOOKUP_S = 0.6
PAGES = 5  # of 50 events, the newest first: what is further back is not looked for
OURS = "edge/"  # how edge.switches.session names itself

CHANGES: Mapping[str, tuple[str, ...]] = {
    "route53": ("ChangeResourceRecordSets",),
    "secondary_ip": ("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"),
    "route_table": ("CreateRoute", "ReplaceRoute", "DeleteRoute"),
    "elastic_ip": ("AssociateAddress", "DisassociateAddress"),
}
"""The calls that can turn each side."""


@dataclass(frozen=True, slots=True)
class Deed:
    """A call that somebody else made. `id` is CloudTrail's own."""

    id: str
    sentence: str


class Trail:
    """`subjects`: by side, what a call has to name to be about this service: its name, an interface, a table."""

    def __init__(self, session: Session, subjects: Mapping[str, tuple[str, ...]]) -> None:
        self._session = session
        self._subjects = subjects

    def since(self, wall_s: float) -> list[Deed]:
        """Blocks. Raises CloudError."""
        return [deed for side in self._subjects for event in CHANGES[side] for deed in self._deeds(side, event, wall_s)]

    def _deeds(self, side: str, event: str, wall_s: float) -> Iterator[Deed]:
        wanted = {
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": event}],
            "StartTime": datetime.fromtimestamp(wall_s, UTC),
        }
        region = ROUTE53_REGION if side == "route53" else None
        for each in self._events(wanted, region):
            said = json.loads(each["CloudTrailEvent"])
            if self._theirs(side, said):
                yield Deed(each["EventId"], _sentence(each, said))

    def _events(self, wanted: Mapping[str, Any], region: str | None) -> Iterator[Mapping[str, Any]]:
        page: dict[str, str] = {}
        for _ in range(PAGES):
            found = self._session.call(Call("cloudtrail", "lookup_events", {**wanted, **page}, region))
            time.sleep(LOOKUP_S)
            yield from found["Events"]
            if not found.get("NextToken"):
                return
            page = {"NextToken": found["NextToken"]}

    def _theirs(self, side: str, said: Mapping[str, Any]) -> bool:
        about = json.dumps(said.get("requestParameters"))
        named = any(subject in about for subject in self._subjects[side])
        return named and OURS not in (said.get("userAgent") or "") and "errorCode" not in said


def _sentence(event: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    who = (said.get("userIdentity") or {}).get("arn") or event.get("Username") or "somebody"
    at = event["EventTime"].astimezone(UTC)
    where = said.get("sourceIPAddress") or "an address that it does not tell"
    return f"CloudTrail: {who} called {event['EventName']} at {at:%Y-%m-%d %H:%M:%S} UTC from {where}"
