"""What a task leaves to the end of its process is done before its outcome is told; what is not its own is not."""

import bz2
import dbm.dumb
import gzip
import lzma
import os
import shelve
import time
import zipfile
from pathlib import Path

import pytest

from tailrace.effects.requests import StillRunning
from tailrace.model.outcomes import OutcomeKind
from tests.acceptance.execution.conftest import NewBench

ISOLATIONS = ("fork", "spawn", "worker")

WORKS = '''
import atexit, bz2, concurrent.futures, csv, gzip, io, logging, logging.handlers, lzma, multiprocessing, shelve
import tempfile, threading, weakref, zipfile
from functools import partial
KEPT = []
def write(name, wait=0.0):
    time.sleep(wait)
    with open(name, "a") as file: file.write("done")

@work
def at_exit(): atexit.register(write, "at_exit")
@work
def finalizer():
    class Thing: pass
    KEPT.append(Thing())
    weakref.finalize(KEPT[-1], write, "finalizer")
@work
def thread(): threading.Thread(target=write, args=("thread", 0.3)).start()
@work
def thread_of_a_thread():
    def outer():
        time.sleep(0.2)
        threading.Thread(target=write, args=("thread_of_a_thread", 0.2)).start()
    threading.Thread(target=outer).start()
@work
def handler_of_a_thread():
    threading.Thread(target=lambda: (time.sleep(0.2), atexit.register(write, "handler_of_a_thread"))).start()
@work
def thread_of_a_handler():
    atexit.register(lambda: threading.Thread(target=write, args=("thread_of_a_handler", 0.2)).start())
@work
def timer(): threading.Timer(0.3, write, args=("timer",)).start()
@work
def executor(): concurrent.futures.ThreadPoolExecutor(2).submit(write, "executor", 0.3)
@work
def kept_executor():
    KEPT.append(concurrent.futures.ThreadPoolExecutor(1))
    for _ in range(3): KEPT[-1].submit(write, "dump", 0.1)
    KEPT[-1].submit(write, "kept_executor")
@work
def processes():
    KEPT.append(concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")))
    KEPT[-1].submit(write, "processes", 0.3)
@work
def process():
    multiprocessing.get_context("fork").Process(target=write, args=("process", 0.3)).start()
@work
def in_a_loop():
    import asyncio
    async def main(): asyncio.get_running_loop().run_in_executor(None, write, "in_a_loop", 0.3)
    asyncio.run(main())
@work
async def coroutine(ds):
    import asyncio
    await asyncio.sleep(0.01)
    write("coroutine")
@work
def after_a_failure():
    atexit.register(write, "after_a_failure")
    raise ValueError("no")
@work
def buffered():
    KEPT.append(open("buffered", "w"))
    KEPT[-1].write("done")
@work
def buffered_twice():
    KEPT.append(io.TextIOWrapper(io.BufferedWriter(io.FileIO("buffered_twice", "w"))))
    KEPT[-1].write("done")
@work
def in_a_cycle():
    class Keeper: pass
    keeper = Keeper()
    keeper.itself, keeper.file = keeper, open("in_a_cycle", "w")
    keeper.file.write("done")
@work
def rows():
    KEPT.append(open("rows", "w", newline=""))
    csv.writer(KEPT[-1], lineterminator="").writerow(["done"])
@work
def gzipped():
    KEPT.append(gzip.open("gzipped", "wt"))
    KEPT[-1].write("done")
@work
def gzipped_bytes():
    KEPT.append(gzip.GzipFile(fileobj=open("gzipped_bytes", "wb"), mode="wb"))
    KEPT[-1].write(b"done")
@work
def bzipped():
    KEPT.append(bz2.open("bzipped", "wt"))
    KEPT[-1].write("done")
@work
def xzipped():
    KEPT.append(lzma.open("xzipped", "wt"))
    KEPT[-1].write("done")
@work
def zipped():
    KEPT.append(zipfile.ZipFile("zipped", "w"))
    KEPT[-1].writestr("x", "done")
class Uploads(io.BufferedIOBase):
    """As the files of object stores are: sent when they are closed."""
    def __init__(self, name): self.parts, self.name = [], name
    def writable(self): return True
    def write(self, data): self.parts.append(bytes(data)); return len(data)
    def close(self):
        if not self.closed: os.close(self.fd()); super().close()
    def fd(self):
        fd = os.open(self.name, os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"".join(self.parts))
        return fd
@work
def uploaded():
    KEPT.append(io.TextIOWrapper(Uploads("uploaded")))
    KEPT[-1].write("done")
@work
def uploaded_zip():
    KEPT.append(gzip.GzipFile(fileobj=Uploads("uploaded_zip"), mode="wb"))
    KEPT[-1].write(b"done")
class Raw(io.RawIOBase):
    def __init__(self, name): self.parts, self.name = [], name
    def writable(self): return True
    def write(self, data): self.parts.append(bytes(data)); return len(data)
    def close(self):
        if not self.closed:
            with open(self.name, "wb") as file: file.write(b"".join(self.parts))
        super().close()
@work
def raw():
    KEPT.append(io.BufferedWriter(Raw("raw")))
    KEPT[-1].write(b"done")
@work
def logged():
    target = logging.FileHandler("logged")
    logging.getLogger("x").addHandler(logging.handlers.MemoryHandler(1000, target=target))
    logging.getLogger("x").warning("done")
@work
def shelved():
    import dbm.dumb
    KEPT.append(shelve.Shelf(dbm.dumb.open("shelf", "c"), writeback=True))
    KEPT[-1]["x"] = []
    KEPT[-1]["x"].append("done")
@work
def by_its_end():
    class Ends:
        def __del__(self): write("by_its_end")
    KEPT.append(Ends())
@work
def written_in_c():
    import ctypes
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    file = libc.fopen(b"written_in_c", b"w")
    libc.fputs(b"done", ctypes.c_void_p(file))
@work
def standard_output():
    sys.stdout = open("standard_output", "w")
    print("done", end="")
'''

