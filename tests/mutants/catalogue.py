"""The deliberate faults: what is broken, how, and by which of CI's own tests it is found.

Each is a piece of text that stands exactly once in its file. Code that is written anew takes its faults along: until
they are, they can't be applied, and the run says so.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """`before` becomes `after`. `caught_by`: a test as pytest takes it, below tests/."""

    fault: str
    file: str
    before: str
    after: str
    caught_by: str


UNANIMITY, AGREEING = "edge/failover/unanimity.py", "edge/agent/unanimity.py"
LEASE, SHARING, RELIEF = "edge/failover/lease.py", "edge/agent/sharing.py", "edge/failover/relief.py"
MACHINE, TABLE, MODEL = (f"edge/failover/{name}.py" for name in ("machine", "table", "model"))
FLIGHTS, JOURNAL, STAGES = (f"edge/failover/{name}.py" for name in ("flights", "journal", "stages"))
VERDICT, HEALTH, VETOES, DRIFT = (f"edge/failover/{name}.py" for name in ("verdict", "health", "vetoes", "drift"))
RUNNER, ROUTE53 = "edge/switches/runner.py", "edge/switches/route53.py"
RECORDS, SQLITE, DYNAMODB = "edge/stores/records.py", "edge/stores/sqlite.py", "edge/stores/dynamodb.py"

MUTANTS: tuple[Mutant, ...] = (
    # --- the lease --------------------------------------------------------------------------------------------------
    Mutant(
        "a call may outlast the lease: no margin",
        LEASE,
        "return lease.held and now < lease.until - needed_s",
        "return lease.held and now < lease.until",
        "failover/test_lease.py::test_it_must_outlive_the_call",
    ),
    Mutant(
        "the holder counts from after the write",
        SHARING,
        "lease.wrote(keeper, asked, sent_at, now)",
        "lease.wrote(keeper, asked, now, now)",
        "agent/test_giving_up.py::test_a_lease_counts_from_before_it_was_asked_for",
    ),
    Mutant(
        "the holder counts on all of the duration, whatever the clocks do",
        LEASE,
        "return self.duration_s * (1 - DRIFT)",
        "return self.duration_s",
        "failover/test_lease.py::test_the_holder_counts_from_before_it_sent_and_ends_before_a_challenger_may_claim",
    ),
    Mutant(
        "a challenger waits for half of the duration",
        LEASE,
        "return max(seen.since + record.duration_s, keeper.promised)",
        "return max(seen.since + record.duration_s / 2, keeper.promised)",
        "failover/test_lease.py::test_a_challenger_waits_a_whole_duration_from_its_own_first_sight_of_a_version",
    ),
    Mutant(
        "a renewed lease is claimed as if it had stood still",
        LEASE,
        "stood = known is not None and known.version == version",
        "stood = known is not None",
        "failover/test_lease.py::test_a_version_that_changed_starts_the_wait_anew",
    ),
    Mutant(
        "a claim is written over whatever version is there",
        "edge/stores/leases.py",
        "asdict(write.record), write.version)",
        "asdict(write.record), self.read()[1])",
        "simulation/test_scenarios.py::test_leader_and_live_node_die_at_one_moment",
    ),
    Mutant(
        "who comes back answers what it served last, whatever the store has",
        "edge/agent/wake.py",
        "outset.newest(config, served.live(), outset.committed(config, clock))",
        "served.live()",
        "agent/test_outset.py::test_who_missed_a_switch_tells_nothing_of_before",
    ),
    Mutant(
        "a lease that was given back is not noticed",
        LEASE,
        "if record is None or record.released or record.by == keeper.by:",
        "if record is None or record.by == keeper.by:",
        "simulation/test_scenarios.py::test_the_leader_stops_and_another_leads_at_once",
    ),
    Mutant(
        "unknown is lost: a renewal that was not answered ends the lease",
        LEASE,
        "doubt=keeper.doubt or following,",
        "doubt=True,\n        standing=Standing.FOLLOWING,",
        "failover/test_lease.py::test_a_renewal_of_unknown_fate_ends_nothing_and_is_sent_again",
    ),
    Mutant(
        "a renewal that arrived unheard counts from the last that was sent",
        LEASE,
        "not following and keeper.unsure_since is None",
        "not following",
        "failover/test_lease.py::test_a_renewal_that_arrived_unheard_counts_from_the_first_that_was_sent",
    ),
    Mutant(
        "the lease does not end by the holder's own clock",
        LEASE,
        "if keeper.deadline <= now else keeper",
        "if keeper.deadline <= now - keeper.timing.duration_s else keeper",
        "simulation/test_scenarios.py::test_the_store_is_gone_and_nothing_moves",
    ),
    Mutant(
        "who gives the lease up acts on",
        LEASE,
        "if self.standing is Standing.LEADING:",
        "if self.standing is not Standing.FOLLOWING:",
        "failover/test_lease.py::test_who_yields_acts_no_more_and_gives_it_back",
    ),
    Mutant(
        "the lease is given back while a call is on its way",
        SHARING,
        "asked.record.released and self._busy()",
        "not asked.record",
        "agent/test_giving_up.py::test_it_is_given_back_when_the_last_call_has_ended_and_not_before",
    ),
    Mutant(
        "a leader whose own path is down leads on",
        "edge/agent/vantages.py",
        "self._faced(not self._relieved())",
        "self._faced(True)",
        "simulation/test_scenarios.py::test_only_the_leaders_path_is_down",
    ),
    Mutant(
        "a leader that sees no target leads on, whoever sees one",
        RELIEF,
        'OWN_VIEW = frozenset({"path_down", "path_lossy", "unknown", "no_target"})',
        'OWN_VIEW = frozenset({"path_down", "path_lossy", "unknown"})',
        "simulation/test_scenarios.py::test_the_leader_alone_can_not_reach_the_target_and_hands_the_lease_on",
    ),
    Mutant(
        "the lease is handed on at the first sign that another agent sees better",
        RELIEF,
        "since + duration_s < peer.moved_at > now - duration_s",
        "since < peer.moved_at > now - duration_s",
        "failover/test_relief.py::test_it_is_handed_on_after_a_whole_duration_to_who_said_since_that_it_could",
    ),
    Mutant(
        "a target is moved to as soon as one of two sees it serve",
        VETOES,
        "if found is None and now >= since + state.policy.report_s:",
        "if found is None:",
        "failover/test_vantages.py::test_one_of_two_sees_the_target_serve_and_it_is_moved_to_once_that_has_lasted",
    ),
    Mutant(
        "an agent whose word has not moved for long is believed to lead better",
        LEASE,
        "return any(at > since and now - at < fresh_s for at in heard_at)",
        "return any(at > since for at in heard_at)",
        "failover/test_lease.py::test_another_agent_counts_once_its_word_was_seen_to_change_and_for_a_while",
    ),
    Mutant(
        "who takes the lease acts before it has read what was left",
        SHARING,
        """\
            return
        for service, driver in self._drivers.items():
            if not held.held or service in self._admitted:
