"""What ``dags check`` found, in the formats of tools that show it beside the code."""

from pathlib import Path

import pytest

from tailrace.authoring.mistakes.dag_errors import DagError, Note
from tailrace.cli.annotations import github_annotations, sarif


def found(folder: Path) -> tuple[list[DagError], list[Note]]:
    mistakes = [
        DagError(str(folder / "dags" / "a, b:c%.py"), 3, "d", "100% wrong: ,"),
        DagError("/elsewhere/x.py", 0, None, "y"),
    ]
    return mistakes, [Note(str(folder / "dags" / "n.py"), 7, "d", "note")]


def test_github_shows_each_at_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(github_annotations(*found(tmp_path))) == [
        "::error file=dags/a%2C b%3Ac%25.py,line=3,title=tailrace dags check::100%25 wrong: ,",
        "::error file=/elsewhere/x.py,title=tailrace dags check::y",
        "::notice file=dags/n.py,line=7,title=tailrace dags check::note",
    ]
    assert list(github_annotations([], [])) == []


def test_sarif_names_files_as_the_repository_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = sarif(*found(tmp_path), "1.2")
    [run] = log["runs"]
    assert (log["version"], run["tool"]["driver"]["version"]) == ("2.1.0", "1.2")
    places = [each["locations"][0]["physicalLocation"] for each in run["results"]]
    assert [each["artifactLocation"]["uri"] for each in places] == [
        "dags/a%2C%20b%3Ac%25.py",
        "file:///elsewhere/x.py",
        "dags/n.py",
    ]
    assert [each.get("region") for each in places] == [{"startLine": 3}, None, {"startLine": 7}]
    assert [(each["ruleId"], each["level"]) for each in run["results"]] == [
        *[("mistake", "error")] * 2,
        ("note", "note"),
    ]
    assert {each["id"] for each in run["tool"]["driver"]["rules"]} == {"mistake", "note"}
