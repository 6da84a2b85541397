"""The live display of a backfill, drawn by rich. Redrawn only on demand: no thread of its own runs.

The only module of the command line, with ``tables``, that may import rich.
"""

from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tailrace.cli.console import STYLES, terminal_text
from tailrace.cli.meter import Reading, rate_text
from tailrace.model.durations import duration, rough_duration
from tailrace.model.plain_text import on_one_line
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.runtime.listeners import Progress

_BAR = 40
_NARROW = 60  # columns; below this the bar and the list of running tasks are left out


class LiveDisplay:
    """Figures of one backfill at the foot of the terminal; ``line`` prints above them."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._name = name
        self._console = console or Console(stderr=True, highlight=False)
        # No redirection of stdout and stderr: a worker forked meanwhile would inherit rich's stand-ins for them.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, reading: Reading, progress: Progress) -> None:
        """Redraw with these figures."""
        self._live.update(self._drawing(reading, progress), refresh=True)

    def line(self, text: str) -> None:
        """Print a line above the figures; the text may carry colours of its own."""
        self._console.print(Text.from_ansi(terminal_text(text)), soft_wrap=True)

    def close(self) -> None:
        """Take the figures off the terminal."""
        self._live.update(Text(""), refresh=False)
        self._live.stop()

    def _drawing(self, reading: Reading, progress: Progress) -> Group:
        wide = self._console.width >= _NARROW
        parts: list[Table | Text] = [self._bar(reading) if wide else Text(_counts(reading))]
        parts += _states(progress, together=wide)
        parts.append(Text(_pace(reading), style="dim"))
        if wide and progress.running:
            running = on_one_line(", ".join(progress.running))
            parts.append(Text(f"running: {running}", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _bar(self, reading: Reading) -> Table:
        bad = STYLES["failed"] if reading.failed else STYLES["success"]
        row = Table.grid(padding=(0, 1))
        width = min(_BAR, self._console.width // 3)
        bar = ProgressBar(
            total=max(reading.runs, 1),
            completed=reading.runs_done,
            width=width,
            style="dim",
            complete_style=bad,
            finished_style=bad,
        )
        row.add_row(bar, Text(_counts(reading), no_wrap=True, overflow="ellipsis"))
        return row


def _counts(reading: Reading) -> str:
    return f"{reading.runs_done:,}/{reading.runs:,} runs, {reading.tasks_done:,}/{reading.tasks:,} tasks"


def _states(progress: Progress, *, together: bool) -> list[Text]:
    """Runs and task instances by state, each in its colour, zeros left out; on one line where there is room."""
    runs, tasks = (Text(no_wrap=True, overflow="ellipsis") for _ in range(2))
    _append_counts(runs, "runs: ", {str(state): progress.runs.get(state, 0) for state in DagRunState})
    by_state = {str(state): progress.task_instances.get(state, 0) for state in TaskInstanceState}
    _append_counts(tasks, "tasks: ", by_state)
    return [Text("  ", no_wrap=True, overflow="ellipsis").join([runs, tasks])] if together else [runs, tasks]


def _append_counts(text: Text, label: str, counts: Mapping[str, int]) -> None:
    text.append(label, style="dim")
    parts = [state for state, count in counts.items() if count]
    for at, state in enumerate(parts):
        text.append(", " if at else "")
        text.append(f"{counts[state]:,} {state}", style=STYLES.get(state, ""))
    if not parts:
        text.append("none yet")


def _pace(reading: Reading) -> str:
    parts = [f"{duration(reading.elapsed)} elapsed"]
    if reading.rate is not None:
        parts.insert(0, rate_text(reading.rate))
    if reading.left is not None:
        parts.append(f"about {rough_duration(reading.left)} left")
    return ", ".join(parts)
