"""The service's way to the metastore: one for each thread, made when it is asked for, and lists of nothing before."""

import threading
from pathlib import Path

import pytest

from tailrace.errors import CommandError
from tailrace.planning.clearing import ClearRequest
from tailrace.runtime.settings import Settings, load_settings
from tailrace.service import changes, views
from tailrace.service.encoding import json_of
from tailrace.service.scopes import RunsNamed
from tailrace.service.stores import Stores


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return load_settings({}, environ={"TAILRACE_DATABASE_URL": url}, cwd=tmp_path)


def test_each_thread_has_its_own(settings: Settings) -> None:
    with Stores(settings) as stores:
        mine, others = stores.opened(), []

        def ask() -> None:
            others.append(stores.opened())
            others.append(stores.existing())
            assert [pool.name for pool in views.list_pools(stores)] == ["default_pool"]
            stores.close()

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        assert stores.existing() is stores.reading() is mine
        assert len({id(each) for each in others} - {id(mine)}) == 3
        assert views.list_pools(stores)


def test_reading_makes_no_metastore(tmp_path: Path) -> None:
    settings = load_settings({}, environ={}, cwd=tmp_path)
    with Stores(settings) as stores:
        assert (stores.existing(), stores.reading()) == (None, None)
        assert views.list_runs(stores, views.Wanted()) == views.list_backfills(stores, None, 10) == ()
        with pytest.raises(CommandError, match="nothing has run here yet"):
            changes.clear(stores, RunsNamed("dag", ("x",)), ClearRequest(), dry_run=True)
    assert list(tmp_path.iterdir()) == []


def test_what_it_returns_is_json(settings: Settings) -> None:
    with Stores(settings) as stores:
        stores.opened()
        pools = views.list_pools(stores)
        assert json_of(pools).startswith(
            '[{"name": "default_pool", "slots": 128, "running": 0, "queued": 0, "open": 128'
        )
