"""A try in a process of its own: whatever it does to itself costs that try alone, and nothing of it stays behind."""

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from tailrace.effects.requests import KillTask, ReplyToTask, StillRunning
from tailrace.effects.tries import TryOutcome, XComQuery
from tailrace.execution.messages.tries import CANNOT_TELL
from tailrace.execution.system.identity import Life, life_of
from tailrace.model.outcomes import OutcomeKind
from tests.acceptance.execution.conftest import Bench, NewBench, alive, eventually, pid_in

ENDINGS = """
@work
def good(): return {"n": 1}
@work
def os_exit(): os._exit(3)
@work
def os_exit_zero(): os._exit(0)
@work
def killed(): os.kill(os.getpid(), signal.SIGKILL)
@work
def segfault():
    import ctypes
    ctypes.string_at(0)
@work
def system_exit(): sys.exit(0)
@work
def raises(): raise ValueError("bad row")
@work
def asked_to_end():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        print("tidied up")
@work
def closes_everything():
    os.closerange(3, 256)
@work
def shouts_into_the_channel():
    import stat
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, b"no message\\n")
        except OSError: pass
    time.sleep(60)
@work
def forks_and_returns_twice():
    if os.fork(): time.sleep(0.5)  # the copy comes out first
    return os.getpid()
"""


@pytest.mark.parametrize(
    ("task_id", "kind", "error"),
    [
        ("good", OutcomeKind.SUCCESS, ""),
        ("os_exit", OutcomeKind.FAILED, "the task's process ended without an outcome: it exited with code 3"),
        ("os_exit_zero", OutcomeKind.FAILED, "the task's process ended without an outcome: it exited with code 0"),
        ("killed", OutcomeKind.FAILED, "the task's process ended without an outcome: it was killed by SIGKILL"),
        ("segfault", OutcomeKind.FAILED, "the task's process ended without an outcome: it was killed by SIGSEGV"),
        ("system_exit", OutcomeKind.SUCCESS, ""),
        ("raises", OutcomeKind.FAILED, "ValueError: bad row"),
        ("asked_to_end", OutcomeKind.FAILED, "its process was asked to end by SIGTERM"),
        ("closes_everything", OutcomeKind.FAILED, CANNOT_TELL.error),
        (
            "shouts_into_the_channel",
            OutcomeKind.FAILED,
            "its process sent its worker something that is no message of Tailrace's",
        ),
    ],
)
def test_every_ending_costs_that_try_alone(bench: NewBench, task_id: str, kind: OutcomeKind, error: str) -> None:
    desk = bench(ENDINGS)
    outcome = desk.run(task_id)
    assert (outcome.kind, outcome.error) == (kind, error)
    assert desk.run("good", 2).xcoms == {"return_value": {"n": 1}}


def test_finally_blocks_run_when_a_task_is_asked_to_end(bench: NewBench) -> None:
    desk = bench(ENDINGS)
    desk.run("asked_to_end")
    assert "tidied up" in desk.log("asked_to_end")


def test_a_process_the_task_forked_reports_no_outcome(bench: NewBench) -> None:
    desk = bench(ENDINGS)
    parked = desk.start("forks_and_returns_twice")
    assert parked.task is not None
    assert desk.outcome().xcoms == {"return_value": parked.task.pid}


