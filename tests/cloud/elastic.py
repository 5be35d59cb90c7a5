"""Elastic IP addresses as EC2's API reference describes them, where moto differs: one is bound to a private address."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidParameterValue, ResourceAlreadyAssociatedError
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.responses import EC2Response

from .addresses import held


class Bound(ElasticAddress):
    private: str | None = None

    @property
    def private_ip_address(self) -> str | None:
        return self.private


class Elastic(EC2Response):
    # "Reassociation is automatic, but you can specify false to ensure the operation fails if the Elastic IP address is
    # already associated with another resource." And: "The primary or secondary private IP address to associate with
    # the Elastic IP address. If no private IP address is specified, the Elastic IP address is associated with the
    # primary private IP address." (API_AssociateAddress)
    def associate_address(self) -> ActionResult:
        [eip] = self.ec2_backend.address_by_allocation([self._get_param("AllocationId")])
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        private = self._get_param("PrivateIpAddress") or interface.private_ip_address
        if private not in held(interface):
            raise InvalidParameterValue(f"{private} is not assigned to {interface.id}")
        elsewhere = eip.eni is not None and eip.eni is not interface
        if elsewhere and self._get_param("AllowReassociation") is False:
            raise ResourceAlreadyAssociatedError(eip.public_ip)
        return self._bind(eip, interface, private)

    def _bind(self, eip: Any, interface: Any, private: str) -> ActionResult:
        self._free(interface, private)
        bound = self.ec2_backend.associate_address(eni=interface, allocation_id=eip.allocation_id, reassociate=True)
        bound.__class__, bound.private, bound.instance = Bound, private, interface.instance
        return ActionResult({"AssociationId": bound.association_id})

    # "If you associate an Elastic IP address with an instance that has an existing Elastic IP address, the existing
    # address is disassociated from the instance, but remains allocated to your account." (API_AssociateAddress)
    def _free(self, interface: Any, private: str) -> None:
        for other in self._on(interface, private):
            self.ec2_backend.disassociate_address(association_id=other.association_id)

    def _on(self, interface: Any, private: str) -> list[Any]:
        return [e for e in self.ec2_backend.addresses if e.eni is interface and getattr(e, "private", None) == private]

    # "When you move a secondary private IP address to another network interface, any Elastic IP address that is
    # associated with the IP address is also moved." (API_AssignPrivateIpAddresses)
    def assign_private_ip_addresses(self) -> ActionResult:
        moving, to = self._get_param("PrivateIpAddresses", []), self._get_param("NetworkInterfaceId")
        bound = [e for e in self.ec2_backend.addresses if getattr(e, "private", None) in moving and e.eni is not None]
        answer = super().assign_private_ip_addresses()
        for eip in bound:
            eip.eni = self.ec2_backend.get_network_interface(to)
            eip.instance = eip.eni.instance
        return answer

    # When a secondary private address is unassigned from an interface, an Elastic IP address that is associated with it
    # is disassociated too. (EC2 user guide, Secondary IP addresses)
    def unassign_private_ip_addresses(self) -> ActionResult:
        answer = super().unassign_private_ip_addresses()
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        for private in self._get_param("PrivateIpAddresses", []):
            self._free(interface, private)
        return answer
