"""The import contracts of pyproject.toml hold, and they are the ones ARCHITECTURE.md promises."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def test_the_import_contracts_are_kept() -> None:
    done = subprocess.run([sys.executable, "-c", LINT, "--no-logo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_has_its_place() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["id"] == "layers")
    assert layers["exhaustive"]
    assert {contract["id"] for contract in contracts} >= {
        "layers",
        "no-metastore",
        "pure",
        "examples",
        "audit",
        "cli",
        "acyclic",
    }


def test_the_vocabulary_needs_the_standard_library_and_its_structs_only() -> None:
    imported = set()
    for file in (ROOT / "src/tailrace/model").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
            elif isinstance(node, ast.Import):
                imported.update(name.name.partition(".")[0] for name in node.names)
    assert imported - sys.stdlib_module_names == {"msgspec", "tailrace"}


def test_the_walks_name_files_that_exist_and_are_short() -> None:
    section = (ROOT / "ARCHITECTURE.md").read_text().split("\n## Five walks\n")[1].split("\n## ")[0]
    walks = section.split("\n### ")[1:]
    assert len(walks) == 5
    for walk in walks:
        title, *lines = walk.splitlines()
        steps = [line for line in lines if re.match(r"\d+\. ", line)]
        assert 3 <= len(steps) <= 8, title
        assert all("`" in step for step in steps), title
        for path in re.findall(r"`([\w./-]+/[\w./-]+)`", walk):
            assert (ROOT / path).exists() or (ROOT / "src/tailrace" / path).exists(), f"{title}: {path} is not there"
