"""The whole state of a world as one short text: equal texts, equal futures. A search depends on it.

The rows of the metastore without its history, what every loop's frames can still read, and what is under way. The
stack inside an expression is not part of a frame's variables; the product's loops keep nothing there across an effect.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import GeneratorType
from typing import Any

from tailrace.model.spec import DagSpec
from tailrace.simulator.liveness import live_variables
from tailrace.simulator.processes import Caller, Job, Worker
from tailrace.simulator.world_state import WorldState

#: Where the chain of a history has come to, which a claim carries: it says how the world came here, not what follows.
_CHAIN = re.compile(r"chain=Chain\([^)]*\)")
_TABLES = ("pool", "job", "backfill", "dag_run", "backfill_run", "task_instance", "xcom", "outbox", "capacity_wait")


def fingerprint(world: WorldState) -> str:
    """The state of a world between two steps."""
    stuck = None if world.stuck is None else world.stuck.until
    parts = [f"{world.clock.seconds} {world.disruptions} {stuck} {world.postponed}", *_rows(world)]
    for process in world.processes:
        parts.append(
            f"{process.name} {process.effect} {process.stopped_until} {process.waiting_since} {process.parked}"
        )
        parts += _frames(process.loop)
        if isinstance(process, Worker):
            parts.append(
                _text(
                    [
                        process.job.id,
                        process.submission,
                        process.claim,
                        process.lease_until,
                        process.ending,
                        process.steps_left,
                        process.due,
                        process.terminated,
                        process.lost,
                    ]
                )
            )
        if isinstance(process, Caller):
            parts.append(_text([process.job.id, process.called, process.lease_until, process.steps_left]))
        if isinstance(process, Job):
            parts.append(
                _text([process.queue, process.hints, process.worker_lost, process.draining, process.interrupts])
            )
    parts += [_text(world.late), _text(world.commands), _text(sorted(world.dead))]
    return hashlib.sha256(_CHAIN.sub("", "\n".join(parts)).encode()).hexdigest()[:24]


def _rows(world: WorldState) -> Iterator[str]:
    """Every row, but for where the chain of its history has come to."""
    connection = sqlite3.connect(world.file)
    for table in _TABLES:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        columns = ", ".join(f'"{name}"' for name in names if not name.endswith(("_head", "_length")))
        yield f"{table} {connection.execute(f'SELECT {columns} FROM {table} ORDER BY rowid').fetchall()}"
    connection.close()


def _frames(loop: Any) -> Iterator[str]:
    """The loop, and the loops it waits for: where each stands and what its variables hold."""
    while isinstance(loop, GeneratorType) and loop.gi_frame is not None:
        frame = loop.gi_frame
        variables = ", ".join(f"{name}={_text(frame.f_locals[name])}" for name in live_variables(frame))
        yield f"{frame.f_code.co_name} {frame.f_lasti} {variables}"
        loop = loop.gi_yieldfrom


def _text(value: Any) -> str:
    """Like ``repr``, the same in every process: sets in order, a DAG by its name."""
    if isinstance(value, DagSpec):
        return value.dag_id
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(_text, value))) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    if is_dataclass(value) and not isinstance(value, type):  # what a loop changes; values that stay are structs
        held = ", ".join(f"{each.name}={_text(getattr(value, each.name))}" for each in fields(value))
        return f"{type(value).__name__}({held})"
    return repr(value)
