"""A pytest plugin for ``make flakes``: runs tests in an order that is drawn from a seed (``--order-seed 7``).

Files in any order, and the tests of a file in any order: a file stays together, for what it shares may cost a minute.
"""

import random
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order-seed", type=int, default=None, help="draw the order of tests from this seed")
    parser.addoption("--order-file", type=Path, default=None, help="write the order there, a test a line")


@pytest.hookimpl(tryfirst=True)  # before pytest brings together what shares a parameter of a file's fixture
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seed = config.getoption("--order-seed")
    if seed is None:
        return
    draw = random.Random(seed)
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    order = list(files.values())
    draw.shuffle(order)
    for tests in order:
        draw.shuffle(tests)
    items[:] = [item for tests in order for item in tests]


def pytest_collection_finish(session: pytest.Session) -> None:
    where = session.config.getoption("--order-file")
    if where is not None:
        where.write_text("".join(f"{item.nodeid}\n" for item in session.items))
