"""Canaries made by putting one part of the product out of order: a guard that is not there, a budget miscounted.

Each says in a line what it leaves out. The rest of the product stays as it is, so that what catches it is the check
for that one rule.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tailrace.effects.requests import Accepted, ApplyPlan, ClaimTry, RenewLease, ReportOutcome, Submit
from tailrace.effects.results import Applied, StaleKind
from tailrace.effects.tries import Claim, Refused, Renewal, Submission
from tailrace.execution.workers import loop as worker
from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans import applying, verdicts
from tailrace.metastore.plans.locking import LockedRun, Workspace
from tailrace.metastore.tries import claims as tries
from tailrace.model.keys import TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.model.states import TaskInstanceState
from tailrace.planning import losses
from tailrace.planning.backfills import BackfillCreation
from tailrace.planning.commands import CommandKind, CommandPlan
from tailrace.planning.occupancy import Occupancy
from tailrace.planning.plan import RunVerdict, TaskTransition
from tailrace.planning.retries import AfterTry, after_loss, after_try
from tailrace.simulator.performing import Performer
from tailrace.simulator.processes import Job, Worker
from tailrace.simulator.scenario import LEASE_SECONDS
from tailrace.simulator.world_state import WorldState


class Replaced(Struct, frozen=True):
    """A name of the product that is replaced while a canary is applied."""

    target: object
    name: str
    by: Any

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the replacement there, and the product's own part back."""
        own = getattr(self.target, self.name)
        setattr(self.target, self.name, self.by)
        try:
            yield
        finally:
            setattr(self.target, self.name, own)


# --- a try is more than a state ----------------------------------------------------------------------------


class SwapWithoutTryNumber(Performer):
    """A claim that asks for a queued task instance, not for a try: a submission of long ago starts the new try."""

    def claim(self, process: Worker, effect: ClaimTry) -> Claim | Refused:
        """Whatever try is queued is claimed, and run under the number that was submitted."""
        request = effect.request
        queued = _row(self.world, request.id)
        if queued is None or queued["state"] != TaskInstanceState.QUEUED:
            return super().claim(process, effect)
        result = super().claim(process, ClaimTry(replace(request, try_number=queued["try_number"])))
        if isinstance(result, Refused):
            return result
        return replace(result, key=TryKey(result.task_instance, request.try_number))


class ReportByState(Performer):
    """A report that looks at the state alone: running is running, whoever runs it."""

    def report(self, process: Worker, effect: ReportOutcome) -> Accepted | Refused:
        """The report is made to fit the row."""
        running, claim = _row(self.world, effect.claim.id), effect.claim
        if running is not None and running["state"] == TaskInstanceState.RUNNING:
            key = TryKey(claim.task_instance, running["try_number"])
            effect = replace(effect, claim=replace(claim, key=key, token=running["token"]))
        return super().report(process, effect)


class RenewedByAnyone(Performer):
    """A heartbeat that renews the lease of whatever runs, and returns to everybody that it is theirs."""

    def renew(self, process: Worker, effect: RenewLease) -> Renewal:
        """The renewal is made to fit the row."""
        running, claim = _row(self.world, effect.claim.id), effect.claim
        if running is not None and running["state"] == TaskInstanceState.RUNNING:
            key = TryKey(claim.task_instance, running["try_number"])
            effect = replace(effect, claim=replace(claim, key=key, token=running["token"]))
        return super().renew(process, effect)


class ResubmittedAnew(Performer):
    """A queued try that nobody claimed is offered again as a new try, with a number of its own."""

    def __init__(self, world: WorldState) -> None:
        super().__init__(world)
        self._offered: set[TryKey] = set()

    def submit(self, process: Job, effect: Submit) -> None:
        """The first offer as it is, each later one one number up."""
        offers = tuple(map(self._renumbered, effect.submissions))
        self._offered.update(offer.key for offer in offers)
        super().submit(process, Submit(offers))

    def _renumbered(self, submission: Submission) -> Submission:
        if submission.key not in self._offered or self.world.stuck is not None:
            return submission
        number = submission.key.try_number + 1
        with sqlite3.connect(self.world.file) as connection:
            changed = connection.execute(
                "UPDATE task_instance SET try_number = ? WHERE id = ? AND try_number = ? AND state = 'queued'",
                (number, submission.id, number - 1),
            ).rowcount
        connection.close()
        return replace(submission, key=TryKey(submission.key.task_instance, number)) if changed else submission


claim_without_token = Replaced(tries, "next_token", lambda newest, resumes: newest)
"""A claim that takes no token of its own: two claims of one task instance have the same."""


def _forgetful_claim(tx: Transaction, request: Any, write_id: str) -> dict[str, Any]:
    return tries._claim_or_refusal(tx, request, write_id)


forgotten_claim = Replaced(tries, "claim_try", _forgetful_claim)
"""A claim that, repeated after its commit landed late, is refused by itself: the worker drops its own try."""


# --- when a commit counts ----------------------------------------------------------------------------------


class SubmittedBeforeCommit(Performer):
    """Tries are handed to the workers before they are queued; so a worker takes one whatever the metastore says."""

    def apply(self, process: Job, effect: ApplyPlan) -> Applied:
        """First the workers, then the metastore."""
        for step in effect.plan.transitions:
            if step.takes_slot:
                process.queue.append(Submission(step.id, TryKey(step.key, step.try_number)))
        return super().apply(process, effect)

    def claim(self, process: Worker, effect: ClaimTry) -> Claim | Refused:
        """A try that is not queued yet soon will be."""
        request = effect.request
        with sqlite3.connect(self.world.file) as connection:
            connection.execute(
                "UPDATE task_instance SET state = 'queued', try_number = ?"
                " WHERE id = ? AND state IN ('none', 'up_for_retry') AND try_number = ?",
                (request.try_number, request.id, request.try_number - 1),
            )
        connection.close()
        return super().claim(process, effect)


