"""``tailrace simulate``: histories of the product's own loops in a simulated world, explored, replayed and shown."""

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import click
from click.core import ParameterSource
from msgspec import Struct

from tailrace.cli.console import bullet_lines, counted, current_console, plural, styled
from tailrace.cli.lazy import Command
from tailrace.cli.options import WholeNumber, output_option
from tailrace.errors import CommandError
from tailrace.simulator.canaries import CANARIES, Canary
from tailrace.simulator.choices import Replayed, Seeded, whole
from tailrace.simulator.exploring import PRODUCT, SeedHistory, every, explore, one, shorten, world
from tailrace.simulator.fixed_worlds import linear
from tailrace.simulator.history import EXIT_CODES, History, Judgement
from tailrace.simulator.holes import WORLDS
from tailrace.simulator.scenario import Scenario
from tailrace.simulator.searching import Search
from tailrace.simulator.smaller import smallest
from tailrace.simulator.world_text import lines_of

_SCENARIOS = ("2016",)
_NON_ATOMIC = "non-atomic-reads"
_CANARY_LIVES = 1
_PROGRESS_EVERY = 500
#: The options that choose a way to explore, and what else each of them looks at. Without any, it is --seeds.
_WAYS = {
    "count": ("first", "processes", "canary", "worlds"),
    "seed": ("trace", "smaller", "canary", "worlds"),
    "scenario": ("preemptions", "crashes", "jobs"),
}
_LEGEND_2016 = """\
One DAG, a → b. A line is one step: its number, the simulated second, who acts, what they ask for, what they get.
The loop of 2016 reads b, then a. When the worker finishes a in between, the loop sees b waiting for an unfinished a,
and then a finished: nothing left that could run, it thinks.
"""


@click.command(cls=Command)
@click.option("--seeds", "count", type=WholeNumber(1), metavar="N", help="Explore N histories.  [default: 200]")
@click.option("--first", type=WholeNumber(0), default=0, metavar="SEED", help="The first of them.")
@click.option("--seed", type=WholeNumber(0), metavar="SEED", help="One history, shown step by step.")
@click.option("--trace", metavar="N:N,…", help="With --seed: these choices (place:choice), and else the usual.")
@click.option("--smaller", is_flag=True, help="With --seed: the smallest world that was found to fail in the same way.")
@click.option(
    "--processes",
    type=WholeNumber(1),
    metavar="N",
    help="With --seeds: so many at once.  [default: one for each core]",
)
@click.option(
    "--canary",
    type=click.Choice(sorted(CANARIES)),
    metavar="NAME",
    help="A deliberately broken variant, to be caught; a wrong NAME lists them.",
)
@click.option(
    "--worlds",
    type=click.Choice(sorted(WORLDS)),
    metavar="NAME",
    help="Instead of any: "
    "holes: runs that depend on the past come into being in any order; zygotes: tries are lost together; "
    "mapped: tasks are expanded over what others leave; stopped: runs take too long, or fail fast; "
    "calling: tasks have callbacks; rescheduled: tries give their workers back and go on later; "
    "dags: DAGs of up to twelve tasks, written and compiled, have all of these at once; "
    "waiting: the tasks of several DAGs wait for each other; parts: backfills do parts of their DAG.",
)
@click.option("--scenario", type=click.Choice(_SCENARIOS), help="2016: the race of the thread, shown, then closed.")
@click.option(
    "--preemptions",
    type=WholeNumber(0),
    default=2,
    show_default=True,
    help="With --scenario: how often somebody may go before the one who could have gone on.",
)
@click.option("--crashes", type=WholeNumber(0, 2), default=0, show_default=True, help="With --scenario: at most.")
@click.option("--jobs", type=WholeNumber(1, 2), default=1, show_default=True, help="With --scenario.")
@output_option
def simulate(
    count: int | None,
    first: int,
    seed: int | None,
    trace: str | None,
    smaller: bool,
    processes: int | None,
    canary: str | None,
    worlds: str | None,
    scenario: str | None,
    preemptions: int,
    crashes: int,
    jobs: int,
    output: str,
) -> int:
    """Let the product's own loops run in a simulated world, with anyone else going first, and check what they did.

    A failure prints its seed and the shortest trace found. Exit codes: 0 all well, 127 crash, 128 liveness, 129 safety.
    """
    _refuse_what_is_ignored(click.get_current_context())
    variant = PRODUCT if canary is None else CANARIES[canary]
    if scenario is not None:
        return _scenario_2016(linear(crash=crashes > 0, jobs=jobs), Bounds(preemptions, crashes), output)
    if seed is not None:
        if smaller:
            return _smaller(seed, trace, variant, worlds, output)
        return _one(seed, trace, variant, worlds, output)
    wanted = range(first, first + (count or 200))
    return _explore(wanted, processes or os.cpu_count() or 1, variant, worlds, output)


