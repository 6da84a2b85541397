"""The ledger that the tasks themselves append to, and what it must say beside the metastore's history.

A line is ``WORD TOKEN TRY PID``: ``start``, ``end``, and ``tick`` from a child process of the task.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.audit.records import AuditRecords, HistoryRecord
from tailrace.model.states import FINISHED

DAG_FILE = """
import os, subprocess, time, zlib
from datetime import datetime, timedelta
from tailrace import DAG, BashOperator, PythonOperator

LEDGER = os.environ["CHAOS_LEDGER"]
LINE = "$TAILRACE_TRY_TOKEN $TAILRACE_TRY_NUMBER $$ >> $CHAOS_LEDGER"

def write(word, ti):
    ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND)
    os.write(ledger, f"{word} {ti.try_token} {ti.try_number} {os.getpid()}\\n".encode())
    os.close(ledger)

def work(ti):
    write("start", ti)
    time.sleep(0.05 + zlib.crc32(ti.try_token.encode()) % 100 / 400)
    write("end", ti)

def work_with_a_child(ti):
    write("start", ti)
    child = subprocess.Popen(["bash", "-c", f"while echo tick {LINE}; do sleep 0.1; done"])
    time.sleep(0.2)
    child.kill()
    child.wait()
    write("end", ti)

with DAG("chaos", schedule="@daily", start_date=datetime(2024, 1, 1), end_date=datetime(2024, 7, 18),
         max_active_runs=12, default_args={"retries": 100, "retry_delay": timedelta(0)}):
    first = PythonOperator(task_id="first", python_callable=work)
    child = PythonOperator(task_id="child", python_callable=work_with_a_child)
    shell = BashOperator(task_id="shell", bash_command=f"echo start {LINE}; sleep 0.2; echo end {LINE}")
    last = PythonOperator(task_id="last", python_callable=work)
    first >> [child, shell] >> last
"""

Place = tuple[str, str]


@dataclass(slots=True)
class Told:
    """What the ledger says of one task instance, token by token in the order of its lines."""

    words: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    order: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Account:
    """The figures of one ledger and history, and every sentence that must not be there."""

    task_instances: int = 0
    starts: int = 0
    refused: int = 0
    lost_tries: int = 0
    given_up: int = 0
    wrong: list[str] = field(default_factory=list)


def read(path: Path) -> dict[Place, Told]:
    """The ledger by (run id, task id)."""
    told: dict[Place, Told] = defaultdict(Told)
    for line in path.read_text().splitlines():
        word, token, _, _ = line.split()
        named, _, number = token.rpartition("#")
        _, run_id, task_id = named.split("/")[:3]
        of = told[run_id, task_id]
        of.words[int(number)][word] += 1
        of.order.append(int(number))
    return told


def account(ledger: dict[Place, Told], records: AuditRecords) -> Account:
    """Check the ledger against history, line by line."""
    found = Account(task_instances=len(records.task_instances))
    rows: dict[Place, list[HistoryRecord]] = defaultdict(list)
    for row in records.history:
        if row.kind == "refused":
            found.refused += 1
        elif row.kind == "task_instance":
            rows[row.run_id or "", row.task_id or ""].append(row)
    for place, history in rows.items():
        found.wrong += [f"{place[0]}/{place[1]}: {text}" for text in _wrong(ledger[place], history, found)]
    found.wrong += [f"{place} is in the ledger and not in history" for place in ledger.keys() - rows.keys()]
    return found


def _wrong(told: Told, history: list[HistoryRecord], found: Account) -> Iterator[str]:
    outcomes = [row for row in history if row.after in FINISHED]
    if len(outcomes) != 1 or history[-1] is not outcomes[0]:
        yield f"{len(outcomes)} accepted outcomes, the last row is {history[-1].after}"
        return
    outcome = outcomes[0]
    claimed = {row.token: row for row in history if row.cause == "claimed"}
    ends = ("lost", "lost_together", "retry", "outcome")
    ended = {row.token: row for row in history if row.cause in ends and row.token is not None}
    found.starts += sum(words["start"] for words in told.words.values())
    found.lost_tries += sum(row.cause in ("lost", "lost_together") for row in history)
    found.given_up += outcome.after == "failed"
    for token, words in told.words.items():
        if words["start"] != 1:
            yield f"token {token} started {words['start']} times"
        if words["end"] > 1:
            yield f"token {token} ended {words['end']} times"
        if token not in claimed:
            yield f"token {token} ran without a claim"
    for token, claim in claimed.items():
        if token != outcome.token and ended.get(token) is None:
            yield f"try {claim.try_number} with token {token} was claimed and never came to an end"
    if told.order != sorted(told.order):
        yield f"the code of two tries overlapped: tokens in the order {told.order}"
    if outcome.after == "success" and told.words[outcome.token or 0]["end"] != 1:
        yield f"success by token {outcome.token}, whose work was not done"
