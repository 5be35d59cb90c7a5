"""The nodes' instances, as EC2 describes them: what several kinds of switch read."""

from collections.abc import Mapping

from edge.switches.session import Session

DOWN = {"stopped", "terminated"}


def states(session: Session, instances: Mapping[str, str]) -> dict[str, str]:
    """By node. One that EC2 doesn't know is an error: it proves nothing, as a wrong id looks the same."""
    described = session.read("ec2", "describe_instances", InstanceIds=list(instances.values()))
    found = [instance for each in described["Reservations"] for instance in each["Instances"]]
    by_id = {instance["InstanceId"]: str(instance["State"]["Name"]) for instance in found}
    return {node: by_id[instance] for node, instance in instances.items()}
