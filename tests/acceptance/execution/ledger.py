"""A worker's life without a metastore: every claim is won, and what happened is a line in a ledger file."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace.effects.requests import Accepted, ClaimTry, Effect, ReadXCom, RenewLease, ReportOutcome
from tailrace.effects.tries import Claim, Renewal, Submission
from tailrace.execution.workers.loop import worker_loop
from tailrace.execution.workers.worker_channel import WorkerChannel
from tests.acceptance.execution.conftest import claim_of


@dataclass(frozen=True)
class Ledger:
    """Lines ``claim TASK TRY PID`` and ``KIND TASK TRY PID`` of the worker that wrote them."""

    path: Path

    def write(self, word: str, claim: Claim) -> None:
        line = f"{word} {claim.task_instance.task_id} {claim.key.try_number} {os.getpid()}\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def lines(self) -> list[tuple[str, ...]]:
        text = self.path.read_text() if self.path.exists() else ""
        return [tuple(line.split()) for line in text.splitlines()]

    def of(self, word: str) -> list[tuple[str, int]]:
        """Task id and try number of each line that begins with this word."""
        return [(line[1], int(line[2])) for line in self.lines() if line[0] == word]


def with_ledger(ledger: Ledger, perform_own: Callable[[Effect[Any]], Any]) -> Callable[[Effect[Any]], Any]:
    """Performs a worker loop's effects: those of a metastore on the spot, the others by ``perform_own``."""
    offered: list[Submission] = []

    def perform(effect: Effect[Any]) -> Any:
        if isinstance(effect, ClaimTry):
            claim = claim_of(offered[-1])
            ledger.write("claim", claim)
            return claim
        if isinstance(effect, ReportOutcome):
            ledger.write(str(effect.outcome.kind), effect.claim)
            return Accepted(str(effect.after.state))
        if isinstance(effect, RenewLease):
            return Renewal.HELD
        if isinstance(effect, ReadXCom):
            return tuple((task_id, -1, task_id.upper()) for task_id in effect.query.task_ids)
        if hasattr(effect, "submission"):
            offered.append(effect.submission)
        return perform_own(effect)

    return perform


@dataclass(frozen=True)
class Working:
    """A ``worker_main``."""

    ledger: Ledger
    lease_seconds: float = 15.0

    def __call__(self, channel: WorkerChannel) -> None:
        perform = with_ledger(self.ledger, channel.perform)
        loop = worker_loop(self.lease_seconds)
        answer: Any = None
        while True:
            try:
                effect = loop.send(answer)
            except StopIteration:
                return
            answer = perform(effect)
