"""The page is one document and the files beside it: all that they name is there, and comes from here."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from tailrace.web.pages import PAGES, page_routes

STATIC = Path(str(files("tailrace.web") / "static"))
FILES = sorted(each for each in STATIC.rglob("*") if each.is_file())
ADDRESSES = dict(page_routes())
SCRIPTS = [each for each in FILES if each.suffix == ".js"]


def test_every_file_has_its_address() -> None:
    beside = {f"/static/{each.relative_to(STATIC)}" for each in FILES} - {"/static/index.html"}
    assert ADDRESSES.keys() == beside | set(PAGES)


def test_what_the_document_names_is_there() -> None:
    document = (STATIC / "index.html").read_text()
    named = set(re.findall(r'(?:src|href)="([^"]+)"', document))
    assert named <= ADDRESSES.keys()
    assert {"/static/main.js", "/static/style.css"} <= named


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda each: str(each.relative_to(STATIC)))
def test_what_a_script_imports_is_there_and_it_says_what_it_is_for(script: Path) -> None:
    text = script.read_text()
    for imported in re.findall(r'from "([^"]+)"', text):
        assert imported.startswith("."), "nothing is imported but files beside it"
        assert (script.parent / imported).resolve() in SCRIPTS
    assert re.match(r"// \w.*\n(// .*\n)*// @ts-check\n", text)
    assert len(text.splitlines()) < 400


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    """The content security policy would not run it, and no third party is told who looks at what."""
    for each in FILES:
        text = each.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|//\w+\.\w+|@import|url\(", text), each
        assert not re.search(r"\bstyle=|\bon\w+=|<script(?![^>]*\bsrc=)|<style|javascript:", text), each
        assert not re.search(r"(inn|out)erHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), each
    assert FILES


def test_the_router_and_the_server_know_the_same_pages() -> None:
    [table] = re.findall(r"const PAGES = {(.*)}", (STATIC / "router.js").read_text())
    assert set(re.findall(r'"(/\w*)":', table)) == set(PAGES)
