"""Counts for Prometheus, in its text format. Counting is work: who asks twice within a few seconds is told the same."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator

from starlette.requests import Request
from starlette.responses import Response

from tailrace import __version__
from tailrace.service import views
from tailrace.service.pages import Paging
from tailrace.service.stores import Stores
from tailrace.web.asking import Asking

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_KEPT_SECONDS = 5.0
_MOST_JOBS = 1000

_Sample = tuple[dict[str, str], int]


class Metrics:
    """The counts of one server's metastore."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._text = ""
        self._until = 0.0

    async def reply(self, request: Request) -> Response:
        """They, as text."""
        if not self._text or time.monotonic() >= self._until:
            self._text = await self._asking.ask(metrics_text)
            self._until = time.monotonic() + _KEPT_SECONDS
        return Response(self._text, 200, {"cache-control": "no-store"}, MEDIA_TYPE)


def metrics_text(stores: Stores) -> str:
    """Every count there is."""
    stats, pools = views.dag_stats(stores, None), views.list_pools(stores)
    jobs = Counter((job.kind, job.state) for job in views.page_of_jobs(stores, Paging(_MOST_JOBS)).items)
    runs = [({"dag_id": each.dag_id, "state": state}, count) for each in stats for state, count in each.runs.items()]
    task_instances = [
        ({"dag_id": each.dag_id, "state": state}, count)
        for each in stats
        for state, count in each.task_instances.items()
    ]
    slots = [("", "slots"), ("running_", "running"), ("queued_", "queued"), ("open_", "open")]
    lines = [
        *_gauge("tailrace_info", "Which Tailrace this is.", [({"version": __version__}, 1)]),
        *_gauge("tailrace_runs", "Runs by state.", runs),
        *_gauge("tailrace_task_instances", "Task instances by state.", task_instances),
        *_gauge("tailrace_dag_paused", "Whether it is.", [({"dag_id": each.dag_id}, each.paused) for each in stats]),
        *_gauge(
            "tailrace_jobs",
            f"The newest {_MOST_JOBS:,} jobs by kind and state.",
            [({"kind": kind, "state": state}, count) for (kind, state), count in sorted(jobs.items())],
        ),
    ]
    for name, field in slots:
        of_pools = [({"pool": pool.name}, getattr(pool, field)) for pool in pools]
        lines += _gauge(f"tailrace_pool_{name}slots", f"The {name.replace('_', ' ')}slots of a pool.", of_pools)
    return "\n".join(lines) + "\n"


def _gauge(name: str, text: str, samples: Iterable[_Sample]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        of = ",".join(f'{key}="{_escaped(each)}"' for key, each in labels.items())
        yield f"{name}{{{of}}} {int(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
