"""``tailrace web``: the page and the HTTP API, for this machine."""

import importlib
import traceback
from itertools import chain, repeat

import click

from tailrace.cli.console import OutputClosed, current_console
from tailrace.cli.lazy import Command
from tailrace.cli.options import WholeNumber, settings_with
from tailrace.cli.remedies import command_of
from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.address import hide_secrets
from tailrace.service.stores import Stores

_EXTRA = ("starlette", "uvicorn")


@click.command(cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="An address that only this machine reaches.")
@click.option(
    "--port",
    type=WholeNumber(0, 65_535, what="a port: a whole number"),
    default=8080,
    show_default=True,
    help="Which port; 0: any that is free.",
)
@click.option(
    "--open-metrics", is_flag=True, help="Let any user of this machine read /metrics, without a session (Prometheus)."
)
@click.option("--openapi", is_flag=True, help="Print the description of the API (OpenAPI 3.1) and end.")
def web(host: str, port: int, open_metrics: bool, openapi: bool) -> int:
    """Serve a page and the HTTP API until interrupted: what the other commands show, to browsers and programs here.

    Prints the address to open. It has a token that is good for one browser; once it is used the next one is printed.
    """
    console = current_console()
    try:
        server = importlib.import_module("tailrace.web.server")
        description = importlib.import_module("tailrace.web.openapi")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise EnvironmentBroken(
            f"{missing.name} is not installed, which the page needs: `pip install 'tailrace[web]'`"
        ) from None
    if openapi:
        console.print_json(description.document())
        return 0
    stores = Stores(settings_with(), command_of, patient=False)

    def on_bug(error: Exception) -> None:
        text = "".join(traceback.format_exception(error)) if console.verbosity else f"{type(error).__name__}: {error}"
        console.error(hide_secrets(f"a request failed by a bug in Tailrace; -v says more: {text.strip()}"))

    first, others = "Ctrl-C ends it; in a browser on this machine, open", "a browser has signed in; in another, open"
    notes = chain((first,), repeat(others))

    def on_address(address: str) -> None:
        note = next(notes)
        console.note(note)
        try:
            console.print(address)
        except (OutputClosed, EnvironmentBroken):
            if note is first:
                raise
            console.notice("nobody reads the next address any more: start the server again for another browser")

    code: int = server.serve(stores, host, port, on_address, on_bug, open_metrics=open_metrics)
    return code
