"""A year of the bundled weather example, and every figure of its mart computed a second time, from the file itself."""

import csv
import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import tailrace

YEAR = [date(2012, 1, 1) + timedelta(days=n) for n in range(366)]


def source() -> dict[date, dict[str, str]]:
    path = Path(tailrace.__file__).parent / "examples" / "data" / "seattle_weather.csv"
    with path.open(newline="") as lines:
        return {date(*map(int, row["date"].split("/"))): row for row in csv.DictReader(lines)}


def test_the_source_is_all_there() -> None:
    days = sorted(source())
    assert len(days) == 1461
    assert (days[0], days[-1]) == (date(2012, 1, 1), date(2015, 12, 31))


@pytest.fixture
def mart(tmp_path: Path, backfill: Callable[..., dict[str, Any]]) -> sqlite3.Connection:
    answer = backfill("example_weather", "2012-01-01", "2012-12-31", timeout=400)
    assert answer["runs"] == {"success": 366}
    assert answer["task_instances"] == {"success": 366 * 7, "skipped": 366}
    connection = sqlite3.connect(tmp_path / ".tailrace" / "weather_mart.sqlite")
    connection.row_factory = sqlite3.Row
    return connection


def test_every_figure_of_a_year(mart: sqlite3.Connection) -> None:
    weather = source()
    daily = {date.fromisoformat(row["day"]): row for row in mart.execute("SELECT * FROM daily")}
    assert sorted(daily) == YEAR
    for day in YEAR:
        row, line = daily[day], weather[day]
        for measure in ("precipitation", "temp_max", "temp_min", "wind"):
            assert row[measure] == float(line[measure]), (day, measure)
        assert row["weather"] == line["weather"]
        window = [weather[d] for d in YEAR if day - timedelta(days=6) <= d <= day]
        assert row["week_days"] == len(window), day
        mean = sum(float(d["temp_max"]) for d in window) / len(window)
        assert row["week_temp_max"] == pytest.approx(mean, abs=0.0051), day
        rain = sum(float(d["precipitation"]) for d in window)
        assert row["week_precipitation"] == pytest.approx(rain, abs=0.0051), day
    monthly = {row["month"]: row for row in mart.execute("SELECT * FROM monthly")}
    assert sorted(monthly) == [f"2012-{month:02}" for month in range(1, 13)]
    for month, row in monthly.items():
        days = [weather[d] for d in YEAR if d.isoformat().startswith(month)]
        assert row["days"] == len(days)
        assert row["rainy_days"] == sum(float(d["precipitation"]) > 0 for d in days)
        assert row["precipitation"] == pytest.approx(sum(float(d["precipitation"]) for d in days), abs=0.0051)
        for measure in ("temp_max", "temp_min"):
            mean = sum(float(d[measure]) for d in days) / len(days)
            assert row[measure] == pytest.approx(mean, abs=0.0051), (month, measure)
    mart.close()
