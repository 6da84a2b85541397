"""A worker process: the worker loop, joined to the metastore and to its task's process. No user code runs here."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct

from tailrace.effects.requests import (
    Accepted,
    ClaimTry,
    Effect,
    ReadRecords,
    ReadXCom,
    RenewLease,
    ReportOutcome,
    ResolveSecret,
    StartTask,
)
from tailrace.effects.tries import Claim, Refused, Unreadable, Unstorable, XComReply
from tailrace.errors import TailraceError, ValueRefused
from tailrace.execution.logs.files import require_room
from tailrace.execution.workers.log_end import log_outcome
from tailrace.execution.workers.loop import worker_loop
from tailrace.execution.workers.running_try import STOPPED
from tailrace.execution.workers.worker_channel import WorkerChannel
from tailrace.metastore.commands.secrets import NewSecret
from tailrace.metastore.store import Metastore
from tailrace.model.recorded import RecordsRefused, RecordsReply
from tailrace.runtime.driver import drive
from tailrace.runtime.opening import new_write_id
from tailrace.runtime.secrets import SecretSettings
from tailrace.secrets.keys import FILE_NAME
from tailrace.secrets.names import SecretKind
from tailrace.secrets.requests import SecretReply, VariableChange


class WorkerMain(Struct, frozen=True):
    """The body of a worker process: works until its channel closes. A fork has its own connection to the metastore."""

    metastore: Metastore
    home: Path
    lease_seconds: float
    secrets: SecretSettings

    def __call__(self, channel: WorkerChannel) -> None:
        """Serve tries from ``channel`` until no more will come."""
        with closing(self.metastore):  # the last one that closes a SQLite file brings it up to date
            self.metastore.connect()  # before the first try is in hand: a server that is away would cost its lease
            drive(worker_loop(self.lease_seconds), self._performer(channel))

    def _performer(self, channel: WorkerChannel) -> Callable[[Effect[Any]], Any]:
        return worker_performer(self.metastore, self.home, channel.perform, self.secrets)


def worker_performer(
    metastore: Metastore,
    home: Path,
    perform_task_effect: Callable[[Effect[Any]], Any],
    secrets: SecretSettings | None = None,
) -> Callable[[Effect[Any]], Any]:
    """Performs a worker loop's effects: those of the metastore here, all others by the worker's task runner."""

    def claim(effect: ClaimTry) -> Claim | Refused:
        require_room(home)
        return metastore.claim(effect.request, new_write_id())

    lookup = (secrets or SecretSettings(home / FILE_NAME)).lookup(lambda: metastore)

    def resolve(effect: ResolveSecret) -> SecretReply:
        def store(change: VariableChange, text: str | None) -> None:
            new = NewSecret(SecretKind.VARIABLE, change.name, text, change.description)
            metastore.write_secrets([new], new_write_id(), effect.claim.task_instance)

        return lookup.reply_to(effect.request, store)

    started = time.monotonic()

    def start(effect: StartTask) -> None:
        nonlocal started
        started = time.monotonic()
        perform_task_effect(effect)

    def report(effect: ReportOutcome) -> Accepted | Refused | Unstorable:
        outcome, claim = effect.outcome, effect.claim
        if not outcome.in_log and not claim.mark_success:
            log_outcome(home, claim.key, outcome, claim.started_at, time.monotonic() - started)
        try:
            reply = metastore.report(claim, outcome, effect.after, new_write_id())
        except ValueRefused as refused:
            return Unstorable(str(refused))
        except TailraceError:
            raise
        except Exception as refused:  # its values passed every check of ours: even so, it is no reason to end a worker
            return Unstorable(f"{type(refused).__name__}: {refused}")
        if outcome.in_log and isinstance(reply, Accepted) and reply.state != effect.after.state:
            # A person wanted another end before its process had come to its own.
            log_outcome(home, claim.key, STOPPED, claim.started_at, time.monotonic() - started)
        return reply

    handlers: dict[type, Callable[[Any], Any]] = {
        ClaimTry: claim,
        **_reading(metastore),
        ResolveSecret: resolve,
        StartTask: start,
        RenewLease: lambda effect: metastore.renew(effect.claim, effect.lease_seconds, effect.waiting),
        ReportOutcome: report,
    }

    def perform(effect: Effect[Any]) -> Any:
        handler = handlers.get(type(effect))
        return perform_task_effect(effect) if handler is None else handler(effect)

    return perform


def _reading(metastore: Metastore) -> dict[type, Callable[[Any], Any]]:
    """What performs a task's questions: what a store cannot look for is refused, and ends no worker."""

    def read_xcom(effect: ReadXCom) -> XComReply:
        try:
            return metastore.read_xcom(effect.query)
        except ValueRefused as refused:
            return Unreadable(str(refused))

    def read_records(effect: ReadRecords) -> RecordsReply:
        try:
            return metastore.recorded(effect.query)
        except ValueRefused as refused:
            return RecordsRefused(str(refused))

    return {ReadXCom: read_xcom, ReadRecords: read_records}