""",
        """\
        for service, driver in self._drivers.items():
            if driver:
""",
        "agent/test_giving_up.py::test_who_leads_is_not_told_so_before_it_knows_what_the_store_has",
    ),
    # --- what a node and the path are --------------------------------------------------------------------------------
    Mutant(
        "unknown counts as down",
        VERDICT,
        'return Opinion(Sight.UNKNOWN, f"{node} fails, and {_doubt',
        'return Opinion(Sight.DOWN, f"{node} fails, and {_doubt',
        "failover/test_verdict.py::test_a_silent_node_without_any_other_endpoint_that_answers_is_unknown",
    ),
    Mutant(
        "unknown moves the service",
        VETOES,
        "if opinion.sight in (Sight.ACTIVE, Sight.UNKNOWN):",
        "if opinion.sight is Sight.ACTIVE:",
        "failover/test_drift.py::test_a_dead_path_holds",
    ),
    Mutant(
        "the witness, an endpoint that is no node, is ignored",
        VERDICT,
        "return (*policy.nodes, *policy.witnesses)",
        "return policy.nodes",
        "failover/test_verdict.py::test_both_nodes_silent_while_a_witness_answers_are_down",
    ),
    Mutant(
        "an answer from before the failure vouches for the path",
        HEALTH,
        "failing = track.seen is Sight.DOWN and track.since <= asked_at",
        "failing = track.seen is Sight.DOWN",
        "failover/test_health.py::test_another_endpoint_vouches_only_with_a_probe_that_began_after_the_first_failure",
    ),
    Mutant(
        "loss that explains a run of failures is not reckoned with",
        VERDICT,
        "if luck.explains(track, vouching.values(), heard.values()) or",
        "if",
        "failover/test_verdict.py::test_the_more_the_path_loses_the_longer_silence_must_last",
    ),
    Mutant(
        "a closer look at the path is not weighed",
        VERDICT,
        " or _alike(state, looked, heard):",
        ":",
        "failover/test_closer.py::test_loss_that_strikes_everybody_is_seen_though_the_others_answered_each_time",
    ),
    Mutant(
        "one failure too few is enough",
        HEALTH,
        "return Sight.DOWN if run >= limits.fall or overflown else health",
        "return Sight.DOWN if run >= limits.fall - 1 or overflown else health",
        "failover/test_health.py::test_rise_and_fall",
    ),
    Mutant(
        "what was not heard of for long is still believed",
        HEALTH,
        "return track.heard_at is not None and now < track.heard_at + stale_s",
        "return track.heard_at is not None",
        "failover/test_verdict.py::test_what_was_not_heard_of_is_unknown",
    ),
    Mutant(
        "quorum off by one",
        VERDICT,
        "if len(agreeing) >= state.policy.quorum and 2 * len(agreeing)",
        "if len(agreeing) >= state.policy.quorum - 1 and 2 * len(agreeing)",
        "failover/test_vantages.py::test_two_of_two_hold_while_one_is_not_heard_of_and_say_so_before_anything_fails",
    ),
    Mutant(
        "one vantage moves what another one sees serve",
        VERDICT,
        " and 2 * len(agreeing) > _telling(said):",
        ":",
        "failover/test_vantages.py::test_one_of_two_sees_it_alive_and_it_holds",
    ),
    Mutant(
        "a vantage that nobody listed has a say",
        MACHINE,
        "for name, said in state.reports.items() if name in state.policy.peers})",
        "for name, said in state.reports.items()})",
        "failover/test_vantages.py::test_who_is_not_listed_has_no_say_and_is_forgotten",
    ),
    Mutant(
        "who was refused its claim of an epoch ends the other agent's",
        FLIGHTS,
        "return state, Trigger.REFUSED, (ev.StopStage(ours), told)",
        "return state, Trigger.REFUSED, (ev.StopStage(ours), ev.Close(ours, finished=False), told)",
        "simulation/test_clocks.py::test_who_wakes_to_claim_an_epoch_that_is_another_agents_by_now_does_not_end_it",
    ),
    Mutant(
        "an epoch that the store has ended is tried for ever",
        RUNNER,
        "except EpochOverError as error:",
        "except ZeroDivisionError as error:",
        "simulation/test_scenarios.py::test_a_switch_that_somebody_took_out_of_the_store_ends_and_people_are_asked",
    ),
    Mutant(
        "failures before a standstill and after it are in a row",
        VERDICT,
        "old = health.forgotten(old)",
        "pass",
        "failover/test_verdict.py::test_what_failed_before_this_agent_stood_still_is_in_a_row_with_nothing_after",
    ),
    Mutant(
        "what a standstill kept back is news",
        "edge/probes/loop.py",
        "if late_s > timeout_s / 2:",
        "if late_s > timeout_s * 1e9:",
        "probes/test_loop.py::test_what_is_told_much_too_late_says_nothing",
    ),
    Mutant(
        "loss that has just begun hides behind a clean past",
        "edge/failover/luck.py",
        " or sudden(node.run, heard) > WORSE",
        "",
        "failover/test_luck.py::test_a_loss_during_the_run_makes_it_doubtful_whoever_had_it",
    ),
    Mutant(
        "an agent whose role is witness leads",
        LEASE,
        "may = keeper.candidate and keeper.fit",
        "may = keeper.fit",
        "failover/test_lease.py::test_who_is_no_candidate_looks_and_never_claims",
    ),
    Mutant(
        "the lease is given up to a witness",
        LEASE,
        "if peer.word.path_up and peer.word.candidate]",
        "if peer.word.path_up]",
        "failover/test_lease.py::test_a_witness_whose_path_is_up_relieves_nobody",
    ),
    Mutant(
        "a vantage that is stale is counted",
        VERDICT,
        "if now >= report.at + state.policy.report_s:",
        "if now < report.at:",
        "failover/test_vantages.py::test_why_a_vantage_abstains",
    ),
    Mutant(
        "a vantage whose path is dead is counted",
        VERDICT,
        'return None if report.path_up else "its own path is down"',
        "return None",
        "failover/test_vantages.py::test_why_a_vantage_abstains",
    ),
    Mutant(
        "over a path that loses too much, a vantage calls nodes dead",
        VERDICT,
        "{**said, **doubted}",
        "said",
        "failover/test_vantages.py::test_over_a_path_that_loses_too_much_we_call_nobody_dead",
    ),
    # --- what stands against a switch --------------------------------------------------------------------------------
    Mutant(
        "a path that loses packets is no veto",
        VETOES,
        "    verdict.path,\n    _split_brain,",
        "    _split_brain,",
        "failover/test_catalogue.py::test_06_direct_connect_loses_packets_and_a_person_may_still_promote",
    ),
    Mutant(
        "a standby is a target",
        VETOES,
        "if verdict.of(state, n, now).sight is Sight.ACTIVE)",
        "if verdict.of(state, n, now).sight in (Sight.ACTIVE, Sight.STANDBY))",
        "failover/test_catalogue.py::test_03_a_standby_is_no_target",
    ),
    Mutant(
        "a node that has just failed a probe as well is a target",
        VETOES,
        "failed = track.seen in (Sight.DOWN, Sight.STANDBY)",
        "failed = track.seen is Sight.UNKNOWN",
        "failover/test_catalogue.py::test_12_what_ends_both_nodes_at_one_moment_moves_nothing",
    ),
    Mutant(
        "two nodes that claim the data are no veto",
        VETOES,
        "if state.policy.authority is Authority.AGENT or len(actives(state, now)) < 2:",
        "if state.policy.authority is Authority.AGENT or len(actives(state, now)) < 3:",
        "failover/test_vetoes.py::test_split_brain",
    ),
    Mutant(
        "hold-down ignored",
        VETOES,
        "if left_s <= 0:",
        "if left_s <= state.policy.hold_down_s:",
        "failover/test_vetoes.py::test_hold_down",
    ),
    Mutant(
        "flap budget off by one",
        VETOES,
        "if len(recent) < state.policy.switches_per_hour:",
        "if len(recent) <= state.policy.switches_per_hour:",
        "failover/test_vetoes.py::test_flap_budget",
    ),
    Mutant(
        "a store that can't be written is no veto",
        VETOES,
        'f"a switch could not be recorded: {state.store_trouble}") if state.store_trouble else None',
        'f"a switch could not be recorded: {state.store_trouble}") if state is None else None',
        "failover/test_vetoes.py::test_store",
    ),
    Mutant(
        "one reading of AWS is enough to repair it",
        DRIFT,
        "READINGS = 2",
        "READINGS = 1",
        "failover/test_drift.py::test_one_reading_proves_nothing",
    ),
    # --- the machine -------------------------------------------------------------------------------------------------
    Mutant(
        "the next epoch is counted from the assignment, not from the highest that was seen",
        FLIGHTS,
        "epoch = state.floor + 1",
        "epoch = (state.assignment.epoch if state.assignment else 0) + 1",
        "failover/test_machine.py::test_who_takes_the_lease_opens_above_what_the_last_leader_left",
    ),
    Mutant(
        "effect before intent: fenced before the epoch is claimed",
        MACHINE,
        "return state, (ev.WriteIntent(running.intent),)",
        "return state, (ev.RunStage(running.intent, stages.Stage.FENCE), ev.WriteIntent(running.intent))",
        "failover/test_machine.py::test_the_steps_of_a_switch_in_order",
    ),
    Mutant(
        "served before the commit",
        MACHINE,
        "return state, (ev.Commit(running.intent),)",
        "return state, (ev.Serve(Assignment(running.intent.node, running.intent.epoch)), ev.Commit(running.intent))",
        "failover/test_machine.py::test_the_steps_of_a_switch_in_order",
    ),
    Mutant(
        "moved before it is fenced",
        MODEL,
        "Phase.FENCING: Stage.FENCE, Phase.MOVING: Stage.MOVE,",
        "Phase.FENCING: Stage.MOVE, Phase.MOVING: Stage.FENCE,",
        "failover/test_machine.py::test_the_steps_of_a_switch_in_order",
    ),
    Mutant(
        "published before it is moved",
        MODEL,
        "Phase.MOVING: Stage.MOVE, Phase.PUBLISHING: Stage.PUBLISH}",
        "Phase.MOVING: Stage.PUBLISH, Phase.PUBLISHING: Stage.MOVE}",
        "failover/test_machine.py::test_the_steps_of_a_switch_in_order",
    ),
    Mutant(
        "a fence that fails is passed over where it is required",
        STAGES,
        "if stage is Stage.FENCE and not policy.fence_required:",
        "if stage is Stage.FENCE:",
        "failover/test_machine.py::test_a_required_fence_that_fails_keeps_everything_where_it_is",
    ),
    Mutant(
        "the answer moves without AWS where it is to hold",
        STAGES,
        " and policy.on_outage is OnOutage.ANSWER:",
        ":",
        "failover/test_machine.py::test_on_outage_hold_nothing_moves_until_aws_takes_it",
    ),
    Mutant(
        "a stage that may not act counts as an outage of AWS",
        STAGES,
        "if event.fault is Fault.BARRED:",
        "if event.fault is None:",
        "failover/test_machine.py::test_a_stage_that_may_not_act_is_no_outage_and_moves_nothing",
    ),
    Mutant(
        "a switch goes on without the lease",
        JOURNAL,
        "if flight is None or asked:",
        "if flight is None or asked or flight:",
        "failover/test_machine.py::test_without_the_lease_a_switch_is_left_to_the_new_leader",
    ),
    Mutant(
        "a late outcome of an older epoch counts",
        STAGES,
        "return event.epoch == flight.intent.epoch and event.stage is present(state)",
        "return event.stage is present(state)",
        "failover/test_machine.py::test_an_outcome_of_an_older_epoch_says_nothing",
    ),
    Mutant(
        "epoch not compared: an older assignment is taken over from the store",
        JOURNAL,
        "newer = found if found and (before is None or found.at > before.at) else None",
        "newer = found",
        "simulation/test_scenarios.py::test_a_store_that_is_restored_from_an_older_backup_takes_no_answer_back",
    ),
    Mutant(
        "a switch that had begun is taken for one that had not",
        JOURNAL,
        "if opened and event.begun:",
        "if opened and event.begun is None:",
        "failover/test_machine.py::test_a_switch_that_had_begun_is_finished_after_a_restart",
    ),
    Mutant(
        "debts are forgotten at once",
        STAGES,
        "debts=(*flight.debts, stage)",
        "debts=flight.debts",
        "failover/test_machine.py::test_debts_are_paid_in_order",
    ),
    Mutant(
        "debts are forgotten after a restart",
        JOURNAL,
        "Flight(unsettled, now, debts=_ACTING)",
        "Flight(unsettled, now)",
        "simulation/test_scenarios.py::test_a_debt_outlives_the_leader",
    ),
    Mutant(
        "what an operator said is forgotten after a restart",
        RECORDS,
        'if override and override["said"] else None',
        'if override and override["said"] is override else None',
        "stores/test_records.py::test_a_word_that_has_no_end_stays",
    ),
    Mutant(
        "who takes the lease does not heed what an operator said to the last leader",
        JOURNAL,
        "override=event.override,",
        "override=state.override,",
        "simulation/test_moments.py::test_a_hold_outlives_the_leader_that_took_it",
    ),
    Mutant(
        "who speaks to an agent whose lease ends meanwhile is told that all is well",
        "edge/agent/driver.py",
        "elif reply.accepted and (unled := self._unled()):",
        "elif not reply.accepted and (unled := self._unled()):",
        "simulation/test_moments.py::test_who_speaks_to_a_leader_whose_lease_ends_before_it_is_recorded_is_told_so",
    ),
    Mutant(
        "in mode confirm a switch opens unasked",
        MACHINE,
        "    if state.policy.mode is Mode.CONFIRM:\n        return state, Trigger.PROPOSED, ()",
        "    if state.policy.mode is Mode.MANUAL:\n        return state, Trigger.PROPOSED, ()",
        "simulation/test_moments.py::test_a_proposal_is_approved",
    ),
    # --- acting in AWS -----------------------------------------------------------------------------------------------
    Mutant(
        "an instance that is about to stop counts as stopped",
        "edge/switches/stop.py",
        "pending=not instances.DOWN.issuperset(states.values())",
        "pending=False",
        "simulation/test_fences.py::test_the_fence_holds_before_the_address_moves",
    ),
    Mutant(
        "a node is taken for isolated once its groups are noted",
        "edge/switches/isolate.py",
        "return [_tag(interface), _swap(interface, self._settings.quarantine)]",
        "return [] if _tagged(interface) else [_tag(interface)]",
        "simulation/test_fences.py::test_the_fence_holds_before_the_address_moves",
    ),
    Mutant(
        "a guest's command that was sent is taken for carried out",
        "edge/switches/guest.py",
        "return Plan(said, pending=True)",
        "return Plan(said)",
        "simulation/test_fences.py::test_the_fence_holds_before_the_address_moves",
    ),
    Mutant(
        "the permit is not asked before a change",
        RUNNER,
        "        if barred:",
        "        if barred is intent:",
        "switches/test_runner.py::test_without_a_permit_nothing_is_sent_or_journalled",
    ),
    Mutant(
        "effect before intent: a step is journalled after its call",
        RUNNER,
        """\
                self._journal(intent.epoch, step.name, "begun", plan.evidence)
                self._allowed(step, intent)  # once more: a shared store takes its time
                step.applied(intent, self._session.call(call))
