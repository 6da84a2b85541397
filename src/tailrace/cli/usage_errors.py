"""What click finds wrong with a command line, as one line in our words: what is wrong, and what to type."""

import re
from collections.abc import Iterable

import click

from tailrace.model.plain_text import visible_line
from tailrace.model.suggestions import did_you_mean

_LONGEST = 200
_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)", re.DOTALL)


def usage_text(error: click.ClickException) -> str:
    """One line. What is no mistake of the command line is said as click says it."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = " ".join(error.format_message().split())
    if context is None:
        return message
    match error:
        case click.MissingParameter():
            return _missing(error, context)
        case click.NoSuchOption():
            return f"no such option: {error.option_name}{_nearest_option(error.option_name, context)}"
        case click.BadOptionUsage():
            option = _option(error.option_name, context)
            if option is None or option.is_flag:
                return f"{error.option_name} takes no value; see {context.command_path} --help"
            return f"{error.option_name} needs a value: {error.option_name} {option.make_metavar(context)}"
        case click.BadParameter():
            return f"{_name(error.param, context)}: {_lower(error.message)}" if error.param else _lower(error.message)
    if extra := _EXTRA.match(error.message):
        return f"{visible_line(extra[1], _LONGEST)} is more than is expected: {usage(context)}"
    return message


def usage(context: click.Context) -> str:
    """How the command is typed."""
    return " ".join([context.command_path, *context.command.collect_usage_pieces(context)])


def _missing(error: click.MissingParameter, context: click.Context) -> str:
    parameter = error.param
    if parameter is None:
        return f"something is missing: {usage(context)}"
    name = _name(parameter, context)
    if isinstance(parameter, click.Option):
        return f"{name} is missing: {context.command_path} … {parameter.opts[-1]} {parameter.make_metavar(context)}"
    return f"{name} is missing: {usage(context)}"


def _name(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter, click.Option):
        return "/".join([*parameter.opts, *parameter.secondary_opts])
    return parameter.make_metavar(context).strip("[].")


def _option(name: str, context: click.Context) -> click.Option | None:
    options = [each for each in context.command.params if isinstance(each, click.Option)]
    return next((each for each in options if name in (*each.opts, *each.secondary_opts)), None)


def _nearest_option(name: str, context: click.Context) -> str:
    return did_you_mean(name, _spellings(context)) or f"; see {context.command_path} --help"


def _spellings(context: click.Context) -> Iterable[str]:
    for parameter in context.command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from (each for each in (*parameter.opts, *parameter.secondary_opts) if each.startswith("--"))


def _lower(text: str) -> str:
    """A sentence of click's as the end of one of ours."""
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