FAILING = ("after_a_failure",)


def _text(path: Path) -> str:
    data = path.read_bytes()
    for opener in (gzip.open, bz2.open, lzma.open):
        try:
            with opener(path) as file:
                return str(file.read().decode())
        except (OSError, lzma.LZMAError, EOFError):
            continue
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as zipped:
            return zipped.read("x").decode()
    return data.decode().strip()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's folder as the working folder: of the tasks too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _tasks(source: str) -> list[str]:
    lines = source.splitlines()
    return [
        lines[number + 1].partition("(")[0].split()[-1] for number, line in enumerate(lines) if line.strip() == "@work"
    ]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_work_left_to_the_end_is_done_before_the_outcome_is_reported(
    bench: NewBench, here: Path, isolation: str
) -> None:
    desk = bench(WORKS, isolation)
    for task_id in _tasks(WORKS):
        outcome = desk.run(task_id)
        if task_id in ("shelved", "by_its_end") and isolation == "worker":
            continue  # what is no file stays open in a process that serves on, as a connection would
        if task_id == "shelved":
            with shelve.Shelf(dbm.dumb.open("shelf", "r")) as shelf:
                (here / task_id).write_text("".join(shelf["x"]))
        found = _text(here / task_id) if (here / task_id).exists() else None
        expected = OutcomeKind.FAILED if task_id in FAILING else OutcomeKind.SUCCESS
        assert (task_id, found, outcome.kind) == (task_id, "done", expected), outcome.error


LOADED = """
import atexit, gzip, logging, logging.handlers, multiprocessing, tempfile, weakref
def write(name):
    with open(name, "a") as file: file.write("done ")
class Thing: pass
THING = Thing()
FOLDER = tempfile.TemporaryDirectory()
OPEN = open("of_loading", "a")
OPEN.write("loaded ")
TARGET = logging.FileHandler("logged")
HELD = logging.handlers.MemoryHandler(1000, target=TARGET)
logging.getLogger("x").addHandler(HELD)
logging.getLogger("x").warning("loaded")
atexit.register(write, "handler_of_loading")
weakref.finalize(THING, write, "finalizer_of_loading")

@work
def looks(): return os.path.isdir(FOLDER.name)
@work
def writes():
    OPEN.write("ran ")
    logging.getLogger("x").warning("ran")
@work
def starts():
    multiprocessing.get_context("fork").Process(target=write, args=("started",)).start()
    finalized = Thing()
    weakref.finalize(THING, write, "finalizer_of_the_try")
"""


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_what_loading_left_to_the_end_is_no_trys(bench: NewBench, here: Path, isolation: str) -> None:
    """What was written as the file loaded is stored once by each process that loads it: no try adds to that."""
    desk = bench(LOADED, isolation)
    loads = 1 if isolation != "spawn" else 4
    assert desk.run("looks").xcoms == {"return_value": True}
    assert desk.run("looks", 2).xcoms == {"return_value": True}
    assert (desk.run("writes").error, desk.run("starts").error) == ("", "")
    loaded = (here / "of_loading").read_text()
    assert loaded.split().count("loaded") >= loads and loaded.split().count("ran") == 1
    if isolation == "fork":
        assert loaded == "loaded ran "
        assert (here / "logged").read_text() == "loaded\nran\n"
    assert (here / "started").read_text() == "done "
    assert (here / "finalizer_of_the_try").read_text() == "done "
    assert not (here / "handler_of_loading").exists()
    assert not (here / "finalizer_of_loading").exists()


