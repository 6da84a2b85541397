"""What a DAG file changes of its process as it loads: nobody else finds it so, and its own tasks do."""

import asyncio
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace.authoring.loading.load import LoadedDags, load_dags
from tailrace.authoring.loading.module_space import ModuleSpace
from tailrace.authoring.loading.process_state import _ASPECTS, ProcessState

#: For each aspect: what a file does, and what then is true, and otherwise is not.
CHANGES = {
    "the recursion limit": ("sys.setrecursionlimit(4321)", "sys.getrecursionlimit() == 4321"),
    "functions of the standard library": ("time.sleep = print", "time.sleep is print"),
    "os.environ": ("os.environ = dict(os.environ, X_SWAPPED='1')", "'X_SWAPPED' in os.environ"),
    "the standard streams": ("sys.stdout = io.StringIO()", "isinstance(sys.stdout, io.StringIO)"),
    "the arguments (sys.argv)": ("sys.argv.append('mine')", "'mine' in sys.argv"),
    "sys.excepthook": ("sys.excepthook = print", "sys.excepthook is print"),
    "the locale": ("locale.setlocale(locale.LC_ALL, 'C')", "locale.setlocale(locale.LC_CTYPE) == 'C'"),
    "logging": (
        "logging.getLogger('x.y').setLevel(7); logging.root.addHandler(logging.Handler())",
        "logging.getLogger('x.y').level == 7 and type(logging.root.handlers[-1]) is logging.Handler",
    ),
    "logging.disable": ("logging.disable(logging.CRITICAL)", "logging.root.manager.disable == logging.CRITICAL"),
    "logging.raiseExceptions": ("logging.raiseExceptions = None", "logging.raiseExceptions is None"),
    "warning filters": (
        "warnings.filterwarnings('ignore', category=BytesWarning)",
        "any(each[2] is BytesWarning for each in warnings.filters)",
    ),
    "warnings.showwarning": ("logging.captureWarnings(True)", "warnings.showwarning.__module__ == 'logging'"),
    "garbage collection": ("gc.set_threshold(123)", "gc.get_threshold()[0] == 123"),
    "traces and profiles": ("sys.setprofile(lambda *found: None)", "sys.getprofile() is not None"),
    "the switch interval": ("sys.setswitchinterval(0.125)", "sys.getswitchinterval() == 0.125"),
    "the digits of an int": ("sys.set_int_max_str_digits(5000)", "sys.get_int_max_str_digits() == 5000"),
    "faulthandler": ("faulthandler.disable()", "not faulthandler.is_enabled()"),
    "the time limit of sockets": ("socket.setdefaulttimeout(7)", "socket.getdefaulttimeout() == 7"),
    "the start method of multiprocessing": (
        "multiprocessing.set_start_method('spawn')",
        "multiprocessing.get_start_method(allow_none=True) == 'spawn'",
    ),
    "asyncio.events._event_loop_policy": (
        "asyncio.events._event_loop_policy = asyncio.DefaultEventLoopPolicy()",
        "asyncio.events._event_loop_policy is not None",
    ),
    "tempfile.tempdir": ("tempfile.tempdir = '/var/tmp'", "tempfile.tempdir == '/var/tmp'"),
    "urllib.request._opener": (
        "urllib.request.install_opener(urllib.request.build_opener())",
        "urllib.request._opener is not None",
    ),
    "the limits (setrlimit)": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (321, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
        "resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 321",
    ),
    "the signals that are held off": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])",
        "signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, [])",
    ),
    "timers": ("signal.setitimer(signal.ITIMER_REAL, 1000)", "signal.getitimer(signal.ITIMER_REAL)[0] > 0"),
    "signal handlers": ("signal.signal(signal.SIGTERM, print)", "signal.getsignal(signal.SIGTERM) is print"),
    "other signal handlers": ("signal.signal(signal.SIGUSR1, print)", "signal.getsignal(signal.SIGUSR1) is print"),
    "the environment": (
        "os.environ['PGHOST'] = 'noisy.example'; os.environ.pop('KEPT')",
        "os.environ.get('PGHOST') == 'noisy.example' and 'KEPT' not in os.environ",
    ),
    "the time zone": ("os.environ['TZ'] = 'Asia/Kolkata'; time.tzset()", "time.timezone == -19800"),
    "the working folder": ("os.chdir('/')", "os.getcwd() == '/'"),
    "the umask": ("os.umask(0o133)", "umask() == 0o133"),
    "the priority (nice)": ("os.nice(1)", "os.getpriority(os.PRIO_PROCESS, 0) > 0"),
    "the processors": ("os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])", "len(os.sched_getaffinity(0)) == 1"),
    "the OOM score": (
        "pathlib.Path('/proc/self/oom_score_adj').write_text('7')",
        "pathlib.Path('/proc/self/oom_score_adj').read_text() == '7\\n'",
    ),
}

#: Whoever may do everything, and has everything: what others cannot change or have back is left out.
PRIVILEGED = {"the user and groups": ("os.setegid(65534)", "os.getegid() == 65534")} if not os.geteuid() else {}
NEEDS_PRIVILEGE = {"the priority (nice)", "the OOM score"} if os.geteuid() else set()

MODULES = (
    "asyncio, faulthandler, gc, io, locale, logging, multiprocessing, os, pathlib, resource, signal, socket, sys, "
    "tempfile, time, urllib.request, warnings"
)
UMASK = "def umask():\n    mask = os.umask(0)\n    os.umask(mask)\n    return mask\n"


@pytest.fixture(autouse=True)
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process with something to lose, and given back as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("TZ", "UTC")
    before = ProcessState.read()
    yield
    ModuleSpace.leave_any()
    assert before.put_back() == ()


