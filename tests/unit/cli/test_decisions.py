"""-v prints the planner's decisions in Airflow's words, once each."""

from tailrace.cli.decisions import DecisionLog, decision_lines
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.messages import Sentence
from tailrace.planning.plan import Decision, Dependency, DependencyStatus, Verdict
from tailrace.planning.reasons import RunIs

KEY = TaskInstanceKey("d", "backfill__2016-01-01T00:00:00+00:00", "b")
MET = DependencyStatus(Dependency.DAGRUN_RUNNING, True, RunIs(DagRunState.RUNNING))
SHOWN = "<TaskInstance: d.b backfill__2016-01-01T00:00:00+00:00 [none]>"


def waiting(reason: str, dependency: str = "Trigger Rule") -> Decision:
    unmet = DependencyStatus(Dependency(dependency), False, Sentence(reason))
    return Decision(KEY, TaskInstanceState.NONE, Verdict.WAIT, (MET, unmet))


def ready() -> Decision:
    return Decision(KEY, TaskInstanceState.NONE, Verdict.RUN, (MET,))


def test_not_met_names_the_dependency_and_its_reason_then_what_passed() -> None:
    assert list(decision_lines(waiting("1 of 2 upstreams done."))) == [
        f"Dependencies not met for {SHOWN}, dependency 'Trigger Rule' FAILED: 1 of 2 upstreams done.",
        f"{SHOWN} dependency 'Dagrun Running' PASSED: True, Task instance's dagrun is running.",
    ]


def test_all_met() -> None:
    assert list(decision_lines(ready())) == [
        f"Dependencies all met for {SHOWN}",
        f"{SHOWN} dependency 'Dagrun Running' PASSED: True, Task instance's dagrun is running.",
    ]


def test_map_index_is_shown_where_there_is_one() -> None:
    key = TaskInstanceKey("d", "r", "b", 3)
    decision = Decision(key, TaskInstanceState.QUEUED, Verdict.WAIT, ())
    assert "<TaskInstance: d.b[3] r [queued]>" in next(decision_lines(decision))


def test_the_same_decision_is_shown_once_and_a_new_one_again() -> None:
    teller = DecisionLog()
    assert list(teller.lines([waiting("0 of 2 done.")]))
    assert not list(teller.lines([waiting("0 of 2 done.")]))
    assert list(teller.lines([waiting("1 of 2 done.")]))
    assert list(teller.lines([ready()]))


def test_counts_of_a_full_pool_do_not_flood() -> None:
    teller = DecisionLog()
    assert list(teller.lines([waiting("3 of 4 slots taken.", "Pool Slots Available")]))
    assert not list(teller.lines([waiting("4 of 4 slots taken.", "Pool Slots Available")]))


def test_a_step_without_decisions_forgets_nothing() -> None:
    teller = DecisionLog()
    assert list(teller.lines([waiting("x")]))
    assert not list(teller.lines([]))
    assert not list(teller.lines([waiting("x")]))


def test_only_what_changed_is_shown_again() -> None:
    teller = DecisionLog()
    list(teller.lines([waiting("0 of 2 done.")]))
    assert list(teller.lines([waiting("1 of 2 done.")])) == [
        f"Dependencies not met for {SHOWN}, dependency 'Trigger Rule' FAILED: 1 of 2 done."
    ]
    assert list(teller.lines([ready()])) == [f"Dependencies all met for {SHOWN}"]
