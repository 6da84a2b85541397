"""What would let a waiting run or task instance go on: each as a message; its remedy is what a person can do."""

from datetime import datetime

from tailrace.planning.messages import Action, Message

#: Of a mapped task there may be a thousand.
_MOST_NAMED = 20


def seconds_text(seconds: float) -> str:
    """A span as people read it: ``4 s``, ``3:05``, ``2:03:05``, ``5 d 2 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class TasksEnd(Message, frozen=True):
    tasks: tuple[tuple[str, str], ...]  # with the state of each
    template = "the end of {0.names}"

    @property
    def names(self) -> str:
        """The tasks."""
        names = [f"{task_id} ({state})" for task_id, state in self.tasks]
        rest = len(names) - _MOST_NAMED
        more = f" and {rest:,} more" if rest > 0 else ""
        return (", ".join(names[:_MOST_NAMED]) + more) or "what is above it"


class NothingAbove(TasksEnd, frozen=True):
    template = "nothing by itself: {0.names} can never run as things stand; see what blocks that"


class RunCleared(Message, frozen=True):
    dag_id: str
    run_id: str
    template = "fixing the cause and clearing what failed"
    action = Action.CLEAR_FAILED_OF_RUN


class CancelledRunAgain(RunCleared, frozen=True):
    action = Action.CLEAR_RUN
    template = "{0.run_id}, which was cancelled after it had begun, must run again, or be marked"


class TaskAgain(RunCleared, frozen=True):
    task_id: str
    template = "{0.task_id} of {0.run_id} must run again and succeed"
    action = Action.CLEAR_TASK


class TimeComes(TaskAgain, frozen=True, omit_defaults=True):
    at: datetime
    seconds: float  # until then
    map_index: int | None = None
    template = "the time: {0.at:seconds}, in {0.left}; or clear it to run it at once"

    @property
    def left(self) -> str:
        """How long that is."""
        return seconds_text(self.seconds)


class RunSucceeds(Message, frozen=True):
    dag_id: str
    run_id: str
    state: str
    template = "the success of {0.run_id}, which is {0.state}; see what keeps it from that"
    action = Action.EXPLAIN_RUN


class TaskOfOpenRun(RunSucceeds, frozen=True):
    task_id: str
    template = "{0.task_id} of {0.run_id}, which is {0.state}"


class AwaitedEnds(RunSucceeds, frozen=True):
    what: str  # of the run, where it is not the whole
    template = "the end of {0.what}{0.dag_id} / {0.run_id}, which is {0.state}"


class NothingAwaited(AwaitedEnds, frozen=True):
    template = "nothing by itself: {0.what}{0.dag_id} / {0.run_id} can never run as things stand; see what blocks that"


class AwaitedRun(Message, frozen=True):
    dag_id: str
    start: str  # its logical date
    template = "a run of {0.dag_id} of {0.start}, which there is not"
    action = Action.BACKFILL


class PastForgotten(Message, frozen=True):
    template = "its next step: no previous run counts for it any more"


class PoolSlots(Message, frozen=True):
    pool: str
    template = "slots of pool {0.pool} that become free, or more of them"
    action = Action.SET_POOL


class Limit(Message, frozen=True):
    template = "an active one that ends, or a higher limit in the DAG file"


class BackfillResumed(Message, frozen=True):
    backfill_id: int
    template = "the backfill goes on when it is resumed"
    action = Action.RESUME_BACKFILL


class DagUnpaused(Message, frozen=True):
    dag_id: str
    template = "the DAG's schedule is paused"
    action = Action.UNPAUSE_DAG


class WantedAgain(Message, frozen=True):
    dag_id: str
    start: str  # its logical date
    template = "no unfinished backfill wants it"
    action = Action.BACKFILL


class NextStep(Message, frozen=True):
    job: str
    template = "the next step of {0.job}"


class SchedulersNextStep(NextStep, frozen=True):
    dag_id: str
    template = "the next step of {0.job}, if its DAG files hold {0.dag_id}"


class FileLoads(Message, frozen=True):
    job: str
    why: str
    template = "a DAG file that loads: {0.job} cannot load it: {0.why}"


class JobStarts(Message, frozen=True):
    template = "a job that drives it: none is alive"


class SchedulerStarts(JobStarts, frozen=True):
    action = Action.RUN_SCHEDULER


class CommandRepeated(JobStarts, frozen=True):
    command: str  # as typed
    action = Action.REPEAT


class RestEnds(Message, frozen=True):
    template = "the end of its unfinished task instances"


class RunCloses(Message, frozen=True):
    template = "an active run that closes"


class WorkerComes(Message, frozen=True):
    job_id: int
    seconds: float  # after which the try is offered again
    template = "a free worker; job {0.job_id} offers it again if none has claimed it for {0.seconds:.0f} s"


class TryEnds(Message, frozen=True):
    template = "its end"


class TryEndsOrIsLost(Message, frozen=True):
    seconds: float  # of its lease
    template = "its end; if its worker sends no heartbeat, it is lost in {0.left}"

    @property
    def left(self) -> str:
        """How long that is."""
        return seconds_text(self.seconds)


class LossDeclared(Message, frozen=True):
    template = "the next step of its job declares this try lost"