LEAVES_CHILDREN = """
@work
def leaves_a_child(ds):
    child = subprocess.Popen(["sleep", "1000"])
    open("pid", "w").write(f"{child.pid}\\n")
@work
def fails_and_leaves_a_child():
    child = subprocess.Popen(["sleep", "1000"])
    open("pid", "w").write(f"{child.pid}\\n")
    raise ValueError("no")
@work
def waits_with_a_child():
    child = subprocess.Popen(["bash", "-c", "trap '' TERM; echo $$ > pid; while true; do sleep 0.1; done"])
    time.sleep(1000)
@work
def waits(): time.sleep(1000)
PythonOperator(task_id="times_out", python_callable=waits_with_a_child, execution_timeout=0.5, dag=dag)
BashOperator(task_id="bash_times_out", cwd=os.getcwd(), execution_timeout=0.5, dag=dag,
             bash_command="trap 'echo cleaned > cleaned; exit 1' TERM; echo $$ > pid; sleep 1000 & wait")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's folder as the working folder: of the tasks too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_children_left_behind_end_with_the_try(bench: NewBench, here: Path) -> None:
    desk = bench(LEAVES_CHILDREN)
    assert desk.run("leaves_a_child").kind is OutcomeKind.SUCCESS
    child = pid_in(here / "pid")
    eventually(lambda: not alive(child))


def test_a_failed_try_is_reported_only_when_nothing_of_it_runs(bench: NewBench, here: Path) -> None:
    """Another try may follow at once: code of two tries must not overlap."""
    desk = bench(LEAVES_CHILDREN)
    assert desk.run("fails_and_leaves_a_child").error == "ValueError: no"
    assert not alive(pid_in(here / "pid"))


def test_a_timeout_ends_the_whole_group(bench: NewBench, here: Path) -> None:
    desk = bench(LEAVES_CHILDREN, grace=0.5)
    began = time.monotonic()
    outcome = desk.run("times_out")
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.error == "timed out after 0:00:00.500000 (its execution_timeout)"
    assert time.monotonic() - began < 10
    assert not alive(pid_in(here / "pid"))


def test_a_timed_out_bash_command_may_clean_up(bench: NewBench, here: Path) -> None:
    desk = bench(LEAVES_CHILDREN)
    assert desk.run("bash_times_out").error.startswith("timed out after")
    assert (here / "cleaned").read_text() == "cleaned\n"


def test_terminate_ends_the_task_as_lost(bench: NewBench, here: Path) -> None:
    desk = bench(LEAVES_CHILDREN)
    parked = desk.start("waits")
    desk.orders.say_terminate()
    outcome = desk.outcome()
    assert (outcome.kind, outcome.error) == (OutcomeKind.LOST, "terminated by a second interrupt")
    assert parked.task is not None and life_of(parked.task) is not Life.ALIVE


def test_terminate_between_claim_and_start_is_obeyed(bench: NewBench) -> None:
    desk = bench(LEAVES_CHILDREN)
    desk.park("waits")
    desk.orders.say_terminate()
    desk.start("waits")
    assert desk.outcome().kind is OutcomeKind.LOST


def test_kill_task_ends_the_whole_group(bench: NewBench, here: Path) -> None:
    desk = bench(LEAVES_CHILDREN)
    parked = desk.start("waits_with_a_child")
    assert isinstance(desk.news(0.01), StillRunning)
    child = pid_in(here / "pid")
    desk.port.kill(KillTask())
    assert parked.task is not None and life_of(parked.task) is not Life.ALIVE
    assert not alive(child)
    assert desk.run("leaves_a_child").kind is OutcomeKind.SUCCESS


def test_a_worker_that_is_gone_takes_its_task_with_it(bench: NewBench, here: Path) -> None:
    desk = bench(LEAVES_CHILDREN)
    parked = desk.start("waits_with_a_child")
    child = pid_in(here / "pid")
    desk.port.close()
    eventually(lambda: parked.task is not None and life_of(parked.task) is not Life.ALIVE and not alive(child))


def test_a_worker_held_up_beyond_its_lease_loses_its_task(bench: NewBench, here: Path) -> None:
    """SIGSTOP of a worker, as the zygote sees it: no renewal comes."""
    desk = bench(LEAVES_CHILDREN)
    desk.lease_seconds = 0.6
    parked = desk.start("waits_with_a_child")
    assert isinstance(desk.news(0.2), StillRunning)
    assert isinstance(desk.news(0.2), StillRunning)  # each wait renews the deadline: it lives beyond the first
    child = pid_in(here / "pid")
    assert parked.task is not None and life_of(parked.task) is Life.ALIVE
    eventually(lambda: parked.task is not None and life_of(parked.task) is not Life.ALIVE, within=5.0)
    assert not alive(child)
    outcome = desk.outcome()
    assert outcome.kind is OutcomeKind.LOST
    assert outcome.error == "its worker was held up beyond the lease, so its process was killed"


def test_a_stopped_task_still_times_out(bench: NewBench, here: Path) -> None:
    desk = bench(LEAVES_CHILDREN, grace=0.3)
    parked = desk.start("times_out")
    assert parked.task is not None
    os.kill(parked.task.pid, signal.SIGSTOP)
    assert desk.outcome().error.startswith("timed out after")


FORGERIES = """
import json, socket, stat

