"""The zygote itself: what it loads, what it forks, what it leaves behind (nothing)."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tailrace.effects.requests import ParkTask, StillRunning
from tailrace.effects.tries import TryOutcome
from tailrace.execution.messages.channel import ProtocolError
from tailrace.execution.messages.tries import outcome_in
from tailrace.execution.system.running_marks import RunningMarks
from tailrace.execution.workers.task_runner import TaskRunner
from tailrace.execution.zygote.handle import ZygoteGone, start_zygote
from tailrace.model.outcomes import OutcomeKind
from tests.acceptance.execution.conftest import Bench, NewBench, alive, eventually, pid_in, submission

NOOP = """
@work
def noop(ds): return ds
"""


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def test_no_user_code_runs_before_the_order(bench: NewBench, tmp_path: Path) -> None:
    desk = bench(f'@work\ndef touch(): open({str(tmp_path / "touched")!r}, "w").close()')
    parked = desk.park("touch")
    assert parked.task is not None and alive(parked.task.pid)
    assert os.getpgid(parked.task.pid) == parked.task.pid
    time.sleep(0.3)
    assert not (tmp_path / "touched").exists()
    assert desk.run("touch").kind is OutcomeKind.SUCCESS
    assert (tmp_path / "touched").exists()


def test_a_process_that_was_not_let_go_serves_the_next_try(bench: NewBench) -> None:
    desk = bench(NOOP)
    first = desk.park("noop")
    assert desk.park("noop").task == first.task


def test_a_parked_process_that_died_is_replaced(bench: NewBench) -> None:
    desk = bench(NOOP)
    first = desk.park("noop").task
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: desk.park("noop").task != first)  # as soon as the zygote has told it
    assert desk.run("noop").xcoms == {"return_value": "2016-01-01"}


def test_an_unknown_task_is_not_parked(bench: NewBench) -> None:
    assert bench(NOOP).port.park(ParkTask(submission("absent"))) is None


def test_hundreds_of_tries_leave_no_zombie_and_no_descriptor(bench: NewBench) -> None:
    desk = bench(NOOP + "\n@work\ndef crash(): os._exit(1)\n")
    desk.run("noop")

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{desk.zygote.pid}/fd"))

    eventually(lambda: len(children_of(desk.zygote.pid)) == 1)
    before = held()
    for number in range(200):
        task_id = "crash" if number % 10 == 0 else "noop"
        expected = OutcomeKind.FAILED if task_id == "crash" else OutcomeKind.SUCCESS
        assert desk.run(task_id, number + 1).kind is expected
    eventually(lambda: len(children_of(desk.zygote.pid)) == 1)  # the one that is parked
    eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))


def test_a_zygote_without_descriptors_refuses_and_lives(bench: NewBench) -> None:
    """Each order to park is answered, or the answers to later ones would be taken for it."""
    desk = bench(NOOP)
    zygote = desk.zygote.pid
    waiting = desk.park("noop").task
    assert waiting is not None
    eventually(lambda: children_of(zygote) == [waiting.pid])
    before = resource.prlimit(zygote, resource.RLIMIT_NOFILE)

    def allow_no_more() -> None:
        held = set(map(int, os.listdir(f"/proc/{zygote}/fd")))
        free = min(set(range(len(held) + 1)) - held)
        resource.prlimit(zygote, resource.RLIMIT_NOFILE, (free, before[1]))

    allow_no_more()
    assert desk.run("noop").kind is OutcomeKind.SUCCESS  # the one that is parked; the next one is refused
    eventually(lambda: not children_of(zygote))
    allow_no_more()
    assert desk.port.park(ParkTask(submission("noop"))) is None
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, before)
    assert desk.run("noop").kind is OutcomeKind.SUCCESS


def test_what_left_its_group_lives_on_and_is_reaped_in_the_end(bench: NewBench, tmp_path: Path) -> None:
    """A daemon that a task starts on purpose is left alone; the zombie is the zygote's to take away."""
    pid_file = tmp_path / "pid"
    desk = bench(
        NOOP + f"\n@work\ndef daemon():\n"
        f"    subprocess.Popen(['bash', '-c', 'echo $$ > {pid_file}; sleep 0.5'], start_new_session=True)\n"
        f"    time.sleep(0.2)\n"
    )
    assert desk.run("daemon").kind is OutcomeKind.SUCCESS
    daemon = pid_in(pid_file)
    assert alive(daemon)
    eventually(lambda: not alive(daemon))
    desk.run("noop")
    eventually(lambda: len(children_of(desk.zygote.pid)) == 1)  # the one that is parked


