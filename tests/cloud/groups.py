"""The security groups of an interface as EC2's API reference describes them, where moto differs."""

from __future__ import annotations

from typing import Any, cast

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupNotFoundError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.responses import EC2Response

ATTRIBUTES = ("Groups", "SourceDestCheck.Value", "Description.Value", "Attachment")


class NoAttributesError(EC2ClientError):
    def __init__(self) -> None:
        super().__init__("InvalidParameterCombination", "No attributes specified.")


class MendedInterface(NetworkInterface):
    """moto adds what the instance was launched with."""

    @property
    def group_set(self) -> Any:
        return self._group_set


class Groups(EC2Response):
    # "The new set of groups you specify replaces the current set. You must specify at least one group, even if it's
    # just the default security group in the VPC. You must specify the ID of the security group, not the name."
    # (API_ModifyNetworkInterfaceAttribute)
    def modify_network_interface_attribute(self) -> EmptyResult:
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        if not any(self._get_param(name) is not None and self._get_param(name) != [] for name in ATTRIBUTES):
            raise NoAttributesError
        for group in self._get_param("Groups", []):
            if self.ec2_backend.get_security_group_from_id(group) is None:
                raise InvalidSecurityGroupNotFoundError(group)
        interface.__class__ = MendedInterface
        return cast("EmptyResult", super().modify_network_interface_attribute())

    def describe_network_interfaces(self) -> ActionResult:
        for interface in self.ec2_backend.enis.values():
            interface.__class__ = MendedInterface
        return super().describe_network_interfaces()
