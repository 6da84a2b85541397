"""Chaos with real processes: ``make chaos``, or ``python -m tests.chaos [--kills N] [--seed N] [KIND …]``.

Three jobs (backfills, or schedulers that a backfill is left to) drive the same 200 runs while their processes are
killed, stopped beyond their lease and continued at random; PostgreSQL itself is killed and started again. A job that
ends is started again until the work is done. Then the tasks' own ledger, the metastore's history and the audit must
agree. Prints its figures; exits 1 if they are wrong.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import IO

from tailrace.audit.checks import audit
from tailrace.execution.system.identity import start_time
from tailrace.metastore.store import Metastore
from tests.chaos.ledger import DAG_FILE, Account, account, read
from tests.chaos.processes import Tree, adopt_what_is_orphaned, chosen, descendants_of
from tests.postgres_server import PostgresServer

KINDS = ("sqlite", "postgres", "schedulers-sqlite", "schedulers-postgres")
JOBS, WORKERS, RUNS = 3, 2, 200
LEASE = 4.0
PAUSE = 0.25  # between two blows, on average
WEIGHTS = {"task": 5.0, "worker": 4.0, "zygote": 1.0, "job": 1.5}
PATIENCE = 600.0  # without any blow, before a round counts as stuck


@dataclass(slots=True)
class Job:
    """One command of a user, and what it said."""

    process: "subprocess.Popen[bytes]"
    told: IO[bytes]


@dataclass(slots=True)
class Figures:
    """What came of all rounds together."""

    blows: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    accounts: list[Account] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """Every signal that took a process away or held it up beyond its lease."""
        return sum(self.blows.values())


class Round:
    """One metastore, 200 runs, three jobs."""

    def __init__(
        self,
        folder: Path,
        url: str,
        server: PostgresServer | None,
        lots: random.Random,
        figures: Figures,
        *,
        schedulers: bool,
    ) -> None:
        self._folder, self._url, self._server, self._lots, self._figures = folder, url, server, lots, figures
        self._schedulers = schedulers
        self._tree = Tree()
        self._jobs: list[Job] = []
        (folder / "chaos.py").write_text(DAG_FILE)
        self.ledger = folder / "ledger"
        self.ledger.touch()

    def run(self, kills: int) -> None:
        """Hit until the work is done or so many blows are struck in all; then let it finish."""
        if self._schedulers and (code := self._start("--detach").process.wait()) != 0:
            raise SystemExit(f"the backfill could not be left to the schedulers: exit {code}")
        self._jobs = [self._start() for _ in range(JOBS)]
        quiet_since: float | None = None
        while self._jobs:
            self._tree.go_on()
            self._see_to_jobs()
            if self._figures.kills < kills:
                self._strike()
            elif quiet_since is None:
                quiet_since = time.monotonic()
                self._tree.go_on(everyone=True)
            elif time.monotonic() - quiet_since > PATIENCE:
                self._figures.wrong.append(
                    f"stuck: {len(self._jobs)} jobs still run {PATIENCE:.0f} s after the last blow"
                )
                break
            time.sleep(self._lots.uniform(0, 2 * PAUSE))
        self._tree.go_on(everyone=True)
        self._expect_nobody()
        self._figures.accounts.append(self._account())

    # --- jobs ----------------------------------------------------------------------------------------------

    def _start(self, *options: str) -> Job:
        first = date(2024, 1, 1)
        last = first + timedelta(days=RUNS - 1)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        environment = {
            **kept,
            "CHAOS_LEDGER": str(self.ledger),
            "TAILRACE_DATABASE_URL": self._url,
            "TAILRACE_HOME": str(self._folder / "home"),
            "PYTHONPATH": os.pathsep.join([os.getcwd(), kept.get("PYTHONPATH", "")]),
        }
        if self._schedulers and not options:
            arguments = ["scheduler", "--until-idle"]
        else:
            arguments = ["backfill", "chaos", "-s", str(first), "-e", str(last), *options]
        arguments += ["--dags", str(self._folder / "chaos.py"), "-q"]
        arguments += [] if options else ["-w", str(WORKERS)]
        command = [sys.executable, "-m", "tests.chaos.job", str(LEASE), *arguments]
        told = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the job has ended
        nothing = subprocess.DEVNULL
        return Job(subprocess.Popen(command, env=environment, stdout=nothing, stderr=told, stdin=nothing), told)

    def _see_to_jobs(self) -> None:
        """Start again what was ended; a job that ends by itself with a verdict has done its part."""
        for place, job in enumerate(list(self._jobs)):
            code = job.process.poll()
            if code is None:
                continue
            said = self._said(job)
            self._figures.exits[said] += 1
            if code in (0, 1) and self._is_over():
                self._jobs.remove(job)
            else:
                self._jobs[self._jobs.index(job)] = self._start()
            if code not in (0, 1, 4, -signal.SIGKILL) or "Traceback" in said:
                self._figures.wrong.append(f"job {place} ended with {said}")

    def _is_over(self) -> bool:
        """Whether the backfill is judged. A scheduler may find nothing left to drive while others drive it."""
        if not self._schedulers:
            return True
        with closing(Metastore.open(self._url)) as store:
            line = store.show_backfill(1)
            return line is not None and line.state in ("success", "failed")

    def _said(self, job: Job) -> str:
        job.told.seek(0)
        lines = job.told.read().decode(errors="replace").strip().splitlines()
        job.told.close()
        code = job.process.returncode
        if code in (0, 1, -signal.SIGKILL):
            return f"exit {code}" + ("" if "Traceback" not in "".join(lines) else " " + " | ".join(lines[-8:]))
        return f"exit {code}: {' | '.join(lines[-8:])}"[:600]

    # --- blows ---------------------------------------------------------------------------------------------

    def _strike(self) -> None:
        if self._server is not None and self._lots.random() < 0.02:
            self._kill_server()
            return
        victim = chosen(self._tree.look([job.process.pid for job in self._jobs]), self._lots, WEIGHTS)
        if victim is None:
            return
        if self._lots.random() < 0.25:
            long = self._lots.random() < 0.6
            seconds = LEASE * self._lots.uniform(1.1, 2.0) if long else self._lots.uniform(0.1, LEASE / 2)
            if self._tree.stop(victim, seconds) and long:
                self._figures.blows[f"{victim.kind} stopped beyond its lease"] += 1
        elif victim.hit(signal.SIGKILL):
            self._figures.blows[f"{victim.kind} killed"] += 1

    def _kill_server(self) -> None:
        assert self._server is not None
        self._server.kill()
        time.sleep(self._lots.uniform(0, 3))
        self._server.start()
        self._figures.blows["PostgreSQL killed and restarted"] += 1

    # --- afterwards ----------------------------------------------------------------------------------------

    def _expect_nobody(self) -> None:
        """All jobs are over: soon after, so is every process of theirs."""
        for job in self._jobs:
            job.process.kill()
            job.process.wait()
        servers = set() if self._server is None else set(self._server.pids())
        until = time.monotonic() + 3 * LEASE
        while left := [pid for pid in descendants_of(os.getpid()) if pid not in servers and start_time(pid)]:
            if time.monotonic() > until:
                names = [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in left]
                self._figures.wrong.append(f"{len(left)} processes are left behind: {names}")
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.1)
        _reap()

    def _account(self) -> Account:
        store = Metastore.open(self._url)
        records = store.audit_records()
        store.close()
        found = account(read(self.ledger), records)
        if found.task_instances != 4 * RUNS:
            found.wrong.append(f"{found.task_instances} task instances instead of {4 * RUNS}")
        self._figures.wrong += found.wrong
        self._figures.wrong += [str(violation) for violation in audit(records)]
        return found


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


@contextmanager
def place(kind: str) -> Iterator[tuple[Path, str, PostgresServer | None]]:
    """A folder, the URL of an empty metastore, and its server."""
    with tempfile.TemporaryDirectory(prefix="tailrace-chaos-") as name:
        folder = Path(name)
        if "sqlite" in kind:
            yield folder, f"sqlite:///{folder / 'metastore.sqlite'}", None
            return
        with PostgresServer.running(durable=False) as server:
            yield folder, server.new_database(), server


def chaos(kind: str, kills: int, seed: int) -> Figures:
    """Rounds until so many blows are struck."""
    figures, lots = Figures(), random.Random(seed)
    while figures.kills < kills and not figures.wrong:
        with place(kind) as (folder, url, server):
            schedulers = kind.startswith("schedulers")
            Round(folder, url, server, lots, figures, schedulers=schedulers).run(kills)
            if figures.wrong:
                kept = Path(tempfile.mkdtemp(prefix="tailrace-chaos-kept-"))
                subprocess.run(["cp", "-r", str(folder), str(kept)], check=False)
                print(f"kept in {kept}", file=sys.stderr)
        print(
            f"  {kind}: {figures.kills} of {kills} kills, {len(figures.accounts)} rounds", file=sys.stderr, flush=True
        )
    return figures


def main() -> int:
    """Run each kind asked for and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)} (default: the first two)")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None, help="of what is hit and when; the rest is the machine's")
    options = parser.parse_args()
    adopt_what_is_orphaned()
    good = True
    for kind in options.kinds or KINDS[:2]:
        seed = random.randrange(1 << 30) if options.seed is None else options.seed
        began = time.monotonic()
        figures = chaos(kind, options.kills, seed)
        good = good and not figures.wrong
        print(told(kind, seed, figures, time.monotonic() - began), flush=True)
    return 0 if good else 1


def told(kind: str, seed: int, figures: Figures, seconds: float) -> str:
    """The figures for people."""
    starts, lost_tries, refused, given_up, instances = (
        sum(getattr(one, name) for one in figures.accounts)
        for name in ("starts", "lost_tries", "refused", "given_up", "task_instances")
    )
    lost = sum("work was not done" in text or "accepted outcomes" in text for text in figures.wrong)
    doubled = sum("outcomes" in text or "overlapped" in text or "times" in text for text in figures.wrong)
    lines = [
        f"{kind}: {figures.kills} kills survived in {seconds:.0f} s, {instances} task instances, lost {lost}, "
        f"doubled outcomes {doubled}, wrong {len(figures.wrong)} (seed {seed})",
        f"  {starts} starts, {lost_tries} tries lost, {refused} late results refused, {given_up} failed for it",
        "  blows: " + ", ".join(f"{count} {name}" for name, count in sorted(figures.blows.items())),
        "  ends of jobs: " + json.dumps(dict(sorted(figures.exits.items()))),
    ]
    return "\n".join(lines + [f"  WRONG: {text}" for text in figures.wrong[:50]])


if __name__ == "__main__":
    sys.exit(main())