def channel():
    \"\"\"What a hostile task finds: the socket to its worker, which it may write to as it likes.\"\"\"
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): return fd
        except OSError: pass

def say(*lines):
    for line in lines:
        line = line if isinstance(line, bytes) else json.dumps(line).encode()
        while line: line = line[os.write(channel(), line):]
        os.write(channel(), b"\\n")
    time.sleep(60)

OUTCOME = {"kind": "success", "error": "", "xcoms": {}, "followed": None, "again": False}
QUERY = {"dag_id": "d", "run_id": "run", "task_ids": ["other"], "key": "k", "map_index": None}

FORGED = {
    "no_json": [b"hello"],
    "nothing": [b""],
    "a_list": [[1]],
    "half_utf8": [b"\\xff\\xfe"],
    "too_deep": [b"[" * 200_000],
    "too_deep_an_object": [b'{"a":' * 200_000],
    "too_many_digits": [b'{"kind": ' + b"1" * 100_000 + b"}"],
    "no_outcome": [{"kind": "won"}],
    "lost": [{**OUTCOME, "kind": "lost"}],
    "an_error_that_is_a_number": [{**OUTCOME, "error": 5}],
    "xcoms_that_are_a_list": [{**OUTCOME, "xcoms": [1]}],
    "an_infinite_xcom": [b'{"kind": "success", "error": "", "xcoms": {"k": 1e400}, "followed": null, "again": false}'],
    "a_nan": [{**OUTCOME, "xcoms": {"k": float("nan")}}],
    "a_key_with_nul": [{**OUTCOME, "xcoms": {"a\\0": 1}}],
    "a_key_with_half_a_character": [{**OUTCOME, "xcoms": {"\\udcff": 1}}],
    "many_keys": [{**OUTCOME, "xcoms": {str(n): n for n in range(100_000)}}],
    "a_choice_that_is_text": [{**OUTCOME, "followed": "abc"}],
    "no_query": [{"query": 5, "id": 1}],
    "a_query_without_a_number": [{"query": QUERY}],
    "a_query_for_a_number": [{"query": {**QUERY, "key": 5}, "id": 1}],
    "a_query_for_nul": [{"query": {**QUERY, "task_ids": ["a\\0"]}, "id": 1}],
    "a_wait_that_is_a_list": [{"waiting": [1]}],
    "a_wait_that_is_deep": [b'{"waiting": ' + b"[" * 900 + b"]" * 900 + b"}"],
    "a_wait_with_more": [{"waiting": "x", "kind": "success"}],
    "a_query_for_an_index": [{"query": {**QUERY, "map_index": 10**40}, "id": 1}],
    "endless": [b"x" * (20 << 20)],
    "endless_lists": [b'{"xcoms": [' + b"[]," * (6 << 20)],
}
for name, lines in FORGED.items():
    PythonOperator(task_id=name, python_callable=say, op_args=lines, dag=dag)

@work
def good(): return 1
@work
def floods():
    questions = (json.dumps({"query": QUERY, "id": 1}).encode() + b"\\n") * 100
    if os.fork() == 0:
        while True: os.read(channel(), 1 << 16)
    while True: os.write(channel(), questions)
PythonOperator(task_id="floods_until_its_timeout", python_callable=floods, execution_timeout=1, dag=dag)
PythonOperator(task_id="sleeps_until_its_timeout", python_callable=lambda: time.sleep(60), execution_timeout=1, dag=dag)
@work
def asks_and_never_listens():
    for n in range(100): os.write(channel(), json.dumps({"query": QUERY, "id": n}).encode() + b"\\n")
    time.sleep(0.5)
    os._exit(3)
@work
def waits_and_waits():
    wait = json.dumps({"waiting": "for nothing"}).encode() + b"\\n"
    while True: os.write(channel(), wait * 1000)
PythonOperator(task_id="waits_until_its_timeout", python_callable=waits_and_waits, execution_timeout=1, dag=dag)
@work
def says_it_twice():
    first, second = json.dumps({**OUTCOME, "again": True}).encode(), json.dumps(OUTCOME).encode()
    os.write(channel(), first + b"\\n" + second + b"\\n")
    time.sleep(60)
