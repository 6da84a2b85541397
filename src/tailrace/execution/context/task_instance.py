"""What templates and Python callables see: Airflow's names, plain values, aware datetimes in UTC."""

import importlib
import inspect
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn, Self

from tailrace.authoring.arguments.params import Params
from tailrace.authoring.context.current import Context, Given
from tailrace.authoring.context.moments import Moment
from tailrace.authoring.context.recorded import DagRun
from tailrace.authoring.dags.dag import DAG, BaseOperator
from tailrace.authoring.relations.xcom_args import RETURN_VALUE, mapped_group_of
from tailrace.execution.context.macros import MACROS
from tailrace.execution.context.recorded_calls import RecordedCalls
from tailrace.execution.context.schedule_names import of_schedule
from tailrace.execution.context.secret_names import CONN, VAR
from tailrace.execution.logs.files import log_path
from tailrace.execution.messages.record_requests import PullXCom
from tailrace.execution.xcoms.frames import Frames
from tailrace.execution.xcoms.values import stored_xcom
from tailrace.model.json_values import stored_form
from tailrace.model.keys import GREATEST_MAP_INDEX, UNMAPPED, TryKey, index_suffix
from tailrace.model.names import key_error, search_error
from tailrace.model.tagged_values import Tagged

#: Frames of these files are no code of the author's; in the second one his begins.
_PACKAGE = str(Path(__file__).parents[2]) + "/"
_OF_PROCESS = str(Path(__file__).parents[1] / "tries" / "process.py")


def try_token(key: TryKey, token: int) -> str:
    """The token as user code gets it: unique to this claim of this try, so it can serve as an idempotency key."""
    ti = key.task_instance
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}/{key.try_number}#{token}"


