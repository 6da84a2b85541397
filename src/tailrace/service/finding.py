"""Finds the DAG a person names among those that were loaded: one answer for every command that runs or shows it."""

from pathlib import Path

from tailrace.authoring.loading import bundled_examples_path
from tailrace.errors import AuthoringError, CommandError
from tailrace.execution.loading_process import LoadReport
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import did_you_mean, in_words

_FEW = 8  # so many names are all said


def find_dag(report: LoadReport, dag_id: str, path: Path) -> DagSpec:
    """The DAG as loaded from ``path``. Raises AuthoringError for one with mistakes, CommandError for one that is not
    there.
    """
    its_own = [mistake for mistake in report.mistakes if mistake.dag_id == dag_id]
    if its_own:  # also where there are two of that name: which of them is meant, nobody knows
        raise AuthoringError("\n".join(map(str, its_own)))
    spec = report.specs.get(dag_id)
    if spec is not None:
        return spec
    if not report.specs and report.mistakes:
        raise AuthoringError("\n".join(map(str, report.mistakes)))
    hint = _hint(dag_id, sorted(report.specs))
    broken = sorted({mistake.file for mistake in report.mistakes})
    if broken:
        have = "has" if len(broken) == 1 else "have"
        hint += f"; {in_words(broken)} {have} mistakes (`tailrace dags check` tells them)"
    raise CommandError(f"no DAG {dag_id!r} in {path}{hint}")


def _hint(dag_id: str, known: list[str]) -> str:
    bundled = sorted(file.stem for file in bundled_examples_path().glob("example_*.py"))
    if guess := did_you_mean(dag_id, [*known, *bundled]):
        return guess
    if not known:
        return "; `tailrace init` writes a first one"
    return f"; there are {in_words(known)}" if len(known) <= _FEW else "; `tailrace dags list` lists what there is"