def _refuse_what_is_ignored(context: click.Context) -> None:
    """Raise CommandError for two ways to explore at once, and for an option that the chosen one does not look at."""
    flags = {option.name: option.opts[0] for option in context.command.params}
    typed = [name for name in flags if name and context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    ways = [name for name in typed if name in _WAYS]
    if len(ways) > 1:
        raise CommandError(f"{flags[ways[0]]} and {flags[ways[1]]} are two ways to explore; say one of them")
    way = ways[0] if ways else "count"
    for name in typed:
        needed = [flags[each] for each, looked_at in _WAYS.items() if name in looked_at]
        if needed and name not in _WAYS[way]:
            raise CommandError(f"{flags[name]} needs {' or '.join(needed)}")


def _one(seed: int, trace: str | None, variant: Canary, worlds: str | None, output: str) -> int:
    chooser = Seeded(seed) if trace is None else Replayed(_choices(trace))
    history = one(WORLDS[worlds or variant.worlds](seed), chooser, variant)
    console = current_console()
    if output == "json":
        console.print_json({"schema": 1, **_history_json(history, seed)})
    else:
        console.print("\n".join(_story_lines(history)))
    return EXIT_CODES[history.judgement]


def _smaller(seed: int, trace: str | None, variant: Canary, worlds: str | None, output: str) -> int:
    """A smaller world that fails as that of the seed does, with a history of it."""
    if trace is not None:
        raise CommandError("--trace and --smaller are two ways to make a failure short; say one of them")
    scenario, found = smallest(seed, variant, worlds)
    console = current_console()
    if output == "json":
        console.print_json({"schema": 1, "world": lines_of(scenario), **_history_json(found.history, seed)})
    else:
        console.print("\n".join([*lines_of(scenario), *_story_lines(found.history)]))
    return EXIT_CODES[found.history.judgement]


def _choices(text: str) -> Mapping[int, int]:
    """``place:choice`` pairs; plain numbers are the choices from the first place on."""
    try:
        parts = [part.split(":") for part in text.split(",") if part.strip()]
        if all(len(part) == 1 for part in parts):
            return whole([int(number) for (number,) in parts])
        return {int(place): int(choice) for place, choice in parts}
    except ValueError:
        raise CommandError(
            f"--trace is place:choice in whole numbers, with commas between them, not {text!r}"
        ) from None


def _explore(wanted: range, processes: int, variant: Canary, worlds: str | None, output: str) -> int:
    """Stops at the first history that fails, and shortens it."""
    console = current_console()
    judged: Counter[str] = Counter()
    failed: SeedHistory | None = None
    began = time.monotonic()
    for found in explore(wanted.start, len(wanted), variant, worlds, processes=processes):
        judged[str(found.history.judgement)] += 1
        if found.history.judgement is not Judgement.WELL:
            failed = found
            break
        if found.seed % _PROGRESS_EVERY == _PROGRESS_EVERY - 1:
            console.note(f"{sum(judged.values()):,} of {len(wanted):,} histories, all well")
    seconds = time.monotonic() - began
    if failed is None:
        if output == "json":
            console.print_json({"schema": 1, "variant": variant.name, "histories": dict(judged), "failure": None})
        else:
            total = plural(len(wanted), "history", "histories")
            console.print(f"{total} of {variant.name} in {seconds:.0f} s: all well")
        return 0
    console.note(f"seed {failed.seed} fails ({failed.history.judgement}); looking for the shortest trace")
    short = shorten(failed.seed, variant, worlds)
    choices = ",".join(f"{place}:{choice}" for place, choice in short.choices)
    drawn = lines_of(world(failed.seed, variant, worlds))
    if output == "json":
        failure = {**_history_json(short.history, failed.seed), "choices": choices, "world": drawn}
        console.print_json({"schema": 1, "variant": variant.name, "histories": dict(judged), "failure": failure})
        return EXIT_CODES[short.history.judgement]
    console.print("\n".join([*drawn, *_story_lines(short.history)]))
    if short.history.choices:
        console.print("What was unusual:")
        console.print(bullet_lines(short.history.choices))
    option = "" if variant is PRODUCT else f" --canary {variant.name}"
    option += "" if worlds is None else f" --worlds {worlds}"
    console.print(f"seed {failed.seed} ({counted(judged)} so far); to see it again:")
    console.print(f"  tailrace simulate --seed {failed.seed} --trace {choices or '0:0'}{option}")
    console.print(f"  tailrace simulate --seed {failed.seed} --smaller{option}  # in a smaller world")
    return EXIT_CODES[short.history.judgement]


# --- the race of 2016 --------------------------------------------------------------------------------------


class Bounds(Struct, frozen=True):
    """How far an exhaustive search goes."""

    preemptions: int
    crashes: int

    def __str__(self) -> str:
        text = f"at most {plural(self.preemptions, 'preemption')}"
        return text + (f" and {plural(self.crashes, 'crash', 'crashes')}" if self.crashes else "")


def _scenario_2016(world: Scenario, bounds: Bounds, output: str) -> int:
    """A → B, the worker finishing between two reads: false deadlock in the loop of 2016, in no interleaving here."""
    canary = CANARIES[_NON_ATOMIC]
    hunt = Search(max(bounds.preemptions, 2), 0)
    caught = next((each for each in every(linear(), hunt, canary) if each.judgement is not Judgement.WELL), None)
    console = current_console()
    if output != "json":
        console.print(_LEGEND_2016)
        console.print(styled("The loop of 2016: it reads one task instance at a time.", sys.stdout, bold=True))
        console.print("\n".join(_story_lines(caught)) if caught else "it was not caught: the simulator proves nothing")
        console.print("")
        console.print(styled("Tailrace in the same world: one snapshot per decision.", sys.stdout, bold=True))
    judged: Counter[str] = Counter()
    sample: History | None = None
    broken: History | None = None
    search = Search(bounds.preemptions, bounds.crashes)
    for history in every(world, search):
        judged[str(history.judgement)] += 1
        if sample is None or (_raced(history) and not _raced(sample)):
            sample = history
        if history.judgement is not Judgement.WELL:
            broken = history
            break
    shown = broken or (sample and one(world, Replayed(whole(sample.trace), merges=True)))  # to its end, joined or not
    if output == "json":
        console.print_json(
            {
                "schema": 1,
                "scenario": "2016",
                "canary": None if caught is None else _history_json(caught, None),
                "product": {
                    "interleavings": dict(judged),
                    "states": len(search.states),
                    "failure": broken and _history_json(broken, None),
                },
            }
        )
    elif shown is not None:
        console.print("\n".join(_story_lines(shown)))
        total = plural(sum(judged.values()), "interleaving")
        console.print(f"{total} of {plural(len(search.states), 'state')} ({bounds}): {counted(judged)}")
        console.print("An interleaving that comes to a state another one was in ends there: the rest has been seen.")
    if broken is not None:
        return EXIT_CODES[broken.judgement]
    if search.trapped():
        return EXIT_CODES[Judgement.LIVENESS]
    return 0 if caught is not None else _CANARY_LIVES


def _raced(history: History) -> bool:
    """Whether the worker finished a task just after the job had read that it runs."""
    return any(
        "ReadSnapshot" in before and "a running, b none" in before and "ReportOutcome" in after
        for before, after in pairwise(history.story)
    )


# --- telling -----------------------------------------------------------------------------------------------


def _story_lines(history: History) -> list[str]:
    """A history step by step, and what was found of it."""
    lines = [f"{number:4}  {line}" for number, line in enumerate(history.story, start=1)]
    ending = f"{history.judgement} after {plural(history.steps, 'step')}, digest {history.digest}"
    colour = "green" if history.judgement is Judgement.WELL else "red"
    lines.append(styled(ending, sys.stdout, fg=colour, bold=True))
    if history.findings:
        lines.append(bullet_lines(history.findings))
    return lines


def _history_json(history: History, seed: int | None) -> dict[str, object]:
    return {
        "seed": seed,
        "judgement": str(history.judgement),
        "findings": list(history.findings),
        "steps": history.steps,
        "digest": history.digest,
        "trace": list(history.trace),
        "story": list(history.story),
    }