def test_threads_of_loading_are_no_trys(bench: NewBench, here: Path) -> None:
    desk = bench(
        """
import concurrent.futures, threading
threading.Thread(target=time.sleep, args=(60,)).start()
POOL = concurrent.futures.ThreadPoolExecutor(1)
POOL.submit(time.time).result()
def write():
    time.sleep(0.3)
    open("written", "w").write("done")
@work
def submits(): POOL.submit(write)
"""
    )
    assert desk.zygote.loaded().isolation == "spawn"
    began = time.monotonic()
    assert desk.run("submits").kind is OutcomeKind.SUCCESS
    assert time.monotonic() - began < 45
    assert (here / "written").read_text() == "done"


ENDINGS = """
import atexit, threading
KEPT = []
def leave(name): open(name, "a").write(f"{os.getpid()} ")
@work
def full():
    KEPT.append(open("/dev/full", "w"))
    KEPT[-1].write("lost")
@work
def full_and_fails():
    full()
    raise ValueError("first")
@work
def closed_below():
    KEPT.append(open("closed_below", "w"))
    KEPT[-1].write("lost")
    os.close(KEPT[-1].fileno())
@work
def nobody_reads():
    KEPT.append(subprocess.Popen(["true"], stdin=subprocess.PIPE, text=True))
    KEPT[-1].stdin.write("x" * 10)
    KEPT[-1].wait()
@work
def wrong_handler():
    def wrong(): raise ValueError("in a handler")
    atexit.register(leave, "after_wrong")
    atexit.register(wrong)
@work
def wrong_thread():
    def wrong(): raise ValueError("in a thread")
    threading.Thread(target=wrong).start()
@work
def exits_in_handler():
    atexit.register(leave, "before_exit")
    atexit.register(sys.exit, 3)
@work
def pushes_late(ti):
    def late():
        time.sleep(0.3)
        ti.xcom_push("late", 1)
    threading.Thread(target=late).start()
    return 2
@work
def pushes_much_late(ti):
    atexit.register(lambda: ti.xcom_push("late", "x" * 17_000_000))
@work
def leaves_a_process():
    KEPT.append(subprocess.Popen(["sleep", "1000"]))
@work
def forks():
    atexit.register(leave, "by_one")
    codes = []
    for end in (lambda: sys.exit(0), lambda: sys.exit(7), lambda: sys.exit("why"), lambda: 1 / 0, lambda: None):
        pid = os.fork()
        if pid == 0: return end()
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return codes
@work
def forks_in_a_handler():
    def fork():
        if os.fork() == 0: return
        os.wait()
    atexit.register(leave, "by_one_handler")
    atexit.register(fork)
"""


def test_a_file_that_cannot_be_stored_fails_the_try(bench: NewBench) -> None:
    desk = bench(ENDINGS)
    outcome = desk.run("full")
    error = "what it wrote to /dev/full could not be stored: [Errno 28] No space left on device"
    assert (outcome.kind, outcome.error) == (OutcomeKind.FAILED, error)
    assert desk.log("full").endswith(f"\n{error}\n--- failed: {error}\n")
    assert desk.run("full_and_fails").error == "ValueError: first"
    assert error in desk.log("full_and_fails")
    assert desk.run("closed_below").error.startswith("what it wrote to closed_below could not be stored: [Errno 9]")
    assert desk.run("nobody_reads").kind is OutcomeKind.SUCCESS


