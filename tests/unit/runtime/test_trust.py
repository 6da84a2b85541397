"""What was found and not named is obeyed only if it is the person's own: a planted tailrace.toml runs nobody's code."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import CommandError
from tailrace.runtime.settings import Settings, load_settings
from tailrace.runtime.trust import Trust

STRANGER = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def above(tmp_path: Path) -> Path:
    """A folder like /tmp, in which everybody may make files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    (folder / "mine" / "work").mkdir(parents=True)
    return folder


def load(folder: Path, **environ: str) -> Settings:
    return load_settings(environ=environ, cwd=folder)


def plant(path: Path, text: str | None = None, user: int = STRANGER) -> Path:
    """Another user's file, or without text a folder of theirs."""
    if text is None:
        path.mkdir()
    else:
        path.write_text(text)
    os.lchown(path, user, user)
    return path


@needs_root
def test_a_planted_settings_file_is_passed_over_and_reported(above: Path) -> None:
    """``hostile/planted.sh``: every command ran the other's code."""
    toml = plant(above / "tailrace.toml", 'dags = "evil"\nworkers = 9\n')
    settings = load(above / "mine" / "work")
    assert settings.project == above / "mine" / "work"
    assert (settings.dags, settings.workers == 9) == (above / "mine" / "work" / "dags", False)
    (notice,) = settings.notices
    assert notice == (
        f"{toml} belongs to nobody (uid 65534), and is not obeyed; "
        f"TAILRACE_SAFE_DIRECTORIES={above} trusts what is there"
    )
    assert load(above).workers != 9, "nor in the working folder itself"


@needs_root
@pytest.mark.parametrize("home", [False, True])
def test_the_search_goes_on_above_it(above: Path, tmp_path: Path, home: bool) -> None:
    plant(above / ".tailrace") if home else plant(above / "tailrace.toml", "workers = 9\n")
    (tmp_path / "tailrace.toml").write_text("workers = 7\n")
    settings = load(above / "mine")
    assert (settings.project, settings.workers, len(settings.notices)) == (tmp_path, 7, 1)


@needs_root
@pytest.mark.parametrize("safe", ["*", "{above}", "x:{above}", "{above}/*", "{parent}/*", "../..", "{above}/mine/.."])
def test_the_exceptions_are_obeyed(above: Path, safe: str) -> None:
    plant(above / "tailrace.toml", "workers = 9\n")
    plant(above / ".tailrace")
    named = safe.format(above=above, parent=above.parent)
    settings = load(above / "mine" / "work", TAILRACE_SAFE_DIRECTORIES=named)
    assert (settings.project, settings.workers, settings.notices) == (above, 9, ())


@needs_root
@pytest.mark.parametrize("safe", ["{parent}", "{above}x", "{above}/mine/*", "", "**", "{above}/*x"])
def test_nothing_else_is(above: Path, safe: str) -> None:
    plant(above / "tailrace.toml", "workers = 9\n")
    named = safe.format(above=above, parent=above.parent)
    assert load(above / "mine" / "work", TAILRACE_SAFE_DIRECTORIES=named).workers != 9


def test_a_settings_file_cannot_excuse_itself(above: Path) -> None:
    (above / "mine" / "tailrace.toml").write_text('safe_directories = "*"\n')
    with pytest.raises(CommandError, match="unknown setting 'safe_directories'"):
        load(above / "mine")
    with pytest.raises(CommandError, match="did you mean TAILRACE_SAFE_DIRECTORIES"):
        load(above, TAILRACE_SAFE_DIRECTORY="*")


@needs_root
def test_dag_files_that_nobody_named_are_their_owners(above: Path) -> None:
    plant(above / "dags")
    settings = load(above)
    with pytest.raises(CommandError) as said:
        settings.require_trusted_dags()
    assert str(said.value) == (
        f"{above}/dags belongs to nobody (uid 65534), and is not loaded; --dags names it, or "
        f"TAILRACE_SAFE_DIRECTORIES={above} trusts what is there"
    )
    load(above, TAILRACE_DAGS="dags").require_trusted_dags()
    load_settings({"dags": "dags"}, environ={}, cwd=above).require_trusted_dags()
    load(above, TAILRACE_SAFE_DIRECTORIES=".").require_trusted_dags()
    (above / "tailrace.toml").write_text('dags = "dags"\n')
    load(above / "mine").require_trusted_dags()


