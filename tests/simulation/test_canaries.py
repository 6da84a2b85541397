"""Each hole, put there on purpose, is caught: a simulator that catches nothing proves nothing."""

import pytest

from tailrace.simulator.canaries import CANARIES
from tailrace.simulator.choices import Replayed
from tailrace.simulator.exploring import catch, every, one, shorten
from tailrace.simulator.fixed_worlds import linear
from tailrace.simulator.history import Judgement
from tailrace.simulator.scenario import random_scenario
from tailrace.simulator.searching import Search

EXPECTED = {
    "non-atomic-reads": (Judgement.SAFETY, "false deadlock"),
    "unguarded-claim": (Judgement.SAFETY, "claim"),
    "open-transaction": (Judgement.CRASH, "locked"),
    "trusting-events": (Judgement.SAFETY, "lost tries"),
    "new-write-id": (Judgement.SAFETY, "another had been accepted"),
    "swap-without-try-number": (Judgement.SAFETY, "double start|lost: "),
    "report-by-state": (Judgement.SAFETY, "accepted while its code ran"),
    "renewed-by-anyone": (Judgement.SAFETY, "was renewed while"),
    "resubmitted-anew": (Judgement.SAFETY, "claim: "),
    "claim-without-token": (Judgement.SAFETY, "does not grow"),
    "resumed-with-old-token": (Judgement.SAFETY, "does not grow"),
    "nothing-wakes": (Judgement.LIVENESS, "has not ended"),
    "circle-unchecked": (Judgement.SAFETY, "circle of waits: "),
    "circle-of-two-reads": (Judgement.SAFETY, "circle of waits: |false deadlock"),
    "forgotten-claim": (Judgement.SAFETY, "lost: "),
    "submitted-before-commit": (Judgement.SAFETY, "was claimed while it was none"),
    "created-in-two": (Judgement.SAFETY, "missing|conf: "),
    "forgets-conf": (Judgement.SAFETY, "conf: "),
    "verdict-unchecked": (Judgement.SAFETY, "evidence: "),
    "cleared-without-stopping": (Judgement.SAFETY, "it was stopping"),
    "no-capacity-guard": (Judgement.SAFETY, "the limit is"),
    "window-without-recount": (Judgement.SAFETY, "runs are running, the limit is"),
    "trusting-owner": (Judgement.CRASH, "may not step"),  # the table refuses as it is written
    "lost-spends-retry": (Judgement.SAFETY, "oracle: "),
    "all-spend-retry": (Judgement.SAFETY, "oracle: "),
    "reclaimed-early": (Judgement.SAFETY, "lost: "),
    "schedule-point": (Judgement.SAFETY, "previous run: "),
    "hole-unseen": (Judgement.SAFETY, "previous run: "),
    "expanded-twice": (Judgement.SAFETY, "its number stood|which was "),
    "forgotten-index": (Judgement.SAFETY, "instances, it has the indexes"),
    "expanded-for-ever": (Judgement.SAFETY, "is to be expanded anew"),
    "any-index": (Judgement.SAFETY, "trigger rule: |branch: |start: "),
    "half-a-group": (Judgement.SAFETY, "its task was never expanded"),
    "skip-overtakes": (Judgement.SAFETY, "skipped before it had decided"),
    "goes-on-when-stopped": (Judgement.SAFETY, "had been stopped for|in a run that was stopped"),
    "stopped-by-the-past": (Judgement.SAFETY, "had not failed since the run began"),
    "called-by-lost-claim": (Judgement.SAFETY, "is of no step that history knows"),
    "called-without-lease": (Judgement.SAFETY, "called at once"),
    "forgotten-event": (Judgement.SAFETY, "is not there"),
    "one-of-a-group": (Judgement.SAFETY, "compiled: "),
    "policy-unread": (Judgement.SAFETY, "oracle: "),
    "length-of-another": (Judgement.SAFETY, "oracle: "),
    "skipped-with-one": (Judgement.SAFETY, "trigger rule: |oracle: "),
    "waits-for-left-out": (Judgement.SAFETY, "which gives run"),
    "resets-left-out": (Judgement.SAFETY, "its run does other tasks alone"),
    "chain-left": (Judgement.SAFETY, "its digest differs"),
    "column-unsaid": (Judgement.SAFETY, "history leads to lost_tries"),
    "version-unsaid": (Judgement.SAFETY, "history leads to version"),
}


def test_every_canary_is_expected_somewhere() -> None:
    assert set(CANARIES) == set(EXPECTED)


#: Some are caught late: what the seeds before these show is known.
FROM = {"forgets-conf": 200, "renewed-by-anyone": 220, "report-by-state": 220, "forgotten-claim": 95}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_canary_is_caught(name: str) -> None:
    found = catch(CANARIES[name], 500, FROM.get(name, 0))
    assert found is not None
    judgement, word = EXPECTED[name]
    assert found.history.judgement is judgement
    assert any(each in finding for finding in found.history.findings for each in word.split("|")), (
        found.history.findings
    )


def test_the_race_of_2016_is_found_in_the_threads_world() -> None:
    """A → B, read B then A, the worker finishing in between: a false deadlock, and B could still run."""
    caught = [
        history
        for history in every(linear(), Search(2, 0), CANARIES["non-atomic-reads"])
        if history.judgement is Judgement.SAFETY
    ]
    assert caught
    for history in caught:
        assert "false deadlock" in history.findings[0]
        assert "b could still run" in history.findings[0]


@pytest.mark.parametrize("name", ["non-atomic-reads", "claim-without-token"])
def test_a_failing_trace_is_shortened_and_shown(name: str) -> None:
    found = catch(CANARIES[name], 500)
    assert found is not None
    short = shorten(found.seed, CANARIES[name], attempts=150)
    assert short.history.judgement is found.history.judgement
    assert len(short.choices) < len(found.history.trace) / 8
    assert len(short.history.story) < len(found.history.story)
    assert len(short.history.choices) <= len(short.choices)
    again = one(random_scenario(found.seed), Replayed(dict(short.choices)), CANARIES[name])
    assert again.problem == found.history.problem
