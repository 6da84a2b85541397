"""Which tasks of a DAG a person chooses as a part of it: by regular expression, with all above or below them."""

import re
import warnings
from collections.abc import Collection, Mapping

from msgspec import Struct

from tailrace.model.plain_text import visible_line
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import near_or_there
from tailrace.model.task_words import tasks_meant
from tailrace.planning.messages import Message, Refused
from tailrace.planning.selecting import with_relatives

#: Of a pattern that is said to be wrong.
_LONGEST = 200


class Choice(Struct, frozen=True):
    """The tasks whose ids ``patterns`` fit (each an id, a group's id or a regular expression), with their relatives."""

    patterns: tuple[str, ...] = ()
    upstream: bool = False
    downstream: bool = False


class NoTaskFits(Message, frozen=True):
    dag_id: str
    pattern: str
    near: str  # what there is instead, or what was meant
    template = "--tasks {0.pattern}: no task of {0.dag_id} fits{0.near}"


class BadPattern(Message, frozen=True):
    pattern: str
    wrong: str
    near: str
    template = "--tasks {0.pattern}: not a regular expression: {0.wrong}{0.near}"


class RelativesOfNone(Message, frozen=True):
    option: str
    template = "{0.option} goes with --tasks: it adds what is above or below those tasks"


def chosen(dag: DagSpec, choice: Choice) -> tuple[str, ...] | None:
    """The tasks of the part, in the DAG's order; None where that is the whole DAG. Raises Refused."""
    require_patterns(choice)
    if not choice.patterns:
        return None
    found = {each for pattern in choice.patterns for each in _fitting(dag, pattern)}
    held = with_relatives(dag, found, upstream=choice.upstream, downstream=choice.downstream)
    part = tuple(task.task_id for task in dag.tasks if task.task_id in held)
    return None if len(part) == len(dag.tasks) else part


def require_patterns(choice: Choice) -> None:
    """Raise Refused for relatives of no task."""
    for given, option in ((choice.upstream, "--upstream"), (choice.downstream, "--downstream")):
        if given and not choice.patterns:
            raise Refused(RelativesOfNone(option))


def _fitting(dag: DagSpec, pattern: str) -> tuple[str, ...]:
    known, groups = tuple(dag.by_id), dag.members
    if pattern in dag.by_id or pattern in groups:
        return tasks_meant(pattern, known, groups)
    shown = visible_line(pattern, _LONGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what may mean another thing in some later Python
            compiled = re.compile(pattern, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise Refused(BadPattern(shown, visible_line(str(error), _LONGEST), _instead(pattern, known, groups))) from None
    fitting = tuple(filter(compiled.fullmatch, known))
    if not fitting:
        raise Refused(NoTaskFits(dag.dag_id, shown, _instead(pattern, known, groups)))
    return fitting


def _instead(pattern: str, known: Collection[str], groups: Mapping[str, Collection[str]]) -> str:
    """What to say after a pattern that fits nothing: as one of file names it may fit, or there are ids like it."""
    if tasks_meant(pattern, known, groups):
        meant = "".join({"*": ".*", "?": "."}.get(each) or re.escape(each) for each in pattern)
        return f"; as a regular expression it would be {visible_line(meant, _LONGEST)}"
    return near_or_there(pattern, (*known, *groups))
