"""What the database libraries log or warn of by themselves: kept for whoever asks (-vv), never written to stderr.

A command says in its own line what went wrong; psycopg's "error ignored terminating …" beside it made six lines of one.
Called where a metastore is first used, and so after the zygote was forked: what user code logs is no concern of this.
"""

import logging
import sys
from collections import deque

_MOST_KEPT = 50

_kept: deque[str] = deque(maxlen=_MOST_KEPT)


class _Keeper(logging.Handler):
    """A root handler: without any, logging writes warnings to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _kept.append(f"{record.name}: {record.getMessage()}")
        except Exception as broken:  # a record whose arguments do not fit its text
            _kept.append(f"{record.name}: {record.msg!r} ({type(broken).__name__})")


_keeper = _Keeper(logging.WARNING)


def keep_library_logs() -> None:
    """From here on this process, and what it forks, keeps what libraries say. Whoever set PYTHONWARNINGS sees those."""
    if _keeper not in logging.root.handlers:
        logging.root.addHandler(_keeper)
    if not sys.warnoptions:
        logging.captureWarnings(True)


def kept_library_logs() -> tuple[str, ...]:
    """The last that libraries said, oldest first."""
    return tuple(_kept)