def loaded_with(folder: Path, change: str, truth: str) -> LoadedDags:
    """Three files: what changes the process, what looks at it next, and what changes it and then breaks."""
    dag = "from tailrace import DAG, PythonOperator\nwith DAG({!r}):\n"
    dag += "    PythonOperator(task_id='t', python_callable={})\n"
    looks = f"import {MODULES}\n{UMASK}def truth():\n    return {truth}\n"
    (folder / "dags").mkdir()
    (folder / "dags" / "a.py").write_text(f"{looks}{change}\nassert truth()\n" + dag.format("noisy", "truth"))
    (folder / "dags" / "b.py").write_text(f"{looks}assert not truth()\n" + dag.format("quiet", "truth"))
    (folder / "dags" / "c.py").write_text(f"import {MODULES}\n{change}\nraise RuntimeError('broken')\n")
    (folder / "dags" / "d.py").write_text(f"{looks}assert not truth()\n" + dag.format("late", "truth"))
    return load_dags(folder / "dags")


def truth_in(loaded: LoadedDags, dag_id: str) -> Any:
    loaded.enter(dag_id)
    return loaded.dags[dag_id].task_dict["t"].python_callable()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def as_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that loads DAG files: others capture warnings (with a metastore), or have run coroutines."""
    logging.captureWarnings(False)
    monkeypatch.setattr(asyncio.events, "_event_loop_policy", None)


@pytest.mark.parametrize("aspect", _ASPECTS, ids=lambda aspect: aspect.what)
def test_nobody_else_finds_what_a_file_changed_and_its_own_tasks_do(aspect: Any, tmp_path: Path) -> None:
    if aspect.what in NEEDS_PRIVILEGE or (aspect.what == "the user and groups" and not PRIVILEGED):
        pytest.skip("needs privilege")
    change, truth = {**CHANGES, **PRIVILEGED}[aspect.what]
    before = ProcessState.read()
    loaded = loaded_with(tmp_path, change, truth)
    assert [mistake.message for mistake in loaded.mistakes] == ["RuntimeError: broken"]
    assert loaded.notices == ()
    assert ProcessState.read() == before
    found = [truth_in(loaded, dag_id) for dag_id in ("quiet", "noisy", "late")]
    assert found == [False, aspect.own, False], "for a task of each, one after the other in one process"


def test_a_file_that_changes_nothing_is_known_to_have_changed_nothing(tmp_path: Path) -> None:
    loaded = loaded_with(tmp_path, "", "True")
    (tmp_path / "dags" / "b.py").unlink()
    loaded = loaded_with_none(tmp_path)
    assert not loaded.spaces["plain"].changes


def loaded_with_none(folder: Path) -> LoadedDags:
    for file in (folder / "dags").iterdir():
        file.unlink()
    (folder / "dags" / "plain.py").write_text(
        "import json, logging, sqlite3, xml.etree.ElementTree\nlogging.getLogger('mine').info('x')\n"
        "from tailrace import DAG, EmptyOperator\nwith DAG('plain'):\n    EmptyOperator(task_id='t')\n"
    )
    return load_dags(folder / "dags")


def test_closed_streams_are_opened_again_for_the_next_file(tmp_path: Path) -> None:
    """In a process of its own: the streams of this one are pytest's."""
    (tmp_path / "a.py").write_text("import os, sys\nsys.stdout.close()\nos.close(1)\nos.dup2(os.open('/', 0), 2)\n")
    (tmp_path / "b.py").write_text("import sys\nprint('on stdout')\nprint('on stderr', file=sys.stderr)\n")
    load = "load_dags(pathlib.Path(sys.argv[1]))"
    code = f"import sys, pathlib; from tailrace.authoring.loading.load import load_dags; {load}"
    run = pytest.importorskip("subprocess").run
    done = run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "on stdout\n", "on stderr\n")


def test_a_seed_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import random\nrandom.seed(1)\n")
    numbers = set()
    for _ in range(3):
        load_dags(tmp_path)
        numbers.add(random.random())
    assert len(numbers) == 3


@pytest.mark.parametrize("raised", ["SystemExit(3)", "asyncio.CancelledError()", "GeneratorExit", "Odd", "Silent()"])
def test_whatever_a_file_raises_is_its_mistake(tmp_path: Path, raised: str) -> None:
    odd = "class Odd(BaseException): pass\nclass Silent(Exception):\n    def __str__(self): raise KeyError(1)\n"
    (tmp_path / "a.py").write_text(f"import asyncio\n{odd}raise {raised}\n")
    (tmp_path / "b.py").write_text(
        "from tailrace import DAG, EmptyOperator\nwith DAG('b'): EmptyOperator(task_id='t')\n"
    )
    loaded = load_dags(tmp_path)
    assert [(Path(mistake.file).name, mistake.line) for mistake in loaded.mistakes] == [("a.py", 5)]
    assert list(loaded.specs) == ["b"]


def test_a_file_that_starts_threads_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text(
        "import threading\nstop = threading.Event()\nthreading.Thread(target=stop.wait, daemon=True).start()\n"
        "import builtins; builtins.stop_the_thread = stop\n"
    )
    loaded = load_dags(tmp_path)
    __builtins__["stop_the_thread"].set()  # type: ignore[index]
    assert loaded.threads_started == (str(tmp_path / "b.py"),)
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.daemon:
            thread.join(5)


def test_no_alarm_that_a_file_set_reaches_the_next(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import signal\nsignal.alarm(1)\nsignal.signal(signal.SIGALRM, signal.SIG_DFL)\n")
    load_dags(tmp_path)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
