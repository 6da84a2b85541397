"""Backfills: how each stands, the runs that it wants, and what it would report if it ended now."""

from typing import Annotated

from msgspec import Meta

from tailrace.service import views
from tailrace.service.backfill_report import BackfillEnded
from tailrace.service.pages import Listed
from tailrace.service.reported_backfills import report_of
from tailrace.service.shown import Backfill, Run
from tailrace.service.stores import Stores
from tailrace.service.views import BackfillDetails
from tailrace.web.operations import Asked, AskedList, Operation

BackfillId = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class SomeBackfills(AskedList, frozen=True, kw_only=True):
    """Which backfills."""

    dag_id: Annotated[str | None, Meta(description="Of this DAG only.")] = None


class OneBackfill(Asked, frozen=True, kw_only=True):
    """A backfill."""

    backfill_id: BackfillId


class RunsOfBackfill(AskedList, frozen=True, kw_only=True):
    """The runs of a backfill."""

    backfill_id: BackfillId


def list_backfills(stores: Stores, asked: SomeBackfills) -> Listed[Backfill]:
    """Backfills, newest first."""
    return views.page_of_backfills(stores, asked.dag_id, asked.paging)


def show_backfill(stores: Stores, asked: OneBackfill) -> BackfillDetails:
    """One backfill, with what stands in its way."""
    return views.show_backfill(stores, asked.backfill_id)


def list_backfill_runs(stores: Stores, asked: RunsOfBackfill) -> Listed[Run]:
    """The runs that a backfill wants, in its order."""
    return views.page_of_backfill_runs(stores, asked.backfill_id, asked.paging)


def report_backfill(stores: Stores, asked: OneBackfill) -> BackfillEnded:
    """What its command reports when it ends: counts, failures by task and error, and what they go back to."""
    return report_of(stores, asked.backfill_id)


OPERATIONS = (
    Operation("/backfills", list_backfills),
    Operation("/backfills/{backfill_id}", show_backfill),
    Operation("/backfills/{backfill_id}/runs", list_backfill_runs),
    Operation("/backfills/{backfill_id}/report", report_backfill),
)
