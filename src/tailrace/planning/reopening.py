"""Which closed runs a command opens again beyond those it names, and who will drive what is open after it.

A deadlock is final only until a person changes what it leans on: a run that was deadlocked by its previous run goes
again when the tasks it waits for were touched there, and so does the run after it.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping

from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Cause
from tailrace.planning.commands import CommandFacts, DeadlockedRun, KnownRun, RunChange


def freed_runs(
    facts: CommandFacts, dag: DagSpec, touched: Mapping[int, frozenset[str]], cause: Cause
) -> Iterator[tuple[KnownRun, RunChange]]:
    """The deadlocked runs that wait for a touched task of their previous run, however far down the line.

    ``touched`` are the tasks a command changes, by run; those runs themselves are not answered.
    """
    followers: dict[int, list[DeadlockedRun]] = {}
    for found in facts.deadlocked:
        for previous in set(found.by_past.values()):
            followers.setdefault(previous, []).append(found)
    changed = dict(touched)
    waiting = sorted(changed)
    while waiting:
        previous = waiting.pop(0)
        for found in followers.get(previous, ()):
            if found.run.id in changed or not _waits_for(dag, found, previous, changed[previous]):
                continue
            changed[found.run.id] = frozenset(found.blocked)
            waiting.append(found.run.id)
            run = found.run
            reason = "what its previous run blocked may go on"
            before, after = DagRunState.DEADLOCKED, DagRunState.QUEUED
            to_schedulers = not run.wanted_by
            yield (
                run,
                RunChange(run.id, run.run_id, run.version, before, after, cause, reason, to_schedulers=to_schedulers),
            )


def _waits_for(dag: DagSpec, found: DeadlockedRun, previous: int, tasks: frozenset[str]) -> bool:
    for task_id in (task_id for task_id, looked_at in found.by_past.items() if looked_at == previous):
        task = dag.by_id.get(task_id)
        if task is None or task_id in tasks or (task.wait_for_downstream and tasks & set(task.downstream)):
            return True
    return False


def drivers(facts: CommandFacts, runs: Iterable[KnownRun]) -> Iterator[str]:
    """Who drives these open runs from here on, or which command makes somebody; one line for each answer."""
    groups: dict[str, list[KnownRun]] = {}
    judged: set[int] = set()
    for run in runs:
        if not run.wanted_by and run.judged_by is not None:
            judged.add(run.judged_by)
        groups.setdefault(_driver(facts, run), []).append(run)
    for line, driven in groups.items():
        dates = sorted(run.logical_date for run in driven)
        first, last = (date.isoformat(timespec="minutes") for date in (dates[0], dates[-1]))
        ends = f"-s {first}" if first == last else f"-s {first} -e {last}"
        which = driven[0].run_id if len(driven) == 1 else f"{len(driven)} runs"
        yield f"{which}: {line.format(range=ends, it='it' if len(driven) == 1 else 'them')}"
    if judged:
        ids = ", ".join(str(id) for id in sorted(judged))
        yield f"the verdict of backfill {ids} stays as it is"


def _driver(facts: CommandFacts, run: KnownRun) -> str:
    wanting = [facts.backfills[id] for id in run.wanted_by if id in facts.backfills]
    unpaused = [backfill for backfill in wanting if not backfill.paused]
    for backfill in unpaused:
        if backfill.driven:
            return f"backfill {backfill.id} drives {{it}}"
    for backfill in unpaused:
        if backfill.detached:
            return f"backfill {backfill.id} drives {{it}} as soon as a scheduler runs (`tailrace scheduler`)"
        return f"backfill {backfill.id} drives {{it}}; continue that with `{_braced(backfill.command)}`"
    for backfill in wanting:
        return f"backfill {backfill.id} is paused; go on with `tailrace backfill resume {backfill.id}`"
    if run.owner_alive and run.state is DagRunState.RUNNING:
        return "a job goes on with {it}"
    paused = f" once {facts.dag_id} is unpaused" if facts.dag_paused else ""
    here = (
        ""
        if run.run_type is RunType.MANUAL
        else f", or run {{it}} here: `tailrace backfill {facts.dag_id} {{range}}{_braced(_options(run))}`"
    )
    return f"a scheduler drives {{it}}{paused} (`tailrace scheduler`){here}"


def _options(run: KnownRun) -> str:
    """What a command has to name for the run to be done again as it was; it keeps its conf unasked."""
    named = [f" --pool {shlex.quote(run.pool)}"] if run.pool else []
    named += [" --disable-retry"] if run.disable_retry else []
    named += [" --mark-success"] if run.mark_success else []
    return "".join(named)


def _braced(command: str) -> str:
    return command.replace("{", "{{").replace("}", "}}")
