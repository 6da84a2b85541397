"""What the machine can do without any orchestrator, measured in the same run."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor


def xargs_seconds(commands: int) -> float:
    """Wall seconds for ``commands`` times ``bash -c true`` under ``xargs -P2``."""
    began = time.perf_counter()
    numbers = "\n".join(map(str, range(commands)))
    subprocess.run(["xargs", "-P2", "-I{}", "bash", "-c", "true"], input=numbers, text=True, check=True)
    return time.perf_counter() - began


def forks_per_second(count: int) -> float:
    """Processes a second when each forks, does nothing and is waited for, two at a time."""
    began = time.perf_counter()
    for _ in range(count // 2):
        children = []
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
    return count / (time.perf_counter() - began)


def chain_milliseconds(hops: int) -> float:
    """Milliseconds a hop for no-op calls one after another in a ProcessPoolExecutor."""
    with ProcessPoolExecutor(1) as pool:
        pool.submit(int).result()
        began = time.perf_counter()
        for _ in range(hops):
            pool.submit(int).result()
        return (time.perf_counter() - began) * 1000 / hops


def interpreter_seconds() -> float:
    """Wall seconds for starting Python and importing click: what any command line pays."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import click"], check=True)
    return time.perf_counter() - began


def loaded_modules(statement: str) -> Iterable[str]:
    """Top-level module names loaded by a fresh interpreter after ``statement``."""
    code = f"{statement}; import sys; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
