"""Whom a process asks for what a task needs of others: its worker, for Variables, Connections and recorded runs."""

from tailrace.authoring.context import recorded
from tailrace.execution.messages import record_requests, secret_requests
from tailrace.execution.messages.channel import Asked
from tailrace.secrets import source


def ask_through(channel: Asked | None) -> None:
    """Ask whoever is at the other end; None: nobody any more."""
    source.ask_by(None if channel is None else secret_requests.asking(channel))
    recorded.ask_by(None if channel is None else record_requests.asking(channel))
