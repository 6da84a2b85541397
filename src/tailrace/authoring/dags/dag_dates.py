"""The zone, the dates and the schedule of a DAG, and what default_args say of them: tasks have none of their own."""

from datetime import datetime, timedelta
from typing import Any

from tailrace.authoring.arguments.callbacks import Callback
from tailrace.authoring.arguments.datetimes import datetime_in, from_text, zone_of
from tailrace.authoring.arguments.deadlines import callbacks_of
from tailrace.authoring.arguments.declarations import Argument
from tailrace.authoring.relations.groups import Group
from tailrace.model.spec import DeadlineSpec, Schedule, ScheduleKind
from tailrace.timetable import read_schedule, validate

_ZONE = Argument("a time zone", zone_of, "UTC")


class Dated:
    """What has dates and a schedule: a DAG."""

    schedule: Schedule
    catchup: bool
    timezone: str
    start_date: datetime | None
    end_date: datetime | None
    deadline: DeadlineSpec | None
    on_late_callback: tuple[Callback, ...]  # those of its deadline
    default_args: dict[str, Any]
    task_group: Group
    without_effect: set[str]  # arguments that are kept and change nothing

    def mistake(self, message: str, *, at: tuple[str, int] | None = None) -> None:
        """Note a mistake, once; by default where the DAG was written."""
        raise NotImplementedError

    def note(self, message: str, *, at: tuple[str, int] | None = None) -> None:
        """Note what the DAG's author should know about it; by default where it was written."""
        raise NotImplementedError

    def read_dates(self, timezone: object, start_date: object, end_date: object) -> None:
        """The zone, and the DAG's own dates; what default_args has of them is the DAG's."""
        defaults = self.default_args
        start_date = from_text(defaults.get("start_date") if start_date is None else start_date)
        end_date = defaults.get("end_date") if end_date is None else end_date
        self.timezone = "UTC"
        if timezone is not None:
            self.timezone = self._read("timezone:", _ZONE, timezone)
        elif (zone := getattr(start_date, "tzinfo", None)) is not None:
            self.timezone = self._read("the zone of start_date:", _ZONE, zone)
        self.start_date = self._date("start_date", start_date)
        self.end_date = self._date("end_date", end_date)
        if self.start_date is not None and self.end_date is not None and self.end_date < self.start_date:
            self.mistake(f"end_date {self.end_date.isoformat()} is before start_date {self.start_date.isoformat()}")
        self.compare_dates(self.task_group)

    def compare_dates(self, group: Group) -> None:
        """In Airflow a task runs in its own dates and the DAG's; here there are only the DAG's."""
        group.defaults_taken |= {"start_date", "end_date"}
        for name, later_counts in (("start_date", True), ("end_date", False)):
            own, default = getattr(self, name), self._date(name, group.own_defaults.get(name), noted=False)
            if default is None or default == own:
                continue
            if own is None:
                group.mistake(f"default_args: {name} is the DAG's: give it to DAG(…)")
            elif (default > own) is later_counts:
                group.mistake(
                    f"default_args: {name} {default.isoformat()} is not the DAG's, {own.isoformat()}: "
                    f"tasks have none of their own; leave one of the two out"
                )
            else:
                self.without_effect.add(f"{name} in default_args")

    def _date(self, name: str, written: object, noted: bool = True) -> datetime | None:
        if written is None:
            return None
        try:
            read = datetime_in(self.timezone, written)
        except ValueError as wrong:
            self.mistake(f"{name} {wrong}")
            return None
        if read.note and noted:
            self.note(f"{name} {read.note}")
        return read.moment

    def _read(self, name: str, argument: Argument, value: object) -> Any:
        try:
            return argument.read(value)
        except ValueError as wrong:
            self.mistake(f"{name} {wrong}")
            return argument.otherwise

    def read_late_callbacks(self, deadline: object) -> None:
        """What is called for runs that miss the deadline, if it is one."""
        self.on_late_callback = () if self.deadline is None else callbacks_of(deadline)

    def read_schedule(self, schedule: str | timedelta | None) -> None:
        """The schedule, in the DAG's zone, and whether its dates are such as it needs."""
        try:
            self.schedule = read_schedule(schedule, self.timezone)
        except TypeError as wrong:
            self.mistake(str(wrong))
            self.schedule = read_schedule(None, self.timezone)
        if (wrong_with_it := validate(self.schedule)) is not None:
            self.mistake(wrong_with_it)
        kind = self.schedule.kind
        if self.start_date is None and kind is ScheduleKind.ONCE:
            self.mistake("schedule '@once' needs a start_date: that is the date of its one run")
        if self.start_date is None and self.catchup and kind in (ScheduleKind.CRON, ScheduleKind.INTERVAL):
            self.mistake("catchup=True needs a start_date: from there on it catches up")
        if self.catchup and kind is ScheduleKind.NONE:
            self.without_effect.add("catchup (there is no schedule)")
