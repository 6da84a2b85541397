"""DAGs, as they were loaded last: no DAG file is read for a request."""

from tailrace.service import views
from tailrace.service.dag_views import DagDetails, DagListed
from tailrace.service.pages import Listed
from tailrace.service.shown import DagStats, DagVersion
from tailrace.service.stored_dags import page_of_stored_dags, stored_dag_details
from tailrace.service.stores import Stores
from tailrace.web.operations import Asked, AskedList, Operation


class OneDag(Asked, frozen=True, kw_only=True):
    """A DAG."""

    dag_id: str


class OneOrEveryDag(Asked, frozen=True, kw_only=True):
    """A DAG, or all."""

    dag_id: str | None = None


def list_dags(stores: Stores, asked: AskedList) -> Listed[DagListed]:
    """The DAGs that were ever loaded, by name."""
    return page_of_stored_dags(stores, asked.paging)


def show_dag(stores: Stores, asked: OneDag) -> DagDetails:
    """One DAG with its tasks, their groups and the labels between them."""
    return stored_dag_details(stores, asked.dag_id)


def list_dag_versions(stores: Stores, asked: OneDag) -> tuple[DagVersion, ...]:
    """Every structure that a DAG has had, the first of them first."""
    return views.dag_versions(stores, asked.dag_id)


def count_dags(stores: Stores, asked: OneOrEveryDag) -> tuple[DagStats, ...]:
    """The runs and task instances of one DAG, or of each that ever ran, by state."""
    return views.dag_stats(stores, asked.dag_id)


OPERATIONS = (
    Operation("/dags", list_dags),
    Operation("/dags/{dag_id}", show_dag),
    Operation("/dags/{dag_id}/versions", list_dag_versions),
    Operation("/dag-stats", count_dags),
)