"""


#: Of these tasks those that forge nothing, or not only.
OTHERS = {
    *("good", "floods", "floods_until_its_timeout", "sleeps_until_its_timeout"),
    *("asks_and_never_listens", "says_it_twice", "waits_and_waits", "waits_until_its_timeout"),
}


def test_a_forged_message_ends_that_try_only(bench: NewBench) -> None:
    """One worker and one zygote for all of them: neither is the worse for any."""
    desk = bench(FORGERIES)
    forged = sorted({task.task_id for task in desk.port._specs["d"].tasks} - OTHERS)
    assert len(forged) == 27
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, task_id in enumerate(forged, 1):
        outcome = desk.run(task_id, number)
        assert outcome.kind is OutcomeKind.FAILED, task_id
        assert outcome.error.startswith("its process sent its worker "), (task_id, outcome.error)
    assert desk.run("good").xcoms == {"return_value": 1}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 700 * 1024, f"{grown:,} KiB"


def test_a_task_that_asks_without_end_times_out_all_the_same(bench: NewBench) -> None:
    desk = bench(FORGERIES, grace=0.3)
    desk.start("floods_until_its_timeout")
    assert _replying(desk).error.startswith("timed out after")


def test_a_task_that_reports_without_end_what_it_waits_for_times_out_all_the_same(bench: NewBench) -> None:
    desk = bench(FORGERIES, grace=0.3)
    desk.start("waits_until_its_timeout")
    renewals = 0
    while not isinstance(news := desk.news(0.1), TryOutcome):
        assert isinstance(news, StillRunning) and news.waiting in ("", "for nothing")
        renewals += 1
    assert news.error.startswith("timed out after")
    assert renewals >= 3


def test_however_fast_a_task_asks_its_lease_and_its_timeout_go_on(
    bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the next question is always there, as if the task were faster than its worker."""
    desk = bench(FORGERIES, grace=0.3)
    desk.start("sleeps_until_its_timeout")
    run = desk.port._run
    assert run is not None
    query = {"dag_id": "d", "run_id": "run", "task_ids": ["other"], "key": "k", "map_index": None}
    monkeypatch.setattr(run.child.end, "receive", lambda: None if run.ending else {"id": 1, "query": query})
    renewals, until = 0, time.monotonic() + 30
    while not isinstance(news := desk.news(0.1), TryOutcome):
        renewals += isinstance(news, StillRunning)
        if isinstance(news, XComQuery):
            desk.port.reply(ReplyToTask(()))
            run.child.end.give_up()
        assert time.monotonic() < until, "it never ended"
    assert news.error.startswith("timed out after")
    assert renewals >= 3


def test_replies_that_nobody_reads_fill_no_memory(bench: NewBench) -> None:
    desk = bench(FORGERIES)
    desk.start("asks_and_never_listens")
    answered = 0
    while not isinstance(news := desk.news(5.0), TryOutcome):
        if isinstance(news, XComQuery):
            answered += 1
            desk.port.reply(ReplyToTask((("other", -1, "x" * 5_000_000),)))
            assert len(desk.port._run.child.end._unsent) < 6_000_000  # type: ignore[union-attr]
    assert news.error == "the task's process ended without an outcome: it exited with code 3"


def test_a_process_that_sends_too_much_serves_no_other_try(bench: NewBench) -> None:
    """Its second outcome would be taken for that of the next try."""
    desk = bench(FORGERIES, "worker")
    first = desk.start("says_it_twice")
    assert desk.outcome().kind is OutcomeKind.SUCCESS
    second = desk.start("good", 2)
    assert second.task != first.task
    assert desk.outcome().xcoms == {"return_value": 1}


THREADS = """
from concurrent.futures import ThreadPoolExecutor
import multiprocessing, threading
@work
def pulls_in_threads(ti):
    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(lambda n: ti.xcom_pull(f"t{n}"), range(60)))
@work
def pulls_in_a_fork(ti):
    pid = os.fork()
    if pid == 0:
        try: ti.xcom_pull("other")
        except RuntimeError as no: print("refused:", no)
        finally: os._exit(0)
    os.waitpid(pid, 0)
    return ti.xcom_pull("other")
@work
def pulls_in_processes(ti):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        try: return pool.map(ti.xcom_pull, ["a", "b"])
        except Exception as no: return str(no)
@work
def a_fork_comes_out_of_its_code(ti):
    if os.fork() == 0: return "child"
    os.wait()
    return "parent"
@work
def a_fork_leaves_signals_to_the_kernel(ti):
    pid = os.fork()
    if pid == 0: os._exit(signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), callable(signal.getsignal(signal.SIGTERM))]
@work
def a_thread_goes_on(ti):
    def late():
        time.sleep(0.3)
        ti.xcom_push("late", ti.xcom_pull("other"))
    threading.Thread(target=late).start()
    return "done"
@work
def times_itself_out(ti):
    def late(*_): raise TimeoutError("mine")
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try: ti.xcom_pull("slow")
    except TimeoutError: pass
    return ti.xcom_pull("other")
"""


