"""Stopping an instance as EC2's API reference describes it, where moto differs: it takes its time, and may not end.

StopInstances -> stopping -> .. lag .. -> stopped
                          -> on an impaired host, without Force: stopping for ever
"""

from __future__ import annotations

import time
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from .script import Script


def arrive(backend: Any, script: Script) -> None:
    """Let those be stopped that have been stopping for long enough."""
    until_s = time.monotonic() - script.stop_lag_s
    for reservation in backend.reservations.values():
        for instance in reservation.instances:
            begun_s = getattr(instance, "stopping_s", None)
            if instance._state.name == "stopping" and begun_s is not None and begun_s <= until_s:
                instance._state.name, instance._state.code = "stopped", 80


class Stops(EC2Response):
    script: Any

    # "StoppingInstances: Information about the stopped instances", whose state is `stopping` until the operating system
    # is down. "If your instance appears stuck in the stopping state, there might be an issue with the underlying host
    # computer. You can use the StopInstances operation together with the Force parameter to force stop your instance."
    # (API_StopInstances)
    def stop_instances(self) -> ActionResult:
        asked = self.ec2_backend.get_multi_instances_by_id(self._get_param("InstanceIds", []))
        before = {each.id: (each._state.name, getattr(each, "stopping_s", None)) for each in asked}
        answer = super().stop_instances()
        for instance in asked:
            was, since_s = before[instance.id]
            if was != "stopped":
                instance._state.name, instance._state.code = "stopping", 64
                instance.stopping_s = since_s if was == "stopping" and since_s is not None else self._begins_s(instance)
        arrive(self.ec2_backend, self.script)
        return answer

    def _begins_s(self, instance: Any) -> float | None:
        """None: it never will be stopped."""
        forced = self._get_bool_param("Force", False)
        return None if instance.id in self.script.impaired and not forced else time.monotonic()

    # "impaired": a status check failed. (API_InstanceStatusSummary)
    def describe_instance_status(self) -> ActionResult:
        answer = super().describe_instance_status()
        statuses: Any = answer.result
        shown = [self._status(each) for each in statuses["InstanceStatuses"]]
        return ActionResult({"InstanceStatuses": shown})

    def _status(self, instance: Any) -> dict[str, Any]:
        ill = instance.id in self.script.impaired and instance._state.name == "running"
        checks = {"Status": "impaired", "Details": [{"Name": "reachability", "Status": "failed"}]}
        return {
            "InstanceId": instance.id,
            "InstanceState": {"Name": instance._state.name, "Code": instance._state.code},
            "InstanceStatus": checks if ill else instance.instance_status,
            "SystemStatus": checks if ill else instance.system_status,
        }