def test_it_ends_with_the_job_and_takes_everything_along(tmp_path: Path) -> None:
    """kill -9 of the job and of its worker: the zygote and its children are gone soon after."""
    file = tmp_path / "dag.py"
    file.write_text(
        "from tailrace import DAG, PythonOperator\n"
        "with DAG('d'):\n    PythonOperator(task_id='a', python_callable=print)\n"
    )
    script = (
        "import sys, time, pathlib\n"
        "from tailrace.execution.zygote.handle import start_zygote\n"
        "from tailrace.execution.workers.task_runner import TaskRunner\n"
        "from tests.acceptance.execution.conftest import submission\n"
        "from tailrace.effects.requests import ParkTask\n"
        "zygote = start_zygote(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "port = TaskRunner(zygote.connect(), zygote.loaded().specs, frozenset(), 5.0)\n"
        "parked = port.park(ParkTask(submission('a')))\n"
        "print(zygote.pid, parked.task.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(file), str(tmp_path / "home")], stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        pids = [int(pid) for pid in job.stdout.readline().split()]
        assert len(pids) == 2 and all(map(alive, pids))
        job.kill()
    eventually(lambda: not any(map(alive, pids)))


GOOD = "from tailrace import DAG, EmptyOperator\nwith DAG('g'):\n    EmptyOperator(task_id='a')\n"


def test_loading_that_kills_its_process_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text("import os; os._exit(3)")
    (tmp_path / "c.py").write_text(GOOD)
    zygote = start_zygote(tmp_path, tmp_path)
    eventually(zygote.is_loaded)
    report = zygote.loaded()
    zygote.stop()
    assert list(report.specs) == ["g"]
    (mistake,) = report.mistakes
    assert str(mistake).endswith("/b.py: loading it ended its process (exit code 3); correct or remove it")


def test_loading_that_hangs_can_be_left(tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text(
        f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(1000)"
    )
    zygote = start_zygote(file, tmp_path)
    pid = pid_in(tmp_path / "pid")
    began = time.monotonic()
    zygote.stop()
    assert time.monotonic() - began < 5
    assert not alive(pid)


def test_mistakes_are_reported_beside_what_loads(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def broken(:\n")
    (tmp_path / "good.py").write_text(GOOD)
    zygote = start_zygote(tmp_path, tmp_path / "home")
    report = zygote.loaded()
    zygote.stop()
    assert list(report.specs) == ["g"]
    assert [(Path(mistake.file).name, mistake.line) for mistake in report.mistakes] == [("bad.py", 1)]


def test_many_dags_are_reported_whole(tmp_path: Path) -> None:
    """More than a pipe or a datagram holds."""
    lines = ["from tailrace import DAG, EmptyOperator"]
    lines += [f"with DAG('dag{n}', description='{'x' * 5000}'):\n    EmptyOperator(task_id='a')" for n in range(100)]
    (tmp_path / "many.py").write_text("\n".join(lines))
    zygote = start_zygote(tmp_path / "many.py", tmp_path / "home")
    report = zygote.loaded()
    zygote.stop()
    assert len(report.specs) == 100


def test_it_loads_neither_the_metastores_libraries_nor_the_screens(bench: NewBench) -> None:
    desk = bench("@work\ndef heavy(): return sorted({'sqlalchemy', 'alembic', 'rich'} & set(sys.modules))\n")
    script = Path(desk.home.parent / "dag.py")
    code = (
        "import pathlib, sys\n"
        "from tailrace.execution.zygote.handle import start_zygote\n"
        "import tailrace.execution.zygote.server\n"
        f"start_zygote(pathlib.Path({str(script)!r}), pathlib.Path('h')).stop()\n"
        "print(sorted({'sqlalchemy', 'alembic', 'rich', 'tailrace.metastore'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_gone_zygote_is_reported(bench: NewBench) -> None:
    desk = bench(NOOP)
    parked = desk.park("noop").task
    assert parked is not None
    os.kill(desk.zygote.pid, signal.SIGKILL)
    # The parked process too: until it has let go of what it inherited, it holds the zygote's end of our line.
    eventually(lambda: not alive(desk.zygote.pid) and not alive(parked.pid))
    with pytest.raises(ZygoteGone):
        desk.zygote.connect()
    with pytest.raises(ZygoteGone):
        desk.port.park(ParkTask(submission("noop")))


def dead_zygote(desk: Bench) -> None:
    os.kill(desk.zygote.pid, signal.SIGKILL)


def test_a_try_that_was_alone_as_the_zygote_died_is_lost(bench: NewBench) -> None:
    desk = bench("@work\ndef endless(): time.sleep(1000)\n")
    parked = desk.start("endless").task
    assert parked is not None
    dead_zygote(desk)
    outcome = desk.outcome()
    assert outcome.kind is OutcomeKind.LOST
    assert not alive(parked.pid), "nothing of it runs when that is told"
    with pytest.raises(ZygoteGone):
        desk.port.park(ParkTask(submission("endless")))


def test_a_try_that_was_there_with_others_is_lost_with_them(bench: NewBench) -> None:
    desk = bench("@work\ndef endless(): time.sleep(1000)\n")
    report, marks = desk.zygote.loaded(), RunningMarks(3)
    connected = (desk.zygote.connect() for _ in range(3))
    ports = [TaskRunner(line, report.specs, report.reusable, 5.0, marks.mark(n)) for n, line in enumerate(connected)]
    desks = [Bench(desk.zygote, port, desk.home) for port in ports]
    for each in desks[:2]:
        each.start("endless")
    dead_zygote(desk)
    assert [each.outcome().kind for each in desks[:2]] == [OutcomeKind.LOST_TOGETHER] * 2
    for each in desks:
        each.port.close()
        for descriptor in each.orders.pipe:
            os.close(descriptor)


def test_what_a_task_had_reported_counts_though_the_zygote_died(bench: NewBench) -> None:
    """It is heard with the end of the process, which the zygote could not tell any more."""
    desk = bench("@work\ndef fails(): raise ValueError('no')\n")
    desk.park("fails")
    os.kill(desk.zygote.pid, signal.SIGSTOP)
    desk.start("fails")
    assert isinstance(desk.news(1.0), StillRunning)
    dead_zygote(desk)
    assert desk.outcome() == TryOutcome(OutcomeKind.FAILED, "ValueError: no", in_log=True)


@pytest.mark.parametrize("kind", ["lost", "lost_together", "nonsense"])
def test_a_task_cannot_say_that_it_was_lost(kind: str) -> None:
    with pytest.raises(ProtocolError):
        outcome_in({"kind": kind, "error": "", "xcoms": {}, "followed": None})


# --- isolation -----------------------------------------------------------------------------------------------

COUNTS = """
calls = 0
@work
def count():
    global calls
    calls += 1
    return [calls, os.getpid()]
@work
def shows(): return os.environ["TAILRACE_TASK_ID"]
BashOperator(task_id="shell", bash_command="echo {{ ti.try_number }}", dag=dag)
@work
def slow(): time.sleep(0.3)
slow_too = PythonOperator(task_id="limited", python_callable=slow, execution_timeout=1, dag=dag)
"""


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_each_try_has_a_process_of_its_own(bench: NewBench, isolation: str) -> None:
    desk = bench(COUNTS, isolation)
    results = [desk.run("count", number).xcoms["return_value"] for number in (1, 2, 3)]
    assert [calls for calls, _ in results] == [1, 1, 1]
    assert len({pid for _, pid in results}) == 3


SHELLS = """
class Own(BashOperator):
    def execute(self, context): return os.getpid()
def shell(name, command): BashOperator(task_id=name, bash_command=command, dag=dag)
shell("shell", "echo $PPID $$ {{ ti.try_number }} $TAILRACE_TRY_NUMBER")
shell("fails", "echo $PPID; exit 3")
shell("leaves", "sleep 1000 >/dev/null 2>&1 & echo $PPID $!")
shell("killed", "kill -9 $PPID; sleep 1000")
EmptyOperator(task_id="empty", dag=dag)
Own(task_id="own", bash_command="true", dag=dag)
@work
def python(): return os.getpid()
"""


def words_of(outcome: TryOutcome) -> list[str]:
    said = outcome.xcoms["return_value"]
    assert isinstance(said, str), outcome
    return said.split()


def test_one_process_starts_the_bash_of_many_tries(bench: NewBench) -> None:
    desk = bench(SHELLS)
    said = [words_of(desk.run("shell", number)) for number in (1, 2, 3)]
    assert len({parent for parent, *_ in said}) == 1
    assert len({shell for _, shell, *_ in said}) == 3
    assert [numbers for _, _, *numbers in said] == [["1", "1"], ["2", "2"], ["3", "3"]]
    assert desk.log("shell", 2).split("\n")[1] == " ".join(said[1]), "each has a log of its own"
    kept = int(said[0][0])
    assert desk.run("empty").kind is OutcomeKind.SUCCESS
    others = {desk.run("python").xcoms["return_value"], desk.run("python", 2).xcoms["return_value"]}
    assert kept not in others and len(others) == 2, "the author's own code always has a process of its own"
    assert desk.run("own").xcoms["return_value"] not in others | {kept}, "a class of the author's own is such code"
    assert words_of(desk.run("shell", 4))[0] == str(kept)
    assert desk.run("fails").error == f"BashFailed: bash exited 3: {kept}"
    assert words_of(desk.run("shell", 5))[0] != str(kept), "it may be the reason of the failure"


def test_what_bash_left_behind_ends_with_its_try(bench: NewBench) -> None:
    desk = bench(SHELLS)
    parent, left = map(int, words_of(desk.run("leaves")))
    assert int(words_of(desk.run("shell"))[0]) != parent
    eventually(lambda: not alive(left) and not alive(parent))


def test_a_kept_process_that_was_killed_costs_one_try(bench: NewBench) -> None:
    desk = bench(SHELLS)
    desk.run("shell")
    assert desk.run("killed").error.endswith("it was killed by SIGKILL")
    first = desk.park("shell").task
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: not alive(first.pid))
    assert desk.run("shell").kind is OutcomeKind.SUCCESS, "killed while it waited: it costs none"


def test_a_kept_process_waits_only_while_its_worker_lives(bench: NewBench) -> None:
    desk = bench(SHELLS)
    desk.lease_seconds = 2.0
    first = words_of(desk.run("shell"))[0]
    time.sleep(1.75)
    second = words_of(desk.run("shell"))[0]
    assert second != first, "it might have been killed at any moment"
    desk.port.rest()
    time.sleep(2.2)
    assert words_of(desk.run("shell"))[0] == second
    eventually(lambda: not alive(int(second)))


@pytest.mark.parametrize("isolation", ["fork", "worker"])
def test_a_template_file_that_is_made_later_is_read_by_each_try(
    bench: NewBench, tmp_path: Path, isolation: str
) -> None:
    desk = bench('BashOperator(task_id="file", bash_command="made.sh", dag=dag)', isolation)
    desk.park("file")  # by then the zygote has looked for what is there
    for number, text in enumerate(("one", "two"), 1):
        (tmp_path / "made.sh").write_text(f"echo {text}")
        assert desk.run("file", number).xcoms["return_value"] == text


@pytest.mark.parametrize(("arguments", "shared"), [("", True), ("user_defined_macros={'f': str}", False)])
def test_a_template_that_calls_the_authors_code_has_a_process_of_its_own(
    tmp_path: Path, arguments: str, shared: bool
) -> None:
    file = tmp_path / "dag.py"
    file.write_text(
        "from tailrace import DAG, BashOperator\n"
        f"with DAG('d', {arguments}):\n    BashOperator(task_id='a', bash_command='true')\n"
    )
    zygote = start_zygote(file, tmp_path / "home")
    assert zygote.loaded().reusable == (frozenset({("d", "a")}) if shared else frozenset())
    zygote.stop()


def test_one_process_serves_a_worker_where_asked(bench: NewBench) -> None:
    desk = bench(COUNTS, "worker")
    results = [desk.run("count", number).xcoms["return_value"] for number in (1, 2, 3)]
    assert [calls for calls, _ in results] == [1, 2, 3]
    assert len({pid for _, pid in results}) == 1
    assert desk.run("shows").xcoms == {"return_value": "shows"}
    assert [desk.run("shell", number).xcoms["return_value"] for number in (1, 2)] == ["1", "2"]
    assert desk.run("limited").kind is OutcomeKind.SUCCESS


def test_a_crash_of_the_one_process_costs_that_try_alone(bench: NewBench) -> None:
    desk = bench(COUNTS + "\n@work\ndef crash(): os._exit(9)\n@work\ndef fails(): raise ValueError('no')\n", "worker")
    assert desk.run("crash").error.endswith("it exited with code 9")
    assert desk.run("fails").error == "ValueError: no"
    assert desk.run("count").kind is OutcomeKind.SUCCESS


def test_loading_that_starts_threads_means_fresh_interpreters(tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text(
        "import os, threading, time\nfrom tailrace import DAG, PythonOperator\n"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
        "with DAG('d'):\n    PythonOperator(task_id='a', python_callable=os.getpid)\n"
    )
    zygote = start_zygote(file, tmp_path / "home")
    report = zygote.loaded()
    assert report.isolation == "spawn"
    assert "dag.py started threads" in report.notices[0]
    port = TaskRunner(zygote.connect(), report.specs, report.reusable, 5.0)
    assert port.park(ParkTask(submission("a"))) is not None
    port.close()
    zygote.stop()
