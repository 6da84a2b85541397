"""Trigger-rule names, each with the sentence that says when its task runs. Evaluating them is ``planning``'s."""

from enum import StrEnum
from typing import Self


class TriggerRule(StrEnum):
    """When a task runs, given the states of its direct upstreams; ``when`` says it."""

    when: str

    def __new__(cls, name: str, when: str = "") -> Self:
        """A member is its name; to look one up takes only that."""
        rule = str.__new__(cls, name)
        rule._value_, rule.when = name, when
        return rule

    ALL_SUCCESS = "all_success", "every upstream succeeded"
    ALL_FAILED = "all_failed", "every upstream failed or is upstream_failed"
    ALL_DONE = "all_done", "every upstream is done, whatever came of it"
    ONE_SUCCESS = "one_success", "at least one upstream succeeded; does not wait for the others"
    ONE_FAILED = "one_failed", "at least one upstream failed; does not wait for the others"
    ONE_DONE = "one_done", "at least one upstream succeeded or failed; does not wait for the others"
    NONE_FAILED = "none_failed", "every upstream succeeded or was skipped"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success", "as none_failed, and at least one upstream succeeded"
    NONE_SKIPPED = "none_skipped", "every upstream is done and none was skipped"
    ALL_SKIPPED = "all_skipped", "every upstream was skipped"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success", "as none_skipped, and at least one upstream succeeded"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success", "as all_done (there are no setups yet)"
    ALWAYS = "always", "at once"


#: Names an Airflow author may still type, and what they mean today.
OLD_NAMES = {
    "dummy": TriggerRule.ALWAYS,
    "none_failed_or_skipped": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
}
