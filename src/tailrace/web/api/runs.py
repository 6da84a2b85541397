"""Runs: those of all DAGs, or one by its id or its logical date."""

from typing import Annotated

from msgspec import Meta

from tailrace.model.states import DagRunState
from tailrace.service import explanations, views, xcoms
from tailrace.service.explanations import ExplainedRunDetails
from tailrace.service.pages import Listed
from tailrace.service.shown import Grid, RecordedXCom, Run
from tailrace.service.stores import Stores
from tailrace.service.views import RunDetails, Wanted
from tailrace.web.operations import Asked, AskedList, Operation


class Dated(AskedList, frozen=True, kw_only=True):
    """A list of what has a DAG and a logical date."""

    dag_id: Annotated[str | None, Meta(description="Of this DAG only.")] = None
    start: Annotated[str | None, Meta(description="From this logical date on; without an offset, in its zone.")] = None
    end: Annotated[str | None, Meta(description="Up to this logical date, its whole day included.")] = None

    @property
    def wanted(self) -> Wanted:
        """As the service is asked."""
        return Wanted(self.dag_id, self.start, self.end, self.limit)


class SomeRuns(Dated, frozen=True, kw_only=True):
    """Which runs."""

    state: Annotated[DagRunState | None, Meta(description="In this state only.")] = None
    failed_tasks: Annotated[bool, Meta(description="Only those in which a task failed.")] = False


class OneRun(Asked, frozen=True, kw_only=True):
    """A run."""

    dag_id: str
    run: Annotated[str, Meta(description="Its id, its logical date, or the day of just one run.")]


class ExplainedTasks(OneRun, frozen=True, kw_only=True):
    """A run, and of which of its tasks."""

    task: Annotated[
        tuple[str, ...], Meta(description="Only of this task, of all in a group, or whose ids fit a pattern.")
    ] = ()


class GridOfDag(Asked, frozen=True, kw_only=True):
    """Runs and tasks of a DAG."""

    dag_id: str
    start: Annotated[str | None, Meta(description="From this logical date on.")] = None
    end: Annotated[str | None, Meta(description="Up to this logical date, its whole day included.")] = None
    limit: Annotated[int, Meta(ge=1, le=10_000, description="At most so many runs, the newest.")] = 1000
    task: Annotated[tuple[str, ...], Meta(description="Only of this task, group or pattern; several times.")] = ()


def list_runs(stores: Stores, asked: SomeRuns) -> Listed[Run]:
    """Runs, newest logical date first."""
    return views.page_of_runs(stores, asked.wanted, asked.state, asked.paging, failed_tasks=asked.failed_tasks)


def show_grid(stores: Stores, asked: GridOfDag) -> Grid:
    """The states of a DAG's tasks over its newest runs: a letter for each, of a mapped task the worst."""
    return views.grid(stores, Wanted(asked.dag_id, asked.start, asked.end, asked.limit), asked.task)


def show_run(stores: Stores, asked: OneRun) -> RunDetails:
    """One run with its task instances."""
    return views.show_run(stores, asked.dag_id, asked.run)


def explain_run(stores: Stores, asked: ExplainedTasks) -> ExplainedRunDetails:
    """What a run and each of its task instances wait for, and what would release them."""
    explained = explanations.explained(stores, asked.dag_id, asked.run)
    instances = explanations.instances_of_all(explained, asked.task, stores.typed)
    return explanations.explained_run(explained, instances, stores.typed)


def list_xcoms(stores: Stores, asked: OneRun) -> tuple[RecordedXCom, ...]:
    """What the tasks of a run have left for others; of long values only the beginning."""
    return xcoms.list_xcoms(stores, asked.dag_id, asked.run)


OPERATIONS = (
    Operation("/runs", list_runs),
    Operation("/dags/{dag_id}/grid", show_grid),
    Operation("/dags/{dag_id}/runs/{run}", show_run),
    Operation("/dags/{dag_id}/runs/{run}/explain", explain_run),
    Operation("/dags/{dag_id}/runs/{run}/xcoms", list_xcoms),
)
