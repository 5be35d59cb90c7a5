"""The whole agent as its users meet it: real processes, real questions, the emulated AWS."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from edge.errors import Fault
from tests.agent.site import ADDRESS, NAME, PATIENCE_S, ROUTE53, SECONDARY, Site
from tests.cloud.emulator import Emulator
from tests.cloud.script import FaultKind
from tests.ports import free_port


def metrics(site: Site) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{site.http_port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def sample(site: Site, name: str, **labels: str) -> float:
    """The value of one series of one service, or of the agent."""
    found = (s for family in text_string_to_metric_families(metrics(site)) for s in family.samples if s.name == name)
    return next(s.value for s in found if labels.items() <= s.labels.items())


def readiness(site: Site) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{site.http_port}/readyz", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def slug(site: Site) -> str:
    return str(site.status().get("reason", {}).get("slug"))


def test_a_death_moves_both_sides_and_every_view_agrees(running: Site) -> None:
    running.crash("a")
    running.until("the agent is content with b", lambda: running.settled_on("b"))
    assert running.answer() == running.in_vpc() == (ADDRESS["b"],)
    assert running.answer("TXT", f"_edge.{NAME}") == ('"epoch=2 node=b"',)
    assert running.holders() == {"b"}
    said = running.edgectl("views").stdout
    assert all(side in said for side in ("agent", "route53", "secondary_ip"))
    running.until("views agree", lambda: sample(running, "edge_view_agrees", view="route53") == 1)
    assert sample(running, "edge_active_node", node="b") == 1
    assert sample(running, "edge_failovers_total", cause="failure") == 1


def test_the_old_node_comes_back_and_nothing_moves(running: Site) -> None:
    running.crash("a")
    running.until("the agent is content with b", lambda: running.settled_on("b"))
    running.serve("a")
    running.until("both are up", lambda: running.ready_on("b"))
    time.sleep(1.2)  # past the hold-down
    assert running.answer() == (ADDRESS["b"],)


def test_both_nodes_silent_or_dead_is_a_hold_and_the_answer_stays(running: Site) -> None:
    running.crash("b")
    running.until("b is down", lambda: running.status()["nodes"][1]["verdict"] == "down")
    running.crash("a")
    running.until("the agent holds", lambda: slug(running) == "no_target")
    assert running.answer() == (ADDRESS["a"],)
    assert sample(running, "edge_hold", reason="no_target") == 1


def test_promote_refuses_a_dead_node_and_force_is_recorded(running: Site) -> None:
    running.crash("b")
    running.until("b is down", lambda: running.status()["nodes"][1]["verdict"] == "down")
    refused = running.edgectl("promote", "b", "--reason", "maintenance of a", "--yes")
    assert refused.returncode == 1
    assert "b is down" in refused.stdout + refused.stderr
    forced = running.edgectl("promote", "b", "--reason", "maintenance of a", "--yes", "--force", "--no-wait")
    assert forced.returncode == 0, forced.stderr
    running.until("b is answered", lambda: running.answer() == (ADDRESS["b"],))
    assert "maintenance of a (forced)" in running.edgectl("history").stdout


def test_promote_shows_the_stages_and_ends_agreed(running: Site) -> None:
    done = running.edgectl("promote", NAME, "b", "--reason", "maintenance", "--ticket", "CHG-7", "--yes")
    assert done.returncode == 0, done.stderr
    assert "ms" in done.stdout
    assert "every side agrees on b" in done.stdout
    assert "CHG-7" in running.edgectl("history").stdout
    assert running.answer() == running.in_vpc() == (ADDRESS["b"],)


def test_an_operation_is_known_by_its_id_while_and_after_it_runs_and_an_unknown_one_is_refused(running: Site) -> None:
    assert running.edgectl("promote", "b", "--reason", "maintenance", "--yes").returncode == 0
    assert "every side agrees on b" in running.edgectl("status", f"{NAME}@2").stdout
    running.kill()
    running.start()
    running.until("the agent is back", lambda: running.ready_on("b"))
    assert "every side agrees on b" in running.edgectl("status", f"{NAME}@2").stdout
    assert running.edgectl("status", f"{NAME}@99").returncode == 1


def test_hold_stops_the_switch_until_it_is_released_and_survives_a_restart(running: Site) -> None:
    assert running.edgectl("hold", "--reason", "firmware of the router").returncode == 0
    running.kill()
    running.start()
    running.until("the agent is back", lambda: running.ready_on("a"))
    running.crash("a")
    running.until("the agent holds", lambda: slug(running) == "held")
    assert running.answer() == (ADDRESS["a"],)
    assert running.edgectl("release").returncode == 0
    running.until("b is answered", lambda: running.answer() == (ADDRESS["b"],))


def test_aws_in_a_black_hole_moves_the_answer_and_owes_aws(running: Site, cloud: Emulator) -> None:
    running.terminate()
    running.configure(ROUTE53, read_timeout="1s")
    running.start()
    running.until("the agent is content with a", lambda: running.ready_on("a"))
    cloud.fault("route53:*", FaultKind.BLACK_HOLE)
    running.crash("a")
    running.until("b is answered on-premises", lambda: running.answer() == (ADDRESS["b"],))
    running.until("the debt is shown", lambda: (running.status()["operation"] or {}).get("debts") == ["publish"])
    assert running.in_vpc() == (ADDRESS["a"],)
    cloud.clear_faults()
    running.until("the private zone agrees", lambda: running.in_vpc() == (ADDRESS["b"],))
    running.until("the agent is content with b", lambda: running.settled_on("b"))


def test_denied_by_aws_is_told_as_such_by_check_before_it_is_needed(running: Site, cloud: Emulator) -> None:
    cloud.fault("route53:*", FaultKind.DENY)
    checked = running.edgectl("check")
    assert Fault.DENIED.value in checked.stdout
    assert "iam-policy.json" in checked.stdout


def test_restart_with_aws_unreachable_answers_from_disk(running: Site) -> None:
    running.terminate()
    running.aws_env = {**running.aws_env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    began = time.monotonic()
    running.start()
    running.until("a is answered", lambda: running.answer() == (ADDRESS["a"],))
    print(f"first answer after {(time.monotonic() - began) * 1000:.0f} ms, AWS unreachable")
    assert running.agent is not None
    assert running.agent.poll() is None


def test_an_agent_that_never_knew_an_assignment_is_silent_and_not_ready(site: Site, cloud: Emulator) -> None:
    cloud.fault("*", FaultKind.DENY)
    site.start()
    site.until("the zone is answered", lambda: site.answer("SOA", "fs.corp.example") != ("silence",))
    site.until("the agent is there", lambda: bool(site.status()))
    assert site.answer() == ("silence",)
    assert readiness(site) == 503
    cloud.clear_faults()
    site.until("a is answered", lambda: site.answer() == (ADDRESS["a"],))
    site.until("it is ready", lambda: readiness(site) == 200)


def test_aws_that_points_to_two_nodes_is_for_a_person_to_settle(site: Site) -> None:
    """The address is on a, the record says b: nothing is guessed."""
    site.aws.client("route53").change_resource_record_sets(
        HostedZoneId=site.seeded.zone_id, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record()}]}
    )
    site.start()
    site.until("the agent has read AWS", lambda: "disagrees with itself" in site.edgectl("history").stdout)
    assert site.answer() == ("silence",)
    assert site.edgectl("promote", "a", "--reason", "the mirror says a", "--yes").returncode == 0
    site.until("the agent is content with a", lambda: site.settled_on("a"))
    assert site.in_vpc() == (ADDRESS["a"],)


def record() -> dict[str, object]:
    return {"Name": NAME, "Type": "A", "TTL": 0, "ResourceRecords": [{"Value": ADDRESS["b"]}]}


def test_a_bad_reload_keeps_the_old_configuration_and_a_good_one_is_taken(running: Site) -> None:
    assert running.agent is not None
    good = running.file.read_text()
    running.file.write_text(good.replace('interval = "100ms"', 'intervall = "100ms"'))
    running.agent.send_signal(signal.SIGHUP)
    running.until("the bad file is refused", lambda: sample(running, "edge_config_reload_success") == 0)
    assert "intervall" in (running.home / "edged.log").read_text()
    running.file.write_text(good.replace('mode = "auto"', 'mode = "manual"'))
    running.agent.send_signal(signal.SIGHUP)
    running.until("the good file is taken", lambda: running.status()["mode"] == "manual")
    assert sample(running, "edge_config_reload_success") == 1
    running.crash("a")
    running.until("the agent leaves it to a person", lambda: slug(running) == "manual")
    assert running.answer() == (ADDRESS["a"],)


SECOND = """
[[service]]
name = "two.fs.corp.example"
  [service.probe]
  kind = "tcp"
  port = {port}
  [[service.node]]
  name = "{first}"
  address = "127.0.1.10"
  [[service.node]]
  name = "{second}"
  address = "127.0.1.11"
