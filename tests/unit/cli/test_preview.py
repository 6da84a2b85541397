"""--dry-run: dates by action and reason, counts of task instances, and the command that does it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from tailrace.cli.preview import preview_text
from tailrace.cli.remedies import command_of
from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.planning.backfills import BackfillCreation, BackfillRequest, DateAction, DatePlan
from tailrace.planning.messages import Sentence
from tailrace.service import backfill_report
from tailrace.service.backfill_report import BackfillPreview
from tailrace.service.encoding import json_of

FIRST = datetime(2016, 1, 1, tzinfo=UTC)


def preview_json(preview: BackfillPreview) -> dict[str, Any]:
    return dict(json.loads(json_of(backfill_report.previewed(preview, command_of))))


DAG = DagSpec("etl", (TaskSpec("a"), TaskSpec("b"), TaskSpec("c")))


def date(day: int, action: DateAction, reason: str, clear: tuple[str, ...] = ()) -> DatePlan:
    start = FIRST + timedelta(days=day)
    interval = DataInterval(start, start + timedelta(days=1))
    to_run = 3 if action is DateAction.CREATE else len(clear)
    return DatePlan(interval, action, reason, f"run{day}", to_run=to_run, clear=clear)


def previewed(*dates: DatePlan, continues: int | None = None, notices: tuple[str, ...] = ()) -> BackfillPreview:
    request = BackfillRequest("etl", FIRST, FIRST + timedelta(days=9))
    creation = BackfillCreation(request, dates, continues=continues, notices=tuple(map(Sentence, notices)))
    return BackfillPreview(creation, DAG, "sqlite:////x.db (not there yet)")


def test_a_run_that_exists_is_shown_with_its_own_data_interval() -> None:
    stored = DataInterval(FIRST, FIRST + timedelta(hours=6))
    shown = preview_json(previewed(replace(date(0, DateAction.REPROCESS, "failed before"), stored=stored)))
    assert shown["dates"][0]["data_interval"] == [stored.start.isoformat(), stored.end.isoformat()]


def test_like_dates_are_one_line_and_others_stand_alone() -> None:
    dates = [date(day, DateAction.CREATE, "no run yet") for day in range(5)]
    dates.append(date(5, DateAction.REPROCESS, "failed before", ("b", "c")))
    dates.append(date(6, DateAction.LEAVE, "succeeded"))
    text = preview_text(previewed(*dates, notices=("mind the gap",)), "tailrace backfill etl -s x")
    assert text.splitlines() == [
        "etl: would create a backfill in sqlite:////x.db (not there yet)",
        "  2016-01-01T00:00+00:00 … 2016-01-05T00:00+00:00 (5)  create     no run yet",
        "  2016-01-06T00:00+00:00                               run again  failed before (b, c)",
        "  2016-01-07T00:00+00:00                               leave      succeeded",
        "7 dates: 5 to create, 1 to run again, 1 to leave",
        "17 task instances to run (3 tasks a run)",
        "notes:",
        "  mind the gap",
        "nothing was written; to do it:",
        "  tailrace backfill etl -s x",
    ]


def test_continuing_is_reported() -> None:
    text = preview_text(previewed(date(0, DateAction.AWAIT, "running"), continues=4), "x")
    assert text.startswith("etl: would continue backfill 4 in ")


def test_json_has_every_date() -> None:
    answer = preview_json(
        previewed(date(0, DateAction.CREATE, "no run yet"), date(1, DateAction.LEAVE, "ok"), notices=("n",))
    )
    assert answer["schema"] == 1 and answer["dry_run"] is True
    assert answer["runs"] == {"create": 1, "leave": 1}
    assert answer["task_instances"] == 3
    assert answer["notices"] == ["n"]
    assert answer["dates"] == [
        {
            "logical_date": "2016-01-01T00:00:00+00:00",
            "data_interval": ["2016-01-01T00:00:00+00:00", "2016-01-02T00:00:00+00:00"],
            "run_id": "run0",
            "action": "create",
            "reason": "no run yet",
            "task_instances": 3,
            "clear": [],
            "conf": {},
        },
        {
            "logical_date": "2016-01-02T00:00:00+00:00",
            "data_interval": ["2016-01-02T00:00:00+00:00", "2016-01-03T00:00:00+00:00"],
            "run_id": "run1",
            "action": "leave",
            "reason": "ok",
            "task_instances": 0,
            "clear": [],
            "conf": {},
        },
    ]
    [with_conf] = preview_json(previewed(replace(date(0, DateAction.CREATE, "no run yet"), conf='{"k":1}')))["dates"]
    assert with_conf["conf"] == {"k": 1}
