"""What ``multiprocessing`` starts inside a task finds the DAG file's functions, however it is started."""

from pathlib import Path

import pytest

from tailrace.model.outcomes import OutcomeKind
from tests.acceptance.conftest import Run
from tests.acceptance.execution.conftest import NewBench

TASKS = """
import functools, multiprocessing
from concurrent.futures import ProcessPoolExecutor
import beside_the_dag
def double(n): return n * 2
def add(n, m): return n + m
class Doubler:
    def __init__(self, n): self.n = n
    def __call__(self, m): return Doubler(self.n * m)
def nested(method):
    with multiprocessing.get_context(method).Pool(1) as pool: return pool.apply(double, (21,))

def uses(method):
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        found = [pool.apply(double, (21,)), pool.apply(functools.partial(add, 1), (2,))]
        found += [pool.apply(Doubler(2), (3,)).n, pool.apply(beside_the_dag.triple, (2,))]
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found += list(pool.map(double, [1, 2]))
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found.append(pool.submit(nested, method).result())
    queue = context.Queue()
    process = context.Process(target=queue.put, args=(Doubler(5),))
    process.start()
    found.append(queue.get().n)
    return found
for method in ("fork", "spawn", "forkserver"):
    PythonOperator(task_id=method, python_callable=uses, op_args=[method], dag=dag)
@work
def without_environment():
    os.environ.clear()
    multiprocessing.get_context("spawn").Process(target=double, args=(1,)).start()
"""
FOUND = [42, 3, 6, 6, 2, 4, 42, 5]


@pytest.fixture(autouse=True)
def beside(tmp_path: Path) -> None:
    (tmp_path / "beside_the_dag.py").write_text("def triple(n): return n * 3\n")


@pytest.mark.parametrize("isolation", ["fork", "spawn", "worker"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_functions_of_the_dag_file_are_found(bench: NewBench, method: str, isolation: str) -> None:
    desk = bench(TASKS, isolation)
    outcome = desk.run(method)
    assert (outcome.error, outcome.xcoms) == ("", {"return_value": FOUND}), desk.log(method)


def test_a_cleared_environment_is_named_as_the_reason(bench: NewBench) -> None:
    desk = bench(TASKS)
    assert desk.run("without_environment").kind is OutcomeKind.SUCCESS
    assert "--- TAILRACE_DAG_FILE is not in the environment" in desk.log("without_environment")


def test_so_they_are_by_a_task_that_is_tested(tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(
        "import multiprocessing\n"
        "from datetime import datetime\n"
        "from tailrace import DAG, task\n"
        "def double(n): return n * 2\n"
        "with DAG('d', schedule='@daily', start_date=datetime(2024, 1, 1)):\n"
        "    @task\n"
        "    def spawns():\n"
        "        with multiprocessing.get_context('spawn').Pool(1) as pool: return pool.apply(double, (21,))\n"
        "    spawns()\n"
    )
    done = tailrace("tasks", "test", "d", "spawns", "2024-01-01")
    assert (done.returncode, "would push return_value = 42" in done.stderr) == (0, True), done.stderr
