"""The planner's decisions, shown under -v: each dependency of a task instance, shown again only when it changes."""

from collections.abc import Collection, Iterator

from tailrace.cli.remedies import text_of
from tailrace.model.keys import TaskInstanceKey
from tailrace.planning.plan import Decision, Dependency, DependencyStatus, Verdict

#: Their reasons name upstream or earlier task instances: a new reason is shown. The others' (pools, limits)
#: count slots that change with every step, so only met or not met is.
_WITH_REASON = frozenset({Dependency.TRIGGER_RULE, Dependency.PREVIOUS_RUN})


class DecisionLog:
    """Turns the decisions of successive planning steps into log lines, leaving out what has been shown."""

    def __init__(self, remembers: bool = False) -> None:
        """``remembers``: steps of several lanes take turns, so one that does not mention a task is no reason to forget
        it; it is forgotten once it may run.
        """
        self._last: dict[TaskInstanceKey, frozenset[object]] = {}
        self._remembers = remembers

    def lines(self, decisions: Collection[Decision]) -> Iterator[str]:
        """The lines for what is new since the last step. A task instance no longer decided on is forgotten."""
        current: dict[TaskInstanceKey, frozenset[object]] = {}
        for decision in decisions:
            before = self._last.get(decision.key, frozenset())
            current[decision.key] = frozenset(key for key, _ in _lines(decision))
            yield from (line for key, line in _lines(decision) if key not in before)
        if self._remembers:
            self._last |= current
            for decision in decisions:
                if decision.verdict is Verdict.RUN:
                    del self._last[decision.key]
        elif current:
            self._last = current


def decision_lines(decision: Decision) -> Iterator[str]:
    """One decision as Airflow logs it: the dependencies that failed, or that all are met; then those that passed."""
    return (line for _, line in _lines(decision))


def _lines(decision: Decision) -> Iterator[tuple[object, str]]:
    """Each line, and beside it what must change for it to be shown again."""
    shown = f"<TaskInstance: {_name(decision.key)} {decision.key.run_id} [{decision.state}]>"
    if not decision.failed:
        yield (decision.state, "all met"), f"Dependencies all met for {shown}"
    for status in decision.failed:
        line = f"Dependencies not met for {shown}, dependency '{status.dependency}' FAILED: {text_of(status.reason)}"
        yield (decision.state, _key(status)), line
    for status in decision.statuses:
        if status.passed:
            line = f"{shown} dependency '{status.dependency}' PASSED: True, {text_of(status.reason)}"
            yield (decision.state, _key(status)), line


def _key(status: DependencyStatus) -> tuple[object, ...]:
    return status.dependency, status.passed, status.reason if status.dependency in _WITH_REASON else None


def _name(key: TaskInstanceKey) -> str:
    return f"{key.dag_id}.{key.place}"
