"""Starting a job: what is imported after the zygote is forked."""

import gc
from collections.abc import Iterator

import pytest

from tailrace.service import launch


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
@pytest.mark.parametrize("name", ["json", "tailrace.no_such_module"])
def test_garbage_is_collected_again_after_an_import(name: str) -> None:
    try:
        launch._imported(name)
    except ModuleNotFoundError:
        assert name == "tailrace.no_such_module"
    assert gc.isenabled()
