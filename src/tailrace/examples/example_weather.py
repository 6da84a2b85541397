"""Four years of real weather, loaded day by day into a small mart: the example that ``tailrace demo`` backfills.

    extract_day → validate → rolling_week → load_mart → month_end ─┬→ monthly_rollup ─┬→ done
                                                                   └→ ordinary_day ───┘

``extract_day`` reads one day of Seattle's weather (NOAA, public domain; see data/README.md), ``validate`` refuses what
cannot be weather, ``rolling_week`` carries a seven-day window on from yesterday's (so it depends on the past),
``load_mart`` writes the day, and on the last day of a month a branch leads to ``monthly_rollup``. Every write is an
upsert of the day's own rows: a day may run again at any time, in any company.

The mart is the SQLite file ``weather_mart.sqlite`` in TAILRACE_HOME; WEATHER_MART names another path.
``mart_table`` reads it for people, ``python -m tailrace.examples.example_weather`` prints it.
"""

import csv
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from tailrace import DAG, BranchPythonOperator, EmptyOperator, PythonOperator
from tailrace.exceptions import TaskFailed

SOURCE = Path(__file__).parent / "data" / "seattle_weather.csv"
MEASURES = ("precipitation", "temp_max", "temp_min", "wind")
WINDOW_DAYS = 7

SCHEMA = """
CREATE TABLE IF NOT EXISTS rolling_window (
    day TEXT, place INTEGER, temp_max REAL NOT NULL, precipitation REAL NOT NULL, PRIMARY KEY (day, place)
);
CREATE TABLE IF NOT EXISTS daily (
    day TEXT PRIMARY KEY, precipitation REAL NOT NULL, temp_max REAL NOT NULL, temp_min REAL NOT NULL,
    wind REAL NOT NULL, weather TEXT NOT NULL,
    week_days INTEGER NOT NULL, week_temp_max REAL NOT NULL, week_precipitation REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS monthly (
    month TEXT PRIMARY KEY, days INTEGER NOT NULL, precipitation REAL NOT NULL, temp_max REAL NOT NULL,
    temp_min REAL NOT NULL, rainy_days INTEGER NOT NULL
);
"""


def mart_path() -> Path:
    """Where the mart is: WEATHER_MART, or weather_mart.sqlite in TAILRACE_HOME (default ``.tailrace``)."""
    named = os.environ.get("WEATHER_MART")
    return Path(named) if named else Path(os.environ.get("TAILRACE_HOME", ".tailrace")) / "weather_mart.sqlite"