"""


def test_a_service_that_comes_back_under_other_node_names_is_refused_and_harms_no_other(running: Site) -> None:
    """The store has it on a node that the new file lacks: no node may be guessed, and the old configuration stays."""
    assert running.agent is not None
    one = running.file.read_text()
    running.file.write_text(one + SECOND.format(port=running.smb_port, first="a", second="b"))
    running.agent.send_signal(signal.SIGHUP)
    two = "two.fs.corp.example"
    running.until("the second is answered", lambda: bool({*running.answer(name=two)} & {*ADDRESS.values()}))
    running.file.write_text(one)
    running.agent.send_signal(signal.SIGHUP)
    running.until("the second is gone", lambda: running.answer(name=two) == ())
    running.file.write_text(one + SECOND.format(port=running.smb_port, first="c", second="d"))
    running.agent.send_signal(signal.SIGHUP)
    running.until("the file is refused", lambda: sample(running, "edge_config_reload_success") == 0)
    log = (running.home / "edged.log").read_text()
    assert f"the store has {two} on node" in log
    assert "which the file lacks" in log
    running.crash("a")
    running.until("the agent is content with b", lambda: running.settled_on("b"))


def test_a_side_with_a_newer_epoch_fails_the_check(running: Site) -> None:
    newer = {"Name": f"_edge.{NAME}", "Type": "TXT", "TTL": 0, "ResourceRecords": [{"Value": '"epoch=50 node=a"'}]}
    running.aws.client("route53").change_resource_record_sets(
        HostedZoneId=running.seeded.zone_id, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": newer}]}
    )
    checked = running.edgectl("check")
    assert checked.returncode == 1
    assert "newer than ours (1)" in checked.stdout


def test_a_reload_can_not_take_the_live_node_away(running: Site) -> None:
    assert running.agent is not None
    running.file.write_text(running.file.read_text().replace('name = "a"', 'name = "c"'))
    running.agent.send_signal(signal.SIGHUP)
    running.until("the file is refused", lambda: sample(running, "edge_config_reload_success") == 0)
    assert "a is live and can't be taken out" in (running.home / "edged.log").read_text()


def test_confirm_asks_a_person(running: Site) -> None:
    running.terminate()
    running.configure(mode="confirm")
    running.start()
    running.until("the agent is content with a", lambda: running.ready_on("a"))
    running.crash("a")
    running.until("the switch is proposed", lambda: slug(running) == "proposed")
    assert running.answer() == (ADDRESS["a"],)
    assert running.edgectl("approve").returncode == 0
    running.until("b is answered", lambda: running.answer() == (ADDRESS["b"],))


def test_sigterm_ends_within_its_time_and_nothing_is_left(running: Site) -> None:
    assert running.agent is not None
    group = subprocess.run(["pgrep", "-P", str(running.agent.pid)], capture_output=True, text=True, check=False).stdout
    workers = group.split()
    assert workers
    assert running.terminate() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_sigterm_at_any_moment_of_the_start_leaves_nothing_behind(site: Site) -> None:
    """Also in the first tenths of a second, when the workers run and the event loop does not."""
    for delay_s in (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2):
        site.start()
        time.sleep(delay_s)
        site.terminate()
        site.until("nobody answers", lambda: site.answer("SOA", "fs.corp.example") == ("silence",))


def test_a_second_agent_on_the_same_state_is_refused(running: Site) -> None:
    command = [sys.executable, "-m", "edge.agent.daemon", "--config", str(running.file)]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert second.returncode == 1
    assert "another agent" in second.stderr
    assert running.answer() == (ADDRESS["a"],)


def test_check_prints_the_time_to_fail_over(site: Site) -> None:
    command = [sys.executable, "-m", "edge.agent.daemon", "--config", str(site.file), "--check"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
    assert "interval 100ms x (fall 3 + 1" in said
    site.file.write_text(site.file.read_text().replace(SECONDARY, ADDRESS["a"]))
    wrong = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert wrong.returncode == 1
    assert "switch.secondary_ip.address" in wrong.stderr
    site.start()
    assert site.agent is not None
    assert site.agent.wait(PATIENCE_S) == 1
    site.agent = None


def test_the_agents_first_answer_needs_no_boto3() -> None:
    """What is imported before the workers run decides how soon the first answer comes."""
    said = subprocess.run(
        [sys.executable, "-c", "import sys, edge.agent.daemon; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"boto3", "botocore", "aiohttp", "prometheus_client", "tenacity"} & set(said)
