"""What follows of a line that a driver tells, beside the history: metrics count it, the other agents hear of it, the
views are read, and CloudTrail is asked who changed AWS.
"""

from collections.abc import Callable, Mapping

from edge.agent.driver import Driver
from edge.agent.lookout import Lookout
from edge.agent.notices import Notices
from edge.agent.trails import Trails, trail
from edge.agent.watch import Watch
from edge.config import Config
from edge.control.metrics import Metrics
from edge.failover.model import Assignment, Cause
from edge.history import Line
from edge.switches.session import Session

_SETTLED = frozenset({"committed", "agreed", "conflict"})


class Aftermath:
    """`config` and `drivers`: those at present. `notices`: None where no agent shares the store."""

    def __init__(
        self,
        config: Callable[[], Config],
        drivers: Mapping[str, Driver],
        session: Session | None,
        *,
        metrics: Metrics,
        lookout: Lookout,
        watch: Watch,
        trails: Trails,
        notices: Notices | None,
    ) -> None:
        self._config = config
        self._drivers = drivers
        self._session = session
        self._metrics = metrics
        self._lookout = lookout
        self._watch = watch
        self._trails = trails
        self._notices = notices

    def of(self, line: Line, cause: Cause | None) -> None:
        """`cause`: of the switch that the line tells of."""
        if line.kind == "committed" and cause:
            self._metrics.failed_over(line.service, cause)
            if self._notices:
                self._notices.tell(line.service)
        if line.took_s:
            self._metrics.stages(line.service, line.took_s)
        if line.kind in _SETTLED:
            self._lookout.look_again()
        self._watched(line)

    def _watched(self, line: Line) -> None:
        """The views of a switch are read often; a first assignment is no switch."""
        driver = self._drivers.get(line.service)
        flight = driver.state.flight if driver else None
        match line.kind:
            case "opened" if flight and flight.intent.origin:
                self._watch.opened(line.service, Assignment(flight.intent.node, flight.intent.epoch))
            case "stage":
                self._watch.stirred(line.service)
            case "committed":
                self._watch.committed(line.service)
            case "abandoned" | "lost":
                self._watch.ended(line.service)
            case "drift":
                self._ask_who(line)

    def _ask_who(self, line: Line) -> None:
        config = self._config()
        asked = config.aws and config.aws.cloudtrail
        service = next((each for each in config.services if each.name == line.service), None)
        if asked and service and self._session:
            self._trails.ask(service.name, trail(service, self._session), line.wall_s)
