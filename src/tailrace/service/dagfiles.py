"""Loads DAG files for commands that only describe them, and says plainly what is not there.

In a process of their own, as for a backfill: what DAG files print is no part of the output, and one that ends its
process is named.
"""

from collections.abc import Callable
from pathlib import Path

from tailrace.authoring.loading.load import bundled_examples_path
from tailrace.errors import CommandError
from tailrace.execution.messages.loading_process import LoadReport
from tailrace.execution.zygote.handle import start_zygote
from tailrace.model.names import id_error
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.messages import Action, Advised, Refused, Remedy
from tailrace.runtime.secrets import LoadSecrets
from tailrace.runtime.settings import Settings
from tailrace.runtime.task_settings import give_to_tasks
from tailrace.service.dag_lookup import find_dag
from tailrace.service.dag_names import dag_names_in

Notify = Callable[[str], None]


def load(settings: Settings, notify: Notify, *, checks_secrets: bool = False) -> LoadReport | None:
    """The DAG files of the settings; None when the default folder is not there. ``notify`` is called as they load.

    ``checks_secrets``: look for the Variables and Connections that templates name. Raises CommandError when a path that
    somebody named is not there.
    """
    if settings.dags.exists():
        return _loaded(settings.dags, settings, notify, checks_secrets)
    if settings.origins["dags"] == "default":
        return None
    raise CommandError(f"{settings.dags} does not exist ({settings.origins['dags']})")


def _loaded(path: Path, settings: Settings, notify: Notify, checks_secrets: bool = False) -> LoadReport:
    if path == settings.dags:
        settings.require_trusted_dags()
    give_to_tasks(settings)
    # It will fork nothing: nothing is warmed up for that.
    zygote = start_zygote(
        path,
        settings.home,
        isolation="spawn",
        timeout=settings.load_timeout_seconds,
        secrets=LoadSecrets(settings),
        checks_secrets=checks_secrets,
        notify=settings.notify,
    )
    zygote.notify = notify
    try:
        return zygote.loaded()
    finally:
        zygote.stop()


def bundled_file(dag_id: str, settings: Settings) -> Path | None:
    """The bundled example of that name, when no DAG file of the person's own mentions it.

    The examples load only when named; a person's own DAG of the same name always wins, and --dags means what it says.
    """
    example = bundled_examples_path() / f"{dag_id}.py"
    if id_error(dag_id) or not example.is_file() or settings.origins["dags"].startswith("option"):
        return None
    own = settings.dags.exists() and dag_id in dag_names_in(settings.dags)
    return None if own else example


def load_one(dag_id: str, settings: Settings, notify: Notify) -> tuple[DagSpec, Path]:
    """A DAG without mistakes, and the DAG file or folder it was found in; a bundled example of that name will do.

    Raises AuthoringError with the DAG's own mistakes, CommandError with the nearest names when it is nowhere.
    """
    report, path = load_with(dag_id, settings, notify)
    return find_dag(report, dag_id, path), path


def load_with(dag_id: str, settings: Settings, notify: Notify) -> tuple[LoadReport, Path]:
    """All that is in the DAG file or folder in which the DAG would be, and which that is."""
    bundled = bundled_file(dag_id, settings)
    if bundled is None:
        require_dags(dag_id, settings)
    path = bundled or settings.dags
    return _loaded(path, settings, notify), path


def require_dags(dag_id: str, settings: Settings) -> None:
    """Raise CommandError when the folder that ``dag_id`` would be in is not there at all."""
    if settings.dags.exists():
        return
    if settings.origins["dags"] != "default":
        raise CommandError(f"{settings.dags} does not exist ({settings.origins['dags']})")
    missing = f"no DAG {dag_id!r}: {settings.dags} does not exist"
    if guess := did_you_mean(dag_id, {file.stem for file in bundled_examples_path().glob("example_*.py")}):
        raise CommandError(f"{missing}{guess}")
    writes = Remedy(Action.WRITE_FIRST_DAG)
    raise Refused(Advised((f"{missing}; ", writes, " writes a first one, --dags names another place")))