def test_an_error_of_a_handler_or_thread_is_logged_and_no_more(bench: NewBench, here: Path) -> None:
    """As with a script: its exit code does not tell of them either."""
    desk = bench(ENDINGS, "spawn")  # a fresh interpreter: this one's hooks belong to pytest
    assert desk.run("wrong_handler").kind is OutcomeKind.SUCCESS
    assert "ValueError: in a handler" in desk.log("wrong_handler")
    assert (here / "after_wrong").exists()
    assert desk.run("wrong_thread").kind is OutcomeKind.SUCCESS
    assert "ValueError: in a thread" in desk.log("wrong_thread")
    assert desk.run("exits_in_handler").kind is OutcomeKind.SUCCESS
    assert (here / "before_exit").exists()


def test_what_is_pushed_until_the_end_is_pushed(bench: NewBench) -> None:
    desk = bench(ENDINGS)
    assert desk.run("pushes_late").xcoms == {"return_value": 2, "late": 1}
    assert "pass a path instead" in desk.run("pushes_much_late").error


def test_processes_that_end_with_a_try_are_named(bench: NewBench) -> None:
    desk = bench(ENDINGS)
    assert desk.run("leaves_a_process").kind is OutcomeKind.SUCCESS
    assert "\n--- nobody waits for these processes, so they end with it: sleep (" in desk.log("leaves_a_process")


def test_a_copy_of_the_process_ends_as_a_script_and_finishes_nothing(bench: NewBench, here: Path) -> None:
    desk = bench(ENDINGS)
    parked = desk.start("forks")
    outcome = desk.outcome()
    assert outcome.xcoms == {"return_value": [0, 7, 1, 1, 0]}
    assert parked.task is not None and (here / "by_one").read_text() == f"{parked.task.pid} "
    log = desk.log("forks")
    assert (log.count("--- success"), log.count("ZeroDivisionError"), log.count("why\n")) == (1, 1, 1)
    assert desk.run("forks_in_a_handler").kind is OutcomeKind.SUCCESS
    assert len((here / "by_one_handler").read_text().split()) == 1
    assert desk.log("forks_in_a_handler").count("--- success") == 1


WAITING = """
import atexit, multiprocessing, threading
def mark(name): open(name, "w").write("done")
@work
def waits():
    threading.Thread(target=time.sleep, args=(2.5,), name="slow \\ud800\\x00 one").start()
@work
def waits_for_a_process():
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(2.5,), name="slow").start()
@work
def waits_in_a_handler(): atexit.register(time.sleep, 2.5)
def goes_on():
    atexit.register(mark, "handled")
    file = open("kept", "w")
    file.write("done")
    threading.Thread(target=lambda: (time.sleep(1000), file)).start()
PythonOperator(task_id="times_out", python_callable=goes_on, execution_timeout=0.5, dag=dag)
def blocks():
    goes_on()
    time.sleep(1000)
PythonOperator(task_id="times_out_before", python_callable=blocks, execution_timeout=0.5, dag=dag)
def hangs(): atexit.register(time.sleep, 1000)
PythonOperator(task_id="hangs", python_callable=hangs, execution_timeout=0.5, dag=dag)
"""


@pytest.mark.parametrize(
    ("task_id", "what"),
    [
        ("waits", "waiting for thread slow \\ud800\\x00 one to end"),
        ("waits_for_a_process", "waiting for process slow to end"),
        ("waits_in_a_handler", "waiting for its atexit handlers"),
    ],
)
def test_what_is_waited_for_is_reported(bench: NewBench, task_id: str, what: str) -> None:
    desk = bench(WAITING)
    desk.start(task_id)
    told = ""
    while isinstance(news := desk.news(0.2), StillRunning):
        told = news.waiting or told
    assert news is not None and told == what
    assert "\n--- waiting for " in desk.log(task_id)


def test_the_timeout_holds_for_all_of_it(bench: NewBench, here: Path) -> None:
    """And the handlers run and the files are stored all the same."""
    desk = bench(WAITING)
    for task_id in ("times_out", "times_out_before"):
        began = time.monotonic()
        assert desk.run(task_id).error == "timed out after 0:00:00.500000 (its execution_timeout)"
        assert time.monotonic() - began < 20
        for name in ("handled", "kept"):
            assert (here / name).read_text() == "done"
            os.unlink(here / name)


def test_a_handler_that_hangs_is_ended_at_the_timeout(bench: NewBench) -> None:
    assert bench(WAITING, grace=0.5).run("hangs").error.startswith("timed out after")
