"""Which variables of a suspended loop can still be read: all others may hold what they like, its future is the same.

Without this, two jobs that wait would differ by the snapshots they read before, and a search would follow both.
"""

import dis
import functools
from collections.abc import Mapping
from types import CodeType, FrameType

_ENDS = {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "RETURN_VALUE", "RAISE_VARARGS", "RERAISE"}
_JUMPS = {*dis.hasjrel, *dis.hasjabs}


def live_variables(frame: FrameType) -> list[str]:
    """The names of a suspended frame's variables that it may read before it binds them anew, sorted."""
    live = _live_after(frame.f_code)[frame.f_lasti]
    return sorted(name for name in frame.f_locals if name in live)


@functools.cache
def _live_after(code: CodeType) -> Mapping[int, frozenset[str]]:
    """By instruction: what may be read after it. Solved backwards along every way through the code, to a fixed point.

    Ways through exceptions are not followed: whatever only a handler reads counts as read everywhere.
    """
    instructions = list(dis.get_instructions(code))
    follows: dict[int, list[int]] = {}
    for each, after in zip(instructions, [*instructions[1:], None], strict=True):
        ways = [each.argval] if each.opcode in _JUMPS else []
        if after is not None and each.opname not in _ENDS:
            ways.append(after.offset)
        follows[each.offset] = ways
    ordinary = _reached(follows)
    always = {*code.co_cellvars, *code.co_freevars}
    reads: dict[int, set[str]] = {}
    for each in instructions:
        names = set(each.argval if isinstance(each.argval, tuple) else [each.argval])
        reads[each.offset] = names if "FAST" in each.opname and each.opname != "STORE_FAST" else set()
        if each.offset not in ordinary:
            always |= reads[each.offset]
    binds = {each.offset: each.argval for each in instructions if each.opname == "STORE_FAST"}
    after_each = {offset: frozenset(always) for offset in follows}
    changed = True
    while changed:
        changed = False
        for offset in reversed(follows):
            found = frozenset(always).union(
                *((after_each[way] - {binds.get(way)}) | reads[way] for way in follows[offset])
            )
            if found != after_each[offset]:
                after_each[offset], changed = found, True
    return after_each


def _reached(follows: Mapping[int, list[int]]) -> set[int]:
    reached, front = {0}, [0]
    while front:
        for way in follows[front.pop()]:
            if way not in reached:
                reached.add(way)
                front.append(way)
    return reached
