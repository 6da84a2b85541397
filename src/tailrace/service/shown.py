"""The structs that the service returns, under one roof: what an interface names needs no metastore."""

from tailrace.metastore.commands.pools import PoolSummary
from tailrace.metastore.views.changes import Change
from tailrace.metastore.views.grid import Grid
from tailrace.metastore.views.jobs import Job
from tailrace.metastore.views.lists import Backfill, DagStats
from tailrace.metastore.views.recorded_xcoms import RecordedXCom
from tailrace.metastore.views.runs import Run
from tailrace.metastore.views.task_instances import TaskInstanceOfRun
from tailrace.metastore.views.versions import DagVersion
from tailrace.planning.explain_facts import TryFacts

__all__ = [
    "Backfill",
    "Change",
    "DagStats",
    "DagVersion",
    "Grid",
    "Job",
    "PoolSummary",
    "RecordedXCom",
    "Run",
    "TaskInstanceOfRun",
    "TryFacts",
]
