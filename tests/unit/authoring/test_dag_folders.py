"""Which files are DAG files, whatever names, links and kinds of file there are; and what shows that one has changed."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.authoring.loading import dag_files
from tailrace.authoring.loading.dag_files import FolderWatch, find_dag_files
from tailrace.authoring.loading.load import load_dags
from tailrace.model.plain_text import on_one_line

DAG_TEXT = "from tailrace import DAG, EmptyOperator\nwith DAG({!r}):\n    EmptyOperator(task_id='t')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "good.py").write_text(DAG_TEXT.format("good"))
    return tmp_path / "dags"


def found(folder: Path) -> list[str]:
    files, mistakes = find_dag_files(folder)
    assert mistakes == []
    return [str(file.relative_to(folder)) for file in files]


def only_mistake(folder: Path) -> str:
    """The one mistake; the good DAG is there all the same."""
    loaded = load_dags(folder)
    assert list(loaded.specs) == ["good"]
    (mistake,) = loaded.mistakes
    return str(mistake).replace(f"{folder}/", "")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is a FIFO (a named pipe), not a file: it is not opened"),
        (make_socket, "is a socket, not a file: it is not opened"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file: it is not opened"),
        (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels of symbolic links; it is a link"),
        (lambda path: path.symlink_to("nowhere"), "cannot be read: No such file or directory; it is a link"),
    ],
)
def test_what_is_no_file_is_named_and_not_opened(folder: Path, make: Callable[[Path], None], said: str) -> None:
    make(folder / "odd.py")
    assert only_mistake(folder) == f"odd.py: {said}"


def test_a_link_to_a_fifo_is_not_opened_either(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (folder / "odd.py").symlink_to(tmp_path / "pipe")
    assert only_mistake(folder).startswith("odd.py: is a FIFO")


def test_a_fifo_that_takes_the_place_of_a_file_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = os.stat
    os.mkfifo(folder / "odd.py")
    like_a_file = stat(folder / "good.py")
    monkeypatch.setattr(
        os, "stat", lambda path, **how: like_a_file if str(path).endswith("odd.py") else stat(path, **how)
    )
    assert only_mistake(folder).startswith("odd.py: is a FIFO")


def test_a_file_that_nobody_can_have_written_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_files, "LONGEST_FILE", 1000)
    (folder / "odd.py").write_text("#" * 1001)
    assert only_mistake(folder) == "odd.py: is 1,001 bytes long; no DAG file is longer than 1,000"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_reported(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0)
    assert only_mistake(folder) == "closed: this folder cannot be read: Permission denied"


def test_a_folder_that_has_gone_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gone").mkdir()
    scandir = os.scandir

    def scan(path: str) -> object:
        if path.endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert only_mistake(folder) == "gone: this folder cannot be read: No such file or directory"


def test_linked_folders_are_followed_and_circles_are_cut(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "linked.py").write_text("")
    (folder / "to").symlink_to(tmp_path / "elsewhere")
    (folder / "self").symlink_to(".")
    (folder / "up").symlink_to("/")
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(folder)
    (tmp_path / "elsewhere" / "deep" / "deep").symlink_to("../deep")
    assert found(folder) == ["good.py", "to/deep/linked.py"]


def test_a_linked_file_is_one_of_its_own(folder: Path) -> None:
    """A known way to make several DAGs of one text: by the name of the file."""
    text = DAG_TEXT.replace("{!r}", "__file__.rpartition('/')[2].removesuffix('.py')")
    (folder / "a.py").write_text(text)
    (folder / "b.py").symlink_to("a.py")
    assert sorted(load_dags(folder).specs) == ["a", "b", "good"]


def test_what_is_hidden_private_or_a_virtual_environment_is_no_dag_file(folder: Path) -> None:
    for name in (".hidden", "_private", "__pycache__", "venv/lib", "sub"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.py").write_text("")
    (folder / "venv" / "pyvenv.cfg").write_text("")
    (folder / "_helper.py").write_text("")
    (folder / "notes.txt").write_text("")
    (folder / "folder.py").mkdir()
    assert found(folder) == ["good.py", "sub/x.py"]


def test_a_file_alone(folder: Path) -> None:
    assert find_dag_files(folder / "good.py") == ([folder / "good.py"], [])
    os.mkfifo(folder / "pipe.py")
    assert "is a FIFO" in str(load_dags(folder / "pipe.py").mistakes)
    (folder / "loop").symlink_to("loop")
    assert "is no Python file" in str(load_dags(folder / "loop").mistakes)


@given(name=st.binary(min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_whatever_its_name_a_file_harms_itself_alone(name: bytes) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "good.py").write_text(DAG_TEXT.format("good"))
        path = folder / os.fsdecode(name.replace(b"/", b"-").replace(b"\0", b"0") + b".py")
        path.write_text(DAG_TEXT.format("odd"))
        loaded = load_dags(folder)
        hidden = path.name.startswith((".", "_"))
        assert sorted(loaded.specs) == (["good"] if hidden else ["good", "odd"]), loaded.mistakes
        for spec in loaded.specs.values():
            assert on_one_line(spec.file) == spec.file and spec.file.encode()


# --- changes -------------------------------------------------------------------------------------------------


def test_a_swapped_link_is_seen_though_size_and_time_are_equal(tmp_path: Path) -> None:
    """As git-sync does it."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "flow.py").write_text(f"V = '{version}'\n")
        (tmp_path / version / "_helper.py").write_text("SAME = 1\n")
        for file in (tmp_path / version).iterdir():
            os.utime(file, ns=(10**18, 10**18))
    (tmp_path / "dags").symlink_to("one")
    watch = FolderWatch(tmp_path / "dags")
    before = watch.digests()
    assert watch.digests() == before
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "dags")
    after = watch.digests()
    assert {name for name in after if after[name] != before[name]} == {str(tmp_path / "dags" / "flow.py")}


def test_a_file_rewritten_in_place_is_seen_though_size_and_time_are_equal(folder: Path) -> None:
    watch = FolderWatch(folder)
    before = watch.digests()
    file = folder / "good.py"
    kept = file.stat()
    file.write_text(file.read_text().replace("'good'", "'evil'"))
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert watch.digests() != before


def test_a_touched_file_is_none_that_changed(folder: Path) -> None:
    watch = FolderWatch(folder)
    before = watch.digests()
    os.utime(folder / "good.py")
    (folder / "good.py").chmod(0o600)
    (folder / "copy").write_bytes((folder / "good.py").read_bytes())
    (folder / "copy").rename(folder / "good.py")
    assert watch.digests() == before


def test_a_file_is_not_read_again_while_nothing_about_it_is_new(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_files, "_TIMESTAMP_NS", -(10**12))
    watch = FolderWatch(folder)
    before = watch.digests()
    monkeypatch.setattr(dag_files, "read_source", lambda file: 1 / 0)
    assert watch.digests() == before


def test_files_that_come_go_or_cannot_be_read_are_seen(folder: Path) -> None:
    watch = FolderWatch(folder)
    seen = [watch.digests()]
    os.mkfifo(folder / "odd.py")
    seen.append(watch.digests())
    (folder / "odd.py").unlink()
    (folder / "odd.py").write_text("")
    seen.append(watch.digests())
    (folder / "good.py").unlink()
    seen.append(watch.digests())
    assert [sorted(Path(name).name for name in each) for each in seen] == [
        ["good.py"],
        ["good.py", "odd.py"],
        ["good.py", "odd.py"],
        ["odd.py"],
    ]
    assert seen[1] != seen[2]
    alone = FolderWatch(folder / "odd.py")
    assert len(alone.digests()) == 1
