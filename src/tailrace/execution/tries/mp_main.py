"""The main module of the interpreters that ``multiprocessing`` starts inside a task by spawn or forkserver.

What such an interpreter is sent names functions by their module, and no import path leads to the module of a DAG file.
But it begins by running the main module of the process that started it: this one, which loads the DAG file there.
"""

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from tailrace.authoring.loading.load import load_dags

#: In the environment of a task: the file that its DAG was loaded from.
VARIABLE = "TAILRACE_DAG_FILE"


def be_main_of_children() -> None:
    """In a process that runs tasks: have the interpreters that ``multiprocessing`` starts from it run this module."""
    sys.modules["__main__"].__spec__ = ModuleSpec(__name__, None)


if __name__ == "__mp_main__":  # the name that multiprocessing gives it there
    file = os.environ.get(VARIABLE)
    if file is None:
        print(f"--- {VARIABLE} is not in the environment, so no function of the DAG file is found", file=sys.stderr)
    else:
        for mistake in load_dags(Path(file)).mistakes:
            print(mistake, file=sys.stderr)
