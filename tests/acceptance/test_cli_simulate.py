"""``tailrace simulate``: one seed is one history, a failure can be replayed, exit codes tell failures apart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailrace.cli.main import run

Typed = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def simulate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Typed:
    """``simulate(*options)`` with JSON: (exit code, answer, stderr)."""
    monkeypatch.chdir(tmp_path)

    def typed(*options: str) -> tuple[int, Any, str]:
        code = run(("simulate", "-o", "json", *options))
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return typed


def test_a_seed_is_one_history(simulate: Typed) -> None:
    code, once, _ = simulate("--seed", "3")
    assert (code, once["judgement"], once["findings"]) == (0, "well", [])
    assert once["story"]
    assert simulate("--seed", "3")[1] == once


def test_several_seeds(simulate: Typed) -> None:
    code, answer, _ = simulate("--seeds", "3", "--first", "5")
    assert (code, answer["histories"], answer["failure"]) == (0, {"well": 3}, None)


def test_a_canary_is_caught_and_its_trace_replays_it(simulate: Typed) -> None:
    code, answer, _ = simulate("--canary", "open-transaction", "--seeds", "50")
    failure = answer["failure"]
    assert (code, failure["judgement"]) == (127, "crash")
    trace = failure["choices"]
    again, replayed, _ = simulate("--canary", "open-transaction", "--seed", str(failure["seed"]), "--trace", trace)
    assert (again, replayed["judgement"]) == (127, "crash")
    whole = ",".join(map(str, failure["trace"]))
    assert simulate("--canary", "open-transaction", "--seed", str(failure["seed"]), "--trace", whole)[0] == 127


def test_the_race_of_2016_is_shown_and_closed(simulate: Typed) -> None:
    code, answer, _ = simulate("--scenario", "2016")
    assert code == 0
    assert answer["canary"]["judgement"] == "safety"
    assert any("false deadlock" in finding for finding in answer["canary"]["findings"])
    assert any("deadlocked" in step for step in answer["canary"]["story"])
    assert set(answer["product"]["interleavings"]) == {"well"}
    assert answer["product"]["failure"] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--trace", "1"), "--trace needs --seed"),
        (("--seed", "3", "--seeds", "4"), "--seeds and --seed are two ways to explore"),
        (("--scenario", "2016", "--seed", "1"), "--seed and --scenario are two ways to explore"),
        (("--crashes", "1"), "--crashes needs --scenario"),
        (("--seed", "1", "--preemptions", "2"), "--preemptions needs --scenario"),
        (("--seed", "1", "--processes", "2"), "--processes needs --seeds"),
        (("--scenario", "2016", "--canary", "non-atomic-reads"), "--canary needs --seeds or --seed"),
        (("--crashes", "3"), "'3' is not a whole number from 0 to 2"),
        (("--seed", "1", "--trace", "a"), "whole numbers"),
        (("--canary", "parrot"), "non-atomic-reads"),
        (("--scenario", "1999"), "2016"),
    ],
)
def test_wrong_options(simulate: Typed, options: tuple[str, ...], says: str) -> None:
    code, answer, err = simulate(*options)
    assert (code, answer) == (2, None)
    assert says in err and (err.count("\n") == 1 or len(err) > 300)  # the names of all canaries take more than a line
