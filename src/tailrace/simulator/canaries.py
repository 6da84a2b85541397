"""Deliberately broken variants, one for each hole of the 2016 thread. A simulator that misses them
proves nothing.

Each breaks one rule of the product and nothing else, so that what catches it is the check for that rule.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from msgspec import Struct

from tailrace.jobs.backfill import backfill_loop
from tailrace.simulator import (
    broken_callbacks,
    broken_claims,
    broken_dags,
    broken_history,
    broken_mapping,
    broken_parts,
    broken_past,
    broken_stops,
    broken_waits,
    broken_writes,
)
from tailrace.simulator.broken_effects import NewWriteId, OpenTransaction, TrustingEvents, UnguardedClaim
from tailrace.simulator.broken_loop import non_atomic_loop
from tailrace.simulator.broken_writes import Replaced
from tailrace.simulator.performing import Performer
from tailrace.simulator.world_state import JobLoop


class Canary(Struct, frozen=True):
    """A broken variant: which hole it is, and the parts it puts in place of the product's."""

    name: str
    hole: str
    job_loop: JobLoop = backfill_loop
    performer: type[Performer] = Performer
    replaced: Replaced | None = None
    lock_wait: float = 30.0
    worlds: str = "any"  # in which of WORLDS it is looked for

    def applied(self) -> AbstractContextManager[None]:
        """The product is broken in this way inside, and as it was again after."""
        return nullcontext() if self.replaced is None else self.replaced.applied()


