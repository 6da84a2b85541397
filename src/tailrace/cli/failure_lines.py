"""A line for each try that failed, as it happens; those of one kind are counted only, once enough were shown."""

from collections.abc import Callable
from datetime import datetime, timedelta

from tailrace.cli.console import plural
from tailrace.cli.fitting import command_lines, cut, width_of, wrapped
from tailrace.effects.events import FailedCallback
from tailrace.effects.tries import FailedTry
from tailrace.model.durations import rough_duration
from tailrace.model.keys import UNMAPPED, TaskInstanceKey
from tailrace.model.moments import clock_text
from tailrace.model.states import TaskInstanceState
from tailrace.planning.failure_groups import same_error

#: So many lines are shown of failures of one task with the same error, of one task, and of all.
_OF_A_GROUP, _OF_A_TASK, _OF_ALL = 5, 20, 200

#: So much of an error is worth reading, in columns.
_LEAST_OF_AN_ERROR = 30

#: A scheduler, which has no end, begins to show and count anew after so long.
_ANEW = timedelta(hours=1)


class FailureLines:
    """Makes the lines. ``of_many`` DAGs: each is named. With a ``clock`` all are shown anew after an hour."""

    def __init__(self, *, of_many: bool = False, clock: Callable[[], datetime] | None = None) -> None:
        self._of_many = of_many
        self._clock = clock
        self._since: datetime | None = None
        self._told: dict[tuple[str, ...], int] = {}
        self._left_out = 0

    def lines(self, failed: FailedTry, columns: int) -> list[str]:
        """What to print of this one: its line and the command for its log; or nothing, once enough was printed."""
        key = failed.key.task_instance
        of_task = (key.dag_id, key.task_id)
        counts = (((), _OF_ALL), (of_task, _OF_A_TASK), ((*of_task, same_error(failed.error)), _OF_A_GROUP))
        lines = self.left_out()
        if self._clock is not None:
            self._since = self._since or self._clock()
        if any(self._told.get(what, 0) >= most for what, most in counts):
            self._left_out += 1
            return lines
        lines += failure_lines(failed, columns, named_dag=self._of_many)
        for what, _ in counts:
            self._told[what] = self._told.get(what, 0) + 1
        full = [what for what, most in counts if self._told[what] == most]
        if full:
            lines += wrapped(self._further(full[0], key), columns)
        return lines

    def of_callback(self, failed: FailedCallback, columns: int) -> list[str]:
        """The same of a callback that failed."""
        key = failed.key.task_instance
        of_callback = (key.dag_id, key.task_id, failed.callback)
        self._since = self._since or (None if self._clock is None else self._clock())
        told = self._told[of_callback] = self._told.get(of_callback, 0) + 1
        if told > _OF_A_GROUP:
            self._left_out += 1
            return []
        lines = callback_lines(failed, columns)
        if told == _OF_A_GROUP:
            until = "until the end" if self._clock is None else "for an hour"
            lines += wrapped(f"further such failures of {failed.callback} are counted and not listed {until}", columns)
        return lines

    def left_out(self) -> list[str]:
        """Once the hour is over: how many were counted only. From then on all are shown anew."""
        if self._clock is None or self._since is None or self._clock() - self._since < _ANEW:
            return []
        count, since = self._left_out, self._since
        self._since, self._left_out = None, 0
        self._told.clear()
        return [f"{plural(count, 'more failure')} since {clock_text(since)}, counted and not listed"] if count else []

    def _further(self, what: tuple[str, ...], key: TaskInstanceKey) -> str:
        until = "until the end" if self._clock is None else "for an hour"
        if not what:
            return f"further failures are counted and not listed {until}"
        such = "such failures" if len(what) > 2 else "failures"
        return f"further {such} of {_name(key, self._of_many)} are counted and not listed {until}"


def failure_lines(failed: FailedTry, columns: int, *, named_dag: bool = False) -> list[str]:
    """What became of the try, with its error's first line, and the command for its log: on one line if it fits."""
    key = failed.key.task_instance
    retried = failed.state is TaskInstanceState.UP_FOR_RETRY
    if retried:
        soon = failed.retry_seconds < 1
        again = "again at once" if soon else f"again in {rough_duration(failed.retry_seconds)}"
        head = f"{'lost' if failed.lost else 'failed'}, {again}"
    else:
        head = "failed"
    tries = f" (try {failed.key.try_number} of {failed.max_tries})" if failed.max_tries > 1 else ""
    error = failed.error.partition("\n")[0]
    what = f"{head}: {_name(key, named_dag)} @ {run_text(key.run_id)}{tries}"
    words = [*log_words(key), *(["--try", str(failed.key.try_number)] if retried else [])]
    command = command_lines(words, columns)
    whole = f"{what}: {error}; log:{command[0][1:]}"
    if len(command) == 1 and width_of(whole) <= columns:
        return [whole]
    return [*with_error(what, ": ", error, columns), *command]


def callback_lines(failed: FailedCallback, columns: int) -> list[str]:
    """How a callback failed, and the command for the log that its output is in."""
    key = failed.key.task_instance
    about = {"task_instance": f"{_name(key, True)} @ {run_text(key.run_id)}", "backfill": f"a backfill of {key.dag_id}"}
    what = f"{failed.callback} of {about.get(failed.kind, f'{key.dag_id} @ {run_text(key.run_id)}')} failed"
    if not key.task_id:
        return wrapped(f"{what}: {failed.error}", columns)
    number = ["--try", str(failed.key.try_number)] if failed.key.try_number else []
    command = command_lines([*log_words(key), *number, "--callbacks"], columns)
    whole = f"{what}: {failed.error}; log:{command[0][1:]}"
    if len(command) == 1 and width_of(whole) <= columns:
        return [whole]
    return [*with_error(what, ": ", failed.error, columns), *command]


def log_words(key: TaskInstanceKey) -> list[str]:
    """The command that shows the log of its latest try."""
    index = [] if key.map_index == UNMAPPED else ["--map-index", str(key.map_index)]
    return ["tailrace", "tasks", "logs", key.dag_id, key.task_id, run_named(key.run_id), *index]


def with_error(what: str, between: str, error: str, columns: int) -> list[str]:
    """What failed, and behind it the error; on a line of its own where hardly anything of it could be read."""
    room = columns - width_of(what + between)
    if room >= min(_LEAST_OF_AN_ERROR, width_of(error)):
        return [cut(f"{what}{between}{error}", columns)]
    return [cut(what.rstrip(), columns), cut(f"    {error}", columns)]


def run_named(run_id: str) -> str:
    """A run in a command, as short as it can be named without ambiguity: by its logical date, if its id has it."""
    kind, _, date = run_id.partition("__")
    try:
        datetime.fromisoformat(date)
    except ValueError:
        return run_id
    if kind not in ("backfill", "scheduled"):
        return run_id
    return date.removesuffix(":00+00:00") + "Z" if date.endswith(":00+00:00") else date


def run_text(run_id: str) -> str:
    """A run in a sentence: the day, where it is the run of one."""
    return run_named(run_id).removesuffix("T00:00Z")


def _name(key: TaskInstanceKey, with_dag: bool) -> str:
    return f"{key.dag_id}.{key.place}" if with_dag else key.place
