"""edgectl: words in, tables or JSON out. What is true and what is allowed, the agent says.

Exit status: 0 done; 1 refused, with the reason; 2 usage; 3 the agent can't be reached; 4 not finished in time.
It is typed in a hurry, so it loads nothing that `--help` does not need: rich only for a terminal, and only then.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import click

from edge import __version__
from edge.control import tables
from edge.control.client import LOOK_S, Client, Json, MisunderstoodError
from edge.control.tables import Block
from edge.durations import parse_duration
from edge.errors import ControlError, EdgeError, RefusedError

REFUSED, USAGE, UNREACHABLE, UNFINISHED = 1, 2, 3, 4
WATCH_S = 1.0
HISTORY = 1000  # the most that the agent gives at once


class Group(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--json` may stand anywhere: nobody remembers that it belongs to the program and not to the question."""
        rest = [arg for arg in args if arg != "--json"]
        return super().parse_args(ctx, rest if rest == args else ["--json", *rest])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MisunderstoodError as error:
            _fail(USAGE, str(error))
        except RefusedError as error:
            _fail(REFUSED, str(error))
        except ControlError as error:
            _fail(UNREACHABLE, str(error))
        except EdgeError as error:
            _fail(REFUSED, str(error))
        except BrokenPipeError:  # `| head` has seen enough: click's own
            raise
        except OSError as error:
            click.echo(f"edgectl: the answer can't be written: {error.strerror}", err=True)
            os._exit(REFUSED)  # what is still in the buffer would fail once more


def _fail(code: int, sentence: str) -> NoReturn:
    click.echo(f"edgectl: {sentence}", err=True)
    sys.exit(code)


