"""What to write instead of a name of Airflow's that a task's code imports or uses as it runs."""

import importlib
import traceback
from collections.abc import Iterator

from tailrace.authoring.mistakes.airflow_imports import NAMED, OTHERWISE, advice_on, instead_of, is_of_airflow, lacking


def beside(raised: BaseException) -> str:
    """To be put behind the text of an exception that is about such a name; "" for any other."""
    try:
        found = list(dict.fromkeys(_advice(raised)))
    except Exception:  # an author's own ImportError may have any attributes, and its file be gone
        return ""
    return f"; {'; '.join(found)}" if found else ""


def _advice(raised: BaseException) -> Iterator[str]:
    if is_of_airflow(raised):
        linecache = importlib.import_module("linecache")
        for frame, at in traceback.walk_tb(raised.__traceback__):
            text = "".join(linecache.getlines(frame.f_code.co_filename))
            if "airflow" in text:
                yield from (said for line, said in instead_of(text.encode()) if line == at)
    elif isinstance(raised, NameError) and isinstance(raised.name, str):
        if raised.name in NAMED or raised.name in OTHERWISE:
            yield f"{raised.name}: {advice_on('', raised.name)}"
    elif said := lacking(raised):
        yield said
