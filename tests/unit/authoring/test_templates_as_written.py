"""What is certainly wrong in a template is a mistake as its file loads; which texts name a file, and which do not."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace import DAG, BashOperator
from tailrace.authoring.context.variables import VARIABLES
from tailrace.authoring.templates.environment import faults_in
from tailrace.authoring.templates.fields import TemplateSetup, may_name_file, missing_file, names_file
from tests.unit.authoring.conftest import Load, noted, said
from tests.unit.execution.builders import context_of


def faults(text: str) -> list[str]:
    return faults_in(TemplateSetup(), text, is_file=False, known=VARIABLES, tasks=("a", "b"))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("echo {{ ds }", ["unexpected '}'"]),
        ("echo ${#list[@]}", ["Missing end of comment tag"]),
        ("{{ undefined_thing }}", ["'undefined_thing' is undefined"]),
        ("{{ logical_dat }}", ["'logical_dat' is undefined; did you mean 'logical_date'?"]),
        ("{{ ds | upper | uper }}", ["there is no filter 'uper'; did you mean 'upper'?"]),
        ("{% if ds is odd_thing %}{% endif %}", ["there is no test 'odd_thing'"]),
        ("{{ ti.xcom_pull('no') }}", ["'no' is no task of this DAG"]),
        ("{{ ti.xcom_pull(task_ids=['a', 'no', 'b']) }}", ["'no' is no task of this DAG"]),
        ("{{ task_instance.xcom_pull(task_ids='aa') }}", ["'aa' is no task of this DAG; did you mean 'a'?"]),
        ("{{ one }} {{ two }}", ["'one' is undefined", "'two' is undefined"]),
        ("{{ x | default(y) }}", ["'y' is undefined"]),
    ],
)
def test_what_is_wrong_in_a_template_is_reported(text: str, right: list[str]) -> None:
    assert faults(text) == right


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "{{ x | default('y') }} {% if z is defined %}{{ z }}{% endif %}",
        "{% set x = 1 %}{{ x }} {% for n in range(2) %}{{ loop.index }}{{ n }}{% endfor %}",
        "{% with x = ds %}{{ x }}{% endwith %} {{ namespace(a=1).a }} {{ dict(a=1) }}",
        "{% macro m(x) %}{{ x }}{{ caller() }}{% endmacro %}{{ m(1) }}",
        "{% from 'other.sql' import thing %}{{ thing }}",
        "{{ ti.xcom_pull('x', dag_id='other') }} {{ ti.xcom_pull(ds) }} {{ ti.xcom_pull(key='k') }}",
        "{{ ti.xcom_pull('a') }} {{ ti.xcom_pull(task_ids=('a', 'b')) }}",
        "{{ macros.ds_add(ds, 1) }} {{ params.x }} {{ var.value.x }} {{ conf['k'] | ds_nodash }}",
    ],
)
def test_what_may_be_right_is_left_alone(text: str) -> None:
    assert faults(text) == []


def test_the_variables_that_are_known_are_those_there_are() -> None:
    with DAG("d") as dag:
        task = BashOperator(task_id="t", bash_command="true")
    assert context_of(task).completed().keys() == VARIABLES.keys()
    assert dag.mistakes == []


@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.text("{%#} |.()'abx ", max_size=30))
def test_any_text_is_a_template_or_has_faults(text: str) -> None:
    assert all("\n" not in fault for fault in faults(text))


def test_templates_are_looked_at_in_every_field(load: Load, tmp_path: Path) -> None:
    """newcomer 04."""
    (tmp_path / "query.sh").write_text("echo {{ nonsense }}")
    loaded = load(
        """
        class Query(BaseOperator):
            template_fields = ("sql",)
            template_ext = (".sql",)
            def __init__(self, *, sql, **more):
                super().__init__(**more)
                self.sql = sql
        with DAG("x", user_defined_macros={"mine": 1}):
            BashOperator(task_id="a", bash_command="query.sh")
            BashOperator(task_id="b", bash_command="true", env={"A": "{{ wrong }}"}, cwd="/{{ mine }}")
            PythonOperator(task_id="c", python_callable=print, op_args=[["{{ ds }"]])
            Query(task_id="d", sql=["absent.sql", "select 1 from absent.sql", "{{ mine }}"])
        """
    )
    assert [message.replace(str(tmp_path), "DAGS") for message in said(loaded)] == [
        "task a: bash_command: 'nonsense' is undefined",
        "task b: env: 'wrong' is undefined",
        "task c: op_args: unexpected '}'",
    ]


def test_a_file_that_is_not_there_yet_is_noted(load: Load, tmp_path: Path) -> None:
    """A task before it may make it; if none does, the try fails for that reason."""
    loaded = load(
        """
        with DAG("x"):
            BashOperator(task_id="a", bash_command="absent.sh")
        """
    )
    absent = f"no template file absent.sh in {tmp_path}; if it is no file's name, write a space after it"
    assert (said(loaded), noted(loaded)) == ([], [f"task a: bash_command: {absent}"])
    assert loaded.notes[0].line == loaded.dags["x"].get_task("a").written_at[1]


# --- names of files ----------------------------------------------------------------------------------------


def bash(folder: Path, command: str, **dag: object) -> BashOperator:
    with DAG("d", **dag) as made:  # type: ignore[arg-type]
        made.folder = folder
        return BashOperator(task_id="t", bash_command=command)


@pytest.mark.parametrize(
    ("command", "is_file", "is_missing"),
    [
        ("own.sh", True, False),
        ("own.bash", True, False),
        ("./own.sh", True, False),
        ("sub/own.sh", True, False),
        ("named {{ ds }}.sh", False, False),
        ("own.sh ", False, False),
        (" own.sh", False, False),
        ("bash own.sh", False, False),
        ("bash\town.sh", False, False),
        ("touch made.sh", False, False),
        ("/abs/own.sh", False, False),
        ("../own.sh", False, False),
        ("./absent.sh", False, False),
        ("~/own.sh", False, False),
        ("$HOME/own.sh", False, False),
        ("cat<own.sh", False, False),
        ("{{ params.script }}.sh", False, False),
        ("absent.sh", False, True),
        ("sub/absent.sh", False, True),
        ("own.txt", False, False),
        ("sub", False, False),
    ],
)  # fmt: skip
def test_a_word_that_names_a_file_is_one_and_a_command_a_command(
    tmp_path: Path, command: str, is_file: bool, is_missing: bool
) -> None:
    """apache/airflow#246, #1017, #21918."""
    (tmp_path / "dags" / "sub").mkdir(parents=True)
    for name in ("own.sh", "own.bash", "sub/own.sh", "named {{ ds }}.sh", "../own.sh"):
        (tmp_path / "dags" / name).write_text("true")
    task = bash(tmp_path / "dags", command)
    assert names_file(task, "bash_command", command) is is_file
    said = missing_file(task, "bash_command", command)
    assert (said is not None) is is_missing
    assert said is None or said.endswith(f"{tmp_path / 'dags'}; if it is no file's name, write a space after it")