class CreatedInTwo(Performer):
    """A creation that writes the backfill with its first run, and the other runs in a second transaction."""

    def create(self, dag: DagSpec, creation: BackfillCreation, write_id: str) -> int:
        """The first half now; the second when the person's process gets round to it."""
        created = super().create(dag, replace(creation, dates=creation.dates[:1]), write_id)
        if len(creation.dates) > 1:
            self.world.pending.append(lambda: self._finish(dag, creation))
        return created

    def _finish(self, dag: DagSpec, creation: BackfillCreation) -> None:
        request = creation.request
        intervals = [date.interval for date in creation.dates]
        facts = self.world.metastore.backfill_facts(dag, request, intervals)
        if facts.open_with_fingerprint is None:
            return  # the others took what was there for the whole, and closed it
        again = replace(creation, continues=facts.open_with_fingerprint)
        self.world.metastore.create_backfill(dag, again, "second half", self.world.write_id())


class ForgetsConf(Performer):
    """A creation that gives every run its own conf, which is none where nobody gave one."""

    def create(self, dag: DagSpec, creation: BackfillCreation, write_id: str) -> int:
        """What runs had is not asked for."""
        given = creation.request.given_conf
        dates = tuple(replace(date, conf=given) for date in creation.dates)
        return super().create(dag, replace(creation, dates=dates), write_id)


class ClearedWithoutStopping(Performer):
    """A clear that takes a running try's state away at once, instead of asking its worker to stop."""

    def commanded(self, plan: CommandPlan) -> None:
        """What was to stop is none already."""
        if plan.kind is not CommandKind.CLEAR:
            return
        with sqlite3.connect(self.world.file) as connection:
            connection.execute(
                "UPDATE task_instance SET state = 'none', holder = NULL, lease_until = NULL, stopping_to = NULL"
                " WHERE state = 'stopping'"
            )
        connection.close()


# --- guards ------------------------------------------------------------------------------------------------


class _Roomy(Occupancy):
    """Counts nothing again: what the planner counted must do."""

    def admit(self, dag: DagSpec, task: TaskSpec, pool_name: str, run: int) -> bool:
        """There is room."""
        return True


def _uncounted(tx: Transaction, dag: DagSpec) -> Occupancy:
    return _Roomy({}, {}, 0)


no_capacity_guard = Replaced(applying, "count_occupants", _uncounted)
"""Limits are checked in the snapshot only: two planners both take the last slot."""

window_without_recount = Replaced(applying, "running_runs", lambda tx, dag_id: 0)
"""The window is counted in the snapshot only: two planners both open the last place in it."""


def _no_conflict(work: Workspace, run: LockedRun | None, verdict: RunVerdict) -> tuple[StaleKind, str] | None:
    running = run is not None and run.state == "running"
    return None if running else (StaleKind.VERDICT_RUN, "the run is not running")


verdict_unchecked = Replaced(verdicts, "_find_conflict", _no_conflict)
"""A verdict is written as it was drawn, whatever has become of its evidence."""

_as_expected = applying._as_expected


def _trusting(work: Workspace, step: TaskTransition) -> dict[str, Any] | None:
    run, columns = work.runs.get(step.run), work.task_instances.get(step.id)
    if run is not None and run.owner == work.plan.job_id and columns is not None:
        return columns
    return _as_expected(work, step)


trusting_owner = Replaced(applying, "_as_expected", _trusting)
"""Who owns a run writes what it decided: nobody else, it thinks, can have changed it."""


# --- losses ------------------------------------------------------------------------------------------------


def _spending(error: str, *, max_tries: int, lost_tries: int) -> AfterTry:
    return replace(after_loss(error, max_tries=max_tries, lost_tries=lost_tries), max_tries=max_tries)


lost_spends_retry = Replaced(losses, "after_loss", _spending)
"""A lost try counts as one of the tries that the task's retries allow."""


def _all_spending(task: TaskSpec, key: TryKey, kind: OutcomeKind, error: str, **budget: Any) -> AfterTry:
    after = after_try(task, key, kind, error, **budget)
    return replace(after, max_tries=budget["max_tries"]) if kind is OutcomeKind.LOST_TOGETHER else after


all_spend_retry = Replaced(worker, "after_try", _all_spending)
"""The same of tries that are lost together, with the zygote that they ran in."""


def _impatient(moment: TransactionTime, until: float | None, epoch: str | None, seconds: float | None) -> bool:
    return until is None or until - LEASE_SECONDS <= moment.lease


reclaimed_early = Replaced(TransactionTime, "expired", _impatient)
"""A lease is taken for over before it has run out."""


def _row(world: WorldState, id: int) -> dict[str, Any] | None:
    """The task instance of this row, as it is."""
    connection = sqlite3.connect(world.file)
    connection.row_factory = sqlite3.Row
    try:
        found = connection.execute("SELECT state, try_number, token FROM task_instance WHERE id = ?", (id,)).fetchone()
    finally:
        connection.close()
    return None if found is None else dict(found)
