"""Measures every figure the project promises and prints it beside its target and its floor.

``python -m benchmarks [--runs N] [--json FILE] [NAME …]``; exits 1 when a target is missed.
"""

import argparse
import json
import sqlite3
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks import cooperation, dags, failures, floors, mapped, waits
from benchmarks.measuring import Figure, Measured, empty_folder, median_of, run, settle

TAILRACE = (sys.executable, "-m", "tailrace")
DATES = 100
TASKS = 6 * DATES


def backfill(source: str, dag_id: str, dates: int, *, url: str | None = None, memory: bool = False) -> Measured:
    """One cold backfill of ``dates`` days in an empty folder."""
    folder = empty_folder()
    dag_file = folder / "dag.py"
    dag_file.write_text(source)
    first = date(2016, 1, 1)
    command = [*TAILRACE, "backfill", dag_id, "--dags", str(dag_file), "-w", "2", "-q", "-o", "json"]
    command += ["-s", str(first), "-e", str(first + timedelta(days=dates - 1))]
    env = {"TAILRACE_DATABASE_URL": url} if url else {}
    measured = run(command, cwd=folder, env=env, memory=memory)
    outcome = json.loads(measured.stdout)
    if outcome["runs"] != {"success": dates}:
        raise SystemExit(f"{dag_id}: expected {dates} successful runs, found {outcome['runs']}")
    if dates == 1:
        return Measured(engine_seconds(folder / ".tailrace" / "tailrace.db"), measured.stdout)
    return measured


def engine_seconds(database: Path) -> float:
    """Seconds from the first start to the last end of a task instance, as the metastore has them."""
    with sqlite3.connect(database) as connection:
        span = "SELECT (julianday(max(ended_at)) - julianday(min(started_at))) * 86400 FROM task_instance"
        return float(connection.execute(span).fetchone()[0])


def bash_diamond(runs: int) -> list[Figure]:
    """Cold-start wall time of 600 bash tasks against xargs, by turns: a machine's moods then meet both."""
    pairs = [
        (floors.xargs_seconds(TASKS), backfill(dags.DIAMOND_BASH, "diamond_bash", DATES).seconds) for _ in range(runs)
    ]
    alone, values = zip(*pairs, strict=True)
    floor, middle = statistics.median(alone), statistics.median(values)
    name = f"{TASKS} bash tasks, cold start, / xargs -P2"
    ratios = [value / floor for value in values]
    return [Figure(name, "times", middle / floor, 3.0, False, "xargs -P2, s", floor, ratios)]


def python_diamond(runs: int, new_url: Callable[[], str] | None, target: float) -> list[Figure]:
    """Task instances a second, a process per try, the command's whole wall time counted."""
    floor = statistics.median(floors.forks_per_second(2000) for _ in range(runs))

    def rate() -> float:
        url = new_url() if new_url is not None else None
        return TASKS / backfill(dags.DIAMOND_PYTHON, "diamond_python", DATES, url=url).seconds

    middle, values = median_of(runs, rate)
    store = "PostgreSQL" if new_url is not None else "SQLite"
    return [Figure(f"no-op tasks, {store}", "TI/s", middle, target, True, "bare forks/s", floor, values)]


def chain(runs: int) -> list[Figure]:
    """Milliseconds a hop in a chain of fifty."""
    floor = statistics.median(floors.chain_milliseconds(50) for _ in range(runs))
    middle, values = median_of(runs, lambda: backfill(dags.CHAIN, "chain_python", 1).seconds * 1000 / 50)
    return [Figure("chain of 50, a hop", "ms", middle, 25.0, False, "process pool, ms", floor, values)]


def memory(runs: int) -> list[Figure]:
    """Peak memory of loop, zygote, workers and tasks together."""
    peaks = [backfill(dags.DIAMOND_PYTHON, "diamond_python", DATES, memory=True) for _ in range(runs)]
    rss = [peak.peak_rss for peak in peaks]
    pss = [peak.peak_pss for peak in peaks]
    return [
        Figure("resident, whole tree (RSS sum)", "MB", statistics.median(rss), 250.0, False, runs=rss),
        Figure("resident, shared pages divided (PSS)", "MB", statistics.median(pss), 250.0, False, runs=pss),
    ]


def command_line(runs: int) -> list[Figure]:
    """How long ``tailrace --help`` takes."""
    floor = statistics.median(floors.interpreter_seconds() for _ in range(runs)) * 1000
    folder = empty_folder()
    middle, values = median_of(runs, lambda: run([*TAILRACE, "--help"], cwd=folder).seconds * 1000)
    heavy = sorted({"sqlalchemy", "rich", "alembic"} & set(floors.loaded_modules("import tailrace")))
    return [
        Figure("tailrace --help", "ms", middle, 250.0, False, "python + click, ms", floor, values),
        Figure(f"heavy modules in import tailrace {heavy or ''}".strip(), "", len(heavy), 0, False),
    ]


def show(figure: Figure) -> str:
    """One line of the table."""
    floor = f"{figure.floor:10.2f} {figure.floor_name}" if figure.floor is not None else ""
    sign = "≥" if figure.higher_is_better else "≤"
    ratio = f"{figure.ratio:7.2f}" if figure.ratio is not None else " " * 7
    spread = f"{min(figure.runs):.4g} … {max(figure.runs):.4g}" if figure.runs else ""
    verdict = "reached" if figure.reached else "SHORT"
    return (
        f"{figure.name:44} {figure.measured:9.2f} {figure.unit:5} {sign} {figure.target:<7g} {verdict:8}"
        f" {ratio}  {floor:32} {spread}"
    )


def main() -> int:
    """Measure, print, and say by the exit code whether every target is reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = "bash, sqlite, postgres, chain, memory, cli, together, together-postgres, resume, failures, waits, mapped"
    parser.add_argument("names", nargs="*", help=f"{names} (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement (default 5)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    runs = options.runs
    figures: list[Figure] = []
    settle()
    print(f"{'figure':44} {'measured':>9} {'':5} {'target':9} {'':8} {'/floor':>7}  {'floor':32} spread")
    servers: list[Any] = []
    with ExitStack() as stack:

        def new_url() -> str:
            if not servers:
                from tests.postgres_server import PostgresServer

                servers.append(stack.enter_context(PostgresServer.running()))
            return servers[0].new_database()

        benches: dict[str, Callable[[], list[Figure]]] = {
            "bash": lambda: bash_diamond(runs),
            "sqlite": lambda: python_diamond(runs, None, 150.0),
            "postgres": lambda: python_diamond(runs, new_url, 100.0),
            "chain": lambda: chain(runs),
            "memory": lambda: memory(min(runs, 3)),
            "cli": lambda: command_line(runs),
            "together": lambda: cooperation.together(runs, "SQLite"),
            "together-postgres": lambda: cooperation.together(runs, "PostgreSQL", new_url),
            "resume": lambda: cooperation.resume(runs),
            "failures": lambda: failures.lines(1),
            "mapped": lambda: mapped.mapped(min(runs, 3)),
            "waits": waits.waits,
        }
        for name in options.names or benches:
            for figure in benches[name]():
                figures.append(figure)
                print(show(figure), flush=True)
    if options.json:
        rows = [{"name": f.name, "measured": f.measured, "target": f.target, "floor": f.floor} for f in figures]
        options.json.write_text(json.dumps(rows, indent=1))
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