def _duration(_ctx: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    try:
        duration_s = None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if duration_s == 0:
        raise click.BadParameter(f"{text}: expected more than none")
    return duration_s


class Console:
    """Where answers go: tables on a terminal, aligned text on a pipe, JSON if asked for."""

    def __init__(self, socket: str, as_json: bool) -> None:
        self.client = Client(socket)
        self.as_json = as_json

    def show(self, answer: Json, blocks: Sequence[Block]) -> None:
        if self.as_json:
            click.echo(json.dumps(answer, ensure_ascii=False))
        elif sys.stdout.isatty():
            _tables(blocks)
        else:
            click.echo("\n\n".join(map(tables.plain, blocks)))

    def say(self, answer: Json) -> None:
        self.show(answer, [Block("", (answer["sentence"],))])

    def say_all(self, answer: Json) -> None:
        self.show(answer, [Block(each["service"], (each["sentence"],)) for each in answer["replies"]])


_STYLES = {"live": "bold", "active": "green", "yes": "green", "ok": "green", "down": "red", "NO": "red", "fail": "red",
           "standby": "yellow", "unknown": "yellow", "not read": "yellow", "warn": "yellow"}  # fmt: skip


def _tables(blocks: Sequence[Block]) -> None:
    # Here, not above: a third of the whole start-up.
    from rich.console import Console as Terminal
    from rich.table import Table
    from rich.text import Text

    terminal = Terminal(markup=False, highlight=False)
    for block in blocks:
        terminal.print(Text("\n".join([*([block.title] if block.title else []), *block.lines])))
        if block.headers:
            table = Table(*block.headers, box=None, padding=(0, 2, 0, 0))
            for row in block.rows:
                table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
            terminal.print(table)


_EPILOG = """Exit status: 0 done, 1 refused, 2 usage, 3 agent not reachable, 4 not finished in the time given.

\b
Completion, in bash (zsh and fish alike):
  eval "$(_EDGECTL_COMPLETE=bash_source edgectl)"
"""
pass_console = click.make_pass_decorator(Console)
service_argument = click.argument("service", required=False)


@click.group(cls=Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    envvar="EDGE_SOCKET",
    default="/run/edge/edge.sock",
    show_default=True,
    help="The agent's control socket.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, one object a line.")
@click.version_option(__version__, message="edgectl %(version)s")
@click.pass_context
def main(ctx: click.Context, socket: str, as_json: bool) -> None:
    """Ask and steer the Edge agent of this host.

    With one service, SERVICE may be left out. Its first label is enough.
    """
    ctx.obj = Console(socket, as_json)


# --- questions --------------------------------------------------------------------------------------------------------


@main.command()
@service_argument
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@pass_console
def status(console: Console, service: str | None, watch: bool) -> None:
    """Who is live, who could be, and what is under way. SERVICE@EPOCH shows one switch."""
    if service and "@" in service:
        return _switch(console, service, watch)
    return _watch(console, service) if watch else _status(console, service)


def _watch(console: Console, service: str | None) -> None:
    """An agent that is started anew in between is what one watches for."""
    with suppress(KeyboardInterrupt):
        while True:
            click.clear()
            try:
                _status(console, service)
            except ControlError as error:
                click.echo(f"edgectl: {error}", err=True)
            time.sleep(WATCH_S)


def _status(console: Console, service: str | None) -> None:
    answer = console.client.get("status", service=service)
    console.show(answer, tables.status(answer))


def _switch(console: Console, operation: str, watch: bool) -> None:
    if watch:
        return _follow(console, operation, float("inf"))
    service, _, epoch = operation.rpartition("@")
    lines = console.client.get("history", service=service or None, limit=str(HISTORY))["lines"]
    told = [line for line in lines if (line["operation"] or "").endswith(f"@{epoch}")]
    if not told:
        _fail(REFUSED, f"no switch {operation} is known")
    if len(services := {line["service"] for line in told}) > 1:
        raise click.UsageError(f"say which service: {', '.join(sorted(services))}")
    return _progress(console, iter(told))


@main.command()
@service_argument
@pass_console
def why(console: Console, service: str | None) -> None:
    """Why it is as it is, and what an automatic switch would need."""
    answer = console.client.get("why", service=service)
    console.show(answer, tables.why(answer))


@main.command()
@service_argument
@pass_console
def views(console: Console, service: str | None) -> None:
    """Read what each side tells, now, and compare."""
    answer = console.client.get("views", LOOK_S, service=service)
    console.show(answer, tables.views(answer))


@main.command()
@service_argument
@click.option("--limit", type=click.IntRange(1, HISTORY), default=20, show_default=True)
@pass_console
def history(console: Console, service: str | None, limit: int) -> None:
    """What was decided and done, by whom and why."""
    answer = console.client.get("history", service=service, limit=str(limit))
    console.show(answer, tables.history(answer["lines"]))


@main.command()
@pass_console
def check(console: Console) -> None:
    """Try beforehand all that a switch will need, by reading alone."""
    answer = console.client.get("check", LOOK_S)
    console.show(answer, tables.findings(answer))
    if any(finding["level"] == "fail" for finding in answer["findings"]):
        sys.exit(REFUSED)


@main.command()
@pass_console
def version(console: Console) -> None:
    """The version of this program and of the agent."""
    try:
        agent = console.client.get("version")["version"]
    except ControlError:
        agent = None
    answer = {"edgectl": __version__, "agent": agent}
    console.show(answer, [Block("", (f"edgectl {__version__}, agent {agent or 'not reachable'}",))])


# --- words ------------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("names", nargs=-1, required=True, metavar="[SERVICE] NODE")
@click.option("--reason", help="For the history: why. A dry run needs none.")
@click.option("--ticket", help="For the history: where it was agreed.")
@click.option("--pin", is_flag=True, help="It stays: no automatic switch until `release`.")
@click.option("--force", is_flag=True, help="Also to a node that is not seen to be active; is recorded.")
@click.option("--expect-epoch", type=click.IntRange(0), help="Refuse if another switch came before.")
@click.option("--dry-run", is_flag=True, help="Change nothing: show each call to AWS, and the outage to expect.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show each stage until all sides agree.")
@click.option("--timeout", callback=_duration, default="2m", show_default=True, help="How long to wait.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@pass_console
def promote(console: Console, /, names: tuple[str, ...], wait: bool, timeout: float, yes: bool, **said: Any) -> None:
    """Make NODE the live one."""
    if len(names) > 2:
        raise click.UsageError("expected [SERVICE] NODE")
    said |= {"service": names[0] if len(names) == 2 else None, "node": names[-1]}
    if said["dry_run"]:
        return _foresee(console, said)
    if said["reason"] is None:
        raise click.UsageError("Missing option '--reason'.")
    if not yes:
        said["expect_epoch"] = _confirmed(console, said)
    answer = console.client.post("promote", **said)
    console.say(answer)
    if wait:
        _follow(console, answer["operation"], timeout)
    return None


def _foresee(console: Console, said: Json) -> None:
    """Ends the program with REFUSED if the agent would refuse, or a step of the switch would stumble."""
    answer = console.client.post("promote", LOOK_S, **{**said, "reason": said["reason"] or "a dry run"})
    console.show(answer, tables.forecast(answer))
    if any(step["trouble"] for step in answer["steps"]):
        sys.exit(REFUSED)


def _confirmed(console: Console, said: Json) -> int | None:
    """The epoch that the person has seen, or asked for: what they agreed to holds for no other."""
    if not sys.stdin.isatty():
        raise click.UsageError("promote asks on a terminal; without one, say --yes")
    seen = _asked_of(console, said)
    _refuse_early(seen, said)
    click.echo(_consequences(seen, said["node"]), err=True)
    click.confirm("Go on?", abort=True, err=True)
    epoch: int | None = said["expect_epoch"]
    return seen["epoch"] if epoch is None else epoch


def _refuse_early(seen: Json, said: Json) -> None:
    """What the agent would refuse anyhow, before a person is asked for nothing."""
    nodes = [each["name"] for each in seen["nodes"]]
    if said["node"] not in nodes:
        raise RefusedError(f"{seen['service']} has no node {said['node']}: it has {', '.join(nodes)}")
    if said["expect_epoch"] not in {None, seen["epoch"]}:
        raise RefusedError(
            f"the epoch is {seen['epoch']}, not {said['expect_epoch']}: something was switched meanwhile"
        )


def _asked_of(console: Console, said: Json) -> Json:
    services: list[Json] = console.client.get("status", service=said["service"])["services"]
    if len(services) > 1:
        raise click.UsageError(f"say which service: {', '.join(each['service'] for each in services)}")
    return services[0]


def _consequences(seen: Json, node: str) -> str:
    verdicts = [f"  {each['name']}: {each['verdict_sentence']}" for each in seen["nodes"]]
    live = seen["live_node"]
    cut = f"; what clients have open on {live} is cut" if live not in (None, node) else ""
    return "\n".join([tables.headline(seen), *verdicts, f"{node} will get the name, and what AWS moves with it{cut}."])


@main.command()
@service_argument
@click.option("--reason", required=True, help="For status and history: why.")
@click.option("--for", "for_s", callback=_duration, help='For how long, such as "2h"; without it, until `release`.')
@pass_console
def hold(console: Console, service: str | None, reason: str, for_s: float | None) -> None:
    """No automatic switch for now; of every service, if none is named."""
    console.say_all(console.client.post("hold", service=service, reason=reason, for_s=for_s))


@main.command()
@service_argument
@pass_console
def release(console: Console, service: str | None) -> None:
    """Let switches be automatic again: ends a hold, a pin, a rejection, a conflict, a used-up budget."""
    console.say_all(console.client.post("release", service=service))


@main.command()
@service_argument
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show each stage until all sides agree.")
@click.option("--timeout", callback=_duration, default="2m", show_default=True, help="How long to wait.")
@pass_console
def approve(console: Console, service: str | None, wait: bool, timeout: float) -> None:
    """Do the switch that is proposed."""
    answer = console.client.post("approve", service=service)
    console.say(answer)
    if wait:
        _follow(console, answer["operation"], timeout)


@main.command()
@service_argument
@pass_console
def reject(console: Console, service: str | None) -> None:
    """Don't do the switch that is proposed, while its need lasts."""
    console.say(console.client.post("reject", service=service))


# --- the store itself -------------------------------------------------------------------------------------------------

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="EDGE_CONFIG",
    default="/etc/edge/edge.toml",
    show_default=True,
    help="The agent's file: it names the table, the region and the state directory.",
)
kind = click.Choice(["sqlite", "dynamodb"])


@main.group()
def store() -> None:
    """Make the table that several agents share, and move into it or out of it. No agent has to run."""


@store.command("init")
@config_option
@click.option("--cloudformation", is_flag=True, help="Make nothing: print the template.")
@pass_console
def store_init(console: Console, config: Path, cloudformation: bool) -> None:
    """Make the table, and wait until it can be used. One that is there already is left as it is."""
    from edge import storing

    if cloudformation:
        click.echo(storing.template(config))
    else:
        console.say({"sentence": storing.init(config)})


@store.command("move")
@config_option
@click.option("--from", "source", type=kind, required=True)
@click.option("--to", "target", type=kind, required=True)
@click.option("--table", help="Another one than the file names.")
@pass_console
def store_move(console: Console, config: Path, source: str, target: str, table: str | None) -> None:
    """Move all that the agent knows. It is written only where nothing is, and read back; the source is put aside."""
    from edge import storing
    from edge.config import StoreKind

    console.say({"sentence": storing.move(config, StoreKind(source), StoreKind(target), table)})


# --- following a switch -----------------------------------------------------------------------------------------------


def _follow(console: Console, operation: str, timeout_s: float) -> None:
    try:
        _progress(console, console.client.follow(operation, timeout_s))
    except (TimeoutError, KeyboardInterrupt):
        _fail(UNFINISHED, f"{operation} is not finished and goes on: `edgectl status {operation} --watch`")


def _progress(console: Console, lines: Iterator[Json]) -> None:
    """Ends the program with REFUSED if the switch ended otherwise than in agreement."""
    began_s, line = None, None
    for line in lines:
        began_s = line["wall_s"] if began_s is None else began_s
        click.echo(json.dumps(line, ensure_ascii=False) if console.as_json else tables.progress(line, began_s))
    if line and line["final"] and line["kind"] != "agreed":
        sys.exit(REFUSED)
