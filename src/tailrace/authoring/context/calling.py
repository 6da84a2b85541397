"""Which of the template variables an author's function is called with: those that it has parameters for."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tailrace.authoring.context.current import Context
from tailrace.authoring.context.variables import ON_DEMAND


class Parameters(Struct, frozen=True):
    """What a function can be given: every name that can be given by name, those that can be given by position.

    ``own`` is the signature of the function itself, not of one that it wraps: a decorator may add arguments.
    """

    by_name: tuple[str, ...]
    by_position: tuple[str, ...]
    anything: bool  # it has **kwargs
    own: inspect.Signature


def parameters_of(function: Callable[..., Any]) -> Parameters | None:
    """None for some built-ins, and for what is not callable: they have no signature, and get what was given."""
    try:
        signature = inspect.signature(function)
        own = inspect.signature(function, follow_wrapped=False) if hasattr(function, "__wrapped__") else signature
    except Exception:  # what is called may be an object of the author's own making
        return None
    parameters = signature.parameters.values()
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return Parameters(
        tuple(each.name for each in parameters if each.kind in by_name),
        tuple(each.name for each in parameters if each.kind in by_position),
        any(each.kind is each.VAR_KEYWORD for each in parameters),
        own,
    )


def takes(parameters: Parameters | None, names: Mapping[str, str]) -> bool:
    return parameters is not None and (parameters.anything or any(name in names for name in parameters.by_name))


def accepted(
    parameters: Parameters | None, args: Sequence[Any], kwargs: Mapping[str, Any], offered: Mapping[str, Any]
) -> dict[str, Any]:
    """``kwargs``, and of what is offered that for which the function has a parameter nobody filled."""
    if parameters is None:
        return dict(kwargs)
    filled = set(parameters.by_position[: len(args)])
    if parameters.anything:
        return {**{name: value for name, value in offered.items() if name not in filled}, **kwargs}
    chosen = {name: offered[name] for name in parameters.by_name if name in offered and name not in filled}
    return {**chosen, **kwargs}


def accepted_by(function: Callable[..., Any], args: Sequence[Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """What of the context a function can be given by name, besides these arguments by position."""
    parameters = parameters_of(function)
    if parameters is None:
        return {}
    if isinstance(context, Context) and takes(parameters, ON_DEMAND):
        context.completed()
    return accepted(parameters, args, {}, context)
