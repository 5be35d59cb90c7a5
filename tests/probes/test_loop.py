"""The schedule, on a clock that jumps from timer to timer: exact, and as fast as the machine can count."""

import asyncio
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import pytest

from edge.config import ProbeKind
from edge.failover.model import Observation, Sight
from edge.probes.loop import KINDS, WITNESS, Kind, Prober, Target, observe
from edge.probes.tcp import Outcome
from tests.probes.conftest import LOOPBACK, PATIENT_S, serving, silent

FINE = Outcome(Sight.ACTIVE, answered=True, evidence="fine")


class JumpingLoop(asyncio.SelectorEventLoop):
    """Waiting takes no time: the clock is put forward instead."""

    def __init__(self) -> None:
        super().__init__(selector := JumpingSelector())
        self._clock = selector

    def time(self) -> float:
        return self._clock.now


class JumpingSelector(selectors.SelectSelector):
    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


@dataclass
class Recorder:
    """A kind whose probes take `takes_s`, and `lingers_s` more when they are cancelled; notes when each began, and how
    many ran at once.
    """

    takes_s: float
    lingers_s: float = 0.0
    began: list[float] = field(default_factory=list)
    running: int = 0
    most: int = 0

    async def probe(self, _address: str, _port: int, _timeout_s: float) -> Outcome:
        self.began.append(asyncio.get_running_loop().time())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            await asyncio.sleep(self.lingers_s)
            raise
        finally:
            self.running -= 1
        return FINE


def target(kind: Kind, endpoint: str = "a", jitter: float = 0.1) -> Target:
    return Target(endpoint, LOOPBACK, 445, kind, interval_s=1.0, timeout_s=0.5, jitter=jitter)


def ignore(_seen: Observation) -> None:
    """For tests that look at the probes themselves."""


