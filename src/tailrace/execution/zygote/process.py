"""The zygote's whole life: loads the DAG files, reports what is in them, then parks tasks' processes for workers."""

import importlib
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from msgspec import Struct

from tailrace.authoring.loading.load import LoadedDags, load_dags
from tailrace.execution.logs import log_masking
from tailrace.execution.logs.files import open_streams, show_logging
from tailrace.execution.messages.loading_process import (
    LoadReport,
    LoadRequest,
    MessageWriter,
    keep_sources,
    read_sources,
)
from tailrace.execution.messages.secret_requests import asking_job
from tailrace.model.spec import called_everywhere
from tailrace.secrets.source import ask_by


class Lines(Struct, frozen=True):
    """The descriptors that a zygote is given: its line to the job, where it reports, where it keeps what it loaded.

    ``former`` is where another has kept what it loaded before; -1: there is none.
    """

    control: int
    report: int
    kept: int
    former: int = -1


def be_zygote(job: int, request: LoadRequest, lines: Lines) -> NoReturn:
    """Be the zygote, in a process that has nothing of the job in it. ``job`` is the job's pid."""
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.setpgid(0, 0)  # Ctrl-C in the terminal is for the job alone
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)  # what DAG files print while loading must not mix with the command's own output
        open_streams()
        # Imported here, after the fork: what only a zygote and its children need is theirs to load.
        importlib.import_module("tailrace.execution.system.withholding").withhold_secrets()
        server = importlib.import_module("tailrace.execution.zygote.server")
        guard = importlib.import_module("tailrace.execution.system.process_guard")
        guard.die_with_parent(signal.SIGKILL)  # a job that dies now has no workers to wait for
        if os.getppid() != job:
            os._exit(0)
        loaded, isolation = _load(server, request, lines)
        guard.die_with_parent(0)  # from here on it ends with the last worker, which may finish a try after the job
        server.ZygoteServer(loaded, request, isolation, lines).run()
        code = 0
    except BaseException:
        traceback.print_exc()  # ours: whatever is in a DAG file is reported as its mistake
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _load(server: ModuleType, request: LoadRequest, lines: Lines) -> tuple[LoadedDags, str]:
    """Load the files and report; returns what is in them and what isolation tries will get."""
    writer = MessageWriter(lines.report)
    log_masking.listen()
    ask_by(asking_job(lines.control, writer.ask))
    loaded = _load_all(request, lines, writer)
    if request.checks_secrets:
        notes = importlib.import_module("tailrace.authoring.loading.secret_notes")
        loaded.notes += notes.notes_about_secrets(loaded)
    ask_by(None)
    log_masking.end()
    writer.begins(Path())  # none any more
    show_logging()
    isolation, notices = request.isolation, loaded.notices
    if loaded.threads_started and isolation != "spawn":
        files = ", ".join(loaded.threads_started)
        notices += (f"loading {files} started threads, so each try gets a fresh interpreter (not {isolation})",)
        isolation = "spawn"
    reusable = server.reusable_tasks(loaded, isolation)
    specs = loaded.specs
    if request.notify:
        specs = {dag_id: called_everywhere(spec, request.notify) for dag_id, spec in specs.items()}
    found = (specs, loaded.mistakes, isolation, notices, reusable, loaded.notes)
    writer.report(LoadReport(*found))
    sys.stdout.flush()
    sys.stderr.flush()  # a half line left here would come out again in every child
    return loaded, isolation


def _load_all(request: LoadRequest, lines: Lines, writer: MessageWriter) -> LoadedDags:
    """What is kept; or the files as they are now, and of those that do not load, what was kept before."""
    dags, loads = Path(os.fsdecode(request.dags)), list[LoadedDags]()

    def begins(file: Path) -> None:
        log_masking.renew()  # what the file before it has put elsewhere was put back
        writer.begins(file)

    if request.again:
        for sources in read_sources(lines.kept):
            loads.append(load_dags(dags, begins, only=request.only, skip=request.skip, sources=sources))
    else:
        loads.append(load_dags(dags, begins, skip={**request.stale, **request.skip}))
        for sources in read_sources(lines.former) if lines.former >= 0 else ():
            loads.append(load_dags(dags, begins, only=request.stale, skip=request.skip, sources=sources))
        keep_sources(lines.kept, [loaded.packed for loaded in loads])
    if lines.former >= 0:
        os.close(lines.former)
    first, *others = loads
    for loaded in others:
        first.take_in(loaded)
    first.packed = b""
    return first
