"""Functions that are called when something has become of a task, a run or a backfill: read as they are given."""

import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tailrace.authoring.arguments.reading import flag
from tailrace.model.callbacks import OF_DAGS, OF_TASKS
from tailrace.model.plain_text import shown

#: What is called with the context: a function, or an object that can be called, such as a notifier.
Callback: TypeAlias = Callable[[Any], Any]
Callbacks: TypeAlias = Callback | Sequence[Callback] | None


class CallsOfDag:
    """The callbacks of a DAG, as they were read."""

    on_failure_callback: tuple[Callback, ...] = ()
    on_success_callback: tuple[Callback, ...] = ()
    on_backfill_end: tuple[Callback, ...] = ()


class CallsOfTask:
    """Those of a task."""

    on_execute_callback: tuple[Callback, ...] = ()
    on_failure_callback: tuple[Callback, ...] = ()
    on_retry_callback: tuple[Callback, ...] = ()
    on_skipped_callback: tuple[Callback, ...] = ()
    on_success_callback: tuple[Callback, ...] = ()
    email: tuple[str, ...] = ()
    email_on_failure: bool = True
    email_on_retry: bool = True

    def add_email(self) -> None:
        """Who is to be sent an e-mail is sent one by a notifier, behind the task's own callbacks."""
        if not self.email:
            return
        mails = importlib.import_module("tailrace.authoring.notifiers").SmtpEmail(self.email)
        if self.email_on_failure:
            self.on_failure_callback = (*self.on_failure_callback, mails)
        if self.email_on_retry:
            self.on_retry_callback = (*self.on_retry_callback, mails)


def addresses(value: Any) -> tuple[str, ...]:
    """Reads one e-mail address or several, as a list or with commas between them; None and nothing are none."""
    found = [] if value is None or value == "" else re.split(r"[,;]", value) if isinstance(value, str) else value
    if not isinstance(found, (list, tuple, set, frozenset)) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"must be e-mail addresses, not {shown(value)}")
    stripped = tuple(each.strip() for each in found)
    for address in stripped:
        if "@" not in address and "{" not in address:
            raise ValueError(f"must be e-mail addresses, not {shown(address)}")
    return stripped


def switch(value: Any) -> bool:
    """Reads True or False; None is False."""
    return flag(False if value is None else value)


def callbacks(value: Any) -> tuple[Callback, ...]:
    """Reads one callback or a list of them; None is none."""
    if value is None:
        return ()
    found = tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)
    for each in found:
        if not callable(each):
            raise ValueError(f"must be a function, a notifier, or a list of them, not {shown(each)}")
        if not _takes_context(each):
            raise ValueError(f"must take one argument, the context; {name_of(each)} does not")
    return found


def name_of(callback: Callback) -> str:
    """A callback as people know it."""
    named = getattr(callback, "__qualname__", None) or getattr(callback, "__name__", None)
    if isinstance(named, str) and named:
        return named.rpartition("<locals>.")[2]
    inner = getattr(callback, "func", None)  # a functools.partial
    return name_of(inner) if callable(inner) and inner is not callback else type(callback).__name__


def calls_of_task(task: CallsOfTask) -> tuple[str, ...]:
    """The callbacks that a task has and that jobs call, by their arguments, sorted."""
    return tuple(sorted(name.value for name in OF_TASKS if getattr(task, name)))


def calls_of_dag(dag: CallsOfDag) -> tuple[str, ...]:
    """The same of a DAG."""
    return tuple(sorted(name.value for name in OF_DAGS if getattr(dag, name)))


def _takes_context(callback: Callback) -> bool:
    try:
        inspect.signature(callback).bind({})
    except TypeError:
        return False
    except Exception:  # some built-ins have no signature, and an author's own object may break it
        return True
    return True
