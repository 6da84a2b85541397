"""No command says a password, whatever form the address has that it was found in: on a terminal, as JSON, with -vv."""

from pathlib import Path

import pytest

from tailrace.cli import main as top
from tests.unit.runtime.test_passwords import addresses, is_said


@pytest.mark.parametrize("part", range(4))
def test_no_command_prints_it(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One address in sixteen, by variable and by file, through commands that show, reach for and fail at it."""
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(addresses()[part::16]):
        if number % 7 == 0 and "\n" not in text:
            monkeypatch.delenv("TAILRACE_DATABASE_URL", raising=False)
            quoted = text.replace("\\", "\\\\").replace('"', '\\"')
            (tmp_path / "tailrace.toml").write_text(f'database_url = "{quoted}"\n')
        else:
            (tmp_path / "tailrace.toml").write_text("")
            monkeypatch.setenv("TAILRACE_DATABASE_URL", text)
        for command in (["config", "show"], ["config", "show", "-o", "json"], ["db", "check", "-vv"]):
            code = top.run(command)
            said = capfd.readouterr()
            assert not is_said(said.out + said.err), (text, command)
            assert code in (0, 2, 4), (text, command, said.err)