""",
        """\
                step.applied(intent, self._session.call(call))
                self._journal(intent.epoch, step.name, "begun", plan.evidence)
""",
        "simulation/test_scenarios.py::test_the_live_node_fails_and_comes_back",
    ),
    Mutant(
        "retry without read-back: a call that was not answered is sent again at once",
        RUNNER,
        "            return _newer(step, intent) or error if error.fault is Fault.CONFLICT else error\n",
        """\
            if error.fault is Fault.UNREACHABLE:
                step.applied(intent, self._session.call(call))
            return _newer(step, intent) or error if error.fault is Fault.CONFLICT else error
""",
        "switches/test_runner.py::test_a_call_that_took_effect_and_timed_out_is_read_back_and_not_sent_again",
    ),
    Mutant(
        "what was sent is taken for done",
        RUNNER,
        "                raise trouble or _NotYetError(step, plan)",
        """\
                if trouble is None:
                    return self._done(step, intent, plan)
                raise trouble""",
        "switches/test_secondary_ip.py::test_a_move_is_done_when_a_describe_shows_it",
    ),
    Mutant(
        "a batch without the DELETE of the old epoch",
        ROUTE53,
        'fence = [_change("DELETE", seen.sets.get("TXT")), _change("CREATE", wanted["TXT"])]',
        'fence = [_change("UPSERT", wanted["TXT"])]',
        "switches/test_route53.py::test_a_paused_agents_batch_is_rejected_whole",
    ),
    Mutant(
        "epoch not compared: a batch over a newer epoch is planned",
        ROUTE53,
        "if seen.epoch > intent.epoch or",
        "if",
        "switches/test_route53.py::test_an_epoch_that_is_not_the_newest_is_told_so",
    ),
    # --- the store ---------------------------------------------------------------------------------------------------
    Mutant(
        "SQLite's compare_and_set without its condition",
        SQLITE,
        " WHERE key = :key AND version = :version",
        " WHERE key = :key",
        "stores/test_contract.py::test_a_write_over_another_version_is_refused_and_changes_nothing",
    ),
    Mutant(
        "SQLite believes a commit before it is on the disk",
        SQLITE,
        "PRAGMA synchronous=FULL",
        "PRAGMA synchronous=NORMAL",
        "stores/test_sqlite.py::test_a_commit_is_on_disk_before_it_is_believed",
    ),
    Mutant(
        "what an agent answers is written over what it answered before, in the same file",
        "edge/stores/served.py",
        "folder.write(NEW, text)\n        folder.rename(NEW, FILE)",
        "folder.write(FILE, text)",
        "simulation/test_disks.py::test_who_ends_in_the_middle_of_a_write_answers_what_was_or_what_was_to_be",
    ),
    Mutant(
        "what a full disk did not take is never tried again",
        "edge/agent/keeping.py",
        "for service in failed & self._owed.keys():",
        "for service in ():",
        "simulation/test_disks.py::test_what_was_served_while_the_disk_was_full_is_there_once_it_has_room",
    ),
    Mutant(
        "DynamoDB's compare_and_set without its condition",
        DYNAMODB,
        '_SAME = "version = :version"',
        '_SAME = "version >= :version"',
        "stores/test_contract.py::test_a_write_over_another_version_is_refused_and_changes_nothing",
    ),
    Mutant(
        "DynamoDB is read eventually, not strongly",
        DYNAMODB,
        'self._call("get_item", Key=_key(key), ConsistentRead=True)',
        'self._call("get_item", Key=_key(key), ConsistentRead=False)',
        "stores/test_dynamodb.py::test_no_read_shows_the_past",
    ),
    Mutant(
        "unknown is lost: a write that was not answered is a conflict",
        DYNAMODB,
        'raise StoreError(f"{self._table}: {item.key} is not written yet: {error}")',
        'raise StoreConflictError(f"{self._table}: {item.key} is not written yet: {error}")',
        "stores/test_dynamodb.py::test_a_write_that_did_not_arrive_is_not_a_lost_one",
    ),
    Mutant(
        "epoch not compared: the store lets an epoch be claimed twice",
        RECORDS,
        "if intent.epoch <= newest:",
        "if intent.epoch < newest:",
        "stores/test_records.py::test_an_epoch_is_claimed_over_older_ones_only",
    ),
    Mutant(
        "an epoch is opened by who lost the lease while the store was slow",
        "edge/stores/records.py",
        "if reason := barred():",
        "if reason := None:",
        "stores/test_records.py::test_who_has_lost_the_lease_when_the_store_answers_opens_no_epoch",
    ),
    Mutant(
        "epoch not compared: the store commits another epoch than the open one",
        RECORDS,
        'if item is None or item.value["epoch"] != epoch or item.value["state"] != "open":',
        'if item is None or item.value["state"] != "open":',
        "stores/test_records.py::test_only_the_open_epoch_is_committed",
    ),
    Mutant(
        "wall clock used: how long ago a switch was is told by the time of day",
        RECORDS,
        "            return monotonic\n",
        '            return self._clock.monotonic() - self._clock.wall() + float(moment["wall"])\n',
        "stores/test_records.py::test_the_age_of_a_switch_goes_on_through_a_restart",
    ),
    # --- the answer --------------------------------------------------------------------------------------------------
    Mutant(
        "NXDOMAIN instead of silence for a service that never had a node",
        "edge/dns/zone.py",
        "            return Found(Outcome.SILENT)",
        "            return self._nxdomain",
        "dns/test_answer.py::test_an_unassigned_zone_still_answers_for_itself",
    ),
    Mutant(
        "what is ready is kept for a service that has moved",
        "edge/dns/answer.py",
        " or site.find(name, qtype) != before.find(name, qtype):",
        ":",
        "dns/test_desk.py::test_after_any_order_everything_ready_is_what_it_would_be_without_those_before",
    ),
    Mutant(
        "a reload is taken for a switch, and the site before for all that lasts",
        "edge/dns/site.py",
        "return self._lasting == _lasting(zones, policy)",
        "return True",
        "dns/test_site.py::test_what_is_no_switch_has_grounds_of_its_own",
    ),
    Mutant(
        "a NOTIFY of anybody is heeded",
        "edge/dns/answer.py",
        " and case.asker.host in case.site.policy.peers",
        "",
        "dns/test_notify.py::test_everything_else_is_turned_down",
    ),
    Mutant(
        "forwarders are slowed down like everybody else",
        "edge/dns/desk.py",
        "and not (trusted or reply.proven):",
        "and not reply.proven:",
        "dns/test_desk.py::test_neither_the_trusted_nor_tcp_have_a_rate",
    ),
    # --- without the store ------------------------------------------------------------------------------------------
    Mutant(
        "all agents agree where one of them did not answer",
        UNANIMITY,
        "if name != us and name not in others]",
        "if name != us and name not in others and not others]",
        "failover/test_unanimity.py::test_all_of_them_decide_and_no_fewer",
    ),
    Mutant(
        "they agree on a move from something that one of them does not serve",
        UNANIMITY,
        "if said.assignment != ours.assignment:",
        "if said.assignment is None:",
        "failover/test_unanimity.py::test_who_stands_otherwise_stops_all",
    ),
    Mutant(
        "who has just agreed may claim the lease at once",
        LEASE,
        "return max(seen.since + record.duration_s, keeper.promised)",
        "return seen.since + record.duration_s",
        "failover/test_unanimity.py::test_who_says_yes_claims_no_lease_before_its_word_has_ended",
    ),
    Mutant(
        "a yes is no promise",
        AGREEING,
        "if any(each.node for each in said.values()):",
        "if not said:",
        "simulation/test_scenarios.py::test_the_store_is_back_for_who_has_just_agreed_and_the_answer_is_slow",
    ),
    Mutant(
        "answers move without the store while AWS answers",
        AGREEING,
        "self._store_lost() or self._aws_lost(service) or",
        "self._store_lost() or",
        "simulation/test_scenarios.py::test_one_that_does_not_agree_is_enough",
    ),
    Mutant(
        "what was agreed on fences nobody when the store is back",
        FLIGHTS,
        "return tuple(sorted({*live, *state.left, *reached} - {node}))",
        "return tuple(sorted({*live, *reached} - {node}))",
        "failover/test_unanimity.py::test_the_leaders_first_act_writes_it_as_the_next_epoch_and_fences_the_old_node",
    ),
)