@needs_root
def test_a_home_that_nobody_named_is_its_owners(above: Path) -> None:
    (above / "mine" / "tailrace.toml").touch()
    plant(above / "mine" / ".tailrace")
    with pytest.raises(CommandError, match=r"\.tailrace belongs to nobody \(uid 65534\), and is not used; TAILRACE_HO"):
        load(above / "mine" / "work")
    assert load(above / "mine", TAILRACE_HOME=".tailrace").home == above / "mine" / ".tailrace"


@needs_root
@pytest.mark.parametrize("name", ["tailrace.toml", ".tailrace", "dags"])
def test_a_link_is_its_owners_whatever_it_leads_to(above: Path, name: str) -> None:
    """And what a link of one's own leads to is still another's."""
    own = above / "mine" / "own"
    own.write_text("workers = 9\n") if name == "tailrace.toml" else own.mkdir()
    link = above / name
    link.symlink_to(own)
    os.lchown(link, STRANGER, STRANGER)
    assert Trust({}, above).untrusted(link) is not None
    os.lchown(own, STRANGER, STRANGER)
    os.lchown(link, 0, 0)
    assert Trust({}, above).untrusted(link) is not None
    os.lchown(own, 0, 0)
    assert Trust({}, above).untrusted(link) is None


@needs_root
def test_root_trusts_whoever_typed_sudo_and_everybody_trusts_root(above: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = plant(above / "tailrace.toml", "workers = 9\n")
    assert load(above, SUDO_UID=str(STRANGER)).workers == 9
    assert load(above, SUDO_UID="1").workers != 9
    monkeypatch.setattr("tailrace.runtime.trust.os.geteuid", lambda: STRANGER)
    assert load(above).workers == 9
    os.lchown(toml, 0, 0)
    assert load(above).workers == 9, "root can do as it likes anyway"
    os.lchown(toml, 1, 1)
    assert load(above, SUDO_UID="1").workers != 9, "SUDO_UID means nothing to others"


@needs_root
def test_a_folder_of_anothers_may_be_changed_at_any_moment(above: Path) -> None:
    theirs = plant(above / "theirs")
    (theirs / "tailrace.toml").write_text("workers = 9\n")
    (theirs / "work").mkdir()
    settings = load(theirs / "work")
    assert settings.workers != 9
    assert "theirs/tailrace.toml is in a folder of nobody (uid 65534), and is not obeyed" in settings.notices[0]


def test_what_everybody_may_write_to_is_obeyed_in_the_working_folder_alone(above: Path) -> None:
    """There it was made so by whoever works in it (umask 0); above, anybody may have written it."""
    toml = above / "mine" / "tailrace.toml"
    toml.write_text("workers = 9\n")
    toml.chmod(0o666)
    assert load(above / "mine").workers == 9
    assert load(above / "mine").notices == (
        f"{toml} may be written to by everybody (chmod o-w): anybody can change what runs as you",
    )
    assert load(above / "mine" / "work").workers != 9
    toml.chmod(0o664)
    assert (load(above / "mine" / "work").workers, load(above / "mine" / "work").notices) == (9, ())
    (above / "mine").chmod(0o777)
    assert load(above / "mine" / "work").workers != 9
    assert "is in a folder where everybody may replace it" in load(above / "mine" / "work").notices[0]
    (above / "mine").chmod(0o1777)
    assert load(above / "mine" / "work").workers == 9


def test_dag_files_that_everybody_may_change(above: Path) -> None:
    (above / "mine" / "tailrace.toml").touch()
    (above / "mine" / "dags").mkdir()
    (above / "mine" / "dags").chmod(0o777)
    load(above / "mine").require_trusted_dags()
    assert (
        "dags may be written to by everybody (chmod o-w): anybody can put code there" in load(above / "mine").notices[0]
    )
    with pytest.raises(CommandError, match="may be written to by everybody"):
        load(above / "mine" / "work").require_trusted_dags()


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))))
def test_no_list_of_exceptions_breaks_it(parts: list[str]) -> None:
    Trust({"TAILRACE_SAFE_DIRECTORIES": ":".join(parts), "SUDO_UID": "".join(parts)}, Path("/")).untrusted(Path("/tmp"))
