"""Circles of waits: tries that wait for each other's runs, over any DAGs, so that none of them ever goes on.

A wait is *stuck* if all that could decide it can never run unless stuck waits end first: the greatest set of which that
is true, found by taking away what may still go on until nothing more does. All runs are of one snapshot. Whatever is
not certain goes on: a try that is under way, a retry, a run that nobody drives, a look at the past, a pool.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime

from msgspec import Struct

from tailrace.model.awaited import NOT_THERE, Seen
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.states import FINISHED, IDLE, DagRunState, TaskInstanceState
from tailrace.planning.awaiting import Waits
from tailrace.planning.board import Board
from tailrace.planning.evaluation import evaluate_task_instance
from tailrace.planning.plan import CircleRun, Decision, Dependency, DependencyStatus, Verdict
from tailrace.planning.snapshot import Snapshot, TaskInstanceSnapshot

#: Of a run: its DAG and its logical date, by which it is waited for.
Place = tuple[str, datetime]

_RUNNING = DagRunState.RUNNING
_WAITS = TaskInstanceState.UP_FOR_RESCHEDULE
_ABOVE = frozenset({Dependency.TRIGGER_RULE, Dependency.BRANCH})


class Stuck(Struct, frozen=True):
    """What can never run, by run and row; and which runs the waits of each run lead to, if they are stuck."""

    boards: Mapping[Place, Board]
    doomed: Mapping[Place, Mapping[int, Decision]]
    waits: Mapping[int, Waits]

    def settled(self, own: Iterable[Board], decisions: Iterable[Decision]) -> list[Decision]:
        """What of this job's runs can never run is doomed there; the decisions with those that say so."""
        found: dict[TaskInstanceKey, Decision] = {}
        for board in own:
            new = {id: each for id, each in self.doomed[_place(board)].items() if id not in board.doomed}
            board.doomed |= new
            found |= {each.key: each for each in new.values()}
        return [found.get(each.key, each) for each in decisions]

    def circle_of(self, board: Board) -> tuple[CircleRun, ...]:
        """Every other run that the proof about this one leans on."""
        own = _place(board)
        reached, front = {own}, [own]
        while front:
            for place in self._leads_to(front.pop()):
                if place not in reached:
                    reached.add(place)
                    front.append(place)
        return tuple(self._evidence(place) for place in sorted(reached - {own}))

    def tokens_of(self, board: Board) -> Mapping[int, int]:
        """The tokens of the waits of a run that are stuck: another claim may have named something else."""
        doomed = self.doomed[_place(board)]
        return {ti.id: ti.token for ti in board.run.task_instances if ti.id in doomed and ti.id in self.waits}

    def way_from(self, board: Board) -> tuple[TaskInstanceKey, ...]:
        """The waits that lead, one behind the other, from this run to where they have been; nothing if they do not."""
        way: list[TaskInstanceKey] = []
        at: tuple[Board, TaskInstanceSnapshot] | None = self._first_wait(board, None)
        while at is not None:
            of, ti = at
            key = TaskInstanceKey(of.dag.dag_id, of.run.run_id, ti.task_id, ti.map_index)
            way.append(key)
            if key in way[:-1]:
                return tuple(way)
            at = self._next(ti)
        return ()

    def _next(self, ti: TaskInstanceSnapshot) -> tuple[Board, TaskInstanceSnapshot] | None:
        waits = self.waits[ti.id]
        for seen in waits.looked.waits:
            other = self.boards.get((waits.awaited.dag_id, seen.logical_date))
            if other is not None and _is_stuck(seen, other, self.doomed[_place(other)]):
                return self._first_wait(other, seen)
        return None

    def _first_wait(self, board: Board, seen: Seen | None) -> tuple[Board, TaskInstanceSnapshot] | None:
        """The first stuck wait of a run that is, or is above, what is waited for there."""
        doomed = self.doomed[_place(board)]
        above = _above(board, seen.task_id) if seen is not None and seen.task_id else None
        for ti in board.run.task_instances:
            if ti.id in doomed and ti.id in self.waits and (above is None or ti.task_id in above):
                return board, ti
        return None

    def _leads_to(self, place: Place) -> Iterator[Place]:
        board, doomed = self.boards[place], self.doomed[place]
        for ti in board.run.task_instances:
            waits = self.waits.get(ti.id)
            if waits is not None and ti.id in doomed:
                yield from (
                    there
                    for seen in waits.looked.waits
                    if (there := (waits.awaited.dag_id, seen.logical_date)) in self.boards
                    and _is_stuck(seen, self.boards[there], self.doomed[there])
                )

    def _evidence(self, place: Place) -> CircleRun:
        board, run = self.boards[place], self.boards[place].run
        return CircleRun(
            run.id, board.dag.dag_id, run.run_id, run.version, run.state, board.evidence, self.tokens_of(board)
        )


