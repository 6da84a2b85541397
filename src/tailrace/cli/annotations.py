"""What ``dags check`` found, as the tools that show it beside the code want it: GitHub annotations, and SARIF 2.1.0.

GitHub's workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions. SARIF is
OASIS's format of static analysis; code hosts and editors read it.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tailrace.authoring.mistakes.dag_errors import DagError

_OF_MESSAGE = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_OF_PROPERTY = _OF_MESSAGE | str.maketrans({":": "%3A", ",": "%2C"})

_RULES = {
    "mistake": ("error", "A mistake in a DAG file: the DAG does not load."),
    "note": ("note", "Something to know about a DAG that loads all the same."),
}


def github_annotations(mistakes: Iterable[DagError], notes: Iterable[DagError]) -> Iterator[str]:
    """One workflow command for each, which GitHub shows at its line."""
    for command, found in (("error", mistakes), ("notice", notes)):
        for each in found:
            place = {"file": _relative(each.file), **({"line": str(each.line)} if each.line else {})}
            place["title"] = "tailrace dags check"
            properties = ",".join(f"{name}={value.translate(_OF_PROPERTY)}" for name, value in place.items())
            yield f"::{command} {properties}::{each.message.translate(_OF_MESSAGE)}"


def sarif(mistakes: Iterable[DagError], notes: Iterable[DagError], version: str) -> dict[str, Any]:
    """The SARIF log of one run."""
    results = [_result("mistake", each) for each in mistakes] + [_result("note", each) for each in notes]
    rules = [
        {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": level}}
        for name, (level, text) in _RULES.items()
    ]
    driver = {"name": "tailrace", "version": version, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(rule: str, found: DagError) -> dict[str, Any]:
    where: dict[str, Any] = {"artifactLocation": {"uri": _uri(found.file)}}
    if found.line:
        where["region"] = {"startLine": found.line}
    return {
        "ruleId": rule,
        "level": _RULES[rule][0],
        "message": {"text": found.message},
        "locations": [{"physicalLocation": where}],
    }


def _relative(file: str) -> str:
    """As the repository knows it, where that is the working folder."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


def _uri(file: str) -> str:
    relative = _relative(file)
    return Path(relative).as_uri() if os.path.isabs(relative) else quote(relative)
