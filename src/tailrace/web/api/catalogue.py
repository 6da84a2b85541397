"""All operations of the API."""

from tailrace.web.api import backfills, dags, runs, stored, task_instances

OPERATIONS = (
    *dags.OPERATIONS,
    *runs.OPERATIONS,
    *task_instances.OPERATIONS,
    *backfills.OPERATIONS,
    *stored.OPERATIONS,
)
