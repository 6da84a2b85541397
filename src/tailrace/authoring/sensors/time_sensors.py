"""Sensors of what is known beforehand or stands on a disk: a moment, a span after the data interval, a file."""

import glob
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from tailrace.authoring.arguments.datetimes import datetime_in
from tailrace.authoring.arguments.declarations import arguments_of
from tailrace.authoring.arguments.sensor_arguments import DELTA, FILEPATH, TARGET_TIME, FileArguments
from tailrace.authoring.sensors.poking import BaseSensorOperator
from tailrace.errors import SecretNotFound, TaskFailed
from tailrace.model.moments import moment_text
from tailrace.model.plain_text import shown
from tailrace.secrets.connection import Connection

if TYPE_CHECKING:
    from tailrace.authoring.operators.operator_arguments import (
        DateTimeSensorArguments,
        FileSensorArguments,
        TimeDeltaSensorArguments,
    )

#: Airflow has this Connection from the start, without a path; so it need not be set here.
_DEFAULT_CONNECTION = "fs_default"


class DateTimeSensor(BaseSensorOperator):
    """Waits until ``target_time``. It looks again then, not each ``poke_interval``."""

    template_fields: ClassVar[Sequence[str]] = ("target_time",)
    _declared = {**BaseSensorOperator._declared, "target_time": TARGET_TIME}
    target_time: Any

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[DateTimeSensorArguments]) -> None: ...

    def poke(self, context: Mapping[str, Any]) -> bool:
        """Whether the moment has come."""
        return datetime.now(UTC) >= self._target()

    def next_look(self, context: Mapping[str, Any]) -> datetime | None:
        """The moment itself."""
        return self._target()

    def _target(self) -> datetime:
        written = self.target_time
        try:
            meant = datetime.fromisoformat(written.strip()) if isinstance(written, str) else written
            return datetime_in(self.dag.timezone, meant).moment
        except ValueError as wrong:
            raise TaskFailed(f"target_time {shown(written)} is no moment: {wrong}") from None


class TimeDeltaSensor(BaseSensorOperator):
    """Waits until ``delta`` after the end of the data interval. It looks again then, not each ``poke_interval``."""

    _declared = {**BaseSensorOperator._declared, "delta": DELTA}
    delta: timedelta

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[TimeDeltaSensorArguments]) -> None: ...

    def poke(self, context: Mapping[str, Any]) -> bool:
        """Whether that moment has come."""
        return datetime.now(UTC) >= self._target(context)

    def next_look(self, context: Mapping[str, Any]) -> datetime | None:
        """That moment."""
        return self._target(context)

    def _target(self, context: Mapping[str, Any]) -> datetime:
        end: datetime = context["data_interval_end"]
        try:
            return end + self.delta
        except OverflowError:
            raise TaskFailed(f"{self.delta} after {moment_text(end)} is no date") from None


class FileSensor(BaseSensorOperator):
    """Waits for a file, or any file in a folder, on the worker's disk. ``filepath`` may be a pattern."""

    template_fields: ClassVar[Sequence[str]] = ("filepath",)
    _declared = {**BaseSensorOperator._declared, **arguments_of(FileArguments), "filepath": FILEPATH}
    filepath: Any
    fs_conn_id: str
    recursive: bool

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[FileSensorArguments]) -> None: ...

    def poke(self, context: Mapping[str, Any]) -> bool:
        """Whether a file fits."""
        pattern = os.path.join(self._base(), self.filepath)
        for path in glob.glob(pattern, recursive=self.recursive):
            if os.path.isfile(path):
                changed = moment_text(datetime.fromtimestamp(os.path.getmtime(path), UTC))
                print(f"found file {path}, last modified at {changed}", flush=True)
                return True
            if any(files for _, _, files in os.walk(path)):
                print(f"found files in {path}", flush=True)
                return True
        print(f"no file fits {pattern}", flush=True)
        return False

    def _base(self) -> str:
        if not self.fs_conn_id:
            return ""
        try:
            base = Connection.get(self.fs_conn_id).extra_dejson.get("path", "")
        except SecretNotFound:
            if self.fs_conn_id == _DEFAULT_CONNECTION:
                return ""
            raise
        if not isinstance(base, str):
            raise TaskFailed(f"Connection {self.fs_conn_id!r}: the path in its extra must be text, not {shown(base)}")
        return base
