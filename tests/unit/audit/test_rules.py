"""The audit's own trigger rules against the table they are written from, and against the planner's."""

from itertools import combinations_with_replacement

import pytest

from tailrace.audit.rules import FAIL, RUN, SKIP, WAIT, outcome
from tailrace.model.rules import TriggerRule
from tailrace.model.states import TaskInstanceState as T
from tailrace.planning.plan import Verdict
from tailrace.planning.rules import count, evaluate

COLUMNS = (
    TriggerRule.ALL_SUCCESS,
    TriggerRule.ALL_FAILED,
    TriggerRule.ALL_DONE,
    TriggerRule.ONE_SUCCESS,
    TriggerRule.ONE_FAILED,
    TriggerRule.ONE_DONE,
    TriggerRule.NONE_FAILED,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    TriggerRule.NONE_SKIPPED,
    TriggerRule.ALL_SKIPPED,
    TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    TriggerRule.ALWAYS,
)
#: What Airflow 3 does, with one change: all_success over {skipped, pending} waits.
TABLE = """
S+S RUN SKIP RUN RUN SKIP RUN RUN RUN RUN SKIP RUN RUN
S+K SKIP SKIP RUN RUN SKIP RUN RUN RUN SKIP SKIP SKIP RUN
S+F UF SKIP RUN RUN RUN RUN UF UF RUN SKIP RUN RUN
S+U UF SKIP RUN RUN RUN RUN UF UF RUN SKIP RUN RUN
S+P WAIT SKIP WAIT RUN WAIT RUN WAIT WAIT WAIT SKIP WAIT RUN
K+K SKIP SKIP RUN SKIP SKIP SKIP RUN SKIP SKIP RUN SKIP RUN
K+F UF SKIP RUN UF RUN RUN UF UF SKIP SKIP SKIP RUN
K+U UF SKIP RUN UF RUN SKIP UF UF SKIP SKIP SKIP RUN
K+P WAIT SKIP WAIT WAIT WAIT WAIT WAIT WAIT SKIP WAIT SKIP RUN
F+F UF RUN RUN UF RUN RUN UF UF RUN SKIP UF RUN
F+U UF RUN RUN UF RUN RUN UF UF RUN SKIP UF RUN
F+P UF WAIT WAIT WAIT RUN RUN UF UF WAIT SKIP WAIT RUN
U+U UF RUN RUN UF RUN SKIP UF UF RUN SKIP UF RUN
U+P UF WAIT WAIT WAIT RUN WAIT UF UF WAIT SKIP WAIT RUN
P+P WAIT WAIT WAIT WAIT WAIT WAIT WAIT WAIT WAIT WAIT WAIT RUN
"""
LETTERS = {"S": T.SUCCESS, "K": T.SKIPPED, "F": T.FAILED, "U": T.UPSTREAM_FAILED, "P": T.RUNNING}
WORDS = {"RUN": RUN, "SKIP": SKIP, "UF": FAIL, "WAIT": WAIT}
CELLS = [
    (rule, upstreams, word)
    for line in TABLE.split("\n")
    if line
    for upstreams, *words in [line.split()]
    for rule, word in zip(COLUMNS, words, strict=True)
]


@pytest.mark.parametrize(("rule", "upstreams", "word"), CELLS)
def test_the_table_for_two_upstreams(rule: str, upstreams: str, word: str) -> None:
    states = [LETTERS[letter] for letter in upstreams.split("+")]
    assert outcome(TriggerRule(rule), states) == WORDS[word]


@pytest.mark.parametrize("rule", TriggerRule)
def test_planner_and_audit_agree_about_every_multiset(rule: TriggerRule) -> None:
    """Written twice from the same words; where they differ, one of them misread."""
    said = {Verdict.RUN: RUN, Verdict.SKIP: SKIP, Verdict.FAIL_UPSTREAM: FAIL, Verdict.WAIT: WAIT}
    for size in range(5):
        for states in combinations_with_replacement(T, size):
            assert outcome(rule, states) == said[evaluate(rule, count(states))], states


@pytest.mark.parametrize("rule", TriggerRule)
def test_a_verdict_given_early_stands(rule: TriggerRule) -> None:
    """Whatever comes of the pending upstreams, a verdict other than waiting is never reversed."""
    done = (T.SUCCESS, T.SKIPPED, T.FAILED, T.UPSTREAM_FAILED, T.REMOVED)
    for first in combinations_with_replacement(done, 2):
        early = outcome(rule, [*first, T.RUNNING])
        if early != WAIT:
            assert {outcome(rule, [*first, last]) for last in done} == {early}, first
