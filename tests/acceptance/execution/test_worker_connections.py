"""Each worker has one connection to the metastore, its own: SQLite's locks belong to a process, not to a descriptor."""

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tailrace.execution.executors.isolating import IsolatingExecutor
from tailrace.execution.executors.local import LocalExecutor
from tailrace.execution.zygote.handle import start_zygote
from tailrace.metastore.store import Metastore
from tailrace.runtime.executors import start_executor
from tailrace.runtime.settings import load_settings
from tailrace.runtime.signals import Interrupts
from tests.acceptance.execution.conftest import HEAD, eventually


def files_open_in(pid: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            found[descriptor.readlink().name] += 1
    return found


def test_a_worker_inherits_no_connection(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text(HEAD)
    zygote = start_zygote(tmp_path / "dag.py", tmp_path)
    settings = load_settings({"workers": 2}, environ={}, cwd=tmp_path)
    metastore = Metastore.open(settings.database_url)
    assert metastore.jobs_running_on("nowhere") == ()
    assert files_open_in(os.getpid())["tailrace.db"] == 1, "the job has a connection as its workers begin"
    with Interrupts() as interrupts:
        executor = start_executor(metastore, settings, interrupts, *[lambda told: None] * 3, zygote)
        assert isinstance(executor, IsolatingExecutor) and isinstance(executor._main, LocalExecutor)
        try:
            for worker in executor._main._workers:
                eventually(lambda pid=worker.pid: files_open_in(pid)["tailrace.db"] > 0)
                assert files_open_in(worker.pid)["tailrace.db"] == 1
        finally:
            executor.stop()
            zygote.stop()
            metastore.close()
