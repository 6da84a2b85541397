"""A fresh interpreter for one try (``--isolation spawn``): loads the DAG files itself, then waits for the word.

Started by the zygote with two open descriptors: the channel to its worker, and the leash that ends it with the zygote.
"""

import gc
import os
import socket
import sys
from pathlib import Path

from tailrace.authoring.loading import load_dags
from tailrace.execution.channel import TaskEnd
from tailrace.execution.logs import open_streams, show_logging
from tailrace.execution.process import after_loading, heed_signals, serve


def main() -> None:
    """``python -m tailrace.execution.spawned DAGS HOME CHANNEL LEASH``."""
    dags, home, channel, leash = sys.argv[1:5]
    end = socket.socket(fileno=int(channel))
    end.set_inheritable(False)
    os.set_inheritable(int(leash), False)
    open_streams()
    heed_signals()
    loaded = load_dags(Path(dags))
    show_logging()
    after_loading()
    gc.freeze()
    os._exit(serve(TaskEnd(end), loaded, home))


if __name__ == "__main__":
    main()
