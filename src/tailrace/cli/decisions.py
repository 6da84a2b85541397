"""The planner read aloud under -v: each dependency's answer about a task instance, said again only when it
changes.
"""

from collections.abc import Iterable, Iterator

from tailrace.model.keys import UNMAPPED, TaskInstanceKey
from tailrace.planning.plan import Decision

#: Their reasons name upstream or earlier task instances: a new reason is news. The others' (pools, limits)
#: count slots that change with every step, so only met or not met is.
_TELLING = frozenset({"Trigger Rule", "Previous Dagrun State"})


class DecisionTeller:
    """Turns the decisions of successive planning steps into log lines, leaving out what has been said."""

    def __init__(self) -> None:
        self._said: dict[TaskInstanceKey, tuple[object, ...]] = {}

    def lines(self, decisions: Iterable[Decision]) -> Iterator[str]:
        heard: dict[TaskInstanceKey, tuple[object, ...]] = {}
        for decision in decisions:
            gist = _gist(decision)
            heard[decision.key] = gist
            if self._said.get(decision.key) != gist:
                yield from decision_lines(decision)
        if heard:
            self._said = heard


def _gist(decision: Decision) -> tuple[object, ...]:
    return (
        decision.state,
        decision.verdict,
        *(
            (status.dependency, status.passed, status.reason if status.dependency in _TELLING else "")
            for status in decision.statuses
        ),
    )


def decision_lines(decision: Decision) -> Iterator[str]:
    """One decision as Airflow logs it: the dependencies that failed, or that all are met; then those that
    passed.
    """
    shown = f"<TaskInstance: {_name(decision.key)} {decision.key.run_id} [{decision.state}]>"
    if not decision.failed:
        yield f"Dependencies all met for {shown}"
    for status in decision.failed:
        yield f"Dependencies not met for {shown}, dependency '{status.dependency}' FAILED: {status.reason}"
    for status in decision.statuses:
        if status.passed:
            yield f"{shown} dependency '{status.dependency}' PASSED: True, {status.reason}"


def _name(key: TaskInstanceKey) -> str:
    index = "" if key.map_index == UNMAPPED else f"[{key.map_index}]"
    return f"{key.dag_id}.{key.task_id}{index}"
