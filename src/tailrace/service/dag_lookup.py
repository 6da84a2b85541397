"""Finds the DAG a person names among those that were loaded: one result for every command that runs or shows it."""

from pathlib import Path

from tailrace.authoring.loading.load import bundled_examples_path
from tailrace.errors import AuthoringError
from tailrace.execution.messages.loading_process import LoadReport
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import did_you_mean, joined
from tailrace.planning.messages import Action, Advised, Refused, Remedy

_FEW = 8  # so many names are all listed


def find_dag(report: LoadReport, dag_id: str, path: Path) -> DagSpec:
    """The DAG as loaded from ``path``. Raises AuthoringError for one with mistakes, Refused for one that lacks."""
    its_own = [mistake for mistake in report.mistakes if mistake.dag_id == dag_id]
    if its_own:  # also where there are two of that name: which of them is meant, nobody knows
        raise AuthoringError("\n".join(map(str, its_own)))
    spec = report.specs.get(dag_id)
    if spec is not None:
        return spec
    if not report.specs and report.mistakes:
        raise AuthoringError("\n".join(map(str, report.mistakes)))
    hint, broken = _hint(dag_id, sorted(report.specs)), with_mistakes(report)
    more = () if broken is None else ("; ", *broken.parts)
    raise Refused(Advised((f"no DAG {dag_id!r} in {path}", *hint, *more)))


def with_mistakes(report: LoadReport) -> Advised | None:
    """Which files have mistakes, if any, and which command lists them."""
    broken = sorted({mistake.file for mistake in report.mistakes})
    if not broken:
        return None
    have = "has" if len(broken) == 1 else "have"
    return Advised((f"{joined(broken)} {have} mistakes (", Remedy(Action.CHECK_DAGS), " lists them)"))


def _hint(dag_id: str, known: list[str]) -> tuple[str | Remedy, ...]:
    bundled = sorted(file.stem for file in bundled_examples_path().glob("example_*.py"))
    if guess := did_you_mean(dag_id, [*known, *bundled]):
        return (guess,)
    if not known:
        return ("; ", Remedy(Action.WRITE_FIRST_DAG), " writes a first one")
    if len(known) <= _FEW:
        return (f"; there are {joined(known)}",)
    return ("; ", Remedy(Action.LIST_DAGS), " lists what there is")
