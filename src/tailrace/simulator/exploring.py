"""Explores: many seeds, or every interleaving of a small world; and shortens a failing trace."""

import multiprocessing
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from tailrace.simulator.canaries import CANARIES, Canary
from tailrace.simulator.choices import Chooser, Replayed, Seeded
from tailrace.simulator.history import History, Judgement, run_history
from tailrace.simulator.holes import WORLDS
from tailrace.simulator.scenario import Scenario
from tailrace.simulator.searching import Search

PRODUCT = Canary("product", "nothing is broken")

#: So many seeds are handed to a process at a time.
_CHUNK = 20


class Shortened(Struct, frozen=True):
    """A failing history with few unusual choices, and those: place among all choices, and what was chosen."""

    history: History
    choices: tuple[tuple[int, int], ...]


class SeedHistory(Struct, frozen=True):
    """A history and how to get it again."""

    history: History
    seed: int


def one(scenario: Scenario, chooser: Chooser, variant: Canary = PRODUCT, *, impatient: bool = False) -> History:
    """One history of a variant; ``impatient`` ends it with the step that was wrong."""
    with variant.applied():
        return run_history(
            scenario,
            chooser,
            job_loop=variant.job_loop,
            performer=variant.performer,
            lock_wait=variant.lock_wait,
            impatient=impatient,
        )


def seeds(first: int, count: int, variant: Canary = PRODUCT, worlds: str | None = None) -> Iterator[SeedHistory]:
    """The histories of ``count`` seeds, in worlds of this name (the variant's own)."""
    for seed in range(first, first + count):
        yield SeedHistory(one(world(seed, variant, worlds), Seeded(seed), variant), seed)


def world(seed: int, variant: Canary = PRODUCT, worlds: str | None = None) -> Scenario:
    """The world of a seed, drawn while the variant is broken: its DAG is compiled."""
    with variant.applied():
        return WORLDS[worlds or variant.worlds](seed)


def explore(
    first: int, count: int, variant: Canary = PRODUCT, worlds: str | None = None, *, processes: int = 1
) -> Iterator[SeedHistory]:
    """The histories of ``count`` seeds, in their order, over so many processes.

    Of a history in which all is well only the judgement and what occurred is kept.
    """
    if processes <= 1:
        yield from seeds(first, count, variant, worlds)
        return
    chunks = [
        (start, min(_CHUNK, first + count - start), variant.name, worlds)
        for start in range(first, first + count, _CHUNK)
    ]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for chunk_histories in pool.imap(_chunk, chunks):
            yield from chunk_histories


def _chunk(part: tuple[int, int, str, str | None]) -> list[SeedHistory]:
    first, count, name, worlds = part
    return [
        SeedHistory(replace(found.history, story=(), trace=()), found.seed)
        if found.history.judgement is Judgement.WELL
        else found
        for found in seeds(first, count, CANARIES.get(name, PRODUCT), worlds)
    ]


def catch(variant: Canary, most: int, first: int = 0) -> SeedHistory | None:
    """The first of the seeds below ``most``, from ``first`` on, in which the variant is caught."""
    tried = seeds(first, most - first, variant)
    return next((found for found in tried if found.history.judgement is not Judgement.WELL), None)


def every(scenario: Scenario, search: Search, variant: Canary = PRODUCT) -> Iterator[History]:
    """Every history of a small world within the bounds of the search; it remembers what it has seen."""
    for chooser in search.choosers():
        yield one(scenario, chooser, variant)


def shorten(seed: int, variant: Canary = PRODUCT, worlds: str | None = None, *, attempts: int = 500) -> "Shortened":
    """A history of this seed's world that fails by the same check, with as few unusual choices as were found.

    First the shortest beginning that still fails, then without this part and that of its choices, ever smaller parts
    (delta debugging). Each choice left out becomes the usual one: no fault, and whoever went last goes on.
    """
    scenario = world(seed, variant, worlds)
    found = one(scenario, Seeded(seed), variant)

    def fails(choices: Mapping[int, int]) -> bool:
        nonlocal attempts
        attempts -= 1
        return one(scenario, Replayed(choices), variant).problem == found.problem

    choices = dict(enumerate(found.trace))
    whole = choices
    low, high = 0, len(choices)  # the shortest beginning: every longer one is taken to fail too
    while low < high and attempts > 0:
        middle = (low + high) // 2
        if fails({place: choices[place] for place in range(middle)}):
            high = middle
        else:
            low = middle + 1
    choices = {place: choices[place] for place in range(high)}
    if not fails(choices):
        choices = whole
    size = max(1, len(choices) // 2)
    while attempts > 0:
        before = len(choices)
        places = sorted(choices)
        for start in range(0, len(places), size):
            left = {place: choices[place] for place in choices if place not in places[start : start + size]}
            if attempts > 0 and left != choices and fails(left):
                choices = left
        if size == 1 and len(choices) == before:
            break
        size = max(1, size // 2)
    shown = one(scenario, Replayed(choices), variant, impatient=True)
    if shown.judgement is not found.judgement:  # what ended it too early was something else
        shown = one(scenario, Replayed(choices), variant)
    return Shortened(shown, tuple(sorted(choices.items())))
