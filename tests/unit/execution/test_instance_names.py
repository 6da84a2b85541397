"""What an instance of a mapped task is called: rendered as its try ends, with what its code has left in the context."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace import DAG, BashOperator
from tailrace.authoring.loading.load import load_dags
from tailrace.execution.messages.channel import ProtocolError
from tailrace.execution.messages.tries import outcome_in
from tailrace.execution.tries.instance_names import NAME, named
from tailrace.execution.tries.reuse import may_serve_again
from tailrace.model.names import LONGEST_NAME
from tailrace.model.plain_text import visible_line

OUTCOME = {"kind": "failed", "error": "", "xcoms": {}, "followed": None, "again": False}


def mapped(template: str | None) -> Any:
    with DAG("d") as dag:
        BashOperator.partial(task_id="t", map_index_template=template).expand(bash_command=["true", "false"])
    return dag.task_dict["t"].for_index(1, lambda *asked: None)


def called(template: str | None, index: int = 1, **context: Any) -> Any:
    made = mapped(template)
    return named(OUTCOME, made, {"ti": SimpleNamespace(map_index=index), "task": made, **context}).get(NAME)


@pytest.mark.parametrize(
    ("template", "context", "name"),
    [
        ("{{ task.bash_command }}", {}, "false"),
        ("{{ shop }} of {{ ti.map_index }}", {"shop": "north"}, "north of 1"),
        ("as it is", {}, "as it is"),
        ("{{ shop }}", {"shop": "two\nlines"}, "two\\nlines"),
        ("{{ shop }}", {"shop": "x" * 300}, visible_line("x" * 300, LONGEST_NAME)),
        ("{{ shop }}", {"shop": 5, "map_index_template": "other {{ shop }}"}, "other 5"),
        (None, {"map_index_template": "{{ ti.map_index }}"}, "1"),
        (None, {}, None),
    ],
)
def test_a_template_is_rendered_with_what_the_task_has_left(
    template: str | None, context: dict[str, Any], name: str | None
) -> None:
    assert called(template, **context) == name


def test_an_instance_without_an_index_has_no_name() -> None:
    assert called("{{ ti.map_index }}", -1) is None


@pytest.mark.parametrize("template", ["{{ nobody.there }}", "{{ 1 / 0 }}", "{{ task.nothing.at_all }}"])
def test_what_cannot_be_rendered_is_said_in_the_log_and_changes_no_outcome(
    template: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert called(template) is None
    assert "map_index_template" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("north", "north"),
        ("a\nb", "a\\nb"),
        ("", None),
        ("y" * 300, visible_line("y" * 300, LONGEST_NAME)),
        (None, None),
    ],
)
def test_a_worker_takes_one_line_of_it(sent: str | None, kept: str | None) -> None:
    assert outcome_in({**OUTCOME, NAME: sent}).rendered_map_index == kept


def test_a_worker_takes_nothing_else_for_it() -> None:
    with pytest.raises(ProtocolError):
        outcome_in({**OUTCOME, NAME: ["north"]})


def test_a_process_that_has_rendered_it_serves_no_other_try() -> None:
    with DAG("d") as dag:
        BashOperator(task_id="a", bash_command="true")
        BashOperator(task_id="b", bash_command="true", map_index_template="{{ ds }}")
    assert [may_serve_again(dag, each) for each in dag.tasks] == [True, False]


@pytest.mark.parametrize(
    ("line", "mistakes", "notes"),
    [
        ("f.override(map_index_template='{{ whatever }}').expand(x=[1])", [], []),
        (
            "f.override(map_index_template='{{ x')(1)",
            ["task f: map_index_template: unexpected end of template, expected 'end of print statement'."],
            ["map_index_template of a task that is not mapped: kept, and without effect in Tailrace"],
        ),
        ("f.override(map_index_template='{{ x | uper }}').expand(x=[1])", ["there is no filter 'uper'"], []),
        ("f.override(map_index_template=5).expand(x=[1])", ["task f: map_index_template must be text, not 5"], []),
    ],
)
def test_what_is_wrong_with_it_is_found_as_the_file_loads(
    tmp_path: Path, line: str, mistakes: list[str], notes: list[str]
) -> None:
    head = "from tailrace import *\n@task\ndef f(x): pass\nwith DAG('d'):\n    "
    (tmp_path / "d.py").write_text(head + line + "\n")
    loaded = load_dags(tmp_path)
    assert len(loaded.mistakes) == len(mistakes)
    assert all(said in str(found) for said, found in zip(mistakes, loaded.mistakes, strict=True)), loaded.mistakes
    if not mistakes:
        assert [each.message for each in loaded.notes] == notes
