"""EC2 as its API reference describes it, where moto differs: the parts, and what all of them share.

What a call has changed is there at once, and the describe calls may show it late (past).
"""

from __future__ import annotations

import copy
import time
from typing import Any, ClassVar, cast

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult
from moto.ec2.exceptions import DryRunClientError
from moto.ec2.responses import EC2Response

from .addresses import Addresses
from .elastic import Elastic
from .groups import Groups
from .past import Past, Picture, shown
from .routes import Routes
from .script import Script
from .stops import Stops, arrive

COLLECTIONS = ("enis", "route_tables", "addresses", "groups", "subnets", "vpcs", "reservations", "tags")
OF_INTERFACES = ("private_ip_addresses", "_group_set", "source_dest_check")
OF_ELASTIC_IPS = ("eni", "instance", "association_id", "private")


def picture(backend: Any) -> Picture:
    """All that the describe calls of a switch and of a check show: what there is, and what of it can change."""
    taken: Picture = [(backend, name, copied(getattr(backend, name))) for name in COLLECTIONS]
    for eni in backend.enis.values():
        taken += [(eni, name, copy.copy(getattr(eni, name))) for name in OF_INTERFACES]
    for table in backend.route_tables.values():
        taken.append((table, "_routes", {key: copy.copy(route) for key, route in table._routes.items()}))
    for eip in backend.addresses:
        taken += [(eip, name, getattr(eip, name, None)) for name in OF_ELASTIC_IPS]
    for reservation in backend.reservations.values():
        taken += [(instance, "_state", copy.copy(instance._state)) for instance in reservation.instances]
    return taken


def copied(collection: Any) -> Any:
    """With what it holds in turn: groups lie under their VPC, subnets under their zone, tags under their resource."""
    same = copy.copy(collection)
    if isinstance(collection, dict):
        for key, value in collection.items():
            same[key] = copy.copy(value) if isinstance(value, dict) else value
    return same


class MendedEC2(Routes, Elastic, Groups, Stops, Addresses, EC2Response):
    past: ClassVar[Past]
    script: ClassVar[Script]
    stale = False

    # "The result of an API command you run that affects your Amazon EC2 resources might not be immediately
    # visible to all subsequent commands you run." (EC2 developer guide, Eventual consistency)
    def call_action(self) -> TYPE_RESPONSE:
        arrive(self.ec2_backend, self.script)
        if self._get_bool_param("DryRun", False):
            return self._rehearsed()
        if not self._get_action().startswith("Describe"):
            return self._changing()
        past = self.past.last if self.stale else self.past.unseen()
        if not past:
            return super().call_action()
        with shown(past):
            return super().call_action()

    # "Checks whether you have the required permissions for the action, without actually making the request, and
    # provides an error response. If you have the required permissions, the error response is DryRunOperation." (DryRun,
    # of each action that has it.) Nothing is promised of the other parameters.
    def _rehearsed(self) -> TYPE_RESPONSE:
        return cast("TYPE_RESPONSE", self.serialized(ActionResult(DryRunClientError())))

    def _changing(self) -> TYPE_RESPONSE:
        made_s, before = time.monotonic(), picture(self.ec2_backend)
        answer = super().call_action()
        if answer[0] < 300:
            self.past.note(made_s, before)
        return answer


def mend(past: Past, script: Script) -> type[EC2Response]:
    named = {"past": past, "script": script}
    return cast("type[EC2Response]", type("MendedEC2", (MendedEC2,), named))
