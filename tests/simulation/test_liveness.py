"""What a suspended loop may still read, on small loops whose answer one sees."""

from collections.abc import Generator

from tailrace.simulator.liveness import live_variables


def straight(first: int, second: int) -> Generator[None, None, int]:
    third = first + second
    yield
    return third


def around(count: int, seen: int) -> Generator[None, None, None]:
    while count:
        yield
        seen = count  # bound before it is read
        yield
        count -= seen


def handled(spare: int) -> Generator[None, None, int]:
    try:
        yield
    except ValueError:
        return spare
    return 0


def within() -> Generator[None, None, None]:
    kept, dropped = 1, 2
    yield from straight(kept, dropped)
    print(kept)


def live(loop: Generator[None, None, object], steps: int = 1) -> list[str]:
    for _ in range(steps):
        next(loop)
    return live_variables(loop.gi_frame)


def test_only_what_is_read_later_is_live() -> None:
    assert live(straight(1, 2)) == ["third"]


def test_what_is_bound_before_it_is_read_is_dead_around_the_loop() -> None:
    assert live(around(3, 0)) == ["count"]
    assert live(around(3, 0), 2) == ["count", "seen"]


def test_what_only_a_handler_reads_is_live() -> None:
    assert live(handled(1)) == ["spare"]


def test_a_loop_that_waits_for_another_one() -> None:
    assert live(within()) == ["kept"]
