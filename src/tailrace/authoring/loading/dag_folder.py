"""A folder of DAG files, as Python's import finds modules in it: read once, and the standard library comes first."""

import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import ClassVar

from tailrace.authoring.dags.dag import DAG
from tailrace.authoring.loading.dag_files import Unreadable, is_dag_file
from tailrace.authoring.loading.sources import Sources
from tailrace.authoring.mistakes.dag_errors import Note
from tailrace.model.plain_text import on_one_line


@dataclass(slots=True)
class Run:
    """A DAG file that is being loaded, and the DAGs that it makes."""

    file: str
    begun: bool = False
    made: list[DAG] = field(default_factory=list)


class DagFolder:
    """The modules of a DAG folder, for every DAG file in it. ``root`` is absolute; one at a time is open.

    ``top`` is where the names of its modules begin: the folder itself, or what holds the package that it is part of.
    """

    _open: ClassVar["DagFolder | None"] = None

    def __init__(self, root: Path, sources: Sources) -> None:
        self.root = self.top = root
        while (self.top / "__init__.py").is_file() and self.top != self.top.parent:
            self.top = self.top.parent
        self.sources = sources
        self.loading = True  # else tasks run: what one imports late is taken from where it lies
        self.path = list(sys.path)  # where every file's imports look first
        self._below = str(root) + os.sep
        self._compiled: dict[str, CodeType] = {}
        self._elsewhere: dict[str, str | None] = {}
        self._run = Run("")

    def open(self) -> None:
        """Have Python find the modules of this folder, and no longer those of another."""
        if DagFolder._open is self:
            return
        if DagFolder._open is not None:
            sys.path_hooks.remove(DagFolder._open._finder)
        DagFolder._open = self
        sys.path_hooks.insert(0, self._finder)
        for entry in [entry for entry in sys.path_importer_cache if self.holds(os.path.abspath(entry))]:
            del sys.path_importer_cache[entry]

    def begin(self, file: Path) -> "Run":
        """From here on this DAG file is being loaded."""
        self._run = Run(str(file))
        return self._run

    def gathered_from(self, file: str) -> list[DAG] | None:
        """Where the DAGs go that the code of a file makes, which is about to run; None: where they would go anyway."""
        run = self._run
        if file == run.file and not run.begun:  # later it runs under another name: those DAGs are known
            run.begun = True
            return run.made
        return [] if is_dag_file(Path(file), self.root) else None

    def loaded(self) -> None:
        """Every file has been loaded."""
        self.loading = False
        self._compiled.clear()

    def holds(self, path: str) -> bool:
        """Whether a file or folder lies in the DAG folder, and in no library that is installed inside of it."""
        if path != str(self.root) and not path.startswith(self._below):
            return False
        return not any(path.startswith(lib) for lib in _library_folders() if lib.startswith(self._below))

    def code(self, file: str) -> CodeType:
        """A file's code, compiled once for all that import it. Raises Unreadable, and what ``compile`` raises."""
        found = self._compiled.get(file)
        if found is None:
            found = self._compiled[file] = compile(self.sources.read(file), file, "exec", dont_inherit=True)
        return found

    def elsewhere(self, name: str) -> str | None:
        """What an import of this name finds outside the DAG folder, which then wins; None: nothing."""
        if name not in self._elsewhere:
            self._elsewhere[name] = self._find_elsewhere(name)
        return self._elsewhere[name]

    def _find_elsewhere(self, name: str) -> str | None:
        if name in sys.stdlib_module_names:
            return "the module of the standard library"
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # ValueError: a module that says nothing of where it comes from
            return f"the module {name} that is loaded already"
        if spec is None or spec.origin is None or self.holds(os.path.abspath(spec.origin)):
            return None
        return f"the installed {spec.origin}"

    def clashes(self, folders: Iterable[Path]) -> list[Note]:
        """Of each module in these folders that no import finds, that one of its name elsewhere comes first."""
        notes = []
        for folder in sorted(each for each in set(folders) if each.is_dir()):
            for name in sorted(os.listdir(folder)):
                path, stem = folder / name, name.removesuffix(".py")
                is_module = name.endswith(".py") or (path / "__init__.py").is_file()
                if is_module and stem.isidentifier() and (found := self.elsewhere(stem)) is not None:
                    text = f"`import {stem}` finds {found}, not this; rename it if it is to be imported"
                    notes.append(Note(on_one_line(path), 0, None, text))
        return notes

    def spec(self, name: str, file: str) -> importlib.machinery.ModuleSpec:
        """How a file of this folder is made into a module of this name."""
        found = importlib.util.spec_from_file_location(name, file, loader=_Loader(self, name, file))
        assert found is not None, "a loader was given"
        return found

    def _finder(self, entry: str) -> "_Finder":
        if not self.holds(os.path.abspath(entry)):
            raise ImportError(f"{entry} is in no DAG folder")
        return _Finder(self, os.path.abspath(entry))


class _Finder(importlib.machinery.FileFinder):
    """Finds modules in one folder on a module path. What is no source is found as Python finds it."""

    def __init__(self, folder: DagFolder, path: str) -> None:
        others = (
            (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
            (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
        )
        super().__init__(path, *others)
        self._folder = folder

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """How this module would be loaded, if it is here."""
        if fullname in sys.stdlib_module_names:
            return None  # wherever a DAG file has put its folder on the path
        base = os.path.join(self.path, fullname.rpartition(".")[2])
        sources, now = self._folder.sources, not self._folder.loading
        package = os.path.join(base, "__init__.py")
        if sources.has(package, now=now):
            return self._folder.spec(fullname, package)
        if sources.has(base + ".py", now=now):
            return self._folder.spec(fullname, base + ".py")
        found = super().find_spec(fullname, target)
        if found is None and sources.has_folder(base):
            found = importlib.machinery.ModuleSpec(fullname, None)
            found.submodule_search_locations = [base]
        return found


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from the bytes that were read of it first. It writes no ``__pycache__`` into a DAG folder."""

    def __init__(self, folder: DagFolder, name: str, path: str) -> None:
        super().__init__(name, path)
        self._folder = folder

    def get_code(self, fullname: str) -> CodeType:
        """The module's code."""
        try:
            return self._folder.code(self.path)
        except Unreadable as why:
            raise ImportError(f"{self.path} {why}", name=fullname, path=self.path) from None

    def get_data(self, path: str) -> bytes:
        """The bytes of a file: of a source, those that were read first."""
        return self._folder.sources.read(path) if path == self.path else super().get_data(path)

    def exec_module(self, module: ModuleType) -> None:
        """Run the code. The DAGs that another DAG file makes as it is imported are that file's own."""
        gathered = self._folder.gathered_from(self.path)
        if gathered is None:
            super().exec_module(module)
            return
        with DAG.gathered(gathered):
            super().exec_module(module)


@cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))
