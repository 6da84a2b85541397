"""What a task's ``ti`` can be asked about recorded runs, under the names of Airflow's."""

from datetime import datetime
from typing import Any

from tailrace.authoring.context import recorded
from tailrace.authoring.context.moments import Moment
from tailrace.authoring.context.recorded import DagRun, TaskInstanceRecord


class RecordedCalls:
    """Of the ``ti`` of a running task: each call is one question to its worker."""

    dag_id: str
    task_id: str
    map_index: int
    logical_date: Moment

    get_ti_count = staticmethod(recorded.get_ti_count)
    get_task_states = staticmethod(recorded.get_task_states)
    get_dr_count = staticmethod(recorded.get_dr_count)
    get_dagrun_state = staticmethod(recorded.get_dagrun_state)

    def get_previous_dagrun(self, state: Any = None) -> DagRun | None:
        """The run of this DAG of the latest earlier logical date; with ``state``, of those in this state."""
        return recorded.previous_run(self.dag_id, self.logical_date, state)

    def get_previous_start_date(self, state: Any = None) -> Moment | None:
        """When that run began."""
        found = self.get_previous_dagrun(state)
        return None if found is None else found.start_date

    def get_previous_execution_date(self, state: Any = None) -> Moment | None:
        """Its logical date."""
        found = self.get_previous_dagrun(state)
        return None if found is None else found.logical_date

    get_previous_logical_date = get_previous_execution_date

    def get_previous_ti(
        self, state: Any = None, logical_date: datetime | None = None, map_index: int | None = None
    ) -> TaskInstanceRecord | None:
        """This task's instance of the latest logical date before this one (or before ``logical_date``).

        With ``state``, of those in this state. Of a mapped task the one of the same map index, or of ``map_index``.
        """
        before = self.logical_date if logical_date is None else logical_date
        index = self.map_index if map_index is None else map_index
        return recorded.previous_task_instance(self.dag_id, self.task_id, index, before, state)

    @property
    def previous_ti(self) -> TaskInstanceRecord | None:
        """``get_previous_ti()``."""
        return self.get_previous_ti()

    @property
    def previous_ti_success(self) -> TaskInstanceRecord | None:
        """``get_previous_ti(state="success")``."""
        return self.get_previous_ti(state="success")
