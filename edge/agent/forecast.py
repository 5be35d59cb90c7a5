"""What a promotion would do, and how long clients would notice it: told beforehand, from reading alone."""

from collections.abc import Callable, Iterator, Sequence

from edge.config import Config, FenceKind, Service, Term, switch_budget
from edge.control.contract import Cost, Forecast, ForeseenCall, ForeseenStep
from edge.errors import CloudError
from edge.failover.model import Cause, Intent
from edge.history import Line
from edge.switches.contract import Call, Plan, Step

# In which stage what of the budget is spent, where it has another name.
_STAGES = {"demote": "fence", "address-down": "fence"}
_STAGES |= dict.fromkeys(("rejoin", "move", "route", "public", "address-up", "promote"), "move")
_STAYED = tuple(f"({cause.value}" for cause in (Cause.BOOTSTRAP, Cause.REPAIR))  # as an epoch's first line says


def forecast(config: Config, service: Service, intent: Intent, lines: Sequence[Line]) -> Forecast:
    """All but the steps, which AWS has to be read for."""
    sentence = f"would promote {intent.node} at epoch {intent.epoch}; nothing is changed by asking"
    outage = tuple(_costs(switch_budget(service, config), lines))
    return Forecast(service.name, sentence, intent.node, intent.epoch, (), outage, tuple(_notes(service, intent)))


def foreseen(step: Step, found: Plan | CloudError, api: Callable[[Call], str]) -> ForeseenStep:
    if isinstance(found, CloudError):
        return ForeseenStep(step.stage.value, step.name, str(found), trouble=True)
    calls = tuple(ForeseenCall(call.service, api(call), call.parameters) for call in found.calls)
    return ForeseenStep(step.stage.value, step.name, found.evidence, calls)


def _costs(budget: Sequence[Term], lines: Sequence[Line]) -> Iterator[Cost]:
    """Each term at worst, and as long as its stage took in the last switch that moved the service to its end."""
    moved = {line.epoch for line in lines if line.kind == "opened" and not _stayed(line)}
    ended = (line for line in reversed(lines) if line.kind == "agreed" and line.epoch in moved)
    took = dict(next((line.took_s for line in ended if line.took_s), {}))
    for term in budget:
        stage = _STAGES.get(term.name, term.name)
        yield Cost(term.name, term.seconds, took.pop(stage, None), term.arithmetic)


def _stayed(opened: Line) -> bool:
    """Whether an epoch was opened for the node that was live, or for the first one."""
    return opened.sentence.partition(")")[0].endswith(_STAYED)


def _notes(service: Service, intent: Intent) -> Iterator[str]:
    fenced, left = service.fence.kind is not FenceKind.NONE, " and ".join(intent.outgoing)
    if left and fenced:
        yield f"it begins for clients when {left} is fenced: what they have open there is cut"
    elif left and service.switch.moves:
        yield f"it begins for clients when the address leaves {left}: what they have open through it is cut"
    elif left:
        yield f"{left} goes on serving those who are connected to it; who asks anew is sent to {intent.node}"
    yield "a Windows client gives a dead session up after as much as 60 s, and asks for the name again only then"