def test_only_a_command_names_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.sh").write_text("true")
    task = bash(tmp_path, "true")
    assert not any(names_file(task, field, "own.sh") for field in ("env", "cwd"))
    assert names_file(task, "bash_command", "own.sh")


@given(st.text(st.characters(codec="utf-8"), max_size=12).map(lambda text: text + ".sh"))
@example("\0.sh")
@example("x" * 5000 + ".sh")
def test_any_text_may_end_like_a_file(text: str) -> None:
    task = bash(Path("/nowhere"), "true")
    assert not names_file(task, "bash_command", text)
    if any(character.isspace() for character in text):
        assert not may_name_file(task, "bash_command", text) and missing_file(task, "bash_command", text) is None


def test_files_are_found_along_the_searchpath(load: Load, tmp_path: Path) -> None:
    for name in ("more/one.sh", "else/two.sh", "else/one.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    loaded = load(
        f"""
        with DAG("x", template_searchpath=["more", {str(tmp_path / "else")!r}]):
            BashOperator(task_id="a", bash_command="one.sh")
            BashOperator(task_id="b", bash_command="two.sh")
        with DAG("y", template_searchpath="absent"):
            EmptyOperator(task_id="a")
        """
    )
    assert said(loaded) == []
    assert noted(loaded) == [f"template_searchpath: there is no folder {tmp_path / 'absent'}"]
    assert loaded.dags["x"].template_folders == (str(tmp_path), str(tmp_path / "more"), str(tmp_path / "else"))


def test_the_folder_is_that_of_the_dags_file_not_of_a_helper(load: Load, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "_making.py").write_text(
        "from tailrace import *\ndef make():\n    with DAG('x') as dag:\n"
        "        BashOperator(task_id='a', bash_command='own.sh')\n"
    )
    (tmp_path / "own.sh").write_text("true")
    loaded = load(f"import sys; sys.path.append({str(tmp_path / 'lib')!r})\nimport _making\n_making.make()")
    assert said(loaded) == []