def _replying(desk: Bench, slow: float = 0.0) -> TryOutcome:
    """Answer every pull by the name of what is asked for; that of ``slow`` later."""
    while not isinstance(news := desk.news(5.0), TryOutcome):
        if isinstance(news, XComQuery):
            if news.task_ids == ("slow",):
                time.sleep(slow)
            desk.port.reply(ReplyToTask(tuple((task_id, -1, task_id) for task_id in news.task_ids)))
    return news


def test_each_thread_of_a_task_gets_what_it_asked_for(bench: NewBench) -> None:
    desk = bench(THREADS)
    for number in range(1, 6):
        desk.start("pulls_in_threads", number)
        assert _replying(desk).xcoms == {"return_value": [f"t{n}" for n in range(60)]}


def test_a_thread_pushes_and_pulls_until_the_outcome_is_reported(bench: NewBench) -> None:
    desk = bench(THREADS)
    desk.start("a_thread_goes_on")
    assert _replying(desk).xcoms == {"late": "other", "return_value": "done"}


def test_a_forked_process_gets_an_error_if_it_pulls(bench: NewBench) -> None:
    desk = bench(THREADS)
    desk.start("pulls_in_a_fork")
    assert _replying(desk).xcoms == {"return_value": "other"}
    assert "refused: XComs are pushed and pulled in the task's own process, not in one" in desk.log("pulls_in_a_fork")
    desk.start("pulls_in_processes")
    outcome = _replying(desk)
    assert outcome.kind is OutcomeKind.SUCCESS, outcome
    words = "XComs are pushed and pulled in the task's own process: ti cannot be sent to another"
    assert outcome.xcoms == {"return_value": words}


def test_a_forked_process_ends_by_a_signal_at_once(bench: NewBench) -> None:
    """A handler in Python waits for the next bytecode: one about to wait for a lock would never end."""
    assert bench(THREADS).run("a_fork_leaves_signals_to_the_kernel").xcoms == {"return_value": [1, True]}


def test_the_end_of_a_log_is_written_by_the_tasks_own_process(bench: NewBench) -> None:
    desk = bench(THREADS)
    assert desk.run("a_fork_comes_out_of_its_code").xcoms == {"return_value": "parent"}
    assert desk.log("a_fork_comes_out_of_its_code").splitlines()[1:] == ["--- success"]


def test_the_reply_to_a_pull_that_was_given_up_is_not_taken_for_the_next(bench: NewBench) -> None:
    desk = bench(THREADS)
    desk.start("times_itself_out")
    assert _replying(desk, slow=1.0).xcoms == {"return_value": "other"}


XCOMS = """
@work
def pulls(ti): return [ti.xcom_pull("other"), ti.xcom_pull(["a", "b"], key="k")]
@work
def pushes(ti):
    ti.xcom_push("k", {"x": [1, 2]})
    return "done"
@work
def pulls_often(ti):
    began = time.monotonic()
    while time.monotonic() - began < 1.0: ti.xcom_pull("other")
@work
def pulls_much(ti): return len(ti.xcom_pull("other"))
"""


def test_xcoms_there_and_back(bench: NewBench) -> None:
    desk = bench(XCOMS)
    assert desk.run("pushes").xcoms == {"k": {"x": [1, 2]}, "return_value": "done"}
    desk.start("pulls")
    assert desk.news(5.0) == XComQuery("d", "run", ("other",), "return_value", None)
    desk.port.reply(ReplyToTask((("other", -1, "hello"),)))
    assert desk.news(5.0) == XComQuery("d", "run", ("a", "b"), "k", None)
    desk.port.reply(ReplyToTask((("b", -1, 2),)))
    assert desk.outcome().xcoms == {"return_value": ["hello", [None, 2]]}