CANARIES: Mapping[str, Canary] = {
    canary.name: canary
    for canary in (
        Canary("non-atomic-reads", "task instances are read one by one while workers change them", non_atomic_loop),
        Canary("unguarded-claim", "nobody checks that the try is already running", performer=UnguardedClaim),
        Canary(
            "open-transaction",
            "a refresh takes a lock and never ends its transaction",
            performer=OpenTransaction,
            lock_wait=0.05,
        ),
        Canary("trusting-events", "the executor's event is believed over the metastore", performer=TrustingEvents),
        Canary(
            "new-write-id", "a write whose acknowledgement was lost is repeated under a new id", performer=NewWriteId
        ),
        Canary(
            "swap-without-try-number", "whatever try is queued is claimed", performer=broken_writes.SwapWithoutTryNumber
        ),
        Canary("report-by-state", "a report names no try and no token", performer=broken_writes.ReportByState),
        Canary("renewed-by-anyone", "a renewal names no try and no token", performer=broken_writes.RenewedByAnyone),
        Canary(
            "resubmitted-anew", "a try nobody claimed is offered as a new one", performer=broken_writes.ResubmittedAnew
        ),
        Canary("claim-without-token", "a claim takes no token", replaced=broken_writes.claim_without_token),
        Canary(
            "resumed-with-old-token",
            "a rescheduled try is resumed with the old token",
            replaced=broken_claims.resumed_with_old_token,
            worlds="rescheduled",
        ),
        Canary("nothing-wakes", "no event ends a wait", replaced=broken_waits.nothing_wakes, worlds="waiting"),
        Canary(
            "circle-unchecked",
            "the other runs of a circle of waits are not read again",
            replaced=broken_waits.circle_unchecked,
            worlds="waiting",
        ),
        Canary(
            "circle-of-two-reads",
            "a circle of waits is put together from two reads",
            performer=broken_waits.CircleOfTwoReads,
            replaced=broken_waits.circle_unchecked,
            worlds="waiting",
        ),
        Canary("forgotten-claim", "a repeated claim is refused by itself", replaced=broken_writes.forgotten_claim),
        Canary(
            "submitted-before-commit",
            "tries are handed to workers before they are queued",
            performer=broken_writes.SubmittedBeforeCommit,
        ),
        Canary("created-in-two", "a backfill is created in two transactions", performer=broken_writes.CreatedInTwo),
        Canary("forgets-conf", "a run that is done again loses its conf", performer=broken_writes.ForgetsConf),
        Canary("verdict-unchecked", "evidence is not read again", replaced=broken_writes.verdict_unchecked),
        Canary(
            "cleared-without-stopping",
            "a running try is cleared behind its worker's back",
            performer=broken_writes.ClearedWithoutStopping,
        ),
        Canary("no-capacity-guard", "limits are not counted again", replaced=broken_writes.no_capacity_guard),
        Canary("window-without-recount", "runs are not counted again", replaced=broken_writes.window_without_recount),
        Canary("trusting-owner", "an owner writes without looking", replaced=broken_writes.trusting_owner),
        Canary("lost-spends-retry", "a lost try spends a retry", replaced=broken_writes.lost_spends_retry),
        Canary(
            "all-spend-retry",
            "tries that are lost together spend retries",
            replaced=broken_writes.all_spend_retry,
            worlds="zygotes",
        ),
        Canary("reclaimed-early", "a lease is over before it ran out", replaced=broken_writes.reclaimed_early),
        Canary(
            "schedule-point",
            "depends_on_past looks at the schedule point before, or at nothing",
            replaced=broken_past.schedule_point,
            worlds="holes",
        ),
        Canary(
            "hole-unseen",
            "a start does not see the run that was inserted before its own",
            replaced=broken_past.hole_unseen,
            worlds="holes",
        ),
        Canary(
            "expanded-twice",
            "an expansion does not look again at what it was decided from",
            replaced=broken_mapping.expanded_twice,
            worlds="mapped",
        ),
        Canary(
            "forgotten-index",
            "a mapped task lacks its last instance",
            replaced=broken_mapping.forgotten_index,
            worlds="mapped",
        ),
        Canary(
            "expanded-for-ever",
            "a mapped task that was cleared is not expanded anew",
            replaced=broken_mapping.expanded_for_ever,
            worlds="mapped",
        ),
        Canary(
            "any-index",
            "in a mapped group one index waits for another",
            replaced=broken_mapping.any_index,
            worlds="mapped",
        ),
        Canary(
            "half-a-group",
            "a mapped group is expanded task by task",
            replaced=broken_mapping.half_a_group,
            worlds="mapped",
        ),
        Canary(
            "skip-overtakes",
            "a skip does not wait for its date before",
            replaced=broken_past.skip_overtakes,
            worlds="holes",
        ),
        Canary(
            "goes-on-when-stopped",
            "what was decided before a run was stopped goes on after it",
            replaced=broken_stops.goes_on,
            worlds="stopped",
        ),
        Canary(
            "stopped-by-the-past",
            "a run fails fast for what had failed before it was opened again",
            replaced=broken_stops.by_the_past,
            worlds="stopped",
        ),
        Canary(
            "called-by-lost-claim",
            "a claim that was lost has callbacks called",
            replaced=broken_callbacks.called_by_lost_claim,
            worlds="calling",
        ),
        Canary(
            "called-without-lease",
            "two jobs call the callbacks of one event at once",
            replaced=broken_callbacks.called_without_lease,
            worlds="calling",
        ),
        Canary(
            "forgotten-event",
            "a try that ends has no event",
            replaced=broken_callbacks.forgotten_event,
            worlds="calling",
        ),
        Canary(
            "one-of-a-group",
            "what comes after a group comes after one of its tasks",
            replaced=broken_dags.one_of_a_group,
            worlds="dags",
        ),
        Canary(
            "policy-unread",
            "a failure is tried again whatever the retry policy says",
            replaced=broken_dags.policy_unread,
            worlds="dags",
        ),
        Canary(
            "length-of-another",
            "a task is expanded by the length of another output",
            replaced=broken_dags.length_of_another,
            worlds="dags",
        ),
        Canary(
            "skipped-with-one",
            "the skip of one instance is taken for the whole task's",
            replaced=broken_dags.skipped_with_one,
            worlds="dags",
        ),
        Canary(
            "waits-for-left-out",
            "a part looks at tasks that it leaves out",
            replaced=broken_parts.waits_for_left_out,
            worlds="parts",
        ),
        Canary(
            "resets-left-out",
            "a part does again what it leaves out",
            replaced=broken_parts.resets_left_out,
            worlds="parts",
        ),
        Canary("chain-left", "a row of history is chained behind nothing", replaced=broken_history.chain_left),
        Canary("column-unsaid", "a step sets a column without a word", replaced=broken_history.column_unsaid),
        Canary("version-unsaid", "a run's version grows without a word", replaced=broken_history.version_unsaid),
    )
}
