"""What a row leans on is all there, or it is a finding: the parts of a proof, what is done again, the structure."""

from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.audit.checks import audit
from tailrace.audit.records import AuditRecords, Blocked, Evidence, HistoryRecord
from tailrace.model.spec import TaskSpec
from tests.unit.audit.chronicle import DAG, FIRST, SECOND, Chronicle, dag_of

PAST = dag_of(TaskSpec("a", depends_on_past=True))
P = Blocked((DAG, SECOND), ("a", -1), "none", ("Previous Dagrun State",))


def deadlocked(**evidence: Any) -> AuditRecords:
    """The second of two runs is deadlocked by the first; the verdict says what it must, but for these parts."""
    history = Chronicle(PAST)
    history.activate()
    history.play("a", "failed", looked_at="")
    history.run("running", "failed", "judged")
    history.activate(SECOND)
    history.run("running", "deadlocked", "judged", SECOND)
    whole = {"blocked": (P,), "blocked_by": {"a": FIRST}, "assumed": {0: "none"}, "past": {7: "failed"}, "pools": {}}
    proof = Evidence(**{**whole, **evidence})
    records = history.records()
    rows = (*records.history[:-1], replace(records.history[-1], evidence=proof))
    return replace(records, history=rows)


def found(records: AuditRecords) -> list[tuple[str, str]]:
    return [(each.check, each.text) for each in audit(records)]


def test_a_whole_proof_is_sound() -> None:
    assert found(deadlocked()) == []


@pytest.mark.parametrize(
    ("part", "check", "text"),
    [
        ({"past": {}}, "evidence", "a is blocked by Previous Dagrun State, of which it says nothing else"),
        ({"blocked_by": None}, "evidence", "a is blocked by Previous Dagrun State, of which it says nothing else"),
        ({"blocked": (replace(P, dependencies=()),)}, "deadlock proof", "nothing is said to block a"),
        ({"blocked": (replace(P, state="queued"),)}, "deadlock proof", "it names a as queued, it was none"),
        ({"blocked": (replace(P, run=(DAG, FIRST)),)}, "deadlock proof", f"it names a of another run, {DAG} / {FIRST}"),
        ({"blocked": (replace(P, dependencies=("Pool Slots Available",)),)}, "evidence", "a is blocked by Pool Slots"),
    ],
)
def test_a_proof_that_lacks_a_part_is_found(part: dict[str, Any], check: str, text: str) -> None:
    [(was, said)] = found(deadlocked(**part))
    assert was == check and said.startswith(text)


def test_only_a_deadlock_names_what_is_blocked() -> None:
    history = Chronicle(dag_of(TaskSpec("a")))
    history.activate()
    history.play("a")
    history.run("running", "success", "judged", blocked=(("a", -1),))
    assert ("evidence", "success, and it names what is blocked") in found(history.records())


def test_a_run_that_goes_again_says_what_of_it() -> None:
    history = Chronicle(dag_of(TaskSpec("a")))
    history.activate()
    history.play("a")
    history.run("running", "success", "judged")
    history.run("success", "queued", "reprocess", actor="person", clear=None)
    assert [check for check, _ in found(history.records())] == ["evidence"]


@pytest.mark.parametrize(
    ("structure", "text"), [(9, "version 9, which is not there"), (2, "version 2, which is one of other")]
)
def test_a_structure_that_is_not_there_or_not_the_dags_is_found(structure: int, text: str) -> None:
    history = Chronicle(dag_of(TaskSpec("a")))
    history.activate()
    records = history.records()
    structures = {**records.structures, 2: replace(dag_of(TaskSpec("a")), dag_id="other")}

    def told(row: HistoryRecord) -> HistoryRecord:
        return replace(row, structure=structure if row.cause == "activated" else None)

    changed = replace(records, history=tuple(map(told, records.history)), structures=structures)
    assert ("structure", f"decided by {text}") in found(changed)
    assert found(replace(changed, damaged=("d version 9",)))[-1][0] == "structure", "of which the damage is told, once"