def test_a_large_xcom_passes(bench: NewBench) -> None:
    desk = bench(XCOMS)
    desk.start("pulls_much")
    assert isinstance(desk.news(5.0), XComQuery)
    desk.port.reply(ReplyToTask((("other", -1, "x" * 5_000_000),)))
    assert desk.outcome().xcoms == {"return_value": 5_000_000}


def test_a_task_that_asks_all_the_time_does_not_put_off_the_renewal(bench: NewBench) -> None:
    desk = bench(XCOMS)
    desk.start("pulls_often")
    renewals = 0
    while True:
        news = desk.news(0.2)
        if isinstance(news, XComQuery):
            desk.port.reply(ReplyToTask(()))
        elif isinstance(news, StillRunning):
            renewals += 1
        else:
            break
    assert renewals >= 3


LOGGING = """
import logging
logging.getLogger("at.load").warning("said while loading")
print("half a line while loading", end="")
captured = sys.stdout
@work
def says():
    print("by print")
    print("to stderr", file=sys.stderr)
    os.write(1, b"by descriptor\\n")
    subprocess.run(["echo", "by a child"])
    logging.info("by logging")
    print("by the stream of loading time", file=captured)
    print("half a line", end="")
@work
def fails():
    print("half a line", end="")
    raise ValueError("no")
@work
def crashes():
    print("last words")
    os._exit(1)
BashOperator(task_id="shell", dag=dag,
             bash_command="echo $TAILRACE_DAG_ID $TAILRACE_TRY_NUMBER; echo $TAILRACE_TRY_TOKEN; read x")
"""


def test_everything_a_task_prints_is_in_its_log(bench: NewBench) -> None:
    desk = bench(LOGGING)
    assert desk.run("says").kind is OutcomeKind.SUCCESS
    log = desk.log("says")
    assert log.startswith("--- d / run / says try 1, started 2016-01-01T00:00:00+00:00\n")
    for words in (
        "by print",
        "to stderr",
        "by descriptor",
        "by a child",
        "of loading time",
        "half a line",
    ):
        assert words in log, words
    assert "while loading" not in log.replace("of loading time", "")
    assert log.rstrip().endswith("--- success")


def test_our_lines_begin_on_a_line_of_their_own(bench: NewBench) -> None:
    desk = bench(
        LOGGING
        + """
BashOperator(task_id="half", dag=dag, bash_command="printf half")
@work
def half_and_fails():
    print("half", end="")
    raise ValueError("no")
"""
    )
    desk.run("half")
    assert desk.log("half").endswith("\nhalf\n--- success\n")
    desk.run("half_and_fails")
    assert "\nhalf\nTraceback" in desk.log("half_and_fails")


def test_logging_shows_from_info_on(bench: NewBench) -> None:
    desk = bench(LOGGING, "spawn")  # a fresh interpreter: this one's logging belongs to pytest
    desk.run("says")
    assert "INFO root: by logging\n" in desk.log("says")


def test_a_log_per_try_with_the_last_output_before_a_crash(bench: NewBench) -> None:
    desk = bench(LOGGING)
    assert desk.run("crashes", 1).kind is OutcomeKind.FAILED
    assert desk.run("fails", 2).kind is OutcomeKind.FAILED
    assert "last words" in desk.log("crashes", 1)
    assert "ValueError: no" in desk.log("fails", 2)
    assert "half a line" in desk.log("fails", 2)


def test_a_segmentation_fault_leaves_its_traceback_in_the_log(bench: NewBench) -> None:
    desk = bench(ENDINGS)
    desk.run("segfault")
    assert "Segmentation fault" in desk.log("segfault")
    assert "in segfault" in desk.log("segfault")


def test_bash_finds_its_try_in_the_environment_and_no_input(bench: NewBench) -> None:
    desk = bench(LOGGING)
    outcome = desk.run("shell", 4)
    assert "d 4\nd/run/shell/-1/4#1\n" in desk.log("shell", 4)
    assert outcome.error.startswith("BashFailed: bash exited 1")  # read finds the end of its input at once


def test_a_log_that_cannot_be_written_fails_the_try(bench: NewBench) -> None:
    desk = bench(LOGGING)
    desk.home.write_text("a file where a folder must be")
    outcome = desk.run("says")
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.error.startswith("its log file cannot be written: ")
