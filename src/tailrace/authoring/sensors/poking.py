"""Sensors: tasks that look again and again whether something is there, and succeed once it is.

In mode *poke* a sensor holds its worker between two looks; in mode *reschedule* it gives it back and is executed anew,
in the same try. Either way ``timeout`` counts from the start of the try.
"""

import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack

from tailrace.authoring.arguments.declarations import arguments_of
from tailrace.authoring.arguments.sensor_arguments import SensorArguments
from tailrace.authoring.context.results import settled
from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.operators.shipped import PythonOperator
from tailrace.errors import SensorTimeout, TaskAwaits, TaskFailed, TaskRescheduled, TaskSkipped
from tailrace.model.awaited import Awaited
from tailrace.model.moments import moment_text

if TYPE_CHECKING:
    from tailrace.authoring.operators.operator_arguments import BaseSensorArguments, PythonSensorArguments

#: Of an exponential backoff: beyond so many doublings every wait is longer than any timeout.
_MOST_DOUBLINGS = 60


class PokeReturnValue:
    """What a look has come to: whether it is done, and then what the sensor returns, its XCom."""

    def __init__(self, is_done: bool, xcom_value: Any = None) -> None:
        self.is_done = is_done
        self.xcom_value = xcom_value

    def __bool__(self) -> bool:
        return bool(self.is_done)


class BaseSensorOperator(BaseOperator):
    """Looks by ``poke(context)`` whether what it waits for is there: something true, or a PokeReturnValue, ends it.

    Where ``timeout`` passes first it fails, without another try; with ``soft_fail`` it is skipped. What a look raises
    fails the try, as in any task; with ``silent_fail`` it counts as a no, with ``never_fail`` it skips.
    """

    _declared = {**BaseOperator._declared, **arguments_of(SensorArguments)}
    poke_interval: timedelta
    timeout: timedelta
    mode: str
    soft_fail: bool
    silent_fail: bool
    never_fail: bool
    exponential_backoff: bool
    max_wait: timedelta | None

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[BaseSensorArguments]) -> None: ...

    def poke(self, context: Mapping[str, Any]) -> "bool | PokeReturnValue":
        """Look once: whether it is there."""
        raise TypeError(f"{type(self).__name__} does not define poke(context)")

    def next_look(self, context: Mapping[str, Any]) -> datetime | None:
        """The moment before which another look cannot find anything; None where nobody knows one."""
        return None

    def awaits(self) -> Awaited | None:
        """What will have it look again, after a look that found it missing; None: the time alone."""
        return None

    @property
    def reschedule(self) -> bool:
        """Whether it gives its worker back between two looks."""
        return self.mode == "reschedule"

    def look_for_mistakes(self) -> None:
        """Note arguments that contradict each other."""
        super().look_for_mistakes()
        if type(self).poke is BaseSensorOperator.poke and type(self).execute is BaseSensorOperator.execute:
            self.mistake(f"{type(self).__name__} does not define poke(context)")
        if self.soft_fail and self.never_fail:
            self.mistake("soft_fail and never_fail: say one of them")

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Look until it is there; returns the XCom that the last look gave."""
        ti = context["ti"]
        gives_up = ti.start_date + self.timeout
        asked = ti.reschedules
        while True:
            asked += 1
            found = self._look(context)
            if found:
                print(f"asked {_times(asked)}: it is there", flush=True)
                return found.xcom_value if isinstance(found, PokeReturnValue) else None
            now = datetime.now(UTC)
            if now >= gives_up:
                raise self._timed_out(asked, now - ti.start_date)
            awaited = self.awaits() if self.reschedule else None
            at = gives_up if awaited else self._next_look(context, asked, now, gives_up)
            again = "is woken by what it waits for" if awaited else f"asks again at {moment_text(at)}"
            print(f"asked {_times(asked)}: not yet; {again}, times out at {moment_text(gives_up)}", flush=True)
            if awaited is not None:
                raise TaskAwaits(awaited, f"asked {_times(asked)}", times_out_at=gives_up)
            if self.reschedule:
                raise TaskRescheduled(at, f"asked {_times(asked)}", times_out_at=gives_up)
            time.sleep(max(0.0, (at - now).total_seconds()))

    def _look(self, context: Mapping[str, Any]) -> Any:
        try:
            return settled(self.poke(context))
        except (TaskSkipped, TaskRescheduled):
            raise
        except TaskFailed as failed:
            if self.soft_fail or self.never_fail:
                raise TaskSkipped(f"a look failed for good, and it may: {failed}") from failed
            raise
        except Exception as failed:
            if self.silent_fail:
                print(f"a look failed, which counts as a no:\n{traceback.format_exc().rstrip()}", flush=True)
                return False
            if self.never_fail:
                raise TaskSkipped(f"a look failed, and it never fails: {type(failed).__name__}: {failed}") from failed
            raise

    def _timed_out(self, asked: int, waited: timedelta) -> Exception:
        after = timedelta(seconds=int(waited.total_seconds()))
        text = f"it was not there after {after}, asked {_times(asked)} (its timeout is {self.timeout})"
        return TaskSkipped(text) if self.soft_fail or self.never_fail else SensorTimeout(text)

    def _next_look(self, context: Mapping[str, Any], asked: int, now: datetime, gives_up: datetime) -> datetime:
        """When to look next; the last look is at the timeout."""
        left = (gives_up - now).total_seconds()
        seconds = self.poke_interval.total_seconds()
        if self.exponential_backoff:
            seconds *= 2.0 ** min(asked - 1, _MOST_DOUBLINGS)
        if self.max_wait is not None:
            seconds = min(seconds, self.max_wait.total_seconds())
        known = self.next_look(context)
        if known is not None:
            seconds = (known - now).total_seconds()
        return now + timedelta(seconds=max(0.0, min(seconds, left)))


class PythonSensor(BaseSensorOperator, PythonOperator):
    """Looks by calling ``python_callable``: something true, or a PokeReturnValue that is done, ends it."""

    _declared = {**PythonOperator._declared, **BaseSensorOperator._declared}

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[PythonSensorArguments]) -> None: ...

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Call the function until what it returns is true; returns the XCom of its PokeReturnValue."""
        return self.each_key_apart(super().execute(context), context)

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        """Call the function once."""
        found = self.call(context)
        return found if isinstance(found, PokeReturnValue) else bool(found)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"
