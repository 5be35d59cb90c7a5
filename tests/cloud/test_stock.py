"""Each test of a mend fails on moto as it is: else it tests nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .emulator import ROOT

MENDS = ("ec2", "ec2_switches", "route53", "dynamodb", "directconnect", "iam")

# What moto has right, and the mends must not lose; and what is the script's, which works beside any moto.
RIGHT_IN_MOTO = {
    "test_a_route_that_is_missing_can_not_be_replaced",
    "test_checks_do_not_apply_to_an_impaired_instance_that_is_stopped",
    "test_a_record_of_ttl_0_can_be_deleted",
    "test_a_batch_may_delete_and_create_the_same_set",
    "test_a_consistent_read_shows_the_last_write",
    "test_a_write_that_meets_another_version_is_refused",
}
SCRIPTED = {
    "test_a_fault_lets_some_calls_pass_first",
    "test_a_dry_run_tells_a_missing_permission",
    "test_an_error_comes_in_the_services_own_words",
    "test_a_write_may_time_out_after_its_effect",
}


@pytest.mark.skipif(os.environ.get("EDGE_STOCK_MOTO") == "1", reason="it is what runs the others on stock moto")
def test_stock_moto_fails_the_tests_of_the_mends() -> None:
    files = [f"tests/cloud/test_{name}.py" for name in MENDS]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider", *files]
    env = os.environ | {"EDGE_STOCK_MOTO": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    lines = [line.split("::")[1] for line in ran.stdout.splitlines() if line.startswith("PASSED")]
    passed = {line.split("[")[0].split(" ")[0] for line in lines}
    assert passed == RIGHT_IN_MOTO | SCRIPTED, ran.stdout
