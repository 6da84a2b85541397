"""Nothing that may yet be seen is taken for seen, and what nobody can fill is not waited for."""

from hypothesis import given
from hypothesis import strategies as st

from tailrace.web.change_ids import MOST_GAPS, ChangeIds


def test_ids_in_order_leave_no_gap() -> None:
    ids = ChangeIds(10)
    ids.take([11, 12, 13])
    assert (ids.low, ids.high, ids.lacking) == (13, 13, ())


def test_a_lower_id_that_comes_later_fills_its_gap() -> None:
    ids = ChangeIds(10)
    ids.take([11, 15])
    assert (ids.low, ids.high, ids.lacking) == (11, 15, ((12, 14),))
    ids.take([13])
    assert (ids.low, ids.lacking) == (11, ((12, 12), (14, 14)))
    ids.take([12, 14, 16])
    assert (ids.low, ids.high, ids.lacking) == (16, 16, ())


def test_a_gap_is_given_up_once_all_who_were_under_way_have_ended() -> None:
    ids = ChangeIds(0)
    ids.take([2])
    ids.give_up(oldest=50, next=50)
    assert ids.low == 0, "who took 1 may have been counted nowhere yet"
    ids.give_up(oldest=40, next=60)
    assert ids.low == 0, "one of them is under way"
    ids.give_up(oldest=50, next=60)
    assert (ids.low, ids.lacking) == (2, ())


def test_without_transactions_side_by_side_a_gap_lasts_two_looks() -> None:
    ids = ChangeIds(0)
    ids.take([2])
    ids.give_up(0, 0)
    ids.give_up(0, 0)
    assert ids.low == 2


def test_too_many_gaps_are_forgotten_and_said() -> None:
    ids = ChangeIds(0)
    ids.take(range(2, 2 * MOST_GAPS + 1, 2))
    assert not ids.forget() and ids.low == 0
    ids.take([2 * MOST_GAPS + 2])
    assert ids.forget() and ids.low == ids.high


@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 29), max_size=29))
def test_whatever_the_order_low_is_what_is_seen_whole(order: list[int], cuts: list[int]) -> None:
    """In portions, each sorted, as they are read."""
    ids, seen = ChangeIds(0), set[int]()
    bounds = sorted({0, *cuts, len(order)})
    for begin, end in zip(bounds, bounds[1:], strict=False):
        portion = sorted(order[begin:end])
        ids.take(portion)
        seen |= set(portion)
        whole = next(each for each in range(31) if each + 1 not in seen)
        assert (ids.low, ids.high) == (whole, max(seen))
        lacking = {each for first, last in ids.lacking for each in range(first, last + 1)}
        assert lacking == set(range(1, ids.high + 1)) - seen
