"""What the API sends is what the command line prints, and is as its description says."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator

from tailrace.execution.logs.files import callbacks_path, log_path
from tailrace.metastore.db.tables import dag_run
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.runtime.settings import Settings
from tailrace.web.openapi import document
from tests.asgi import Asker, Reply
from tests.conformance.serving import asker, typed, web_settings
from tests.conformance.stories import busy
from tests.conformance.worlds import World

__all__ = ["asker", "typed", "web_settings"]

API = "/api/v1"
Typed = Callable[..., Any]


@pytest.fixture
def filled(world: World) -> World:
    """A metastore in the middle of things."""
    busy(world)
    return world


def steady(value: Any) -> Any:
    """The same without what differs from one moment to the next."""
    if isinstance(value, dict):
        return {name: steady(each) for name, each in value.items() if name not in ("lease_seconds", "seconds")}
    return [steady(each) for each in value] if isinstance(value, list) else value


def path_of(operation: str, **names: object) -> str:
    """An address of the API."""
    return API + re.sub(r"{(\w+)}", lambda found: quote(str(names[found[1]]), safe=""), operation)


def as_described(operation: str, reply: Reply) -> Any:
    """The JSON of a reply, which is as its description says."""
    assert reply.status == 200, reply.body
    described = document()["paths"][operation]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**described, "components": document()["components"]}).validate(reply.json)
    return reply.json


def runs_of(world: World) -> Iterator[tuple[str, str]]:
    for row in world.rows(dag_run):
        yield row.dag_id, row.run_id


def test_every_list_is_what_the_command_line_prints(filled: World, asker: Asker, typed: Typed) -> None:
    dag, run = next(runs_of(filled))
    lists = {
        "/runs?limit=1000": ("runs", "list", "--limit", "1000"),
        "/runs?dag_id=branching&state=failed": ("runs", "list", "branching", "--state", "failed"),
        "/runs?failed_tasks=true": ("runs", "list", "--failed-tasks"),
        "/runs?start=2024-01-02&end=2024-01-02": ("runs", "list", "-s", "2024-01-02", "-e", "2024-01-02"),
        "/task-instances?start=2024-01-01&limit=500": ("tasks", "list", "-s", "2024-01-01", "--limit", "500"),
        "/task-instances?state=failed&state=running": ("tasks", "list", "--state", "failed", "--state", "running"),
        "/task-instances?dag_id=branching&task=fl*": ("tasks", "list", "branching", "--task", "fl*"),
        "/backfills": ("backfill", "list"),
        "/backfills?dag_id=doing": ("backfill", "list", "doing"),
        "/jobs": ("jobs", "list"),
        "/pools": ("pools", "list"),
        "/variables": ("variables", "list"),
        "/connections": ("connections", "list"),
        "/dag-stats": ("dags", "stats"),
        "/dag-stats?dag_id=past": ("dags", "stats", "past"),
    }
    for address, words in lists.items():
        found = as_described(address.partition("?")[0], asker.get(API + address))
        assert found == typed(*words), address
        assert found, address


def test_every_run_and_task_is_what_the_command_line_prints(filled: World, asker: Asker, typed: Typed) -> None:
    looked_at = [*runs_of(filled)][::3]
    for dag, run in looked_at:
        names = {"dag_id": dag, "run": run}
        each = "/dags/{dag_id}/runs/{run}"
        assert as_described(each, asker.get(path_of(each, **names))) == typed("runs", "show", dag, run)
        explained = as_described(f"{each}/explain", asker.get(path_of(f"{each}/explain", **names)))
        assert steady(explained) == steady(typed("runs", "explain", dag, run))
        xcoms = as_described(f"{each}/xcoms", asker.get(path_of(f"{each}/xcoms", **names)))
        assert xcoms == typed("xcom", "list", dag, run)
        for task in {task["task_id"] for task in explained["task_instances"]}:
            of_task = f"{each}/tasks/{{task_id}}"
            told = as_described(of_task, asker.get(path_of(of_task, **names, task_id=task)))
            assert steady(told) == steady([typed("tasks", "explain", dag, task, run)])
            tries = as_described(f"{of_task}/tries", asker.get(path_of(f"{of_task}/tries", **names, task_id=task)))
            assert [one["tries"] for one in tries] == [one["tries"] for one in told]
        for one in xcoms:
            of_xcom = f"{each}/tasks/{{task_id}}/xcoms/{{key}}"
            value = asker.get(path_of(of_xcom, **names, task_id=one["task_id"], key=one["key"]))
            assert value.json == typed("xcom", "get", dag, one["task_id"], run, "--key", one["key"])


def test_every_backfill_and_dag_is_what_the_command_line_prints(filled: World, asker: Asker, typed: Typed) -> None:
    for each in asker.get(f"{API}/backfills").json:
        number, one = each["backfill_id"], "/backfills/{backfill_id}"
        shown = as_described(one, asker.get(path_of(one, backfill_id=number)))
        assert shown == typed("backfill", "show", str(number))
        report = as_described(f"{one}/report", asker.get(path_of(f"{one}/report", backfill_id=number)))
        assert (report["state"], report["runs"]) == (each["state"], each["runs"])
        assert report["task_instances"] == shown["task_instances"]
        runs = as_described(f"{one}/runs", asker.get(path_of(f"{one}/runs", backfill_id=number)))
        assert len(runs) == sum(each["runs"].values())
        versions = asker.get(path_of("/dags/{dag_id}/versions", dag_id=each["dag_id"]))
        assert as_described("/dags/{dag_id}/versions", versions) == typed("dags", "versions", each["dag_id"])
        grid = asker.get(path_of("/dags/{dag_id}/grid", dag_id=each["dag_id"]) + "?limit=2")
        assert as_described("/dags/{dag_id}/grid", grid) == typed("grid", each["dag_id"], "--limit", "2")
        dag = as_described("/dags/{dag_id}", asker.get(path_of("/dags/{dag_id}", dag_id=each["dag_id"])))
        assert dag["task_count"] == len(dag["tasks"])
    assert as_described("/dags", asker.get(f"{API}/dags"))
    assert asker.get(f"{API}/version").json["api"] == "v1"


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_are_the_whole_list(filled: World, asker: Asker, reverse: bool) -> None:
    for address in (
        *("/runs", "/runs?dag_id=plain", "/backfills", "/backfills/2/runs", "/jobs", "/dags"),
        *("/task-instances", "/task-instances?state=success", "/task-instances?state=failed"),
    ):
        there = f"{API}{address}{'&' if '?' in address else '?'}"
        whole = asker.get(f"{there}limit=1000").json
        found, following = [], f"{there}reverse={str(reverse).lower()}&limit=2"
        for _ in range(1000):
            reply = asker.get(following)
            found += reply.json
            if "link" not in reply.headers:
                break
            [following] = re.findall(r'^<(.*)>; rel="next"$', reply.headers["link"])
        assert found == (asker.get(f"{there}limit=1000&reverse=true").json if reverse else whole), address
        assert sorted(map(str, found)) == sorted(map(str, whole)), address
        if "task-instances" not in address:  # those of a run are in topological order either way
            assert found == (whole[::-1] if reverse else whole), address


def test_logs_are_sent_by_ranges_of_bytes(filled: World, asker: Asker, web_settings: Settings) -> None:
    dag, run = next((dag, run) for dag, run in runs_of(filled) if dag == "plain")
    key = TryKey(TaskInstanceKey(dag, run, "a"), 1)
    content = "--- a\n<script>alert(1)</script> \x1b[31mré".encode() + b"\xff\x00\n"
    for path in (log_path(web_settings.home, key), callbacks_path(web_settings.home, key)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in ("log", "callbacks-log"):
        there = path_of(f"/dags/{{dag_id}}/runs/{{run}}/tasks/{{task_id}}/{name}", dag_id=dag, run=run, task_id="a")
        there += "?try_number=1"
        for asked, (begins, ends) in {"": (0, None), "&offset=6&length=8": (6, 14), "&offset=-3": (-3, None)}.items():
            reply = asker.get(there + asked)
            assert (reply.status, reply.body) == (200, content[begins:ends])
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert int(reply.headers["tailrace-log-behind"]) == int(reply.headers["tailrace-log-offset"]) + len(
                reply.body
            )
            assert int(reply.headers["tailrace-log-size"]) == len(content)
        assert asker.get(f"{there}&offset=9999").body == b""
    assert asker.get(there.replace("try_number=1", "try_number=9")).status == 404


def test_what_is_not_there_and_what_means_nothing(filled: World, asker: Asker) -> None:
    dag, run = next(runs_of(filled))
    missing = {
        "/dags/none": None,
        "/dags/none/versions": None,
        "/runs?dag_id=none": None,
        "/task-instances?task=none": None,
        "/backfills/999": "tailrace backfill list",
        "/backfills/999/report": "tailrace backfill list",
        "/backfills/999/runs": "tailrace backfill list",
        f"/dags/{dag}/runs/none": f"tailrace runs list {dag}",
        f"/dags/none/runs/{quote(run)}": None,
        f"/dags/{dag}/runs/{quote(run)}/tasks/none": None,
        f"/dags/{dag}/runs/{quote(run)}/tasks/none/log": None,
        f"/dags/{dag}/runs/{quote(run)}/tasks/none/xcoms/none": None,
    }
    for address, command in missing.items():
        reply = asker.get(API + address)
        assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json"), address
        [reason] = reply.json["reasons"]
        assert (reply.json["exit_code"], reason["command"], reply.json["detail"]) == (2, command, reason["text"])
    for address in (
        *(
            "/runs?limit=0",
            "/runs?limit=1001",
            "/runs?limit=x",
            "/runs?start=never",
            "/runs?state=lost",
            "/runs?limt=1",
        ),
        *("/runs?cursor=x", "/runs?cursor=WzFd", "/runs?limit=1&limit=2", "/runs?dag_id=%ff", "/runs?dag_id=%00"),
        *("/backfills/0", "/backfills/x", "/backfills/99999999999", "/backfills?cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTk5XQ"),
        *("/dags/%ff", "/dags/a%00b", "/dags?cursor=WyJcdTAwMDAiXQ", "/version?x=1", "/runs?start=2024-02&end=2024-01"),
        "/runs?" + "&".join(["dag_id=x"] * 101),
    ):
        reply = asker.get(API + address)
        assert (reply.status, reply.json["exit_code"]) == (400, 2), (address, reply.body)


def test_a_reply_need_not_be_sent_twice(filled: World, asker: Asker) -> None:
    first = asker.get(f"{API}/runs")
    tag = first.headers["etag"].encode()
    for known in (tag, b"W/" + tag, b'"x", ' + tag, b"*"):
        again = asker.get(f"{API}/runs", (b"if-none-match", known))
        assert (again.status, again.body, again.headers["etag"].encode()) == (304, b"", tag)
    assert asker.get(f"{API}/runs", (b"if-none-match", b'"x"')).body == first.body
    head = asker.get(f"{API}/runs", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == first.headers


def test_before_anything_was_written_lists_are_empty(tmp_path: Any) -> None:
    from tailrace.runtime.settings import load_settings
    from tests.conformance.serving import serving

    with serving(load_settings({}, environ={}, cwd=tmp_path)) as asker:
        for name in ("runs", "task-instances", "backfills", "jobs", "dags", "pools", "variables", "dag-stats"):
            assert asker.get(f"{API}/{name}").json == []
        assert asker.get(f"{API}/dags/x").status == 404
        assert asker.get("/health").json == {"ok": True}
    assert list(tmp_path.iterdir()) == []
