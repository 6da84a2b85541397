"""Explores: many seeds, or every interleaving of a small world; and shortens a failing trace."""

from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.simulator.canaries import Canary
from tailrace.simulator.choices import Chooser, Replayed, Seeded
from tailrace.simulator.history import History, Judgement, run_history
from tailrace.simulator.scenario import Scenario, random_scenario
from tailrace.simulator.searching import Search

PRODUCT = Canary("product", "nothing is broken")


@dataclass(frozen=True, slots=True)
class Found:
    """A history and how to get it again."""

    history: History
    seed: int


def one(scenario: Scenario, chooser: Chooser, variant: Canary = PRODUCT) -> History:
    """One history of a variant."""
    with variant.singing():
        return run_history(
            scenario, chooser, job_loop=variant.job_loop, performer=variant.performer, lock_wait=variant.lock_wait
        )


def seeds(first: int, count: int, variant: Canary = PRODUCT) -> Iterator[Found]:
    """The histories of ``count`` seeds."""
    for seed in range(first, first + count):
        yield Found(one(random_scenario(seed), Seeded(seed), variant), seed)


def catch(variant: Canary, most: int) -> Found | None:
    """The first of at most ``most`` seeds in which the variant is caught."""
    return next((found for found in seeds(0, most, variant) if found.history.judgement is not Judgement.WELL), None)


def every(scenario: Scenario, search: Search, variant: Canary = PRODUCT) -> Iterator[History]:
    """Every history of a small world within the bounds of the search; it remembers what it has seen."""
    for chooser in search.choosers():
        yield one(scenario, chooser, variant)


def shorten(seed: int, variant: Canary = PRODUCT, attempts: int = 60) -> History:
    """A history of this seed's world that fails the same way with fewer choices off the beaten path.

    Cuts the trace's tail in halves, then takes single choices back to the first option, while the failure stays.
    """
    scenario = random_scenario(seed)
    best = one(scenario, Seeded(seed), variant)
    wanted = best.judgement
    trace = list(best.trace)
    size = len(trace)
    while size and attempts:
        attempts -= 1
        size //= 2
        tried = one(scenario, Replayed(trace[: len(trace) - size]), variant)
        if tried.judgement is wanted and tried.steps <= best.steps:
            best, trace = tried, trace[: len(trace) - size]
    for place in range(len(trace) - 1, -1, -1):
        if not attempts:
            break
        if trace[place] == 0:
            continue
        attempts -= 1
        simpler = [*trace[:place], 0, *trace[place + 1 :]]
        tried = one(scenario, Replayed(simpler), variant)
        if tried.judgement is wanted and tried.steps <= best.steps:
            best, trace = tried, simpler
    return best
