"""What a backfill command asks, what the metastore knows about its range, and what creating it would write.

The types only; ``creation`` decides. The same result is the preview of ``--dry-run`` and what one transaction writes.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct, field

from tailrace.model.intervals import DataInterval
from tailrace.model.parts import RunPart
from tailrace.model.states import DagRunState
from tailrace.planning.messages import Message
from tailrace.planning.snapshot import RunSnapshot


class Reprocess(StrEnum):
    """What a backfill does again in runs that exist."""

    MISSING = "missing"  # task instances without an outcome
    FAILED = "failed"  # those, and failed, upstream_failed, and the skips they caused
    ALL = "all"  # everything


#: The conf of a request that takes runs' conf away; one that says nothing about conf (None) lets them keep it.
NO_CONF = "{}"


class BackfillRequest(Struct, frozen=True):
    """What the person asked for. ``start`` and ``end`` are logical dates, inclusive, aware, in UTC."""

    dag_id: str
    start: datetime
    end: datetime
    reprocess: Reprocess = Reprocess.MISSING
    new: bool = False
    conf: str | None = None  # canonical JSON text of an object; None: runs keep what they have
    disable_retry: bool = False
    mark_success: bool = False
    ignore_first_depends_on_past: bool = False
    pool: str | None = None
    max_active_runs: int | None = None
    backwards: bool = False
    stop_on_failure: bool = False
    detached: bool = False  # schedulers drive it
    part: tuple[str, ...] | None = None  # the tasks that it does, in the DAG's order; None: all

    @property
    def given_conf(self) -> str | None:
        """The conf that it gives to runs, as they store it: None for an empty one."""
        return None if self.conf == NO_CONF else self.conf

    @property
    def fingerprint(self) -> str:
        """The identity of this backfill: DAG, range and the options that affect outcomes; order and limits do not."""
        parts: dict[str, object] = {
            "dag_id": self.dag_id,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "reprocess": self.reprocess,
            "conf": self.conf,
            "disable_retry": self.disable_retry,
            "mark_success": self.mark_success,
            "ignore_first_depends_on_past": self.ignore_first_depends_on_past,
        }
        if self.part is not None:
            parts["part"] = sorted(self.part)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class PastFacts(Struct, frozen=True):
    """What stands before and after the range, for a DAG that depends on the past.

    ``before`` are the tasks for which a run before the range counts, with that run's id; ``undriven`` is a later one,
    still before the range, that is open and that nobody drives: it is not waited for. ``done_after`` counts the closed
    runs behind the range that look back at it, ``first_after`` is the first of them.
    """

    before: Mapping[str, str]
    undriven: str | None = None
    done_after: int = 0
    first_after: str | None = None


class BackfillFacts(Struct, frozen=True):
    """What the metastore knows about the range, read in one transaction."""

    now: datetime
    dag_paused: bool = False
    existing: Mapping[datetime, RunSnapshot] = field(default_factory=lambda: MappingProxyType({}))
    past: "PastFacts | None" = None  # of a DAG that depends on the past
    open_with_fingerprint: int | None = None  # the unfinished backfill this command continues
    done_with_fingerprint: int | None = None  # the newest backfill of this command that has ended
    pools: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))  # slots by name


class DateAction(StrEnum):
    """What a backfill does about one date of its range."""

    CREATE = "create"  # no run yet
    AWAIT = "await"  # its run is queued or running; nothing in flight is reset
    REPROCESS = "reprocess"  # its run is closed and goes again, in part or whole
    LEAVE = "leave"  # its run is closed and stays as it is


class DatePlan(Struct, frozen=True):
    """One date of the range: what is done about it, and why."""

    interval: DataInterval
    action: DateAction
    reason: str
    run_id: str
    existing_id: int | None = None
    expected_version: int | None = None
    to_run: int = 0  # task instances of it that have yet to come to an outcome, or to another one
    clear: tuple[str, ...] = ()  # task ids to clear when the run is activated
    conf: str | None = None  # of its run, from now on
    must_be_queued: bool = False  # stale if its run begins meanwhile: it could not take what this backfill gives it
    ignore_depends_on_past: bool = False
    stored: DataInterval | None = None  # that of its run, if there is one: what its tasks get
    part: RunPart | None = None  # what is done in its run from now on, where that is not simply all
    must_be_open: bool = False  # stale if its run closes meanwhile: what joins it would not be done
    left_as: DagRunState | None = None  # how the part of a run that is left has ended
    left_out: tuple[str, ...] = ()  # tasks above what is done that the part leaves out and that have not succeeded
    refused: tuple[str, ...] = ()  # options by which it would change what its open run is to do for others
    awaits_more: bool = False  # its open run has what is done wait for tasks that the part leaves out

    @property
    def data_interval(self) -> DataInterval:
        """The data interval of the date's run, which may have been created under another schedule."""
        return self.interval if self.stored is None else self.stored


class BackfillCreation(Struct, frozen=True):
    """Everything creation writes, or why it is refused. Applied as a whole or not at all."""

    request: BackfillRequest
    dates: tuple[DatePlan, ...]  # in activation order
    continues: int | None = None
    done_by: int | None = None  # the backfill of this same command that has done all of it: nothing need be written
    refusals: tuple[Message, ...] = ()  # not empty: nothing may be written
    notices: tuple[Message, ...] = ()  # for the person
