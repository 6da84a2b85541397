"""Seals: where every chain of a history stood at one moment, kept elsewhere. Even a rewritten chain is found by one.

A seal is lines of JSON: a header with the number of chains and one digest over them (the root), then each chain, with
what it is about, its number of rows and its newest digest. What was cleaned away since is named by the rows that
count it, which are chained themselves.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from msgspec import Struct, ValidationError
from msgspec.json import decode, encode

from tailrace.audit.records import Violation
from tailrace.model.chains import METASTORE, REFUSED, Chain, Subject, text_digest

FORMAT = "seal of tailrace"
VERSION = 1

Seal = Mapping[Subject, Chain]


class _Header(Struct, frozen=True):
    format: str
    version: int
    chains: int
    root: str


_Line = tuple[list[str | int], int, str]


class NoSeal(ValueError):
    """What was read is no seal, or not as it was written."""


def seal_lines(seal: Seal) -> list[bytes]:
    """The seal as lines, the header first."""
    lines = [encode((list(about), chain.length, chain.head)) for about, chain in sorted(seal.items(), key=_place)]
    return [encode(_Header(FORMAT, VERSION, len(lines), _root(lines))), *lines]


def root_of(lines: Iterable[bytes]) -> str:
    """The root that the header says."""
    return decode(next(iter(lines)), type=_Header).root


def seal_from(lines: list[bytes]) -> Seal:
    """What ``seal_lines`` made. Raises NoSeal for anything else."""
    try:
        header = decode(lines[0] if lines else b"", type=_Header)
    except (ValueError, RecursionError):
        raise NoSeal("it is no seal") from None
    if header.format != FORMAT:
        raise NoSeal("it is no seal")
    if header.version != VERSION:
        raise NoSeal(f"it is a seal of version {header.version}, this Tailrace reads version {VERSION}")
    if header.chains != len(lines) - 1 or header.root != _root(lines[1:]):
        raise NoSeal("it is a seal that is not as it was written: its root differs")
    try:
        found = [decode(line, type=_Line) for line in lines[1:]]
    except ValidationError as error:
        raise NoSeal(f"it is a seal that cannot be read: {error}") from None
    return {tuple(about): Chain(head, length) for about, length, head in found}


def _place(item: tuple[Subject, Chain]) -> tuple[str, ...]:
    return tuple(f"{part:020}" if isinstance(part, int) else str(part) for part in item[0])


def _root(lines: Iterable[bytes]) -> str:
    return text_digest("\n".join(line.decode() for line in lines))


class Removed(Struct, frozen=True):
    """What one cleaning removed: backfills by row, runs by DAG and run id."""

    backfills: frozenset[str] = frozenset()
    runs: Mapping[str, Set[str]] = {}

    @classmethod
    def of(cls, sets: Mapping[str, Any]) -> "Removed":
        """What a row of history about a cleaning says."""
        removed = sets.get("removed")
        if not isinstance(removed, dict):
            return cls()
        backfills, runs = removed.get("backfill"), removed.get("dag_run")
        by_dag = runs.items() if isinstance(runs, dict) else ()
        return cls(
            frozenset(backfills if isinstance(backfills, dict) else ()),
            {dag_id: frozenset(ids) for dag_id, ids in by_dag if isinstance(ids, dict)},
        )

    def has(self, about: Subject) -> bool:
        """Whether what the chain is about was removed, or belonged to a run that was."""
        match about:
            case ("backfill", id):
                return str(id) in self.backfills
            case (("dag_run" | "task_instance" | "refused"), str() as dag_id, str() as run_id, *_):
                return run_id in self.runs.get(dag_id, ())
        return False


class SealCheck:
    """Compares the chains of a history, as they go by, with a seal that was made of it before."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._seen: dict[Subject, str | None] = {}  # the digest where the seal says that the chain ended
        self._removed: list[Removed] = []

    def take(self, about: Subject, end: Chain) -> None:
        """A chain has come to here."""
        sealed = self._seal.get(about)
        if sealed is not None and sealed.length == end.length and self._seen.get(about) != sealed.head:
            self._seen[about] = end.head  # one that was there goes on under another index, if its task is expanded

    def remove(self, removed: Removed, end: Chain) -> None:
        """A cleaning is told of, in the chain of the metastore, which has come to here: it counts if it is newer."""
        sealed = self._seal.get((METASTORE,))
        if sealed is None or end.length > sealed.length:
            self._removed.append(removed)

    def violations(self, ends: Mapping[Subject, Chain]) -> Iterator[Violation]:
        """Every chain that is not the one which was sealed, or not at all there, although nothing removed it."""
        for about, sealed in self._seal.items():
            if self._seen.get(about) == sealed.head or any(each.has(about) for each in self._removed):
                continue
            now = ends.get(about, Chain()).length
            if about in self._seen:
                text = f"its first {sealed.length} rows of history are not those that were sealed"
            elif now:
                text = f"{sealed.length} rows of its history were sealed, {now} are there"
            else:
                text = f"{sealed.length} rows of its history were sealed, and nothing says that they were cleaned away"
            yield Violation("seal", _name(about), text)


def _name(about: Subject) -> str:
    if about == (METASTORE,):
        return "the metastore"
    table = "results refused of" if about[0] == REFUSED else about[0]
    return f"{table} {' / '.join(map(str, about[1:]))}"