@contextmanager
def mart(path: Path | None = None) -> Iterator[sqlite3.Connection]:
    """A connection to the mart inside one write transaction, committed at the end."""
    with closing(sqlite3.connect(path or mart_path(), timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # several days write at once: wait for the lock here, never later
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        yield connection
        connection.execute("COMMIT")


def extract_day(ds: str) -> dict[str, str | float]:
    """The day's line of the source file."""
    wanted = ds.replace("-", "/")
    with SOURCE.open(newline="") as source:
        for row in csv.DictReader(source):
            if row["date"] == wanted:
                print(f"{ds}: {row['weather']}, {row['temp_min']} to {row['temp_max']} °C")
                return {"day": ds, "weather": row["weather"], **{name: float(row[name]) for name in MEASURES}}
    raise TaskFailed(f"the source has no line for {ds}: it covers 2012-01-01 to 2015-12-31")


def validate(ti: Any) -> None:
    """Refuse what cannot be weather; another try would read the same file, so it fails for good."""
    day = ti.xcom_pull(task_ids="extract_day")
    wrong = [
        message
        for message, found in {
            "temp_max is below temp_min": day["temp_max"] < day["temp_min"],
            "precipitation is negative": day["precipitation"] < 0,
            "wind is negative": day["wind"] < 0,
            "no word for the weather": not day["weather"],
        }.items()
        if found
    ]
    if wrong:
        raise TaskFailed(f"{day['day']}: {'; '.join(wrong)}")
    print(f"{day['day']}: all {len(MEASURES)} measures are plausible")


def rolling_week(ti: Any, ds: str) -> dict[str, float]:
    """Carry yesterday's seven-day window on by one day and store it as today's."""
    day = ti.xcom_pull(task_ids="extract_day")
    yesterday = (date.fromisoformat(ds) - timedelta(days=1)).isoformat()
    with mart() as connection:
        window = connection.execute(
            "SELECT temp_max, precipitation FROM rolling_window WHERE day = ? ORDER BY place", (yesterday,)
        ).fetchall()
        window = [*window, (day["temp_max"], day["precipitation"])][-WINDOW_DAYS:]
        connection.execute("DELETE FROM rolling_window WHERE day = ?", (ds,))
        connection.executemany(
            "INSERT INTO rolling_window VALUES (?, ?, ?, ?)",
            [(ds, place, *values) for place, values in enumerate(window)],
        )
    return {
        "days": len(window),
        "temp_max": round(sum(values[0] for values in window) / len(window), 2),
        "precipitation": round(sum(values[1] for values in window), 2),
    }


def load_mart(ti: Any) -> None:
    """Write the day into the mart."""
    day, week = ti.xcom_pull(task_ids="extract_day"), ti.xcom_pull(task_ids="rolling_week")
    values = (
        *(day[name] for name in ("day", *MEASURES, "weather")),
        week["days"],
        week["temp_max"],
        week["precipitation"],
    )
    with mart() as connection:
        connection.execute("INSERT OR REPLACE INTO daily VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def choose(ds: str) -> str:
    """On the last day of a month, the rollup; on any other, nothing more."""
    day = date.fromisoformat(ds)
    return "monthly_rollup" if (day + timedelta(days=1)).month != day.month else "ordinary_day"


def monthly_rollup(ds: str) -> None:
    """Sum the month up. Its days are all there: load_mart depends on the past, so it has loaded them in order."""
    month = ds[:7]
    with mart() as connection:
        connection.execute(
            """
            INSERT OR REPLACE INTO monthly
            SELECT ?, count(*), round(sum(precipitation), 2), round(avg(temp_max), 2), round(avg(temp_min), 2),
                   sum(precipitation > 0)
            FROM daily WHERE substr(day, 1, 7) = ?
            """,
            (month, month),
        )
    print(f"{month}: rolled up")


with DAG(
    "example_weather",
    schedule="@daily",
    start_date=datetime(2012, 1, 1),
    end_date=datetime(2015, 12, 31),
    description="Seattle's weather, 2012-2015, day by day into a small mart",
    tags=["example"],
) as weather:
    extract = PythonOperator(task_id="extract_day", python_callable=extract_day)
    check = PythonOperator(task_id="validate", python_callable=validate)
    week = PythonOperator(task_id="rolling_week", python_callable=rolling_week, depends_on_past=True)
    load = PythonOperator(task_id="load_mart", python_callable=load_mart, depends_on_past=True)
    month_end = BranchPythonOperator(task_id="month_end", python_callable=choose)
    rollup = PythonOperator(task_id="monthly_rollup", python_callable=monthly_rollup)
    ordinary_day = EmptyOperator(task_id="ordinary_day")
    done = EmptyOperator(task_id="done", trigger_rule="none_failed_min_one_success")

    extract >> check >> week >> load >> month_end >> [rollup, ordinary_day] >> done


def mart_table(path: Path | None = None, limit: int = 10) -> list[dict[str, str | float | int]]:
    """The newest ``limit`` days of the mart, oldest first, as dicts by column; empty if there is no mart yet."""
    path = path or mart_path()
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM daily ORDER BY day DESC LIMIT ?", (limit,)).fetchall()
    return [dict(row) for row in reversed(rows)]


if __name__ == "__main__":
    writer = csv.writer(sys.stdout, delimiter="\t")
    for line in mart_table():
        writer.writerow(line.values())
