"""``tailrace config``: what the settings are and where each comes from."""

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import output_option, settings_with
from tailrace.cli.tables import Column, show_table
from tailrace.runtime.settings import Settings


@click.group(
    cls=LazyGroup, lazy={"show": Lazy("tailrace.cli.commands.config:show", "Print each setting's value and origin.")}
)
def config() -> None:
    """Settings: tailrace.toml, then TAILRACE_* variables, then options."""


@click.command(cls=Command)
@output_option
def show(output: str) -> None:
    """Print each setting's value and where it comes from. Passwords are masked."""
    settings = settings_with()
    values = _values(settings)
    if output == "json":
        current_console().print_json(
            {name: {"value": value, "origin": settings.origins[name]} for name, value in values.items()}
        )
        return
    rows = [(name, str(value), settings.origins[name]) for name, value in values.items()]
    show_table((Column("setting"), Column("value"), Column("origin")), rows, empty="no settings")
    current_console().note(f"project folder: {settings.project}")


def _values(settings: Settings) -> dict[str, str | int | float]:
    values: dict[str, str | int | float] = {}
    for name in settings.origins:
        value = getattr(settings, name)
        values[name] = value if isinstance(value, (int, float)) else str(value)
    values["database_url"] = str(settings.database_url)
    values["notify"] = ", ".join(f"{name}=…" for name in settings.notify)
    values["secrets_backend"] = ", ".join(settings.secrets_backend)
    values["secrets_backend_kwargs"] = ", ".join(f"{name}=…" for name in settings.secrets_backend_kwargs)
    return values