class TaskInstance(RecordedCalls):
    """The ``ti`` of a running task: its names, XCom, and what may be asked about recorded runs."""

    state = "running"
    end_date: Moment | None = None
    duration: float | None = None
    task: BaseOperator
    dag_run: DagRun
    log = logging.getLogger("tailrace.task")

    def __init__(self, key: TryKey, order: Mapping[str, Any], pull: PullXCom) -> None:
        ti = key.task_instance
        self.dag_id, self.task_id, self.run_id, self.map_index = ti.dag_id, ti.task_id, ti.run_id, ti.map_index
        self.try_number = key.try_number
        self.max_tries: int = order["max_tries"]
        self.key = ti
        self.logical_date = self.execution_date = Moment.fromisoformat(order["logical_date"])
        self.start_date = Moment.fromisoformat(order["started_at"])
        self.try_token = try_token(key, order["token"])
        self.reschedules: int = order["reschedules"]  # how often this try has given its worker back
        self.pushed: dict[str, Any] = {}
        self._frames = Frames(key, order["token"])
        self._pull = pull
        self._process = os.getpid()
        self._pushing = threading.RLock()
        self._is_over = False

    @property
    def hostname(self) -> str:
        """The name of the host that the task runs on."""
        return socket.gethostname()

    @property
    def pid(self) -> int:
        """The process that the task runs in."""
        return self._process

    @property
    def log_url(self) -> str:
        """Where its log is, as a URL of the file."""
        key = TryKey(self.key, self.try_number)
        return log_path(Path(os.environ.get("TAILRACE_HOME", "")).absolute(), key).as_uri()

    @property
    def prev_attempted_tries(self) -> int:
        """How many tries there were before this one."""
        return self.try_number - 1

    @property
    def operator(self) -> str:
        """The name of its operator's class."""
        return type(self.task).__name__

    @property
    def pool(self) -> str:
        """The pool of its task."""
        return self.task.pool

    @property
    def priority_weight(self) -> int:
        """That of its task."""
        return self.task.priority_weight

    def get_dagrun(self) -> DagRun:
        """The run that it is of."""
        return self.dag_run

    def current_state(self) -> str:
        """``running``; in a callback what it came to."""
        return self.state

    def xcom_push(self, key: str, value: Any) -> None:
        """Give ``value`` to other tasks under ``key``; it lands if and when the try succeeds or ends."""
        if wrong := key_error(key):
            raise _not_meant(key, f"xcom_push: key must be {wrong}")
        self.keep(key, value, self._place_of_caller())

    def keep(self, key: str, value: Any, at: tuple[str, int]) -> None:
        """The same for a value of the code at this place."""
        kept = stored_xcom(value, f"the XCom {key!r} of {self.task_id}", at, self._frames, (str.__str__(key), self.key))
        with self._pushing:
            self._require_own_try()
            self.pushed[str.__str__(key)] = kept

    def all_pushed(self) -> dict[str, Any]:
        """What was pushed. A thread that lives on and pushes or pulls from now on gets an error: it is too late."""
        with self._pushing:
            self._is_over = True
            return dict(self.pushed)

    def xcom_pull(
        self,
        task_ids: str | Iterable[str] | None = None,
        key: str = RETURN_VALUE,
        default: Any = None,
        *,
        dag_id: str | None = None,
        run_id: str | None = None,
        map_indexes: int | None = None,
        include_prior_dates: bool = False,
    ) -> Any:
        """What other tasks of the run gave under ``key``: one value for one task id, a list for several.

        For a mapped task the value is the list of all its map indexes' values, unless ``map_indexes`` names one; for a
        task of the same mapped group it is that of the own index.
        Without task ids it is the value of the last task, in topological order, that has one. With
        ``include_prior_dates`` a task that has left none in this run gives what it left in the run of the latest
        earlier logical date that has one, in whatever order the runs were made.
        """
        ids = _several(task_ids)
        asked = self.dag_id if dag_id is None else dag_id, self.run_id if run_id is None else run_id
        _require_names(task_ids=ids, key=(key,), dag_id=asked[:1], run_id=asked[1:])
        _require_index(map_indexes)
        self._require_own_try()
        if task_ids is not None and not ids:
            return []
        until = (self.logical_date.as_datetime(),) if include_prior_dates else ()
        named = tuple(dict.fromkeys(ids))
        in_own_group = map_indexes is None and asked == (self.dag_id, self.run_id)
        beside = tuple(each for each in named if in_own_group and self._is_beside(each))
        found: list[list[Any]] = []
        if len(beside) < len(named) or not named:
            apart = tuple(each for each in named if each not in beside)
            found += self._pull(*asked, apart, key, map_indexes, *until)
        if beside:
            found += self._pull(*asked, beside, key, self.map_index, *until)
        if key in self.pushed and asked == (self.dag_id, self.run_id) and self.task_id in ids:
            # Its own pushes land with its outcome; until then they are known here only.
            found = [row for row in found if row[0] != self.task_id]
            own = self.pushed[key]
            found.append([self.task_id, self.map_index, own if isinstance(own, Tagged) else stored_form(own)])
        by_task: dict[str, list[tuple[int, Any]]] = {}
        for task_id, map_index, stored in found:
            value = self._value(stored, f"the XCom {key!r} of {task_id}{index_suffix(map_index)}")
            by_task.setdefault(task_id, []).append((map_index, value))
        values = {
            task_id: entries[0][1]
            if len(entries) == 1 and (entries[0][0] == UNMAPPED or map_indexes is not None or task_id in beside)
            else [value for _, value in sorted(entries, key=itemgetter(0))]
            for task_id, entries in by_task.items()
        }
        if isinstance(task_ids, str):
            return values.get(task_ids, default)
        if task_ids is None:
            return next(reversed(values.values()), default)
        return [values.get(task_id, default) for task_id in ids]

    def _is_beside(self, task_id: str) -> bool:
        """Whether the task is in the mapped group that this one is in: then there is one of it for each index."""
        group = mapped_group_of(getattr(self, "task", None))
        return group is not None and mapped_group_of(self.task.dag.task_dict.get(task_id)) is group

    @staticmethod
    def _value(stored: Any, where: str) -> Any:
        """Its own copy, made of what is stored; plain JSON from elsewhere is one already."""
        if isinstance(stored, Tagged):
            found: Any = importlib.import_module("tailrace.execution.xcoms.reading")
            return found.value_of(stored, where)
        return stored

    def _place_of_caller(self) -> tuple[str, int]:
        """The line of the author's code that pushes; where an operator of ours does, that of its function or task."""
        frame = sys._getframe(2)
        while frame.f_code.co_filename.startswith(_PACKAGE):
            if frame.f_back is None or frame.f_code.co_filename == _OF_PROCESS:
                return place_of(self.task)
            frame = frame.f_back
        return frame.f_code.co_filename, frame.f_lineno

    def _require_own_try(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError("XComs are pushed and pulled in the task's own process, not in one that it has forked")
        if self._is_over:
            raise RuntimeError("XComs are pushed and pulled until the try ends, and this one has ended")

    def __reduce__(self) -> NoReturn:
        raise TypeError("XComs are pushed and pulled in the task's own process: ti cannot be sent to another")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __str__(self) -> str:
        return f"<TaskInstance: {self.dag_id}.{self.task_id} {self.run_id} [running]>"


def place_of(task: BaseOperator) -> tuple[str, int]:
    """File and line of the function that a task calls, else of the task."""
    code = getattr(inspect.unwrap(getattr(task, "python_callable", place_of)), "__code__", place_of.__code__)
    return task.written_at if code is place_of.__code__ else (code.co_filename, code.co_firstlineno)


def _several(task_ids: Any) -> tuple[Any, ...]:
    if task_ids is None:
        return ()
    if isinstance(task_ids, str):
        return (task_ids,)
    if not isinstance(task_ids, Iterable):
        raise TypeError(f"xcom_pull: task_ids must be a task id, or several, not {task_ids!r}")
    return tuple(task_ids)


def _require_names(**names: Sequence[Any]) -> None:
    for argument, values in names.items():
        for value in values:
            if wrong := search_error(value):
                raise _not_meant(value, f"xcom_pull: {argument} must be {wrong}")


def _require_index(map_index: Any) -> None:
    if map_index is None:
        return
    if not isinstance(map_index, int) or isinstance(map_index, bool):
        raise TypeError(f"xcom_pull: map_indexes must be one index, a whole number, not {map_index!r}")
    if not UNMAPPED <= map_index <= GREATEST_MAP_INDEX:
        raise ValueError("xcom_pull: map_indexes is no index that a task instance can have")


def _not_meant(value: object, message: str) -> Exception:
    """As Python has it: a value of the wrong kind, or one of the right kind that cannot be."""
    return ValueError(message) if isinstance(value, str) else TypeError(message)


def _params(of_dag: Params, of_task: Params, conf: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run's conf over what the task has for it, over what the DAG has."""
    return Given({**of_dag, **of_task, **conf})


def build_context(dag: DAG, order: Mapping[str, Any], ti: TaskInstance) -> Context:
    """Every variable a template may use, by name."""
    start, end = (Moment.fromisoformat(text) for text in order["data_interval"])
    logical = ti.logical_date
    conf = Given(order["run_conf"])
    run = ti.dag_run = DagRun(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        run_type=order["run_type"],
        state="running",
        logical_date=logical,
        data_interval_start=start,
        data_interval_end=end,
        start_date=_moment(order["run_started_at"]),
        conf=conf,
    )
    task = ti.task = dag.task_dict[ti.task_id]
    past_start, past_end, past_began, past_ended = map(_moment, order["previous_success"] or (None,) * 4)
    day = logical.strftime("%Y-%m-%d")
    stamp = logical.isoformat()
    values = {
        **dag.user_defined_macros,
        "dag": dag,
        "task": task,
        "ti": ti,
        "task_instance": ti,
        "task_instance_key_str": f"{ti.dag_id}__{ti.task_id}__{logical.strftime('%Y%m%d')}",
        "dag_run": run,
        "run_id": ti.run_id,
        "try_number": ti.try_number,
        "logical_date": logical,
        "execution_date": logical,
        "data_interval_start": start,
        "data_interval_end": end,
        "ds": day,
        "ds_nodash": day.replace("-", ""),
        "ts": stamp,
        "ts_nodash": logical.strftime("%Y%m%dT%H%M%S"),
        "ts_nodash_with_tz": stamp.replace("-", "").replace(":", ""),
        "prev_data_interval_start_success": past_start,
        "prev_data_interval_end_success": past_end,
        "prev_execution_date_success": past_start,
        "prev_start_date_success": past_began,
        "prev_end_date_success": past_ended,
        "conf": conf,
        "params": _params(dag.params, task.params, conf),
        "macros": MACROS,
        "var": VAR,
        "conn": CONN,
    }
    return Context(values, lambda: of_schedule(dag.schedule, dag.start_date, logical))


def _moment(text: str | None) -> Moment | None:
    return None if text is None else Moment.fromisoformat(text)
