"""Loads DAG files: user code runs here. Each file's mistakes are collected; the other files still load."""

import hashlib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec

from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.dags.dag import DAG
from tailrace.authoring.dags.tested import Testable
from tailrace.authoring.loading.dag_files import Unreadable, find_dag_files
from tailrace.authoring.loading.dag_folder import DagFolder, Run
from tailrace.authoring.loading.module_space import ModuleSpace
from tailrace.authoring.loading.process_state import ProcessState
from tailrace.authoring.loading.sources import Sources
from tailrace.authoring.loading.system_state import StandardDescriptors
from tailrace.authoring.mistakes.airflow_imports import instead_of, is_of_airflow, lacking
from tailrace.authoring.mistakes.dag_errors import DagError, Note
from tailrace.authoring.relations.partial import Expandable
from tailrace.model.plain_text import on_one_line
from tailrace.model.spec import DagSpec

#: A mistake's text is a line that people read.
_LONGEST_MESSAGE = 1000


@dataclass(slots=True)
class LoadedDags:
    """What a file or folder of DAG files holds. ``dags`` and ``specs`` are without those that have mistakes."""

    dags: dict[str, DAG] = field(default_factory=dict)
    specs: dict[str, DagSpec] = field(default_factory=dict)
    mistakes: tuple[DagError, ...] = ()
    notes: tuple[Note, ...] = ()  # about the DAGs that are without mistakes, and modules that no import finds
    spaces: dict[str, ModuleSpace] = field(default_factory=dict)  # of each DAG: the modules of its file
    packed: bytes = b""  # all the code that was loaded, to be loaded again (``Sources.unpacked``)
    threads_started: tuple[str, ...] = ()  # by these files, and they run on: forking from here is not safe
    notices: tuple[str, ...] = ()  # what a person should know although it is no mistake

    def take_in(self, others: "LoadedDags") -> None:
        """Add the DAGs of another load, but for those that are here already."""
        for dag_id in others.dags.keys() - self.dags.keys():
            self.dags[dag_id] = others.dags[dag_id]
            self.specs[dag_id] = others.specs[dag_id]
            self.spaces[dag_id] = others.spaces[dag_id]
        self.mistakes = tuple(sorted({*self.mistakes, *others.mistakes}))
        self.notices += others.notices
        self.threads_started += others.threads_started

    def enter(self, dag_id: str) -> ModuleSpace:
        """Make this process one for a task of that DAG: it finds the modules of its file, and what that changed."""
        space = self.spaces[dag_id]
        space.enter()
        return space


def bundled_examples_path() -> Path:
    """The folder of the example DAGs that ship with Tailrace; loaded only when somebody names one."""
    return Path(__file__).parents[2] / "examples"


def load_dags(
    path: Path,
    began: Callable[[Path], None] = lambda file: None,
    *,
    only: Collection[str] = (),
    skip: Mapping[str, str] = MappingProxyType({}),
    sources: Sources | None = None,
) -> LoadedDags:
    """Load a DAG file, or every ``*.py`` below a folder in sorted order. Never raises for what is in the files.

    Each file has its own modules of what lies in the folder, and finds the process as the job began it. ``began`` is
    called with each file before it runs: it may be the last that this process does. ``only``: no other files; ``skip``:
    what is wrong with files that must not be run (both as they are printed). ``sources``: loads again what was read
    before.
    """
    ModuleSpace.leave_any()
    sources = sources or Sources()
    mistakes: list[DagError] = []
    if sources.kept is None:
        root = path.absolute() if path.is_dir() else path.absolute().parent
        files, mistakes = find_dag_files(path)
    else:
        root, files = sources.kept.root, sorted({*sources.kept.dag_files.values()})
    folder = DagFolder(root, sources)
    folder.open()
    loaded = LoadedDags()
    loading = _Loading(folder, loaded, mistakes)
    try:
        for file in files:
            name = on_one_line(file)
            if name in skip:
                mistakes.append(DagError(name, 0, None, skip[name]))
            elif not only or name in only:
                began(file)
                loading.load(file)
    finally:
        loading.close()
    loaded.mistakes = tuple(sorted(mistakes, key=lambda mistake: (mistake.file, mistake.line, mistake.message)))
    loaded.notes += tuple(folder.clashes([root, *(file.parent for file in files)]))
    loaded.packed = sources.packed(root, {dag_id: space.file for dag_id, space in loaded.spaces.items()})
    folder.loaded()
    return loaded


