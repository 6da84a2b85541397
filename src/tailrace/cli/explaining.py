"""Explanations as text and table rows. Why things wait is ``planning``'s."""

from collections.abc import Iterator

from tailrace.cli.callback_lines import callback_lines
from tailrace.cli.remedies import command_of, text_of
from tailrace.cli.tables import Column
from tailrace.cli.views import interval_text, name_text
from tailrace.model.moments import moment_text
from tailrace.planning.explain import RunExplanation, TaskInstanceExplanation
from tailrace.planning.explain_facts import RunFacts, TryFacts
from tailrace.planning.messages import Message
from tailrace.planning.releasing import owner_text

EXPLAINED_COLUMNS = (
    Column("task_id"),
    Column("state", state=True),
    Column("try", number=True),
    Column("why"),
    Column("what would release it"),
)
DEPENDENCY_COLUMNS = (Column("dependency"), Column("met"), Column("reason"))
TRY_COLUMNS = (
    Column("try", number=True),
    Column("queued"),
    Column("started"),
    Column("ended"),
    Column("became", state=True),
    Column("reason"),
)


def explained_row(explained: TaskInstanceExplanation) -> tuple[str, ...]:
    """One task instance of a run as a table row."""
    release = explained.release
    remedy = None if release is None else release.remedy
    text = "" if release is None else text_of(release) + (f" ({command_of(remedy)})" if remedy else "")
    view = explained.facts.view
    return (explained.key.place, str(view.state), str(view.try_number), explained.waits, text)


def run_lines(explained: RunExplanation) -> Iterator[str]:
    """A run's own explanation, line by line."""
    facts = explained.facts
    yield f"{facts.dag_id} / {facts.run.run_id}: {facts.run.state}"
    yield interval_text(facts.run.data_interval.start, facts.run.data_interval.end)
    yield explained.waits
    if facts.run.part is not None and facts.run.part.tasks is not None:
        yield f"a part of its DAG: {', '.join(facts.run.part.tasks)}"
    if facts.run.late_since is not None:
        yield f"late since {moment_text(facts.run.late_since)}: its deadline"
    if facts.last_command is not None:
        yield facts.last_command.text
    yield from callback_lines(facts.dag_id, facts.run.run_id, facts.callbacks)
    for wanted in facts.wanted_by:
        state = "interrupted" if wanted.interrupted else wanted.state
        paused = ", paused" if wanted.paused else ""
        yield f"wanted by backfill {wanted.backfill_id} ({state}{paused})"
    if explained.release is not None:
        yield from release_lines(explained.release)


def task_lines(explained: TaskInstanceExplanation, run: RunFacts) -> Iterator[str]:
    """A task instance's explanation, line by line: why, and what releases it."""
    yield f"{explained.key}{name_text(explained.facts.rendered_map_index)}: {explained.facts.view.state}"
    yield explained.waits
    if explained.facts.last_command is not None:
        yield explained.facts.last_command.text
    key = explained.key
    own = [each for each in run.callbacks if (each.task_id, each.map_index) == (key.task_id, key.map_index)]
    yield from callback_lines(run.dag_id, key.run_id, own)
    if explained.doomed:
        yield "it can never run as things stand: what it waits for is final, or blocked itself"
    if explained.release is not None:
        yield from release_lines(explained.release)
        yield f"run: {run.run.state}; {owner_text(run)}"


def dependency_rows(explained: TaskInstanceExplanation) -> list[tuple[str, ...]]:
    """Each dependency of a task instance as a table row."""
    return [(each.dependency, "yes" if each.passed else "NO", text_of(each.reason)) for each in explained.statuses]


def try_rows(explained: TaskInstanceExplanation) -> list[tuple[str, ...]]:
    """Each of its tries."""
    return [_try_row(each) for each in explained.facts.tries]


def release_lines(release: Message) -> Iterator[str]:
    """What would release it, and the command to type."""
    yield f"released by: {text_of(release)}"
    if release.remedy is not None:
        yield f"    {command_of(release.remedy)}"


def _try_row(tried: TryFacts) -> tuple[str, ...]:
    times = (moment_text(tried.queued_at), moment_text(tried.started_at), moment_text(tried.ended_at))
    return (str(tried.number), *times, tried.outcome or "", tried.reason)
