"""What a call of the author's code comes to, once all of that code has run; and what a branch says besides its XCom."""

import importlib
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Generator
from contextlib import suppress
from typing import Any

from msgspec import Struct

from tailrace.errors import TaskFailed

#: Made by a call that runs none of the code in them: that runs while somebody takes the items. (Cython's are some too.)
_GENERATORS = (Generator, AsyncGenerator)
_LAZY = (map, filter, zip, enumerate)

_CONTAINERS = (list, tuple, set, frozenset)
_PLAIN = frozenset((str, int, float, bool, type(None), *_CONTAINERS, dict))


class BranchResult(Struct, frozen=True):
    """``task_ids`` are followed, the others this task decides over are excluded; None excludes nothing.

    ``value`` is the task's ordinary return value, its XCom.
    """

    task_ids: tuple[str, ...] | None
    value: Any = None


def settled(result: Any) -> Any:
    """What a call has come to, with every coroutine awaited.

    Raises TaskFailed for a generator, and for anything else made of code that nobody would ever run.
    """
    while type(result) not in _PLAIN and inspect.isawaitable(result):
        result = importlib.import_module("asyncio").run(_awaited(result))
    _refuse_unrun(result)
    return result


def is_success(ended: SystemExit) -> bool:
    """Whether an interpreter that ends so would exit with 0: then the code has ended as by ``return``."""
    return ended.code is None or (isinstance(ended.code, int) and ended.code == 0)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    result = await awaitable
    asyncio = importlib.import_module("asyncio")
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        names = ", ".join(sorted(f"{each.get_name()} ({each.get_coro().__qualname__})" for each in left))
        with suppress(Exception):  # standard error may be anything by now
            print(f"--- cancelled, because nobody awaits them: asyncio tasks {names}", file=sys.stderr)
    return result


def _refuse_unrun(result: Any) -> None:
    what = _unrun(type(result))
    if what:
        raise TaskFailed(
            f"its function returned {what}, whose code has not run: iterate it in the task, or return list(...) of it"
        )
    values = result.values() if isinstance(result, dict) else result if isinstance(result, _CONTAINERS) else ()
    what = next(filter(None, map(_unrun, set(map(type, values)))), "")
    if what:
        raise TaskFailed(
            f"its function returned {what} inside a {type(result).__name__}, whose code has not run: iterate or await "
            "it in the task (`await asyncio.gather(...)` awaits several)"
        )


def never_run(result: Any) -> str:
    """What is wrong with a function that makes a DAG or a group, if its code has not run and will not; else ""."""
    what = _unrun(type(result)) if hasattr(result, "close") else ""
    if what:
        result.close()
    return f"its function returned {what}, whose code has not run: write it without async and yield" if what else ""


def _unrun(kind: type) -> str:
    """What a value of this type is, if it is code that has not run; else ""."""
    if kind in _PLAIN:
        return ""
    if issubclass(kind, Coroutine):
        return "a coroutine"
    if issubclass(kind, _GENERATORS):
        return "a generator (there is a `yield` in it)"
    if issubclass(kind, _LAZY) or kind.__module__ == "itertools":
        return f"a lazy `{kind.__name__}`"
    return ""
