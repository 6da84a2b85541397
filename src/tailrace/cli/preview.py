"""What ``--dry-run`` says: dates by what is done about them and why, counts, notices. Decides nothing."""

import sys
from collections.abc import Sequence
from datetime import tzinfo

from tailrace.cli.console import bullet_lines, plural, styled
from tailrace.cli.fitting import fitted
from tailrace.cli.remedies import text_of
from tailrace.model.keys import shown_to_clear
from tailrace.model.suggestions import few
from tailrace.planning.backfills import DateAction, DatePlan
from tailrace.service.backfill_report import BackfillPreview
from tailrace.service.dates import bound_text
from tailrace.timetable import zone_named

_TEXTS = {
    DateAction.CREATE: "create",
    DateAction.AWAIT: "await",
    DateAction.REPROCESS: "run again",
    DateAction.LEAVE: "leave",
}
_MOST_NAMED = 12  # tasks of a part
_SHORTEST_GROUP = 4  # fewer like dates than this are listed one by one


def preview_text(previewed: BackfillPreview, typed: str) -> str:
    """The preview for a person: what would happen to which dates, in the order they would start, and why."""
    creation, dag = previewed.creation, previewed.dag
    zone = zone_named(dag.schedule.timezone)
    if creation.done_by is not None:
        would = f"backfill {creation.done_by} has done all of it, and nothing would be written"
    else:
        would = f"would continue backfill {creation.continues}" if creation.continues else "would create a backfill"
    head = f"{dag.dag_id}: {would}"
    lines = [f"{head} in {previewed.metastore}"]
    rows = [(_span(group, zone), _what(group[0]), _why(group)) for group in _grouped(creation.dates)]
    widths = [max((len(row[at]) for row in rows), default=0) for at in (0, 1)]
    lines += [f"  {span.ljust(widths[0])}  {what.ljust(widths[1])}  {why}".rstrip() for span, what, why in rows]
    part = creation.request.part
    if part is not None:
        lines.insert(1, f"  a part of its DAG: {', '.join(few(part, _MOST_NAMED))}")
    tasks = len(dag.tasks) if part is None else len(part)
    total = sum(date.to_run for date in creation.dates)
    counts = ", ".join(f"{count:,} to {_TEXTS[DateAction(action)]}" for action, count in previewed.actions.items())
    lines.append(f"{plural(len(creation.dates), 'date')}: {counts or 'nothing to do'}")
    lines.append(f"{plural(total, 'task instance')} to run ({plural(tasks, 'task')} a run)")
    if creation.notices:
        lines += ["notes:", bullet_lines([text_of(notice) for notice in creation.notices])]
    if creation.done_by is None:
        lines += ["nothing was written; to do it:", f"  {typed}"]
    return fitted("\n".join(lines), sys.stdout).replace(head, styled(head, sys.stdout, bold=True), 1)


def _grouped(dates: Sequence[DatePlan]) -> list[list[DatePlan]]:
    """Neighbours with the same action, reason and clearing become one line, once there are enough of them."""
    groups: list[list[DatePlan]] = []
    for date in dates:
        alike = groups and _kind(groups[-1][0]) == _kind(date)
        if alike:
            groups[-1].append(date)
        else:
            groups.append([date])
    return [
        part for group in groups for part in ([group] if len(group) >= _SHORTEST_GROUP else [[date] for date in group])
    ]


def _kind(date: DatePlan) -> tuple[object, ...]:
    return date.action, date.reason, date.clear


def _span(group: Sequence[DatePlan], zone: tzinfo) -> str:
    first = bound_text(group[0].interval.start, zone)
    if len(group) == 1:
        return first
    return f"{first} … {bound_text(group[-1].interval.start, zone)} ({len(group):,})"


def _what(date: DatePlan) -> str:
    return _TEXTS[date.action]


def _why(group: Sequence[DatePlan]) -> str:
    cleared = group[0].clear
    tasks = f" ({', '.join(map(shown_to_clear, cleared))})" if cleared else ""
    return f"{group[0].reason}{tasks}"
