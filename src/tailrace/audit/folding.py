"""Checks that history is as it was written, row behind row, and that every row stands as its history led it.

Each row of history is chained behind the one before it about the same thing, and says which columns it set there. So a
thing's row, column by column, is the fold of its history; and where its chain ended stands on that row as well.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import DecodeError
from msgspec.json import decode

from tailrace.audit.records import DELETED_POOL, HistoryRecord, Recorded, RowRecord, Violation
from tailrace.audit.replay import Replay, name_of
from tailrace.audit.seals import Removed, Seal, SealCheck
from tailrace.model.chains import CHAINED, CHANGED, METASTORE, REFUSED, Chain, Subject, chain_of, link, subject_of
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause

#: What ``final_rows`` looks at, in words of its own.
_ELSEWHERE = frozenset(
    {
        *(("dag_run", "state"), ("backfill", "state"), ("pool", "slots")),
        *(("task_instance", name) for name in ("state", "try_number", "token")),
    }
)
_NAMED = ("task_instance", "refused", "dag_run", "backfill", "pool")
_STEPS = ("task_instance", "dag_run", "backfill")
#: Columns of which history says each part by itself.
#: By backfill and run id.
PartStates = Mapping[tuple[Any, str], DagRunState | None]

_WANTED_PARTS = ("ordinal", "action", "reason", "clear")


class Chains:
    """Follows every chain of a history, and folds what it says about each row."""

    def __init__(self, against: Seal | None = None) -> None:
        self.ends: dict[Subject, Chain] = {}
        self.unsealed = 0
        self.violations: list[Violation] = []
        self._folds: dict[Subject, dict[str, Any]] = {}
        self._begun = False
        self._seal = None if against is None else SealCheck(against)

    def take(self, row: HistoryRecord) -> None:
        """Follow one row of history."""
        if row.digest is None or not row.cells:
            self._without_digest(row)
            return
        subject = subject_of(row.cells)
        about = chain_of(subject)
        self._move(row, subject)
        before = self.ends.get(about, Chain())
        if link(before.head, row.cells) != row.digest:
            text = "it is not what was written, or not behind the row that it was written behind: its digest differs"
            self._wrong(row, text)
        self.ends[about] = end = Chain(row.digest, before.length + 1)
        if row.kind == "schema":
            self._begun = self._begun or row.after >= CHAINED
        if self._seal is not None:
            self._seal.take(about, end)
        self._check_id(row, subject)
        if row.kind != REFUSED:
            self._fold(row, subject, end)

    def _move(self, row: HistoryRecord, subject: Subject) -> None:
        """A task instance of a task that is expanded goes on under another index, and with it what is told of it."""
        expanded = None if row.evidence is None else row.evidence.expanded
        if expanded is None or expanded.was is None:
            return
        for now in (subject, (REFUSED, *subject[1:])):
            was = (*now[:-1], expanded.was)
            if was in self.ends and now not in self.ends:
                self.ends[now] = self.ends.pop(was)
            if was in self._folds and now not in self._folds:
                self._folds[now] = self._folds.pop(was)

    def _without_digest(self, row: HistoryRecord) -> None:
        if self._begun:
            self._wrong(row, "it has no digest: it was not written by Tailrace")
        self.unsealed += 1

    def _fold(self, row: HistoryRecord, subject: Subject, end: Chain) -> None:
        sets = self._sets(row)
        if subject[0] == METASTORE:
            if self._seal is not None and row.kind == "cleaned":
                self._seal.remove(Removed.of(sets), end)
            return
        if (row.kind == "pool" and row.after == DELETED_POOL) or (row.kind == CHANGED and row.cause == Cause.DELETED):
            self._folds.pop(subject, None)
            return
        if row.kind in _STEPS and sets.get("state") != row.after:
            self._wrong(row, f"it leads to {row.after}, and says that it set the state {sets.get('state')}")
        fold = self._folds.setdefault(subject, {})
        wants = sets.pop("wants", None)
        fold.update(sets)
        if isinstance(wants, dict):
            fold.setdefault("wants", {}).update(wants)

    def _check_id(self, row: HistoryRecord, subject: Subject) -> None:
        """The ids of rows are under no digest: all rows of history about one thing say the same."""
        table = "task_instance" if subject[0] == REFUSED else subject[0]
        own = {"task_instance": row.row_id, "dag_run": row.run_row}
        id = own.pop(table, None)  # type: ignore[arg-type]
        if id is not None:
            said = self._folds.setdefault((table, *subject[1:]), {}).setdefault("id", id)
            if said != id:
                self._wrong(row, f"it is about row {id} of {table}, those before it about {said}")
        elif table in ("task_instance", "dag_run"):
            self._wrong(row, f"it does not say about which row of {table} it is")
        for other, id in own.items():
            if id is not None:
                self._wrong(row, f"it is about a row of {table}, and names row {id} of {other}")

    def _sets(self, row: HistoryRecord) -> dict[str, Any]:
        text = row.cells[-1]
        if text is None:
            return {}
        try:
            sets = decode(text)
        except (DecodeError, TypeError, RecursionError, UnicodeError):
            sets = None
        if isinstance(sets, dict):
            return sets
        self._wrong(row, "what it set cannot be read")
        return {}

    def check(self, replay: Replay, records: Recorded, part_states: PartStates) -> None:
        """Compare every row as it stands with what history led it to.

        ``part_states``: how the runs stand for those backfills that are a part of their DAG.
        """
        self._compare_chain((METASTORE,), "the metastore", records.metastore_chain)
        xcoms: dict[tuple[Any, str], Any] = {}
        for row in records.rows:
            self._compare_chain(row.subject, row.name, row.chain)
            if row.refused is not None:
                refused = (REFUSED, *row.subject[1:])
                self._compare_chain(refused, f"{row.name} (results refused)", row.refused)
            fold = self._folds.pop(row.subject, None)
            if fold is None:
                if self._begun:
                    self._found(row.name, "a row that history does not know")
                continue
            for key, said in _mapping(fold.get("xcoms")).items():
                xcoms[row.columns.get("id"), key] = said
            self._compare(row, fold)
            self._compare_wanted(replay, row, _mapping(fold.get("wants")), part_states)
        for subject in self._folds:
            self._found(_name(subject), "history leads to a row that is not there")
        self._compare_xcoms(records, xcoms)
        if self._seal is not None:
            self.violations += self._seal.violations(self.ends)

    def _compare_chain(self, subject: Subject, name: str, stands: Chain | None) -> None:
        """Pools have a place in the chain of the metastore: none stands on their rows."""
        end = self.ends.get(subject, Chain())
        if stands is not None and stands != end:
            text = f"its history ends with row {_end(end)}, the row says {_end(stands)}"
            self.violations.append(Violation("chain", name, text))

    def _compare(self, row: RowRecord, fold: Mapping[str, Any]) -> None:
        table = row.subject[0]
        for name, stands in row.columns.items():
            said = fold.get(name)
            if said == stands:
                continue
            renewed = (table, name) == ("task_instance", "reason")
            if renewed and row.columns.get("state") == TaskInstanceState.RUNNING:
                continue
            if (table, name) not in _ELSEWHERE:
                self._found(row.name, f"history leads to {name} {_shown(said)}, the row says {_shown(stands)}")

    def _compare_wanted(
        self, replay: Replay, row: RowRecord, wants: Mapping[str, Any], part_states: PartStates
    ) -> None:
        for run in sorted(wants.keys() | row.wants.keys()):
            name = f"{row.name} / run {run}"
            said, wanted = wants.get(run), row.wants.get(run)
            if said is None or wanted is None:
                there = "a run is wanted of which history knows nothing" if said is None else "a wanted run is gone"
                self._found(name, there)
                continue
            parts = said if isinstance(said, list) and len(said) == len(wanted.parts) else [None] * len(wanted.parts)
            for column, told, stands in zip(_WANTED_PARTS, parts, wanted.parts, strict=True):
                if told != stands:
                    self._found(name, f"history leads to {column} {_shown(told)}, the row says {_shown(stands)}")
            key = replay.keys_by_row.get(wanted.run)
            state = None if key is None or key not in replay.runs else replay.runs[key].state
            if state is not None and key is not None:
                state = part_states.get((row.subject[1], key[1]), state)
            if state is not None and state != wanted.state:
                self._found(name, f"history leads to run_state {state}, the row says {_shown(wanted.state)}")

    def _compare_xcoms(self, records: Recorded, xcoms: dict[tuple[Any, str], Any]) -> None:
        if not self._begun:
            return
        for each in records.xcoms:
            name = f"xcom {each.row} / {each.key}"
            said = xcoms.pop((each.row, each.key), None)
            if said is None:
                self._found(name, "a value of which history knows nothing")
                continue
            digest, at = said if isinstance(said, list) and len(said) == 2 else (None, None)
            if digest != each.digest:
                self._found(name, f"history leads to a value of digest {_shown(digest)}, the row's has {each.digest}")
            if at != each.at:
                self._found(name, f"history leads to at {_shown(at)}, the row says {_shown(each.at)}")
        for row, key in xcoms:
            self._found(f"xcom {row} / {key}", "history leads to a value that is not there")

    def _wrong(self, row: HistoryRecord, text: str) -> None:
        name = _name(subject_of(row.cells)) if row.cells and row.kind not in _NAMED else name_of(row)
        self.violations.append(Violation("chain", name, text, row.id))

    def _found(self, name: str, text: str) -> None:
        self.violations.append(Violation("final state", name, text))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(subject: Subject) -> str:
    return f"{subject[0]} {' / '.join(map(str, subject[1:]))}"


def _end(chain: Chain) -> str:
    return "0" if chain.head is None and not chain.length else f"{chain.length} ({str(chain.head)[:12]}…)"


def _shown(value: Any) -> str:
    text = "NULL" if value is None else str(value)
    return f"{text[:77]}…" if len(text) > 80 else text or "''"
