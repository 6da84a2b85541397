"""The modules of one DAG file: what lies in the DAG folder is imported for each DAG file anew.

Two DAG files that import a helper of the same name each find their own: the one beside the file first, then the one in
the DAG folder itself. What is installed, the standard library before all, comes before either, and all files share it.
A file's modules stand in ``sys.modules`` while the file loads and while a task of it runs, and at no other time.
"""

import contextvars
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, ClassVar, TypeVar

from tailrace.authoring.loading.dag_folder import DagFolder, Run
from tailrace.authoring.loading.process_state import Changes

R = TypeVar("R")


class ModuleSpace:
    """What one DAG file has imported, where its imports look, and what it changed of the process as it loaded.

    The file's module is named as an import names it (``team.flow`` for ``team/flow.py``), so that other processes find
    what is defined in it; where that name is taken, a name of its own.
    """

    _entered: ClassVar["ModuleSpace | None"] = None
    _shared: ClassVar[Mapping[str, ModuleType]] = MappingProxyType({})  # what is there where none is entered

    def __init__(self, folder: DagFolder, file: Path) -> None:
        self.file = file
        self.changes = Changes(())
        self._folder = folder
        self._parts = file.relative_to(folder.top).with_suffix("").parts
        ways = [str(file.parent), str(folder.root), str(folder.top)]
        if self._is_shadowed() and (file.parent / "__init__.py").is_file():
            ways.reverse()  # a package that holds a module of its own name: the package is meant
        self._path = list(dict.fromkeys([*folder.path, *ways]))
        self._modules: dict[str, ModuleType] = {}
        self._is_applied = False  # whether the process is as the file made it
        self._others: Mapping[str, ModuleType] = {}  # what was there as it was entered
        self._context = contextvars.copy_context()
        if (decimal := sys.modules.get("decimal")) is not None:  # its context is one object, which a copy would share
            self._context.run(decimal.setcontext, decimal.getcontext().copy())

    def load(self, run: Run) -> None:
        """Run the file, in this space. Raises what its code raises."""
        self._context.run(self._load, run)

    def _load(self, run: Run) -> None:
        name = self._name()
        if name is not None:
            try:
                importlib.import_module(name)  # with the packages it is in, as for anybody who imports it
            except ModuleNotFoundError as missing:
                if run.begun or missing.name is None or not f"{name}.".startswith(f"{missing.name}."):
                    raise
            if run.begun:
                return
        # No import finds it: its name is another's, or is none.
        digest = hashlib.sha256(os.fsencode(self.file)).hexdigest()[:12]
        name = f"tailrace_dags_{self.file.stem.replace('.', '_')}_{digest}"
        spec = self._folder.spec(name, str(self.file))
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        assert spec.loader is not None, "it has our own"
        spec.loader.exec_module(module)

    def holds(self, file: str) -> bool:
        """Whether a file is one of this DAG folder."""
        return self._folder.holds(file)

    def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function with the context variables (the decimal context is one) as the file has left them."""
        return self._context.run(function, *arguments)

    def enter(self) -> None:
        """Have imports find this file's modules, and the process as the file made it."""
        self._enter()
        if not self._is_applied:
            self._is_applied = True
            self.changes.apply()

    def _enter(self) -> None:
        if ModuleSpace._entered is self:
            return
        ModuleSpace.leave_any()
        self._folder.open()
        ModuleSpace._entered = self
        self._is_applied = False
        shared = ModuleSpace._shared
        self._others = shared if len(shared) == len(sys.modules) else dict(sys.modules)
        sys.path = list(self._path)
        sys.modules.update(self._modules)

    @classmethod
    def have_loaded(cls, only: "ModuleSpace | None") -> None:
        """Once all files are loaded, in a process that will be forked: keep what all of them share.

        To copy that in each fork would count a reference to each module, and so copy the memory that it lies in. Where
        there is one file ``only``, imports find its modules from here on; what it changed is for its forks alone.
        """
        cls.leave_any()
        cls._shared = dict(sys.modules)
        if only is not None:
            only._enter()

    @classmethod
    def leave_any(cls) -> None:
        """Make this process one of no DAG file's."""
        if cls._entered is not None:
            if cls._entered._is_applied:
                cls._entered.changes.undo()
            cls._entered.leave()

    def leave(self) -> None:
        """Take this file's modules out again, and keep them."""
        now = {name: module for name, module in sys.modules.items() if self._others.get(name) is not module}
        own = {name: module for name, module in now.items() if name in self._others or self._is_own(name, module)}
        for name in own:
            del sys.modules[name]
        for name in self._others.keys() - sys.modules.keys():  # replaced, or taken away
            sys.modules[name] = self._others[name]
        self._modules, self._others = own, {}
        self._path, sys.path = list(sys.path), list(self._folder.path)
        ModuleSpace._entered = None

    def _name(self) -> str | None:
        """What an import of the file says; None where that says nothing, or finds something else."""
        if any("." in part for part in self._parts) or self._folder.elsewhere(self._parts[0]) is not None:
            return None
        if self._is_shadowed() and self._path.index(str(self.file.parent)) < self._path.index(str(self._folder.top)):
            return self._parts[0] if self.file.stem == self._parts[0] else None
        return ".".join(self._parts)

    def _is_shadowed(self) -> bool:
        """Whether beside the file lies a module of the name that its own module's name begins with."""
        beside = str(self.file.parent / self._parts[0])
        found = (f"{beside}.py", f"{beside}{os.sep}__init__.py")
        return len(self._parts) > 1 and any(self._folder.sources.has(each, now=False) for each in found)

    def _is_own(self, name: str, module: ModuleType) -> bool:
        """Whether a module lies in the DAG folder, or where this file alone has imports look, or stands for another."""
        if "." not in name and getattr(module, "__name__", None) != name:
            return True
        top = _places(sys.modules.get(name.partition(".")[0], module))
        if any(map(self._folder.holds, _places(module) or top)):
            return True
        found_in = {os.path.dirname(each) for each in top}
        if not found_in or found_in & {os.path.abspath(entry) for entry in self._folder.path}:
            return False
        return any(os.path.abspath(entry) in found_in for entry in sys.path_importer_cache)


def _places(module: ModuleType) -> list[str]:
    """Where a module lies: a package's folders, else its file. Nowhere, for what is built in or made on the spot."""
    try:
        folders = [os.path.abspath(each) for each in getattr(module, "__path__", ())]
        file = getattr(module, "__file__", None)
        return folders or ([os.path.abspath(file)] if isinstance(file, str) else [])
    except Exception:  # a stand-in for a module, with ideas of its own
        return []
