"""Each DAG file has its own modules of what lies in the DAG folder, and finds what Python would find for it alone."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.authoring.loading.load import LoadedDags, load_dags
from tailrace.authoring.loading.module_space import ModuleSpace

Write = Callable[[str, str], Path]

HEAD = "from tailrace import DAG, EmptyOperator, PythonOperator\n"


def dag_file(dag_id: str, body: str = "", work: str = "None") -> str:
    """A DAG file with one task that answers what ``work`` says."""
    made = f"with DAG({dag_id!r}):\n    PythonOperator(task_id='t', python_callable=work)\n"
    return f"{HEAD}{textwrap.dedent(body)}\ndef work():\n    return {work}\n{made}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        file = tmp_path / "dags" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return tmp_path / "dags"

    return write


def answer(loaded: LoadedDags, dag_id: str) -> Any:
    """What the task of the DAG answers, in a process of its own kind."""
    space = loaded.enter(dag_id)
    try:
        return space.run(loaded.dags[dag_id].task_dict["t"].python_callable)  # type: ignore[attr-defined]
    finally:
        ModuleSpace.leave_any()


def sound(folder: Path) -> LoadedDags:
    loaded = load_dags(folder)
    assert loaded.mistakes == ()
    return loaded


def test_two_helpers_of_one_name_are_two_modules(write: Write) -> None:
    for team in ("red", "blue"):
        write(f"{team}/shared_helper.py", f"def color():\n    return {team!r}\n")
        folder = write(f"{team}/{team}_dag.py", dag_file(team, "import shared_helper", "shared_helper.color()"))
    before = set(sys.modules), list(sys.path)
    loaded = sound(folder)
    assert (set(sys.modules), list(sys.path)) == before, "nothing of one file is there for the next"
    for team in ("red", "blue", "red"):
        assert answer(loaded, team) == team


def test_a_late_import_finds_the_files_own(write: Write) -> None:
    for team in ("red", "blue"):
        write(f"{team}/late.py", f"NAME = {team!r}\n")
        folder = write(f"{team}/flow.py", dag_file(team, work="__import__('late').NAME"))
    loaded = sound(folder)
    assert [answer(loaded, team) for team in ("blue", "red", "blue")] == ["blue", "red", "blue"]


def test_beside_the_file_comes_before_the_folder_itself(write: Write) -> None:
    write("near.py", "WHERE = 'root'")
    write("far.py", "WHERE = 'root'")
    write("team/near.py", "WHERE = 'beside'")
    folder = write("team/flow.py", dag_file("d", "import near, far", "(near.WHERE, far.WHERE)"))
    assert answer(sound(folder), "d") == ("beside", "root")


def test_packages_namespace_packages_and_relative_imports(write: Write) -> None:
    write("pack/__init__.py", "from .inner import ONE\nfrom . import other")
    write("pack/inner.py", "from .deep.leaf import TWO\nONE = 1")
    write("pack/deep/leaf.py", "TWO = 2")
    write("pack/other.py", "THREE = 3")
    write("space/below/module.py", "FOUR = 4")
    body = """
    import pack, space.below.module
    from pack.deep.leaf import TWO
    from .beside import FIVE
    from . import beside
    import pkgutil
    found = sorted(each.name for each in pkgutil.iter_modules(pack.__path__))
    """
    write("team/beside.py", "FIVE = 5")
    work = "(pack.ONE, TWO, pack.other.THREE, space.below.module.FOUR, FIVE, beside.FIVE, found)"
    folder = write("team/flow.py", dag_file("d", body, work))
    assert answer(sound(folder), "d") == (1, 2, 3, 4, 5, 5, ["inner", "other"])


def test_the_module_of_a_file_is_named_as_it_is_imported(write: Write) -> None:
    """So that a process which the task starts (multiprocessing's spawn) finds what is defined in it."""
    write("flow.py", dag_file("root", work="work.__module__"))
    write("team/flow.py", dag_file("team", work="work.__module__"))
    folder = write("calendar.py", dag_file("taken", work="work.__module__"))
    loaded = sound(folder)
    assert (answer(loaded, "root"), answer(loaded, "team")) == ("flow", "team.flow")
    assert answer(loaded, "taken").startswith("tailrace_dags_calendar_")
    code = f"import sys; sys.path.append({str(folder)!r}); import team.flow; print(team.flow.work())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "team.flow"


@pytest.mark.parametrize("first", ["", "import os, sys; sys.path.insert(0, os.path.dirname(__file__))"])
@pytest.mark.parametrize("name", ["calendar", "email", "queue", "types", "json"])
def test_the_standard_library_comes_before_dag_files(write: Write, name: str, first: str) -> None:
    write(f"{name}.py", dag_file("taken", "import calendar, email.message, queue, types, json", "json.dumps(1)"))
    code = f"{first}\nimport {name}"
    folder = write("user.py", dag_file("user", code, f"{name}.__file__"))
    loaded = sound(folder)
    assert answer(loaded, "taken") == "1"
    assert str(folder) not in answer(loaded, "user")
    (note,) = loaded.notes
    said = f"{folder}/{name}.py: note: `import {name}` finds the module of the standard library, not this"
    assert str(note).startswith(said)


def test_what_is_installed_comes_before_dag_files_and_the_clash_is_reported(write: Write) -> None:
    write("jinja2.py", dag_file("taken", "import jinja2", "jinja2.Template('{{ 1 }}').render()"))
    write("msgspec/__init__.py", "")
    folder = write("fine.py", dag_file("fine"))
    loaded = sound(folder)
    assert answer(loaded, "taken") == "1"
    assert [note.file for note in loaded.notes] == [f"{folder}/jinja2.py", f"{folder}/msgspec"]


def test_a_dag_that_an_imported_dag_file_makes_is_its_own(write: Write) -> None:
    made = "\n\ndef make(name):\n    with DAG(name) as made:\n        EmptyOperator(task_id='t')\n    return made\n"
    write("producer.py", dag_file("producer", "VARIABLE = 7") + made)
    body = """
    from producer import VARIABLE, make
    make("made")
    with DAG("open"):
        EmptyOperator(task_id="before")
        import producer
        EmptyOperator(task_id="after")
    """
    folder = write("consumer.py", dag_file("consumer", body))
    loaded = sound(folder)
    assert {id: Path(spec.file).name for id, spec in loaded.specs.items()} == {
        "producer": "producer.py",
        "consumer": "consumer.py",
        "made": "consumer.py",
        "open": "consumer.py",
    }
    assert set(loaded.specs["open"].by_id) == {"before", "after"}
    assert set(load_dags(folder / "consumer.py").specs) == {"consumer", "made", "open"}, "named alone, too"


def test_a_dag_of_a_helper_that_is_no_dag_file_is_whose_imports_it(write: Write) -> None:
    write("_base.py", dag_file("base"))
    folder = write("flow.py", "import _base\n")
    loaded = sound(folder)
    assert Path(loaded.specs["base"].file).name == "flow.py"


def test_two_files_that_import_each_other(write: Write) -> None:
    write("one.py", dag_file("one", "ONE = 1\nimport two\n", "(two.TWO, two.one.ONE)"))
    folder = write("two.py", dag_file("two", "TWO = 2\nimport one\n", "(one.ONE, one.two.TWO)"))
    loaded = sound(folder)
    assert (answer(loaded, "one"), answer(loaded, "two")) == ((2, 1), (1, 2))


def test_where_a_file_alone_has_imports_look_is_its_own(write: Write, tmp_path: Path) -> None:
    for team in ("red", "blue"):
        (tmp_path / team).mkdir()
        (tmp_path / team / "helper_elsewhere.py").write_text(f"NAME = {team!r}\n")
        code = f"import sys; sys.path.insert(0, {str(tmp_path / team)!r}); import helper_elsewhere"
        folder = write(f"{team}.py", dag_file(team, code, "helper_elsewhere.NAME"))
    loaded = sound(folder)
    assert [answer(loaded, team) for team in ("red", "blue")] == ["red", "blue"]


def test_what_a_file_puts_in_the_place_of_a_module_is_there_for_it_alone(write: Write) -> None:
    """A known trick: another build of SQLite under the name of the standard one."""
    swap = "import sys, sqlite3, types; sys.modules['sqlite3'] = types.SimpleNamespace(own=True)"
    write("a_swaps.py", dag_file("swaps", swap, "hasattr(__import__('sqlite3'), 'own')"))
    write("b_drops.py", dag_file("drops", "import sys, wave; del sys.modules['wave']"))
    folder = write("c_plain.py", dag_file("plain", "import sqlite3, wave", "hasattr(__import__('sqlite3'), 'own')"))
    loaded = sound(folder)
    assert (answer(loaded, "swaps"), answer(loaded, "plain"), answer(loaded, "swaps")) == (True, False, True)


def test_context_variables_stay_with_their_file(write: Write) -> None:
    precision = "__import__('decimal').getcontext().prec"
    write("a.py", dag_file("exact", "import decimal; decimal.getcontext().prec = 77", precision))
    folder = write("b.py", dag_file("plain", "import decimal", precision))
    loaded = sound(folder)
    assert (answer(loaded, "exact"), answer(loaded, "plain")) == (77, 28)


def test_a_library_is_imported_once_for_all_files(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "dear_library.py").write_text("import os\nos.environ['DEAR'] = os.environ.get('DEAR', '') + 'x'\n")
    monkeypatch.setenv("DEAR", "")
    monkeypatch.setattr(sys, "path", [*sys.path, str(library)])
    for name in ("one", "two"):
        folder = write(f"{name}.py", dag_file(name, "import dear_library", "id(dear_library)"))
    loaded = sound(folder)
    assert answer(loaded, "one") == answer(loaded, "two")
    del sys.modules["dear_library"]


def test_a_helper_that_changes_is_what_it_was_when_it_was_loaded(write: Write) -> None:
    write("helper.py", "NAME = 'then'")
    folder = write("flow.py", dag_file("d", "import helper", "(helper.NAME, __import__('helper').NAME)"))
    loaded = sound(folder)
    write("helper.py", "NAME = 'now'")
    assert answer(loaded, "d") == ("then", "then")


def test_no_compiled_files_are_left_in_the_folder(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    write("helper.py", "")
    folder = write("flow.py", dag_file("d", "import helper"))
    sound(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["flow.py", "helper.py"]


NAMES = st.sampled_from(["aa", "bb", "cc"])
TREES = st.dictionaries(st.sampled_from(["", "x", "y", "x/y"]), st.sets(NAMES), min_size=1)


@given(tree=TREES, wanted=st.lists(NAMES, min_size=1, max_size=3, unique=True))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_file_finds_what_python_finds_for_it_alone(
    tree: dict[str, set[str]], wanted: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for place, helpers in tree.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        for name in helpers:
            (root / place / f"_{name}.py").write_text(f"WHERE = {place!r}\n")
        tries = "".join(
            f"try:\n    import _{name}\n    found.append(_{name}.WHERE)\nexcept ImportError:\n    found.append(None)\n"
            for name in wanted
        )
        dag_id = f"d{place.replace('/', '_')}"
        (root / place / "flow.py").write_text(dag_file(dag_id, "found = []\n" + tries, "found"))
    loaded = sound(root)
    for place, helpers in tree.items():
        expected = [place if name in helpers else "" if name in tree.get("", ()) else None for name in wanted]
        assert answer(loaded, f"d{place.replace('/', '_')}") == expected


def said(folder: Path) -> list[str]:
    return [str(mistake).replace(f"{folder}/", "") for mistake in load_dags(folder).mistakes]


def test_what_is_wrong_in_a_helper_is_a_mistake_of_the_file_that_needs_it(write: Write) -> None:
    """By that file a scheduler knows whose runs would stand still."""
    write("_broken.py", "x = 1\ndef (:\n")
    write("_raises.py", "def f():\n    raise ValueError('no')\nf()\n")
    write("one.py", "import os\nimport _broken\n")
    folder = write("two.py", "\n\nimport _raises\n")
    assert said(folder) == [
        "one.py:2: syntax error: invalid syntax (in _broken.py:2)",
        "two.py:3: ValueError: no (in _raises.py:2)",
    ]


def test_a_package_is_imported_before_the_dag_file_in_it(write: Write) -> None:
    write("pack/__init__.py", "from .flow import NAME\nfrom .other import NAME as OTHER\n")
    write("pack/other.py", dag_file("other", "from .flow import NAME\n"))
    folder = write("pack/flow.py", dag_file("d", "NAME = 'd'\nimport pack.other\n", "(pack.OTHER, work.__module__)"))
    loaded = sound(folder)
    assert answer(loaded, "d") == ("d", "pack.flow")
    assert {id: Path(spec.file).name for id, spec in loaded.specs.items()} == {"d": "flow.py", "other": "other.py"}
    write("pack/__init__.py", "1 / 0\n")
    assert said(folder) == [
        f"pack/{name}.py: ZeroDivisionError: division by zero (in pack/__init__.py:1)" for name in ("flow", "other")
    ]


def test_a_dag_folder_may_be_a_package_itself(write: Write) -> None:
    write("__init__.py", "")
    write("tools/__init__.py", "from ..helper import HERE")
    write("helper.py", "HERE = 'helper'")
    body = "from dags.tools import HERE\nfrom . import helper\nimport tools"
    folder = write("flow.py", dag_file("d", body, "(HERE, helper.HERE, work.__module__)"))
    (told,) = said(folder)
    assert told == "flow.py:4: ImportError: attempted relative import beyond top-level package (in tools/__init__.py:1)"
    write("flow.py", dag_file("d", body.replace("import tools", ""), "(HERE, helper.HERE, work.__module__)"))
    assert answer(sound(folder), "d") == ("helper", "helper", "dags.flow")


@pytest.mark.parametrize("name", ["my-dag", "2024 flow", "v1.2", "w\u00e9ird\n\x1b[31m", "n\udce9", "import"])
def test_a_file_may_have_any_name(write: Write, name: str) -> None:
    folder = write(f"{name}/{name}.py", dag_file("d", work="__file__"))
    loaded = sound(folder)
    assert answer(loaded, "d") == f"{folder}/{name}/{name}.py"
    assert loaded.specs["d"].file.isprintable()
    loaded.specs["d"].file.encode()


def test_a_package_and_a_module_of_one_name(write: Write) -> None:
    write("flow/__init__.py", "")
    write("flow/inside.py", dag_file("inside"))
    write("other.py", dag_file("other"))
    write("other/below.py", dag_file("below"))
    folder = write("flow.py", dag_file("flow"))
    assert set(sound(folder).specs) == {"flow", "inside", "other", "below"}
