"""Loads DAG files for commands that only describe them, and says plainly what is not there.

In a process of their own, as for a backfill: what DAG files print is no part of our answer, and one that ends its
process is named.
"""

from pathlib import Path

from tailrace.authoring.loading import bundled_examples_path
from tailrace.cli.options import dag_names_in
from tailrace.cli.speaking import current_speaker
from tailrace.errors import CommandError
from tailrace.execution.loading_process import LoadReport
from tailrace.execution.zygote import start_zygote
from tailrace.model.names import wrong_with_id
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import did_you_mean
from tailrace.runtime.finding import find_dag
from tailrace.runtime.settings import Settings


def load(settings: Settings) -> LoadReport | None:
    """The DAG files of the settings; None, with a note that says what to do, when the default folder is not there.

    Raises CommandError when a path that somebody named is not there.
    """
    if settings.dags.exists():
        return _loaded(settings.dags, settings)
    if settings.origins["dags"] == "default":
        current_speaker().note(f"no DAG files: {settings.dags} does not exist; `tailrace init` writes a first one")
        return None
    raise CommandError(f"{settings.dags} does not exist ({settings.origins['dags']})")


def _loaded(path: Path, settings: Settings) -> LoadReport:
    if path == settings.dags:
        settings.require_trusted_dags()
    # It will fork nothing: nothing is rehearsed for that.
    zygote = start_zygote(path, settings.home, isolation="spawn", timeout=settings.load_timeout_seconds)
    zygote.said = current_speaker().notice
    try:
        return zygote.loaded()
    finally:
        zygote.stop()


def bundled_file(dag_id: str, settings: Settings) -> Path | None:
    """The bundled example of that name, when no DAG file of the person's own speaks of it.

    The examples load only when named; a person's own DAG of the same name always wins, and --dags means what it says.
    """
    example = bundled_examples_path() / f"{dag_id}.py"
    if wrong_with_id(dag_id) or not example.is_file() or settings.origins["dags"].startswith("option"):
        return None
    own = settings.dags.exists() and dag_id in dag_names_in(settings.dags)
    return None if own else example


def load_one(dag_id: str, settings: Settings) -> tuple[DagSpec, Path]:
    """A DAG without mistakes, and the DAG file or folder it was found in; a bundled example of that name will do.

    Raises AuthoringError with the DAG's own mistakes, CommandError with the nearest names when it is nowhere.
    """
    bundled = bundled_file(dag_id, settings)
    if bundled is None:
        require_dags(dag_id, settings)
    path = bundled or settings.dags
    return find_dag(_loaded(path, settings), dag_id, path), path


def require_dags(dag_id: str, settings: Settings) -> None:
    """Raise CommandError when the folder that ``dag_id`` would be in is not there at all."""
    if settings.dags.exists():
        return
    if settings.origins["dags"] != "default":
        raise CommandError(f"{settings.dags} does not exist ({settings.origins['dags']})")
    guess = did_you_mean(dag_id, {file.stem for file in bundled_examples_path().glob("example_*.py")})
    advice = guess or "; `tailrace init` writes a first one, --dags names another place"
    raise CommandError(f"no DAG {dag_id!r}: {settings.dags} does not exist{advice}")