def run_for(prober: Prober, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """`meanwhile` is called half-way."""

    async def scenario() -> None:
        running = asyncio.create_task(prober.run())
        await asyncio.sleep(seconds / 2)
        meanwhile()
        await asyncio.sleep(seconds / 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(scenario())


def pauses(began: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(began)]


def test_pauses_fill_the_jitters_range_and_never_leave_it() -> None:
    recorder = Recorder(takes_s=0.01)
    run_for(Prober([target(recorder.probe)], ignore, ignore, Random(1)), 1000)
    assert 0.9 <= min(pauses(recorder.began)) < 0.91
    assert 1.09 < max(pauses(recorder.began)) <= 1.1
    assert sum(pauses(recorder.began)) / len(pauses(recorder.began)) == pytest.approx(1.0, abs=0.01)


def test_without_jitter_the_pace_is_exact_and_does_not_drift_by_the_probes_own_time() -> None:
    recorder = Recorder(takes_s=0.4)
    run_for(Prober([target(recorder.probe, jitter=0.0)], ignore, ignore, Random(1)), 10.5)
    assert pauses(recorder.began) == pytest.approx([1.0] * 10)


def test_the_first_probe_does_not_wait_for_an_interval() -> None:
    recorder = Recorder(takes_s=0.01)
    run_for(Prober([target(recorder.probe)], ignore, ignore, Random(1)), 0.2)
    assert len(recorder.began) == 1


def test_probes_of_one_endpoint_never_overlap() -> None:
    recorder = Recorder(takes_s=2.5)
    run_for(Prober([target(recorder.probe)], ignore, ignore, Random(1)), 100)
    assert recorder.most == 1
    assert pauses(recorder.began) == pytest.approx([2.5] * (len(recorder.began) - 1))


def test_missed_probes_are_not_made_up_for() -> None:
    """One probe of 10 s, then quick ones: they come a second apart, not ten in a burst."""
    recorder = Recorder(takes_s=10)

    async def probe(address: str, port: int, timeout_s: float) -> Outcome:
        seen = await recorder.probe(address, port, timeout_s)
        recorder.takes_s = 0.01
        return seen

    run_for(Prober([target(probe, jitter=0.0)], ignore, ignore, Random(1)), 20)
    assert pauses(recorder.began)[:4] == pytest.approx([10, 1, 1, 1])


def test_endpoints_do_not_wait_for_each_other() -> None:
    slow, quick = Recorder(takes_s=60), Recorder(takes_s=0.01)
    run_for(Prober([target(slow.probe, "slow"), target(quick.probe, "quick")], ignore, ignore, Random(1)), 30)
    assert len(slow.began) == 1
    assert 27 <= len(quick.began) <= 34


def test_a_reload_keeps_the_schedule_of_what_did_not_change() -> None:
    kept, gone, new = Recorder(takes_s=0.01), Recorder(takes_s=0.01), Recorder(takes_s=0.01)
    prober = Prober([target(kept.probe, "kept", jitter=0.0), target(gone.probe, "gone")], ignore, ignore, Random(1))
    targets = [target(kept.probe, "kept", jitter=0.0), target(new.probe, "new")]
    run_for(prober, 20.6, lambda: prober.replace(targets))
    assert pauses(kept.began) == pytest.approx([1.0] * 20)
    assert max(gone.began) <= 1010.3 <= min(new.began)
    assert len(new.began) >= 9


def test_a_replaced_probe_has_ended_before_its_successor_begins() -> None:
    recorder = Recorder(takes_s=0.8, lingers_s=0.5)
    before = target(recorder.probe)
    prober = Prober([before], ignore, ignore, Random(1))
    run_for(prober, 21, lambda: prober.replace([replace(before, timeout_s=0.4)]))
    assert recorder.most == 1


def test_nothing_is_said_of_an_endpoint_that_was_taken_away() -> None:
    seen: list[str] = []
    recorder = Recorder(takes_s=0.8)
    prober = Prober([target(recorder.probe)], lambda observation: seen.append(observation.endpoint), ignore, Random(1))

    def take_away() -> None:
        prober.replace([])
        seen.clear()

    run_for(prober, 11, take_away)
    assert len(recorder.began) >= 5
    assert seen == []


def glimpsing(prober: Prober, *names: str) -> Callable[[], None]:
    return lambda: prober.look_closer(frozenset(names))


def test_a_closer_look_is_ten_times_as_often_beside_a_schedule_that_stays() -> None:
    recorder, seen, glimpsed = Recorder(takes_s=0.01), [], []
    prober = Prober([target(recorder.probe, jitter=0.0)], seen.append, glimpsed.append, Random(1))
    run_for(prober, 20.6, glimpsing(prober, "a"))
    assert len(seen) == 21
    assert len(glimpsed) == pytest.approx(103, abs=1)
    beside = sorted({at for at in recorder.began if at > 1010.3} - {1000.0 + second for second in range(21)})
    assert pauses(beside) == pytest.approx([0.1] * (len(beside) - 1))


def test_nobody_looks_closer_at_others_or_before_it_is_wanted() -> None:
    looked, other = Recorder(takes_s=0.01), Recorder(takes_s=0.01)
    prober = Prober([target(looked.probe, "a"), target(other.probe, "b")], ignore, ignore, Random(1))
    run_for(prober, 20, glimpsing(prober, "a"))
    assert sum(at < 1010 for at in looked.began) <= 12
    assert len(looked.began) > 100
    assert len(other.began) <= 22


def test_glimpses_do_not_wait_for_each_other_and_what_is_under_way_ends_with_the_look() -> None:
    recorder, glimpsed = Recorder(takes_s=0.5), []
    prober = Prober([target(recorder.probe)], ignore, glimpsed.append, Random(1))
    prober.look_closer(frozenset("a"))
    run_for(prober, 20, glimpsing(prober))
    assert 5 <= recorder.most <= 7
    assert len(glimpsed) == pytest.approx(95, abs=2)
    assert recorder.running == 0


def test_a_quick_probe_is_glimpsed_no_more_than_fifty_times_a_second() -> None:
    assert replace(target(Recorder(0.01).probe), interval_s=0.1).glimpse_s == 0.02
    assert target(Recorder(0.01).probe).glimpse_s == 0.1


def test_a_look_goes_on_over_a_reload_at_what_is_there_then() -> None:
    gone, new = Recorder(takes_s=0.01), Recorder(takes_s=0.01)
    prober = Prober([target(gone.probe)], ignore, ignore, Random(1))
    prober.look_closer(frozenset("a"))
    run_for(prober, 20, lambda: prober.replace([target(new.probe)]))
    assert max(gone.began) <= 1010 <= min(new.began)
    assert len(gone.began) == pytest.approx(len(new.began), abs=5)
    assert len(new.began) > 100


def test_a_fault_in_a_kind_is_unknown_and_the_loop_goes_on() -> None:
    seen: list[Observation] = []

    async def broken(_address: str, _port: int, _timeout_s: float) -> Outcome:
        raise KeyError("no such thing")

    run_for(Prober([target(broken)], seen.append, ignore, Random(1)), 10)
    assert len(seen) >= 9
    assert {(o.sight, o.answered, o.evidence) for o in seen} == {
        (Sight.UNKNOWN, False, "this agent's own trouble: KeyError('no such thing')")
    }


def test_a_fault_in_the_listener_is_not_swallowed() -> None:
    def broken(_seen: Observation) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught, asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(Prober([target(Recorder(0.01).probe)], broken, ignore, Random(1)).run())
    assert caught.group_contains(ZeroDivisionError)


async def test_an_answer_carries_its_round_trip() -> None:
    async with serving(silent) as port:
        seen = await observe(replace(target(KINDS[ProbeKind.TCP]), port=port, timeout_s=PATIENT_S))
    assert (seen.endpoint, seen.sight, seen.answered) == ("a", Sight.ACTIVE, True)
    assert seen.rtt_s is not None
    assert 0 < seen.rtt_s < PATIENT_S
    assert seen.evidence == f"TCP connect answered, {seen.rtt_s * 1000:.0f} ms"


async def test_a_time_out_is_no_round_trip() -> None:
    async with serving(silent) as port:
        seen = await observe(replace(target(KINDS[ProbeKind.SMB]), port=port, timeout_s=1.0))
    assert (seen.sight, seen.answered, seen.rtt_s) == (Sight.DOWN, True, None)


@pytest.mark.parametrize("said", [FINE, replace(FINE, sight=Sight.DOWN, evidence="connection refused")])
def test_what_is_told_much_too_late_says_nothing(said: Outcome) -> None:
    """An agent that stood still finds an answer in its socket, of a node that may be another one by now."""

    async def probe(_address: str, _port: int, timeout_s: float) -> Outcome:
        await asyncio.sleep(late * timeout_s)
        return said

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        late = 1.4
        assert runner.run(observe(target(probe))).sight is said.sight
        late = 400
        seen = runner.run(observe(target(probe)))
    assert (seen.sight, seen.answered, seen.rtt_s) == (Sight.UNKNOWN, False, None)
    assert "late itself" in seen.evidence


async def test_a_loop_that_was_held_up_counts_against_nobody() -> None:
    """The server answers at once; its answer lies in the socket while something else holds the only thread."""

    async def held_up() -> None:
        await asyncio.sleep(0.1)
        time.sleep(1.0)  # noqa: ASYNC251 - that is the point

    async with serving(silent) as port, asyncio.TaskGroup() as group:
        group.create_task(held_up())
        seen = await observe(replace(target(KINDS[ProbeKind.SMB]), port=port, timeout_s=0.5))
    assert (seen.sight, seen.answered) == (Sight.UNKNOWN, False)


async def test_a_witness_may_refuse(closed_port: int) -> None:
    seen = await observe(replace(target(WITNESS, "witness"), port=closed_port, timeout_s=PATIENT_S))
    assert (seen.endpoint, seen.sight, seen.answered) == ("witness", Sight.ACTIVE, True)


async def test_real_probes_at_full_pace(samba: int) -> None:
    """Two kinds side by side on the real clock, until each has been seen ten times."""
    seen: list[Observation] = []
    enough = asyncio.Event()

    def note(observation: Observation) -> None:
        seen.append(observation)
        if min(sum(o.endpoint == name for o in seen) for name in ("smb", "tcp")) >= 10:
            enough.set()

    quick = Target("smb", LOOPBACK, samba, KINDS[ProbeKind.SMB], interval_s=0.05, timeout_s=PATIENT_S, jitter=0.1)
    prober = Prober([quick, replace(quick, endpoint="tcp", kind=KINDS[ProbeKind.TCP])], note, ignore, Random(1))
    running = asyncio.create_task(prober.run())
    await asyncio.wait_for(enough.wait(), 60)
    running.cancel()
    assert {o.sight for o in seen} == {Sight.ACTIVE}


def test_every_configurable_kind_is_in_the_table() -> None:
    assert set(KINDS) == set(ProbeKind)
