"""What failed inside, in words: counted, named, and never more than a line."""

from tailrace.planning.failed_tasks import FailedTasks, failed_tasks


def test_only_failures_count_and_each_task_once() -> None:
    found = failed_tasks([("b", "failed", 1), ("a", "failed", 2), ("b", "failed", 3), ("c", "success", 9)])
    assert found == FailedTasks({"a": 2, "b": 4}, {})
    assert (found.counted, found.named) == ("6 tasks failed inside", "6 tasks failed inside: a (2), b (4)")
    assert found.names == "failed inside: a (2), b (4)"


def test_what_did_not_run_because_of_that_is_named_apart() -> None:
    both = failed_tasks([("a", "failed", 1), ("b", "upstream_failed", 1)])
    assert both.counted == "1 task failed inside, 1 task upstream_failed"
    assert both.named == "1 task failed inside: a; 1 task upstream_failed: b"
    alone = failed_tasks([("b", "upstream_failed", 2)])
    assert (alone.counted, alone.names) == ("2 tasks upstream_failed inside", "upstream_failed inside: b (2)")


def test_nothing_is_reported_of_nothing() -> None:
    assert not failed_tasks([("a", "success", 1), ("b", "skipped", 1)])
    assert (FailedTasks().counted, FailedTasks().named, FailedTasks().names) == ("", "", "")


def test_a_few_are_named() -> None:
    many = failed_tasks((f"t{n}", "failed", 1) for n in range(9))
    assert many.named == "9 tasks failed inside: t0, t1, t2, t3, t4 and 4 more"
