"""A fresh interpreter for one try (``--isolation spawn``): loads the DAG files itself, then waits for the word.

Started by the zygote with the channel to its worker as descriptor 3.
"""

import os
import socket
import sys
from pathlib import Path

from tailrace.authoring.loading import load_dags
from tailrace.execution.channel import Channel
from tailrace.execution.logs import write_streams_by_line
from tailrace.execution.process import serve


def main() -> None:
    """``python -m tailrace.execution.spawned DAGS HOME``."""
    dags, home = map(Path, sys.argv[1:3])
    end = socket.socket(fileno=3)
    end.set_inheritable(False)
    write_streams_by_line()
    os._exit(serve(Channel(end), load_dags(dags), home, serve_again=False))


if __name__ == "__main__":
    main()
