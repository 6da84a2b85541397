"""Every write of the metastore inside every other: paused after its statements, while the other runs whole.

On PostgreSQL the two are real connections under READ COMMITTED; on SQLite the second has to wait from the first's BEGIN
on. Whatever the order, the history stands up to the audit, limits hold, and of two writes that want one thing exactly
one gets it. Nobody ever waits in a circle.
"""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.witness import Witness
from tailrace.metastore.store import Metastore
from tests.conformance.interleaving import Beside, Pause, Scene, done, has_won
from tests.conformance.worlds import World

NAMES = (
    *("queue a", "queue b", "lose d", "judge", "begin 3", "begin 4", "claim c", "renew d", "report d", "create"),
    *("trigger", "clear all", "clear 2", "mark a", "cancel", "pause", "pause schedule", "shrink one", "widen spare"),
    *("delete spare", "clean", "start", "beat", "end", "due", "let go"),
)
_DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


@pytest.fixture
def scene(world: World, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(Witness, "look", lambda witness, tx: None)  # a scene puts back what was there, again and again
    made = Scene(world)
    assert tuple(made.writes) == NAMES
    return made


def judge(scene: Scene, names: tuple[str, str], answers: tuple[object, object], where: str) -> None:
    """Sound, and every prize that both wanted went to exactly one of them."""
    scene.world.sound()
    one, other = (scene.writes[name] for name in names)
    if one is other and one.once:
        assert answers[0] == answers[1], f"{where}: {answers}"
    elif one.prizes & other.prizes:
        won = [has_won(write, answer) for write, answer in zip((one, other), answers, strict=True)]
        assert sum(won) == 1, f"{where}: {answers}"


def test_each_write_alone_does_something(scene: Scene) -> None:
    for name, write in scene.writes.items():
        scene.back()
        answer = done(write, scene.world.store, scene.world.write_id())
        assert has_won(write, answer), f"{name}: {answer}"
        scene.world.sound()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["some", "all"])
def test_every_write_paused_in_every_other(scene: Scene, open_store: Callable[..., Metastore], whole: bool) -> None:
    """Of writes that want one thing, every statement; of the others one, another for each pair (all under soak)."""
    world = scene.world
    first, second, watcher = open_store(), open_store(), open_store()
    pause = Pause(first)
    for one, write in scene.writes.items():
        for _ in range(2):  # the first one also finds what the store then knows
            scene.back()
            pause.at(0, lambda: None)
            done(write, first, world.write_id())
        inside = range(2, pause.seen)  # not after BEGIN, when nothing is done, nor after COMMIT, when all is
        for step, (other, beside_it) in enumerate(scene.writes.items()):
            every = whole or write.prizes & beside_it.prizes
            for statement in inside if every else inside[step % len(inside) :][:1]:
                scene.back()
                beside = Beside(beside_it, second, watcher, world.write_id())
                pause.at(statement, beside.start)
                answer = done(write, first, world.write_id())
                assert pause.happened, f"{one} has no statement {statement}"
                where = f"{one}, paused after statement {statement}, {other} inside"
                judge(scene, (one, other), (answer, beside.finish()), where)
    assert watcher.read(lambda tx: tx.rows(_DEADLOCKS)[0][0]) == 0


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_nobody_is_inside_a_write_on_sqlite(scene: Scene, open_store: Callable[..., Metastore]) -> None:
    world = scene.world
    first, second = open_store(), open_store(lock_wait=0.0)
    pause = Pause(first)
    for one in NAMES:
        for other in NAMES:
            scene.back()
            kept_out: list[str] = []

            def try_it(name: str = other, kept_out: list[str] = kept_out) -> None:
                with pytest.raises(EnvironmentBroken, match="locked"):
                    done(scene.writes[name], second, world.write_id())
                kept_out.append(name)

            pause.at(2, try_it)
            answer = done(scene.writes[one], first, world.write_id())
            assert kept_out == [other], f"{one} was never paused"
            judge(scene, (one, other), (answer, done(scene.writes[other], second, world.write_id())), f"{one}, {other}")