def stuck_waits(snapshot: Snapshot, own: Sequence[Board], waits: Mapping[int, Waits]) -> Stuck | None:
    """What can never run because of waits that are stuck, over the runs of this job and those around them."""
    places = {(each.dag.dag_id, each.run.logical_date) for each in snapshot.around} | set(map(_place, own))
    if not any(_leads_into(waits[id], places) for board in own for id in _may_stick(board, waits, snapshot.now)):
        return None
    others = [Board(each.run, each.dag, {}, snapshot.pools, waits) for each in snapshot.around]
    boards = {_place(board): board for board in (*others, *own)}
    stuck: dict[Place, Set[int]] = {place: _may_stick(board, waits, snapshot.now) for place, board in boards.items()}
    doomed = {place: _doomed(board, stuck[place], snapshot) for place, board in boards.items()}
    goes_on = True
    while goes_on:
        goes_on = False
        for place, of_run in stuck.items():
            left = {id for id in of_run if _is_never_decided(waits[id], boards, doomed)}
            if left != of_run:
                stuck[place], doomed[place] = left, _doomed(boards[place], left, snapshot)
                goes_on = True
    return Stuck(boards, doomed, waits) if any(stuck.values()) else None


def _leads_into(waits: Waits, places: Set[Place]) -> bool:
    return any((waits.awaited.dag_id, seen.logical_date) in places for seen in waits.looked.waits)


def _place(board: Board) -> Place:
    return board.dag.dag_id, board.run.logical_date


def _may_stick(board: Board, waits: Mapping[int, Waits], now: datetime) -> Set[int]:
    """The waits of a run that nothing has decided, and nothing but what they name may end."""
    if board.run.state is not _RUNNING or board.run.stopped_by is not None or not waits:
        return set()
    return {
        ti.id
        for ti in board.run.task_instances
        if ti.id in waits
        and board.state(ti) is _WAITS
        and not waits[ti.id].looked.is_decided
        and not waits[ti.id].awaited.goes_on
        and ti.retry_at is not None
        and ti.retry_at > now
    }


def _doomed(board: Board, stuck: Set[int], snapshot: Snapshot) -> Mapping[int, Decision]:
    """What of a run can never run while these waits are stuck, in topological order; of another job's too."""
    found: dict[int, Decision] = {}
    if not stuck:
        return found
    board.doomed, before = found, board.doomed
    for task in board.dag.tasks:
        for ti in board.by_task.get(task.task_id, ()):
            state = board.state(ti)
            if ti.id in stuck:
                found[ti.id] = _stuck(board, ti)
            elif state in IDLE:
                decision = evaluate_task_instance(board, task, ti, snapshot.pools, snapshot.now).decision
                if decision.doomed and all(status.dependency in _ABOVE for status in decision.failed):
                    found[ti.id] = decision
    board.doomed = before
    return found


def _stuck(board: Board, ti: TaskInstanceSnapshot) -> Decision:
    key = TaskInstanceKey(board.dag.dag_id, board.run.run_id, ti.task_id, ti.map_index)
    assert ti.retry_at is not None, "a try that waits has no timeout"
    reason = board.waits[ti.id].reason(ti, ti.retry_at)
    return Decision(key, ti.state, Verdict.WAIT, (DependencyStatus(Dependency.RESCHEDULE, False, reason),), True)


def _is_never_decided(
    waits: Waits, boards: Mapping[Place, Board], doomed: Mapping[Place, Mapping[int, Decision]]
) -> bool:
    """One that is stuck keeps all from being as they should. Where a state fails or skips, any other may still."""
    found = []
    for seen in waits.looked.waits:
        there = (waits.awaited.dag_id, seen.logical_date)
        found.append(there in boards and _is_stuck(seen, boards[there], doomed[there]))
    one_may_decide = waits.awaited.failed_states or waits.awaited.skipped_states
    return all(found) if one_may_decide else any(found)


def _is_stuck(seen: Seen, board: Board, doomed: Mapping[int, Decision]) -> bool:
    """Whether what is waited for can never come to be as it should: unfinished, in a run that is deadlocked or here."""
    if seen.state == NOT_THERE:
        return False
    if board.run.state is DagRunState.DEADLOCKED:
        return not seen.task_id or seen.state not in FINISHED
    if not seen.task_id:
        unfinished = list(board.unfinished())
        return bool(unfinished) and not board.missing_tasks() and all(ti.id in doomed for ti in unfinished)
    instances = board.by_task.get(seen.task_id, ())
    return any(ti.id in doomed for ti in instances if ti.map_index == seen.map_index)


def _above(board: Board, task_id: str) -> Set[str]:
    """The task and everything above it."""
    found, front = {task_id}, [task_id]
    while front:
        task = board.dag.by_id.get(front.pop())
        new = set(task.upstream if task is not None else ()) - found
        found |= new
        front += new
    return found
