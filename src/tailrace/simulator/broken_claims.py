"""A canary of tries that go on: one is resumed with the token that it had."""

from tailrace.metastore.tries import claims as tries
from tailrace.simulator.broken_writes import Replaced


def _same_again(newest: int, *, resumes: bool) -> int:
    return newest if resumes else newest + 1


resumed_with_old_token = Replaced(tries, "next_token", _same_again)
"""A rescheduled try is resumed with the token that it had before: its two claims cannot be told apart."""
