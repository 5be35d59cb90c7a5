"""What may never be, held after every event against the world as it is, not as an agent sees it.

1. one live node       one node per epoch, epochs only grow, in the store as in Route 53
2. served = committed  an agent answers what the store had, or what all agreed on without it, never an older epoch or
                       round; what it kept on its disk it answers when it is started anew, and nothing older (where the
                       disk did not take it, it can't know better before it has read the store, and a test of the real
                       thing says that it is told of); a round has one node, and begins while nobody leads, who has
                       died did so after its yes, and the node that it leaves has failed
3. one leader          no two agents believe at one moment that they lead, and no witness does; only who leads claims an
                       epoch or changes AWS, and no other agent has a change on its way then, but one that stands still
4. intent first        no change of AWS before the store has that its step has begun, nor for any epoch but the newest;
                       where a fence is required, no address moves before it holds in truth
5. unknown never moves no switch for a failure opens while the live node has served for long, but where as many agents
                       as have to agree could not reach it: not even where a path loses at random
6. damped              between automatic switches lies the hold-down, and within an hour the budget
7. words are kept      an automatic switch opens neither against a hold or a pin of which its speaker was told that it
                       is recorded, whoever leads since, nor, in mode confirm, before a person has approved it
8. agreement           once faults stop: one leader, and the same node and epoch in the store, in AWS and in each answer

A host that was suspended, so that its monotonic clock stood still while others went on, can't know of it
(docs/design.md, "The lease", "What is left"). Until its lease has ended by that clock it believes that it leads, and
its changes are held to what AWS and the store can refuse alone: rules 1, 2 and, in the end, 8. What it saw counts by
its own clock, so for rule 5 the time that it has lost is no time.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edge.failover import events as ev
from edge.failover.flights import SELF
from edge.failover.model import Assignment, Mode, Phase
from edge.failover.unanimity import PROMISE_S
from edge.failover.vetoes import HOUR_S
from edge.stores.contract import Value
from tests.simulation.host import acts_for
from tests.simulation.machines import Fence

if TYPE_CHECKING:
    from tests.simulation.world import World

TELLING_S = 60.0  # a verdict rests on the last minute: 64 probes a second apart, and what is under way
DAMPED = ("failure", "follow")
STEPS = {
    "unassign_private_ip_addresses": ("unassign",),
    "assign_private_ip_addresses": ("assign",),
    "change_resource_record_sets": ("route53",),
    "create_tags": ("isolate",),
    "modify_network_interface_attribute": ("isolate", "rejoin"),
    "stop_instances": ("stop",),
    "send_command": ("demote", "promote"),
}
READS = ("get_", "list_", "describe_")


class BrokenError(AssertionError):
    pass


class Rules:
    def __init__(self) -> None:
        self.world: World | None = None
        self.broken: str | None = None
        self.committed: dict[int, str] = {}
        self.agreed: dict[tuple[int, int], str] = {}
        self._opened = self._abandoned = 0
        self._opened_at = 0.0
        self._moved: list[tuple[float, str]] = []
        self._calling: list[str] = []
        self._held: str | None = None

    def _holds(self, true: bool, what: str) -> None:
        """Kept, and raised by who runs the story: where it is found, an exception would be an agent's own."""
        if not true and self.broken is None:
            self.broken = what
            self._world.timeline.stopped = True

    @property
    def _world(self) -> "World":
        assert self.world
        return self.world

    # --- the store and AWS --------------------------------------------------------------------------------------------

    def written(self, key: str, before: Value | None, value: Value) -> None:
        kind = key.partition("/")[0]
        if kind == "assignment" and (before is None or before["epoch"] != value["epoch"]):
            self._committed(before["epoch"] if before else 0, value)
        elif kind == "assignment" and before:
            self._holds(before["node"] == value["node"], f"epoch {value['epoch']} has two nodes")
        elif kind == "intent" and (before is None or before["epoch"] != value["epoch"]):
            self._intended(value)
        elif kind == "intent" and value["state"] == "abandoned":
            self._abandoned = value["epoch"]

    def claims(self, who: str, epoch: int) -> None:
        self._holds(self._world.agents[who].leads(), f"{who} claims epoch {epoch} without the lease")

    def _intended(self, value: Value) -> None:
        self._world.tell("store", f"intent {value['epoch']}: {value['node']} ({value['cause']}: {value['sentence']})")
        self._holds(value["epoch"] > self._opened, f"epoch {value['epoch']} was opened after {self._opened}")
        self._opened, self._opened_at = value["epoch"], self._world.timeline.now
        if value["cause"] not in DAMPED:
            return
        live = self.committed[max(self.committed)]
        left = {live, *value["outgoing"]}
        within_s = self._telling_s
        failed = any(self._world.nodes.failed_within(node, within_s) or self._unreached(node) for node in left)
        self._holds(failed, f"epoch {value['epoch']} leaves {live}, which serves")
        apart_s = self._world.policy.hold_down_s * 0.9
        recent = [at for at, _ in self._moved if at > self._world.timeline.now - apart_s]
        self._holds(not recent, f"epoch {value['epoch']} was opened within the hold-down")

    @property
    def _telling_s(self) -> float:
        """With the time that a clock has lost by which it was told."""
        within_s = TELLING_S * max(self._world.profile.interval_s, 1.0)
        return within_s + max(agent.lost_s(within_s) for agent in self._world.agents.values())

    def _unreached(self, node: str) -> bool:
        """A node that serves may be left where as many agents as have to agree can't reach it."""
        within_s = self._telling_s
        blind = [agent for agent in self._world.agents.values() if not agent.reaches(node, within_s)]
        return len(blind) >= (self._world.quorum or 1)

    def _committed(self, before: int, value: Value) -> None:
        epoch, node, now = value["epoch"], value["node"], self._world.timeline.now
        self._world.tell("store", f"committed {epoch}: {node}")
        self._holds(epoch > before, f"epoch {epoch} was committed over {before}")
        self._holds(self.committed.setdefault(epoch, node) == node, f"epoch {epoch} has two nodes")
        if value["cause"] not in ("bootstrap", "repair"):
            self._moved.append((now, value["cause"]))
        hourly = [
            at
            for at, cause in self._moved
            if cause in DAMPED and at > now - HOUR_S * 0.9 and at > self._world.released_at
        ]
        self._holds(len(hourly) <= self._world.policy.switches_per_hour, f"{len(hourly)} automatic switches in an hour")

    def published(self, before: str, after: str) -> None:
        self._world.tell("route53", after)
        (old, old_node), (new, new_node) = _epoch(before), _epoch(after)
        self._holds(new >= old, f"Route 53 took epoch {new} over {old}")
        self._holds(new != old or new_node == old_node, f"Route 53 took two nodes for epoch {new}")

    @contextmanager
    def calling(self, who: str, method: str) -> Iterator[None]:
        if method.startswith(READS):
            yield
            return
        self._world.tell(who, method)
        self._holds(self._world.agents[who].leads(), f"{who} calls {method} without the lease")
        if not self._world.agents[who].dazed:
            superseded = acts_for() < self._opened != self._abandoned
            self._holds(not superseded, f"{who} calls {method} for {acts_for()}, and {self._opened} is open")
            self._holds(self._begun(STEPS[method]), f"{who} calls {method}, and the journal has nothing of it")
            if method == "assign_private_ip_addresses":
                self._fenced(acts_for())
        self._calling.append(who)
        self.check()
        try:
            yield
        finally:
            self._calling.remove(who)

    def _fenced(self, epoch: int) -> None:
        """Where the fence is required: so is each node that may act, in truth and since the switch opened."""
        world = self._world
        intent = world.kept.items[f"intent/{world.policy.service}"].value
        if intent["epoch"] != epoch or not world.policy.fence_required or world.fence is Fence.UNASSIGN:
            return
        for node in intent["outgoing"]:
            fenced = world.cloud.machines.fenced_since(node, self._opened_at)
            self._holds(fenced, f"the address moves for epoch {epoch}, and {node} is not fenced")

    def _begun(self, steps: Sequence[str]) -> bool:
        records = [
            self._world.kept.items.get(f"{kind}/{self._world.policy.service}") for kind in ("intent", "assignment")
        ]
        found = [each.value["steps"].get(step, {}) for each in records if each for step in steps]
        return any(each.get("state") == "begun" for each in found)

    # --- what people say ----------------------------------------------------------------------------------------------

    @contextmanager
    def heard(self, word: ev.Event, replies: Sequence[ev.Reply]) -> Iterator[None]:
        """A switch may follow of a release in the same moment."""
        if not isinstance(word, ev.Release):
            yield
            return
        held, self._held = self._held, None
        yield
        if replies[0].accepted:
            self._world.released_at = self._world.timeline.now
        else:
            self._held = held

    def recorded(self, who: str, word: ev.Event, reply: ev.Reply, spoken_at: float) -> None:
        """Who spoke reads that it is in force; somebody may have released it meanwhile."""
        if self._world.released_at >= spoken_at:
            return
        holds = isinstance(word, ev.Hold) or (isinstance(word, ev.Promote) and word.pin)
        if holds and reply.accepted and not self._world.agents[who].dazed:
            self._held = reply.sentence

    def decided(self, who: str, decision: ev.Decision) -> None:
        flight = decision.state.flight
        if decision.state.phase is not Phase.OPENING or flight is None or flight.intent.cause.value not in DAMPED:
            return
        epoch, agent = flight.intent.epoch, self._world.agents[who]
        asked = self._world.policy.mode is Mode.CONFIRM and flight.intent.who == SELF
        self._holds(not asked, f"{who} opens epoch {epoch}, and nobody has approved it")
        held = self._held and flight.intent.who == SELF and not agent.misled
        self._holds(not held, f"{who} opens epoch {epoch}, and was told: {self._held}")

    # --- where who leads or acts has changed --------------------------------------------------------------------------

    def check(self) -> None:
        world = self._world
        leading = [name for name, agent in world.agents.items() if agent.leads() and not agent.misled]
        self._holds(len(leading) <= 1, f"{' and '.join(leading)} lead at one moment")
        self._holds(all(world.agents[name].candidate for name in leading), f"{leading} leads and is a witness")
        acting = {who for who in self._calling if not (world.agents[who].stands_still or world.agents[who].dazed)}
        self._holds(len(acting) <= 1, f"{' and '.join(sorted(acting))} change AWS at one moment")
        for agent in world.agents.values():
            for fault in agent.process.faults:
                self._holds(False, f"{agent.name}: a fault in the program: {fault!r}")

    def served(self, who: str, before: Assignment | None, live: Assignment) -> None:
        self._world.tell(who, f"answers {live.node} at epoch {live.named}")
        if before and live.round and live.at not in self.agreed:
            self.agreed[live.at] = live.node
            if not self._world.agents[who].dazed:  # who woke between the answers and the decision decides late
                self._agreed(before.node, live)
        known = self.agreed.get(live.at) if live.round else self.committed.get(live.epoch)
        self._holds(known == live.node, f"{who} answers {live.node} at epoch {live.named}, which was not committed")
        self._holds(before is None or live.at >= before.at, f"{who} answers epoch {live.named} after {before}")

    def remembers(self, who: str, believed: Assignment | None, found: Assignment | None) -> None:
        """Of one that starts: what its disk had taken for certain is there, or what came after it."""
        kept = believed is None or (found is not None and found.at >= believed.at)
        self._holds(kept, f"{who} kept {believed} on its disk, and finds {found}")

    def _agreed(self, left: str, live: Assignment) -> None:
        agents, within_s = self._world.agents.values(), self._telling_s
        leading = [agent.name for agent in agents if agent.leads() and not agent.misled]
        self._holds(not leading, f"all agreed on {live.node}, and {leading} leads")
        said_yes_at = self._world.timeline.now - PROMISE_S  # at the soonest
        heard = all(agent.alive or agent.died_at >= said_yes_at for agent in agents)
        self._holds(heard, f"all agreed on {live.node}, and one of them was dead")
        blind = all(agent.path.trouble > 0 or agent.path.lost or not agent.reaches(left, within_s) for agent in agents)
        failed = self._world.nodes.failed_within(left, within_s)
        self._holds(failed or blind, f"all agreed to leave {left}, which serves")

    def disagreement(self) -> str:
        """Empty where everything agrees."""
        world = self._world
        stored = world.kept.items.get(f"assignment/{world.policy.service}")
        if stored is None:
            return "nothing is committed"
        live = (str(stored.value["node"]), int(stored.value["epoch"]))
        said: Mapping[str, Any] = {name: (agent.answer, agent.round) for name, agent in world.agents.items()}
        wrong = [f"{name} answers {answer}" for name, answer in said.items() if answer != (live, 0)]
        text = f"epoch={live[1]} node={live[0]}"
        wrong += [
            f"{name}'s disk has {agent.disk.believed}" for name, agent in world.agents.items() if not agent.keeps(live)
        ]
        wrong += [] if world.published() == text else [f"Route 53 says {world.published()}"]
        wrong += [] if world.holders() == (live[0],) else [f"the address is on {world.holders()}"]
        wrong += [] if any(agent.leads() for agent in world.agents.values()) else ["nobody leads"]
        return f"the store has {live}: {', '.join(wrong)}" if wrong else ""


def _epoch(text: str) -> tuple[int, str]:
    if not text:
        return 0, ""
    epoch, _, node = text.removeprefix("epoch=").partition(" node=")
    return int(epoch), node
