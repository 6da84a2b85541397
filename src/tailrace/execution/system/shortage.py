"""What the operating system has too little of just now, as text: it may be there again in a moment."""

import errno
import os

_ADVICE = {
    errno.EAGAIN: "allow more processes (ulimit -u), or end some",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "the host has no file descriptors left",
    errno.ENOMEM: "there is too little memory",
    errno.ENOBUFS: "there is too little memory",
}


def is_shortage(trouble: OSError) -> bool:
    """Whether this is something that may be there again in a moment."""
    return trouble.errno in _ADVICE


def shortage_text(what: str, number: int) -> str:
    """``what`` cannot be done, why, and what would help."""
    advice = _ADVICE.get(number)
    return f"{what} ({os.strerror(number)})" + (f": {advice}" if advice else "")
