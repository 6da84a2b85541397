"""The executor of a scheduler: it follows the DAG files. Changed files mean another generation: a zygote and workers
anew.

Tries that run keep the code they began with: the former generation finishes what its workers have in hand and goes.
Until then both have workers, so for that time more may run than one generation's number of workers.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tailrace.authoring.loading.dag_files import FolderWatch
from tailrace.authoring.loading.load import bundled_examples_path
from tailrace.effects.requests import DagBag, WaitResult
from tailrace.effects.tries import Submission
from tailrace.errors import EnvironmentBroken
from tailrace.execution.executors.port import ForkingExecutor
from tailrace.execution.messages.loading_process import LoadReport
from tailrace.execution.zygote.handle import ZygoteHandle
from tailrace.model.plain_text import on_one_line
from tailrace.planning.explain_facts import JobTrouble

#: Seconds between two looks at the files.
LOOK_EVERY = 1.0
#: The same, where no process could be had to load them.
_SHORT_OF_PROCESSES_SECONDS = 2.0
#: While a former generation still works, waits are cut into pieces of so many seconds.
_PIECE = 0.1

#: A file that was given up as it loaded (it may have waited for something) is loaded again after so many times as long
#: as it may take.
_AGAIN_PART = 2.0


@dataclass(slots=True)
class _Generation:
    zygote: ZygoteHandle
    executor: ForkingExecutor


class ReloadingExecutor:
    """An executor over the newest generation of the DAG files that could be loaded; ``bag`` returns what it holds.

    ``watch`` has looked at the files before the ``first`` zygote began to load them. ``start_zygote`` begins to load
    them again, ``start_executor`` makes workers over a loaded zygote (and is given what each of them must do first),
    ``notify`` is called with a line for a person when the files changed, ``loaded`` with what each generation holds.
    """

    def __init__(
        self,
        watch: FolderWatch,
        first: ZygoteHandle,
        *,
        start_zygote: Callable[[], ZygoteHandle],
        start_executor: Callable[[ZygoteHandle, Callable[[], None]], ForkingExecutor],
        notify: Callable[[str], None],
        loaded: Callable[[LoadReport], None] = lambda report: None,
    ) -> None:
        self._watch = watch
        self._notify_loaded = loaded
        self._start_zygote = start_zygote
        self._start_executor = start_executor
        self._notify = notify
        self._report = first.loaded()
        self._seen = watch.seen
        self._looked_at = 0.0
        self._again_at = _again_at(first)  # whether the files have changed or not
        self._wrong = self._report.mistakes  # of the files as they were looked at last
        self._changed: set[str] = set()  # the files that are other than when they were loaded last
        self._stale: dict[str, str] = {}  # files that are being loaded with the code that they had before, and why
        self._last_lines: tuple[str, ...] = ()
        self._loading: ZygoteHandle | None = None
        self._generations: list[_Generation] = []  # the current one is the last
        self._generations.append(self._begin(first))
        self._number = 1
        self._bag = _bag(self._report, self._number)
        loaded(self._report)

    # --- the files -----------------------------------------------------------------------------------------

    def bag(self) -> DagBag:
        """The DAGs of the current generation; from time to time this looks whether the files have changed."""
        now = time.monotonic()
        try:
            if self._loading is not None:
                if self._loading.is_loaded():
                    self._change_to(self._loading)
            elif now - self._looked_at >= LOOK_EVERY:
                self._looked_at = now
                seen = self._watch.digests()
                if seen != self._seen or now >= self._again_at:
                    both = self._seen.keys() | seen.keys()
                    self._changed |= {file for file in both if seen.get(file) != self._seen.get(file)}
                    self._seen = seen
                    self._load(self._start_zygote())
        except EnvironmentBroken as trouble:
            self._give_up_loading(str(trouble))
        return self._bag

    def _load(self, zygote: ZygoteHandle) -> None:
        self._loading = zygote
        zygote.notify = self._notify

    def _give_up_loading(self, why: str) -> None:
        if self._loading is not None:
            self._loading.stop()
            self._loading = None
        self._stale = {}
        self._again_at = time.monotonic() + _SHORT_OF_PROCESSES_SECONDS
        self._notify_lines(f"the DAG files changed and could not be loaded; this is tried again: {why}")

    def _change_to(self, loading: ZygoteHandle) -> None:
        self._loading = None
        report, stale = loading.loaded(), self._stale
        if not stale:
            self._again_at, self._wrong, self._stale = _again_at(loading), report.mistakes, self._that_would_go(report)
        else:
            self._stale = {}
        if self._stale:  # load once more, with the code that these have now
            loading.stop()
            skip = {file: why for file, why in loading.given_up.items() if file not in self._stale}
            self._load(self._generations[-1].zygote.successor(self._stale, skip))
            return
        changed, adopts = bool(self._changed), True
        if report.specs == self._report.specs and self._changed <= stale.keys():
            adopts = False  # for a file that does not load nothing else has to begin anew
            loading.stop()
        elif self._that_would_go(report):
            loading.stop()
            self._notify_lines("the DAG files changed and cannot be loaded:", *map(str, report.mistakes))
            changed = adopts = False
        else:
            self._adopt(loading, report)
        self._changed.clear()
        if changed or adopts:
            self._notify_change(report, stale)

    def _notify_change(self, report: LoadReport, stale: Mapping[str, str]) -> None:
        count = "1 DAG" if len(report.specs) == 1 else f"{len(report.specs)} DAGs"
        kept = [f"{file} keeps the code that was loaded before, until it is corrected" for file in stale]
        loaded = f"the DAG files changed and were loaded again: {count}"
        self._notify_lines(loaded, *map(str, self._wrong), *kept, *report.notices)

    def _adopt(self, loading: ZygoteHandle, report: LoadReport) -> None:
        try:
            generation = self._begin(loading)
        except EnvironmentBroken:
            loading.stop()
            raise
        self._generations[-1].executor.drain()
        self._generations.append(generation)
        self._number += 1
        self._report, self._bag = report, _bag(report, self._number)
        self._notify_loaded(report)

    def _that_would_go(self, report: LoadReport) -> dict[str, str]:
        """The files whose DAGs are not all there any more for a mistake, with it: those runs would stand still."""
        by_dag = {mistake.dag_id: mistake.message for mistake in report.mistakes}
        by_file = {mistake.file: mistake.message for mistake in report.mistakes}
        gone = [dag for dag_id, dag in self._bag.dags.items() if dag_id not in report.specs]
        wrong = {dag.file: by_dag.get(dag.dag_id) or by_file.get(dag.file) for dag in gone}
        return {file: why for file, why in wrong.items() if why is not None}

    def _notify_lines(self, *lines: str) -> None:
        """What was reported last is not repeated: nothing has changed since."""
        for line in () if lines == self._last_lines else lines:
            self._notify(line)
        self._last_lines = lines

    def _begin(self, zygote: ZygoteHandle) -> _Generation:
        return _Generation(zygote, self._start_executor(zygote, partial(self._disown_others, zygote)))

    def _disown_others(self, zygote: ZygoteHandle) -> None:
        """In a new worker: copies of other generations' lines, kept here, would hide that they were hung up."""
        if self._loading is not None and self._loading is not zygote:
            self._loading.disown()
        for generation in self._generations:
            if generation.zygote is not zygote:
                generation.executor.disown()

    @property
    def trouble(self) -> str:
        """What keeps tries from being begun just now."""
        return self._generations[-1].executor.trouble

    def trouble_of_job(self) -> JobTrouble:
        """What hinders this scheduler: that, and the files and DAGs that it could not load."""
        has = {spec.file for spec in self._bag.dags.values()}
        files, dags = dict[str, str](), dict[str, str]()
        for mistake in self._wrong:
            if mistake.dag_id is not None and mistake.dag_id not in self._bag.dags:
                dags.setdefault(mistake.dag_id, str(mistake))
            elif mistake.file not in has:
                files.setdefault(mistake.file, str(mistake))
        return JobTrouble(self.trouble, files, dags)

    # --- the executor --------------------------------------------------------------------------------------

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Hand tries to the current generation."""
        self._generations[-1].executor.submit(submissions)

    def wait(self, seconds: float) -> WaitResult:
        """Wait for an event of any generation."""
        if len(self._generations) == 1:
            return self._generations[-1].executor.wait(seconds)
        until = time.monotonic() + seconds
        while True:
            results = [self._generations[-1].executor.wait(min(_PIECE, max(0.0, until - time.monotonic())))]
            results += self._wait_former()
            waited = WaitResult(
                finished=sum(each.finished for each in results),
                worker_lost=any(each.worker_lost for each in results),
                busy=sum(each.busy for each in results),
            )
            if waited.finished or waited.worker_lost or len(self._generations) == 1 or time.monotonic() >= until:
                return waited

    def _wait_former(self) -> Iterator[WaitResult]:
        for generation in self._generations[:-1]:
            waited = generation.executor.wait(0)
            if waited.busy == 0:
                self._generations.remove(generation)
                generation.executor.stop()
                generation.zygote.stop()
            yield waited

    def drain(self) -> None:
        """Forget what no worker has begun."""
        self._generations[-1].executor.drain()

    def terminate(self, *, at_once: bool = False) -> None:
        """End what runs, in every generation."""
        for generation in self._generations:
            generation.executor.terminate(at_once=at_once)

    def stop(self) -> None:
        """End every generation."""
        if self._loading is not None:
            self._loading.stop()
            self._loading = None
        for generation in self._generations:
            generation.executor.stop()
            generation.zygote.stop()


def _again_at(loaded: ZygoteHandle) -> float:
    return time.monotonic() + _AGAIN_PART * loaded.timeout if loaded.given_up else math.inf


def _bag(report: LoadReport, number: int) -> DagBag:
    bundled = on_one_line(bundled_examples_path())
    return DagBag(
        report.specs, number, frozenset(id for id, dag in report.specs.items() if dag.file.startswith(bundled))
    )
