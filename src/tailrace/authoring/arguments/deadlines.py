"""By when a DAG's runs are to have ended, as an author writes it: a duration, or a ``DeadlineAlert`` as in Airflow."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from tailrace.authoring.arguments.callbacks import Callback, Callbacks, callbacks
from tailrace.authoring.arguments.reading import duration
from tailrace.model.plain_text import shown
from tailrace.model.spec import DeadlineReference as Reference
from tailrace.model.spec import DeadlineSpec


class Since(Struct, frozen=True):
    """What a deadline counts from."""

    reference: Reference
    moment: datetime | None = None


class DeadlineReference:
    """What a deadline may count from, under the names of Airflow."""

    DAGRUN_QUEUED_AT = Since(Reference.QUEUED_AT)
    DAGRUN_LOGICAL_DATE = Since(Reference.LOGICAL_DATE)

    @staticmethod
    def FIXED_DATETIME(moment: datetime) -> Since:
        """One moment for all runs; it must say its zone."""
        return Since(Reference.FIXED, moment)


class DeadlineAlert:
    """A run is late if it has not ended ``interval`` after what ``reference`` names.

    ``callback`` is a function, a notifier, or a list of them: called once for each late run, with a context of it.
    """

    def __init__(self, reference: Since, interval: timedelta | float, callback: Callbacks = None) -> None:
        self.reference = reference
        self.interval = interval
        self.callback = callback


def read_deadline(written: Any) -> DeadlineSpec | None:
    """Reads a deadline; None and an empty list are none. Raises ValueError for what is not one."""
    if isinstance(written, (list, tuple)):
        if len(written) > 1:
            raise ValueError(f"must be one, not {len(written):,}")
        written = written[0] if written else None
    if written is None:
        return None
    if isinstance(written, DeadlineSpec):
        return written
    if not isinstance(written, DeadlineAlert):
        try:
            return DeadlineSpec(Reference.QUEUED_AT, duration(written))
        except ValueError:
            raise ValueError(f"must be a timedelta or a DeadlineAlert, not {shown(written)}") from None
    if not isinstance(written.reference, Since):
        raise ValueError(f"must have a DeadlineReference as reference, not {shown(written.reference)}")
    callbacks_of(written)
    since = written.reference
    try:
        interval = duration(written.interval)
    except ValueError as wrong:
        raise ValueError(f"interval {wrong}") from None
    return DeadlineSpec(since.reference, interval, _aware(since))


def callbacks_of(written: Any) -> tuple[Callback, ...]:
    """What is called for each late run. Raises ValueError for what cannot be called."""
    only = written[0] if isinstance(written, (list, tuple)) and len(written) == 1 else written
    if not isinstance(only, DeadlineAlert):
        return ()
    try:
        return callbacks(only.callback)
    except ValueError as wrong:
        raise ValueError(f"callback {wrong}") from None


def _aware(since: Since) -> datetime | None:
    moment: Any = since.moment
    if since.reference is not Reference.FIXED:
        return None
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise ValueError(f"must have a datetime with its zone for FIXED_DATETIME, not {shown(moment)}")
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError(f"must have a moment that there is in UTC, not {shown(moment)}") from None
