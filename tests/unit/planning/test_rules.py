"""The oracle of confluence: every rule over every multiset of upstream states, in every order of arrival."""

from itertools import combinations_with_replacement, permutations

import pytest

from tailrace.audit.rules import FAIL, RUN, SKIP, WAIT, outcome
from tailrace.model.rules import TriggerRule
from tailrace.model.states import FINISHED, TaskInstanceState
from tailrace.planning.plan import Verdict
from tailrace.planning.rules import Counts, count, evaluate, explain

S, K, F, U, R, P = (
    TaskInstanceState.SUCCESS,
    TaskInstanceState.SKIPPED,
    TaskInstanceState.FAILED,
    TaskInstanceState.UPSTREAM_FAILED,
    TaskInstanceState.REMOVED,
    TaskInstanceState.NONE,
)
LETTERS = {"S": S, "K": K, "F": F, "U": U, "R": R, "P": P}
SAME = {RUN: Verdict.RUN, SKIP: Verdict.SKIP, FAIL: Verdict.FAIL_UPSTREAM, WAIT: Verdict.WAIT}
RULES = """
all_success all_failed all_done one_success one_failed one_done none_failed none_failed_min_one_success none_skipped
all_skipped all_done_min_one_success always
""".split()

#: What Airflow 3 does, with one change: under all_success a skip waits for what is pending (S+K is done).
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
WORDS = {"RUN": Verdict.RUN, "SKIP": Verdict.SKIP, "UF": Verdict.FAIL_UPSTREAM, "WAIT": Verdict.WAIT}


@pytest.mark.parametrize("line", TABLE.split("\n")[1:-1])
def test_the_table_of_two_upstreams(line: str) -> None:
    pair, *words = line.split()
    counts = count(LETTERS[letter] for letter in pair.split("+"))
    found = {rule: evaluate(TriggerRule(rule), counts) for rule in RULES}
    assert found == {rule: WORDS[word] for rule, word in zip(RULES, words, strict=True)}


@pytest.mark.parametrize("rule", TriggerRule)
def test_every_rule_is_total(rule: TriggerRule) -> None:
    for size in range(1, 5):
        for states in combinations_with_replacement((S, K, F, U, R), size):
            assert evaluate(rule, count(states)) is not Verdict.WAIT, states


@pytest.mark.parametrize("rule", TriggerRule)
def test_every_rule_is_confluent(rule: TriggerRule) -> None:
    """A verdict given while something is pending is the verdict once everything is done, whoever arrives when."""
    for size in range(1, 5):
        for states in combinations_with_replacement((S, K, F, U, R), size):
            final = evaluate(rule, count(states))
            for order in set(permutations(states)):
                for arrived in range(size + 1):
                    seen = evaluate(rule, count([*order[:arrived], *[P] * (size - arrived)]))
                    assert seen in (Verdict.WAIT, final), (order, arrived)


@pytest.mark.parametrize("rule", TriggerRule)
def test_the_audits_own_rules_agree(rule: TriggerRule) -> None:
    """Two implementations that share no code say the same of all multisets of one to four upstreams."""
    for size in range(5):
        for states in combinations_with_replacement((S, K, F, U, R, P), size):
            assert SAME[outcome(rule, states)] is evaluate(rule, count(states)), states


def test_without_upstreams_every_rule_runs() -> None:
    assert {evaluate(rule, Counts()) for rule in TriggerRule} == {Verdict.RUN}


def test_the_reason_has_the_counts_and_the_upstreams() -> None:
    text = explain(TriggerRule.ALL_SUCCESS, count([S, F, P]), ["a", "b", "c"])
    assert "trigger rule 'all_success'" in text
    assert "success=1, skipped=0, failed=1, upstream_failed=0, removed=0, done=2, pending=1" in text
    assert text.endswith("upstream_task_ids: a, b, c")


def test_finished_states_are_those_that_are_not_pending() -> None:
    pending = {state for state in TaskInstanceState if count([state]).pending}
    assert pending == set(TaskInstanceState) - FINISHED
