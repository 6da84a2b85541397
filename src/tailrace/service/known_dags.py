"""DAGs as the metastore keeps them, where their files have not changed since, else as the files have them now.

So lists need not run the code of DAG files. Which of the two is shown is reported. Nothing is written.
"""

import hashlib
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from tailrace.authoring.loading.dag_files import Unreadable, find_dag_files, read_source
from tailrace.errors import EnvironmentBroken
from tailrace.model.moments import moment_text
from tailrace.model.plain_text import on_one_line
from tailrace.model.spec import DagSpec
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.schedules import ScheduleFacts
from tailrace.runtime.settings import Settings
from tailrace.service.dagfiles import load, load_one

if TYPE_CHECKING:
    from tailrace.metastore.views.loaded import LoadedDag

_Notify = Callable[[str], None]


class ShownDags(Struct, frozen=True):
    """DAGs by name, with what a person has to know of them: mistakes in files, and which version is shown."""

    specs: tuple[DagSpec, ...]
    notices: tuple[str, ...] = ()
    schedules: Mapping[str, ScheduleFacts] = field(default_factory=lambda: MappingProxyType({}))  # of those loaded once
    pauses: Mapping[str, PersonsCommand] = field(default_factory=lambda: MappingProxyType({}))  # the newest by a person
    missing: frozenset[str] = frozenset()  # were loaded from these files, and are in none of them now

    def schedule_of(self, spec: DagSpec, settings: Settings) -> ScheduleFacts:
        """How far a DAG's schedule has come; one that was never loaded begins paused where that is asked for."""
        paused = spec.paused_at_creation
        begins = ScheduleFacts(settings.dags_are_paused_at_creation if paused is None else paused)
        return self.schedules.get(spec.dag_id, begins)


def list_dags(settings: Settings, notify: _Notify) -> ShownDags | None:
    """The DAGs of the settings' files; None where there are neither files nor DAGs that were loaded from there."""
    path, known = settings.dags, _known(settings)
    here = {dag_id: each for dag_id, each in known.items() if _is_in(each.spec.file, path)}
    if here and (not path.exists() or _unchanged(path, here)):
        gone = "" if path.exists() else f"{on_one_line(path)} does not exist: "
        specs = tuple(each.spec for _, each in sorted(here.items()))
        return _shown(specs, known, f"{gone}shown as loaded, the last of them at {_moment(here)}")
    loaded = load(settings, notify)
    if loaded is None:
        return None
    mistaken = {each.file for each in loaded.mistakes}
    left = {name: each.spec for name, each in here.items() if name not in loaded.specs}
    missing = frozenset(name for name, spec in left.items() if spec.file not in mistaken)
    by_name = {**loaded.specs, **{name: left[name] for name in missing}}
    specs = tuple(by_name[name] for name in sorted(by_name))
    other = [spec.dag_id for spec in specs if spec.dag_id in here and _differ(spec, here[spec.dag_id].spec)]
    notices = (*map(str, loaded.mistakes), *loaded.notices)
    if other:
        notices += (f"{', '.join(other)}: shown as in the files now, which differ from what was loaded last",)
    return replace(_shown(specs, known, *notices), missing=missing)


def show_dag(dag_id: str, settings: Settings, notify: _Notify) -> ShownDags:
    """One DAG. Raises as ``load_one`` does where it is neither in the files nor was loaded from there."""
    known = _known(settings)
    each = known.get(dag_id)
    if each is not None and _is_in(each.spec.file, settings.dags):
        file = Path(each.spec.file)
        if not settings.dags.exists():
            gone = f"{on_one_line(settings.dags)} does not exist: shown as loaded at {_moment({dag_id: each})}"
            return _shown((each.spec,), known, gone)
        if settings.dags == file and _hash(file) == each.spec.code_hash:
            return _shown((each.spec,), known, f"shown as loaded at {_moment({dag_id: each})}")
    shown = list_dags(settings, notify) if each is not None and settings.dags.is_dir() else None
    found = [spec for spec in shown.specs if spec.dag_id == dag_id] if shown is not None else []
    if shown is not None and found:
        if each is not None and dag_id in shown.missing:
            gone = f"{dag_id} is in no DAG file any more: shown as it was loaded at {_moment({dag_id: each})}"
            shown = replace(shown, notices=(*shown.notices, gone))
        return replace(shown, specs=tuple(found))
    return _shown((load_one(dag_id, settings, notify)[0],), known)


def _shown(specs: tuple[DagSpec, ...], known: Mapping[str, "LoadedDag"], *notices: str) -> ShownDags:
    return ShownDags(
        specs,
        notices,
        {dag_id: each.schedule for dag_id, each in known.items()},
        {dag_id: each.last_pause for dag_id, each in known.items() if each.last_pause is not None},
    )


def _known(settings: Settings) -> Mapping[str, "LoadedDag"]:
    """What was loaded before, by name; nothing where there is no metastore, or none that can be asked."""
    if settings.sqlite_file is not None and not settings.sqlite_file.exists():
        return {}
    stores = importlib.import_module("tailrace.service.stores")  # the database library is loaded where it is needed
    try:
        with stores.Stores(settings) as opened:
            metastore = opened.reading()
            return {} if metastore is None else {each.spec.dag_id: each for each in metastore.loaded_dags()}
    except EnvironmentBroken:  # the files know as much
        return {}


def _is_in(file: str, path: Path) -> bool:
    return bool(file) and Path(file).is_relative_to(path)


def _unchanged(path: Path, known: Mapping[str, "LoadedDag"]) -> bool:
    """Whether every DAG file is as it was when its DAGs were loaded; one that none is known of may hold some by now."""
    files, mistakes = find_dag_files(path)
    loaded = {(each.spec.file, each.spec.code_hash) for each in known.values()}
    return not mistakes and {(on_one_line(file), _hash(file)) for file in files} == loaded


def _hash(file: Path) -> str:
    try:
        return hashlib.sha256(read_source(file)).hexdigest()
    except Unreadable:
        return ""


def _differ(one: DagSpec, other: DagSpec) -> bool:
    return replace(one, file="", code_hash="") != replace(other, file="", code_hash="")


def _moment(known: Mapping[str, "LoadedDag"]) -> str:
    return moment_text(max(each.loaded_at for each in known.values()))
