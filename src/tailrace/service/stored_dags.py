"""DAGs as the metastore keeps them, as they were loaded last: no file is read, and no code of one is run."""

from datetime import UTC, datetime

from tailrace.errors import NotFound
from tailrace.metastore.views.loaded import LoadedDag
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.schedules import ScheduleFacts
from tailrace.service.dag_views import DagDetails, DagListed, dag_details, dag_listed
from tailrace.service.pages import BY_NAME, Listed, Paging, listed, place_of
from tailrace.service.stores import Stores


def page_of_stored_dags(stores: Stores, paging: Paging) -> Listed[DagListed]:
    """Some of the DAGs that were ever loaded, by name; whether they are in their files still, nobody has looked."""
    metastore, place = stores.reading(), place_of(paging, BY_NAME)
    if metastore is None:
        return Listed()
    page, now = listed(metastore.page_of_loaded_dags(place)), datetime.now(UTC)
    return Listed(tuple(_listed(each, now) for each in page.items), page.cursor)


def stored_dag_details(stores: Stores, dag_id: str) -> DagDetails:
    """One DAG with its tasks; one that no job of today has loaded, as it ran last. Raises NotFound for no such DAG."""
    metastore = stores.reading()
    if metastore is not None:
        loaded = metastore.loaded_dag(dag_id)
        if loaded is not None:
            return dag_details(loaded.spec, loaded.schedule, loaded.last_pause)
        spec = metastore.stored_dag(dag_id)
        if spec is not None:
            return dag_details(spec, ScheduleFacts(), None)
    known = () if metastore is None else metastore.known_dags()
    raise NotFound(f"no DAG {dag_id!r} has ever been loaded here{did_you_mean(dag_id, known)}")


def _listed(loaded: LoadedDag, now: datetime) -> DagListed:
    return dag_listed(loaded.spec, loaded.schedule, loaded.last_pause, now, missing=None)