class _Loading:
    """Loads one file after the other, each as if it were the first."""

    def __init__(self, folder: DagFolder, loaded: LoadedDags, mistakes: list[DagError]) -> None:
        self._folder = folder
        self._loaded = loaded
        self._mistakes = mistakes
        self._descriptors = StandardDescriptors()
        self._before = ProcessState.read()
        self._threads = threading.active_count()

    def close(self) -> None:
        """Let go of what was kept to be put back."""
        self._descriptors.close()

    def load(self, file: Path) -> None:
        """Load a file, collect its DAGs and mistakes, and put back what it changed."""
        name = on_one_line(file)
        if file.suffix != ".py":
            self._mistakes.append(DagError(name, 0, None, "is no Python file (.py)"))
            return
        try:
            code = self._folder.sources.read(str(file))
        except Unreadable as why:
            self._mistakes.append(DagError(name, 0, None, str(why)))
            return
        DAG.collect()  # what an earlier, broken file may have left
        Expandable.collect()
        space = ModuleSpace(self._folder, file)
        space.enter()
        run = self._folder.begin(file)
        own = os.getpid()
        Testable.being_loaded = True
        try:
            failures = list(_failures(space, run, self._folder.sources))
        finally:
            Testable.being_loaded = False
            if os.getpid() != own:
                os._exit(0)  # a process that the file forked came out of its code: what is left is not its to load
            space.leave()
            self._put_back(space)
        self._collect(file, hashlib.sha256(code).hexdigest(), [*DAG.collect(), *run.made], failures, space)

    def _put_back(self, space: ModuleSpace) -> None:
        self._descriptors.put_back()
        now = ProcessState.read()
        space.changes = now.changes_since(self._before)
        if now != self._before:
            for what in self._before.put_back():
                text = f"{on_one_line(space.file)}: it changed {what} as it loaded, which cannot be put back: "
                self._loaded.notices += (text + "the tasks of all DAG files run with that",)
            self._before = ProcessState.read()
        if "random" in sys.modules:
            sys.modules["random"].seed()  # the file may have seeded it: the next one's numbers are not to be known
        if threading.active_count() > self._threads:
            self._threads = threading.active_count()
            self._loaded.threads_started += (on_one_line(space.file),)

    def _collect(
        self, file: Path, code_hash: str, made: list[DAG], failures: list[DagError], space: ModuleSpace
    ) -> None:
        loaded = self._loaded
        for each in Expandable.collect():
            if not each.is_expanded and each.written_at[0] == str(file):
                if each.dag is not None:
                    each.dag.note(each.note, at=each.written_at)
                elif not failures:
                    loaded.notes += (Note(on_one_line(file), each.written_at[1], None, each.note),)
        for dag in made:
            spec = compile_dag(dag, on_one_line(file), code_hash)
            if spec is not None and (wrong := _unfit(spec)) is not None:
                dag.mistake(wrong)
                spec = None
            former = loaded.specs.get(dag.dag_id)
            if spec is not None and former is not None:
                dag.mistake(f"duplicate dag_id {dag.dag_id!r}; {former.file} has it too")
                spec = None
            self._mistakes.extend(dag.mistakes)
            if spec is not None and not failures:
                loaded.dags[spec.dag_id] = dag
                loaded.specs[spec.dag_id] = spec
                loaded.spaces[spec.dag_id] = space
                loaded.notes += tuple(dag.notes)
        self._mistakes.extend(failures)


def _failures(space: ModuleSpace, run: Run, sources: Sources) -> Iterator[DagError]:
    """Run the file; what went wrong, at which of its lines, and where else if it was not there.

    It is one thing; but of a file that was written for Airflow it is each of its imports.
    """
    file = str(space.file)
    try:
        space.load(run)
    except KeyboardInterrupt:
        raise
    except BaseException as wrong:  # sys.exit, a cancelled coroutine: what a file raises is its own mistake
        places = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(wrong.__traceback__)]
        text = lacking(wrong) or _text(wrong)
        if isinstance(wrong, SyntaxError):
            text = f"syntax error: {wrong.msg}"
            places.append((wrong.filename or file, wrong.lineno or 0))
        places = [place for place in places if space.holds(place[0])]
        own = next((line for name, line in reversed(places) if name == file), 0)
        if places and is_of_airflow(wrong):
            importing = places[-1][0]
            for line, instead in instead_of(sources.read(importing)):
                where = "" if importing == file else f" (in {on_one_line(importing)}:{line})"
                yield DagError(on_one_line(file), own if where else line, None, instead + where)
            return
        if places and places[-1][0] != file:
            text += f" (in {on_one_line(places[-1][0])}:{places[-1][1]})"
        yield DagError(on_one_line(file), own, None, text)


def _unfit(spec: DagSpec) -> str | None:
    """Why a compiled DAG cannot be sent to other processes: something in it is of another type than it must be."""
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=DagSpec)
    except (TypeError, ValueError, OverflowError) as wrong:
        return f"something in it cannot be stored: {wrong}"
    return None


def _text(raised: BaseException) -> str:
    """The first line of what an exception says; user code may have broken its ``str`` too."""
    try:
        text = next(iter(str(raised).splitlines()), "") or "no message"
    except Exception as broken:
        text = f"(its text cannot be read: {type(broken).__name__})"
    return f"{type(raised).__name__}: {text}"[:_LONGEST_MESSAGE]
