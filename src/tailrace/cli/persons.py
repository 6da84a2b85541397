"""Whose command made something what it is, as lists say it."""

from tailrace.planning.explain_facts import PersonsCommand


def with_command(reason: str, command: PersonsCommand | None) -> str:
    """The reason for a state, and behind it whose command it is because of, while it is."""
    if command is None or command.is_creation or not command.stands:
        return reason
    return command.text if reason in ("", command.what) else f"{reason}; {command.text}"


def pause_text(paused: bool, last_pause: PersonsCommand | None, reason: str = "") -> str:
    """Whether a DAG is paused; and by whom, unless it began so, or why a job did (``reason``)."""
    if paused and reason:
        return f"paused: {reason}"
    return "" if not paused else "paused" if last_pause is None else last_pause.text
