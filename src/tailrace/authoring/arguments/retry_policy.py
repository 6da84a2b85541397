"""Which failures of a task are tried again: by the exception that it raised, under the names of Airflow 3.3.

The rules are stored with the task. Its process, which alone has the exception, says which of them fits; what follows
from that is decided where every retry is (``planning.retries``).
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

from tailrace.authoring.arguments.reading import duration
from tailrace.model.plain_text import shown, visible_line
from tailrace.model.spec import RetryAction, RetryPolicySpec, RetryRuleSpec

Raised: TypeAlias = type[BaseException] | str

#: Of what a rule says to people.
_LONGEST_REASON = 200


class RetryRule:
    """What becomes of a try that raised one of these exceptions: classes, or import paths such as ``"a.b.Error"``.

    ``retry_delay``: how long the next try waits, instead of as the task says. ``reason``: why, for people.
    ``match_subclasses``: whether a subclass fits too.
    """

    def __init__(
        self,
        exception: Raised | Sequence[Raised],
        action: RetryAction = RetryAction.RETRY,
        retry_delay: timedelta | float | None = None,
        reason: str | None = None,
        match_subclasses: bool = True,
    ) -> None:
        self.exception = exception
        self.action = action
        self.retry_delay = retry_delay
        self.reason = reason
        self.match_subclasses = match_subclasses

    @property
    def exceptions(self) -> Sequence[Raised]:
        """The exceptions, however many there are."""
        return [self.exception] if isinstance(self.exception, (str, type)) else self.exception

    def fits(self, raised: BaseException, tell: Callable[[str], object]) -> bool:
        """Whether a try that raised this is meant; ``tell`` is called with what cannot be looked at."""
        for each in self.exceptions:
            meant = _imported(each, raised, tell) if isinstance(each, str) else each
            if meant is not None and (isinstance(raised, meant) if self.match_subclasses else type(raised) is meant):
                return True
        return False


class ExceptionRetryPolicy:
    """The first rule that fits decides; where none does, ``default``.

    A rule can end a task earlier, not repeat it beyond its ``retries``.
    """

    def __init__(self, rules: Sequence[RetryRule], default: RetryAction = RetryAction.DEFAULT) -> None:
        self.rules = rules
        self.default = default
        self.spec = RetryPolicySpec()  # as it is read, once it is given to a task

    def rule_for(self, raised: BaseException, tell: Callable[[str], object]) -> int:
        """The number of the rule that fits; -1 where none does."""
        return next((number for number, rule in enumerate(self.rules) if rule.fits(raised, tell)), -1)


def read_retry_policy(written: Any) -> ExceptionRetryPolicy | None:
    """Reads a policy; None is none. Raises ValueError for anything else, and for what is wrong in one."""
    if written is None:
        return None
    if not isinstance(written, ExceptionRetryPolicy):
        raise ValueError(f"must be an ExceptionRetryPolicy(rules=[…]), not {shown(written)}")
    given: Any = written.rules
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"must have a list of rules, not {shown(given)}")
    rules = tuple(_rule(number, rule) for number, rule in enumerate(given, start=1))
    written.spec = RetryPolicySpec(rules, _action("default", written.default))
    return written


def _rule(number: int, written: Any) -> RetryRuleSpec:
    if not isinstance(written, RetryRule):
        raise ValueError(f"must have RetryRules as rules, not {shown(written)}")
    where = f"rule {number}"
    if not isinstance(written.match_subclasses, bool):
        raise ValueError(f"{where}: match_subclasses must be True or False, not {shown(written.match_subclasses)}")
    if written.reason is not None and not isinstance(written.reason, str):
        raise ValueError(f"{where}: reason must be text, not {shown(written.reason)}")
    try:
        delay = None if written.retry_delay is None else duration(written.retry_delay)
    except ValueError as wrong:
        raise ValueError(f"{where}: retry_delay {wrong}") from None
    return RetryRuleSpec(
        tuple(_names(where, written.exceptions)),
        _action(where, written.action),
        delay,
        visible_line(written.reason or "", _LONGEST_REASON),
        written.match_subclasses,
    )


def _names(where: str, exceptions: Any) -> Iterator[str]:
    if not isinstance(exceptions, (list, tuple)) or not exceptions:
        raise ValueError(f"{where}: exception must be an exception, or several, not {shown(exceptions)}")
    for each in exceptions:
        if isinstance(each, type) and issubclass(each, BaseException):
            yield visible_line(each.__qualname__, _LONGEST_REASON)
        elif isinstance(each, str) and all(part.isidentifier() for part in each.split(".")) and "." in each:
            yield str.__str__(each)
        else:
            what = "an exception's class or import path, such as 'requests.exceptions.HTTPError'"
            raise ValueError(f"{where}: exception must be {what}, not {shown(each)}")


def _action(where: str, written: Any) -> RetryAction:
    if isinstance(written, RetryAction):
        return written
    if isinstance(written, str) and str.__str__(written) in list(RetryAction):
        return RetryAction(str.__str__(written))
    raise ValueError(f"{where}: must be RetryAction.RETRY, FAIL or DEFAULT, not {shown(written)}")


def _imported(path: str, raised: BaseException, tell: Callable[[str], object]) -> type[BaseException] | None:
    """The class that an import path names, looked for first among those that the exception is of."""
    for kind in type(raised).__mro__:
        if f"{kind.__module__}.{kind.__qualname__}" == path and issubclass(kind, BaseException):
            return kind
    module, _, name = path.rpartition(".")
    try:
        found = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    except Exception as wrong:
        tell(f"retry_policy: {path} cannot be imported ({type(wrong).__name__}), so it fits nothing")
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
