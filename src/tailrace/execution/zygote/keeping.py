"""Keeps a zygote for an executor: another takes the place of one that died, with the code that was loaded first.

What cannot be had just now (a process, a descriptor) is reported once, and asked for again a moment later.
"""

import errno
import time
from collections.abc import Callable

from tailrace.errors import EnvironmentBroken
from tailrace.execution.messages.loading_process import LoadReport
from tailrace.execution.system.running_marks import RunningMarks
from tailrace.execution.system.shortage import shortage_text
from tailrace.execution.zygote.handle import ZygoteHandle

#: So often in a row the zygote may die while nothing runs in it, before the job gives up.
DEATHS_IN_A_ROW = 4

#: One that has lived so long is able to live.
_LONG_SECONDS = 60.0
#: A zygote that hung up on a worker has this long to have ended; else it only had no descriptor left for its line.
_ENDING_SECONDS = 2.0
#: Whatever could not be had is tried again after so many seconds.
AGAIN_SECONDS = 1.0


class ZygoteKeeper:
    """One zygote at a time, and the marks of the workers that have tries in it. ``notify`` is called with lines for a
    person.
    """

    def __init__(self, zygote: ZygoteHandle, workers: int, notify: Callable[[str], None]) -> None:
        self.zygote = zygote
        self.report: LoadReport = zygote.loaded()
        self.marks = RunningMarks(workers)
        self.shortage = ""  # what could not be had
        self._workers = workers
        self._notify = notify
        self._is_loading = False  # another, in the place of one that died
        self._deaths = 0
        self._ready_since = time.monotonic()
        self._again_at = 0.0
        self._shortage_reported = False

    def is_ready(self) -> bool:
        """Whether workers can be started now; sees to it that they can be soon."""
        if time.monotonic() < self._again_at:
            return False
        try:
            if self._is_loading and self.zygote.is_loaded():
                self._is_loading, self._ready_since = False, time.monotonic()
                self._compare(self.zygote.loaded())
        except EnvironmentBroken as trouble:  # no process to load the DAG files in
            self.set_shortage(str(trouble))
        return not self._is_loading

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to be had, so that ``is_ready`` must be asked again soon."""
        return self._is_loading or bool(self.shortage)

    def set_shortage(self, what: str) -> None:
        """Something could not be had: nothing is asked for in the next moment."""
        self.shortage, self._again_at = what, time.monotonic() + AGAIN_SECONDS

    def write_line(self, shortage: str) -> None:
        """Say once what tries cannot be begun for want of, and once that it is there again."""
        if shortage and not self._shortage_reported:
            self._notify(f"{shortage}; what waits for it begins when it is there again")
        elif self._shortage_reported and not shortage:
            self._notify("tries can be begun again")
        self._shortage_reported = bool(shortage)

    def try_ended(self) -> None:
        """The zygote does its work."""
        self._deaths = 0

    def hung_up(self) -> None:
        """It hung up on a worker. If it has died, another is started; else it lacked something and is asked again.

        Raises EnvironmentBroken when it dies again and again and it cannot be a task's doing.
        """
        if self._is_loading:
            return
        how = self.zygote.how_it_ended(_ENDING_SECONDS)
        if how is None:
            self.set_shortage(shortage_text("the process that starts tasks takes no worker", errno.EMFILE))
            return
        ran = self.marks.count()
        lived = time.monotonic() - self._ready_since
        self._deaths = 0 if ran or lived > _LONG_SECONDS else self._deaths + 1
        if self._deaths >= DEATHS_IN_A_ROW:
            raise EnvironmentBroken(
                f"the process that starts tasks ends again and again ({how}), and no task runs in it"
            )
        lost = "no try" if not ran else "1 try" if ran == 1 else f"{ran} tries"
        self._notify(f"the process that starts tasks ended ({how}), with {lost}; another runs the code that was loaded")
        self.marks, self._is_loading = RunningMarks(self._workers), True
        self.zygote.begin_again()

    def _compare(self, report: LoadReport) -> None:
        """The same code should say the same; a file may depend on more than its code."""
        for dag_id, spec in self.report.specs.items():
            if report.specs.get(dag_id) != spec:
                why = next(
                    (f": {wrong}" for wrong in report.mistakes if wrong.file == spec.file), "; it runs as it is now"
                )
                self._notify(f"{dag_id} was loaded otherwise than before, from the same code{why}")
        self.report = report
