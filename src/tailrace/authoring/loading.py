"""Loads DAG files: user code runs here. Each file's mistakes are collected; the other files still load."""

import hashlib
import importlib.util
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.authoring.compiling import compile_dag
from tailrace.authoring.dag import DAG
from tailrace.authoring.mistakes import Mistake, Note
from tailrace.model.spec import DagSpec


@dataclass(slots=True)
class LoadedDags:
    """What a file or folder of DAG files holds. ``dags`` and ``specs`` are without those that have mistakes."""

    dags: dict[str, DAG] = field(default_factory=dict)
    specs: dict[str, DagSpec] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[Note, ...] = ()  # about the DAGs that are without mistakes
    threads_started: bool = False  # loading left threads running: forking from here is not safe


def bundled_examples_path() -> Path:
    """The folder of the example DAGs that ship with Tailrace; loaded only when somebody names one."""
    return Path(__file__).parent.parent / "examples"


def load_dags(path: Path, began: Callable[[Path], None] = lambda file: None) -> LoadedDags:
    """Load a DAG file, or every ``*.py`` below a folder in sorted order. Never raises for what is in the files.

    A file's own folder is importable while and after it loads, so that helper modules beside it are found. ``began``
    is told each file before it runs: it may be the last that this process does.
    """
    before = threading.active_count()
    loaded = LoadedDags()
    mistakes: list[Mistake] = []
    for file in _dag_files(path):
        began(file)
        _load_file(file, loaded, mistakes)
    if not path.exists():
        mistakes.append(Mistake(str(path), 0, None, "no such file or folder of DAG files"))
    loaded.mistakes = tuple(sorted(mistakes, key=lambda mistake: (mistake.file, mistake.line, mistake.message)))
    loaded.threads_started = threading.active_count() > before
    return loaded


def _dag_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path.absolute()]
    found = []
    for folder, folders, files in os.walk(path.absolute()):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        found += [Path(folder) / name for name in files if name.endswith(".py") and not name.startswith((".", "_"))]
    return sorted(found)


def _load_file(file: Path, loaded: LoadedDags, mistakes: list[Mistake]) -> None:
    if file.suffix != ".py":
        mistakes.append(Mistake(str(file), 0, None, "is no Python file (.py)"))
        return
    try:
        code = file.read_bytes()
    except OSError as trouble:
        mistakes.append(Mistake(str(file), 0, None, f"cannot be read: {trouble.strerror}"))
        return
    DAG.collect()  # what an earlier, broken file may have left
    failure = _execute(file)
    made = DAG.collect()
    for dag in made:
        spec = compile_dag(dag, str(file), hashlib.sha256(code).hexdigest())
        former = loaded.specs.get(dag.dag_id)
        if spec is not None and former is not None:
            dag.mistake(f"duplicate dag_id {dag.dag_id!r}; {former.file} has it too")
            spec = None
        mistakes.extend(dag.mistakes)
        if spec is not None and failure is None:
            loaded.dags[dag.dag_id] = dag
            loaded.specs[dag.dag_id] = spec
            loaded.notes += tuple(dag.notes)
    if failure is not None:
        mistakes.append(failure)


def _execute(file: Path) -> Mistake | None:
    """Run the file as a module of its own; answers what went wrong at which of its lines."""
    name = f"tailrace_dags_{file.stem}_{hashlib.sha256(os.fsencode(file)).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as wrong:
        return Mistake(wrong.filename or str(file), wrong.lineno or 0, None, f"syntax error: {wrong.msg}")
    except (Exception, SystemExit) as wrong:
        lines = [frame.lineno for frame in traceback.extract_tb(wrong.__traceback__) if frame.filename == str(file)]
        text = str(wrong) or "no message"
        return Mistake(str(file), (lines or [0])[-1] or 0, None, f"{type(wrong).__name__}: {text}".splitlines()[0])
    return None
