"""The secrets that this process has been given so far, and texts without them."""

from collections.abc import Callable, Iterable
from typing import Any

from tailrace.secrets.masked_values import can_be_masked, texts_in
from tailrace.secrets.masking import Masker

Listener = Callable[[], None]


class _Known:
    masker = Masker()
    secrets: frozenset[str] = frozenset()
    listener: Listener | None = None


def learn(secrets: Iterable[str]) -> None:
    """Have these masked from now on, in whatever this process writes down."""
    new = frozenset(each for each in secrets if each) - _Known.secrets
    if new:
        _Known.secrets |= new
        _Known.masker.learn(new)
        if _Known.listener is not None:
            _Known.listener()


def listen(listener: Listener | None) -> None:
    """Have this called whenever there is one more secret."""
    _Known.listener = listener


def patterns() -> tuple[bytes, ...]:
    """All forms in which they may stand in output."""
    return _Known.masker.patterns


def masked(text: str) -> str:
    """The text without them."""
    return _Known.masker.mask(text)


def masked_value(value: Any) -> Any:
    """A JSON value without them."""
    return _Known.masker.mask_value(value)


def mask_secret(secret: Any) -> None:
    """Mask this text, or each text in this value, in the log of the task from now on: a secret of your own."""
    learn(each for each in texts_in(secret) if can_be_masked(each))
