"""``tailrace tasks test``: one task, here and now, with no state read or written anywhere.

As in a real try the task is a process that leads a group of its own, so that its timeout and its end take all of it
along; unlike there it has our terminal, to be debugged at.
"""

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tailrace.authoring.loading import LoadedDags
from tailrace.effects.tries import Claim, TryOutcome
from tailrace.execution.channel import encode
from tailrace.execution.context import TaskInstance, build_context
from tailrace.execution.leash import Leash, adopt_orphans
from tailrace.execution.logs import flush_streams
from tailrace.execution.messages import order_for, outcome_in, timed_out, without_outcome
from tailrace.execution.port import GRACE_SECONDS
from tailrace.execution.process import environment_of, execute, heed_signals

_TERMINAL = 0


def run_task_once(loaded: LoadedDags, claim: Claim, home: Path, timeout: timedelta | None) -> TryOutcome:
    """Run the claim's task; its output goes where ours goes, its XCom pulls find nothing, nothing of it stays behind.

    Raises KeyboardInterrupt where Ctrl-C ended the task.
    """
    adopt_orphans()  # so that the end of what the task leaves behind can be awaited
    leash, told = Leash(), os.memfd_create("outcome")
    with _terminal_back() as lent:
        flush_streams()
        leader = os.fork()
        if leader == 0:
            _be_the_task(loaded, claim, home, leash, told, lent)
        _lead_a_group(leader)
        late = _see_through(leader, timeout)
        code = _end_of_group(leader)
    if code == -signal.SIGINT:
        raise KeyboardInterrupt
    if late:
        assert timeout is not None, "only a timeout makes it late"
        return timed_out(timeout)
    said = os.pread(told, os.fstat(told).st_size, 0)
    return outcome_in(json.loads(said)) if code == 0 else without_outcome(code)


def _see_through(leader: int, timeout: timedelta | None) -> bool:
    """Wait for the leader's end, and ask its group to end at the timeout; answers whether that had to be."""
    process = os.pidfd_open(leader)
    try:
        if _ends_within(process, None if timeout is None else timeout.total_seconds()):
            return False
        _ask_to_end(leader, process)
        return True
    except KeyboardInterrupt:
        try:
            _ask_to_end(leader, process)
        finally:
            _end_of_group(leader)
        raise
    finally:
        os.close(process)


def _ask_to_end(leader: int, process: int) -> None:
    os.killpg(leader, signal.SIGTERM)
    _ends_within(process, GRACE_SECONDS)


def _ends_within(process: int, seconds: float | None) -> bool:
    return bool(select.select([process], [], [], seconds)[0])


def _end_of_group(leader: int) -> int:
    """Kill what is left of the group and wait until nothing is. Answers the leader's exit code."""
    os.killpg(leader, signal.SIGKILL)  # the leader has not been waited for: its number is still its own
    _, status = os.waitpid(leader, 0)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-leader, 0)
    return os.waitstatus_to_exitcode(status)


@contextmanager
def _terminal_back() -> Iterator[bool]:
    """Whether the terminal is ours to lend to the task's group; if so it is ours again at the end."""
    own = os.getpgrp()
    lent = os.isatty(_TERMINAL) and os.tcgetpgrp(_TERMINAL) == own
    try:
        yield lent
    finally:
        if lent:
            _take_terminal(own)


def _take_terminal(group: int) -> None:
    """Whoever is not in the terminal's group may take it only while SIGTTOU is ignored."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with suppress(OSError):  # the terminal is gone
        os.tcsetpgrp(_TERMINAL, group)
    signal.signal(signal.SIGTTOU, before)


def _lead_a_group(leader: int) -> None:
    with suppress(OSError):  # it has done so itself
        os.setpgid(leader, leader)


# --- the task's process --------------------------------------------------------------------------------------


def _be_the_task(loaded: LoadedDags, claim: Claim, home: Path, leash: Leash, told: int, lent: bool) -> NoReturn:
    """Run the task and write down how it ended. Never returns into the code of the process it was forked from."""
    leader = os.getpid()
    code = 70
    try:
        _lead_a_group(leader)
        leash.tie()
        if lent:
            signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # no shell waits for this group: it could not go on
            _take_terminal(leader)
        heed_signals()
        signal.signal(signal.SIGINT, _interrupted)
        outcome = encode(_run(loaded, claim, home))
        flush_streams()
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            os.kill(leader, signal.SIGINT)
        if os.getpid() == leader:  # else a process the task forked came out of its code
            os.pwrite(told, outcome, 0)
            code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        flush_streams()
        os._exit(code)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Ctrl-C: the task's ``finally`` blocks run, then the process ends of it; a second one ends it at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _run(loaded: LoadedDags, claim: Claim, home: Path) -> dict[str, Any]:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what it has said is out when it is killed
    order = order_for(claim, None)
    os.environ.update(environment_of(claim.key, order, str(home)))
    dag = loaded.dags[claim.task_instance.dag_id]
    ti = TaskInstance(claim.key, order, _nothing)
    return execute(dag.task_dict[claim.task_instance.task_id], build_context(dag, order, ti), ti)


def _nothing(*query: Any) -> list[Any]:
    return []
