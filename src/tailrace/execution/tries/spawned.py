"""A fresh interpreter for one try (``--isolation spawn``): waits for its order, then loads the DAG file of its task.

Started by the zygote with three open descriptors: the channel to its worker, the guard that ends it with the zygote,
and the code that the zygote has loaded, which it runs whatever the file is by now.
"""

import gc
import os
import socket
import sys
from pathlib import Path

from tailrace.authoring.loading.load import LoadedDags, load_dags
from tailrace.execution.logs import log_masking
from tailrace.execution.logs.files import open_streams, show_logging
from tailrace.execution.messages.channel import TaskEnd
from tailrace.execution.messages.loading_process import read_sources
from tailrace.execution.tries.process import after_loading, handle_signals
from tailrace.execution.tries.serving import serve
from tailrace.model.plain_text import on_one_line


def main() -> None:
    """Its arguments are DAGS HOME CHANNEL GUARD KEPT, paths and descriptors."""
    dags, home, channel, guard, kept = sys.argv[1:6]
    end = socket.socket(fileno=int(channel))
    end.set_inheritable(False)
    os.set_inheritable(int(guard), False)
    open_streams()
    handle_signals()
    log_masking.listen()  # what the DAG file prints as it loads stands in the try's log
    loads = read_sources(int(kept))
    os.close(int(kept))

    def load(dag_id: str) -> LoadedDags:
        for sources in loads:
            if sources.kept is not None and (file := sources.kept.dag_files.get(dag_id)) is not None:
                loaded = load_dags(Path(dags), only=[on_one_line(file)], sources=sources)
                show_logging()
                after_loading()
                gc.freeze()
                return loaded
        return LoadedDags()

    os._exit(serve(TaskEnd(end), load, home))
