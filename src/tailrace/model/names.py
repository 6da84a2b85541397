"""What a name must be: of a DAG, a task, a run, a pool, an XCom. It stands in paths, on command lines, in every store.

Each function says what is wrong with a name, to be put behind "NAME must be …", or None where nothing is.
"""

from typing import TypeGuard

from tailrace.model.plain_text import is_storable, shown

#: In bytes, as file systems count: with a map index, a try number and ``.log`` behind it, a task's id names a file.
LONGEST_NAME = 220

#: In characters. In bytes it stays below what PostgreSQL takes into the index of a key.
LONGEST_KEY = 512


def id_error(text: object) -> str | None:
    """As the id of a DAG or a task: a name without spaces or slashes, which can be typed and can name a folder."""
    if not isinstance(text, str) or not text or any(c in " /" or not c.isprintable() for c in str.__str__(text)):
        return f"a name without spaces or slashes, not {shown(text)}"
    return _file_name_error(text)


def task_id_error(text: object) -> str | None:
    """As the id of a task: the same, without the brackets in which the index of a mapped one stands behind it."""
    if isinstance(text, str) and ("[" in text or "]" in text):
        return f"a name without brackets, which are for the index of a mapped task, not {shown(text)}"
    return id_error(text)


def group_id_error(text: object) -> str | None:
    """As a task group is called: the same, without dots, which stand between a group and what is in it."""
    if isinstance(text, str) and "." in text:
        return f"a name without dots, which stand between a group and what is in it, not {shown(text)}"
    return task_id_error(text)


def run_id_error(text: object) -> str | None:
    """As the id of a run: the same, where spaces may stand between words."""
    if not _is_one_line(text) or text != text.strip() or "/" in text:
        return f"a name in one line without slashes, not {shown(text)}"
    return _file_name_error(text)


def label_error(text: object) -> str | None:
    """As the name of a pool, or a tag: words in one line."""
    return _length_error(text) if _is_one_line(text) else f"text in one line, not {shown(text)}"


def key_error(text: object) -> str | None:
    """As the key of an XCom: any text that can be stored."""
    if isinstance(text, str) and len(text) > LONGEST_KEY:
        return f"at most {LONGEST_KEY} characters long, not {len(text):,}"
    return search_error(text)


def search_error(text: object) -> str | None:
    """As a name to look for: any text that could be one in some store."""
    if not isinstance(text, str):
        return f"text, not {shown(text)}"
    return None if is_storable(text) else f"text that can be stored, not {shown(text)}"


def _is_one_line(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and bool(text) and str.__str__(text).isprintable()


def _file_name_error(text: str) -> str | None:
    if text in (".", ".."):
        return f"a name, not {text!r}, which is a folder's"
    return _length_error(text)


def _length_error(text: str) -> str | None:
    size = len(text.encode())
    return None if size <= LONGEST_NAME else f"at most {LONGEST_NAME} bytes long, not {size:,}"
