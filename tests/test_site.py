"""The site of `make site`: every page is in it, no link is dead, nothing comes from a network, its search finds."""

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from chromium import Browser
from conftest import ROOT
from test_docs import PAGES_WRITTEN


def made(folder: Path) -> subprocess.CompletedProcess:
    """What `make site` does in a copy of the repository, with the environment that runs the tests."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    (folder / ".venv").symlink_to(sys.prefix)
    return subprocess.run(["make", "-o", ".venv/site", "site"], cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "clone"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "results"))
    run = made(folder)
    assert run.returncode == 0, run.stderr
    return folder / "results/site"


class Page(HTMLParser):
    """The anchors of a page, and each address in it with the tag that has it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.addresses: list[tuple[str, str]] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if name in ("href", "src", "action", "data") and value:
                self.addresses.append((tag, value))


def faults(site: Path) -> list[str]:
    """Every link that leads nowhere, and everything but a link that leads out of the site."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for tag, address in page.addresses:
            parts = urlsplit(address)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme or parts.netloc:
                fine = tag == "a" and parts.scheme == "https"
            else:
                anchors = pages[target].anchors if target in pages else {""}
                fine = target.is_file() and target.is_relative_to(site.resolve()) and parts.fragment in anchors
            if not fine:
                found.append(f"{path.relative_to(site.resolve())}: {tag} {address}")
    return found


def test_no_link_is_dead_and_nothing_comes_from_a_network(site):
    linked = {address for _, address in Page(site / "docs/concepts/rulers.html").addresses}
    assert {"../findings/complexity.html", "../findings/mini.html#the-rulers", "https://www.sphinx-doc.org/"} <= linked
    assert faults(site) == []


@pytest.mark.parametrize(
    "tag",
    [
        '<a href="nowhere.html">',
        '<a href="#nowhere">',
        '<a href="a.html#nowhere">',
        '<a href="../outside.html">',
        '<a href="http://localhost">',
        '<a href="//localhost">',
        '<img src="nowhere.png">',
        '<script src="https://localhost/a.js">',
    ],
)
def test_a_dead_link_or_a_network_is_seen(tag, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "outside.html").touch()
    (site / "a.html").write_text('<p id="there">')
    (site / "b.html").write_text('<a href="a.html?v=1#there"></a><a href="https://localhost"></a>')
    assert faults(site) == []
    (site / "c.html").write_text(tag)
    assert len(faults(site)) == 1


def test_every_page_is_in_it(site):
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    written = {str(path.relative_to(ROOT).with_suffix(".html")) for path in PAGES_WRITTEN}
    assert pages == {*written, "index.html", "search.html"}


def test_what_would_be_wrong_in_the_site_fails(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/conf.py", tmp_path / "docs")
    (tmp_path / "README.md").write_text("# a\n\n[b](nowhere.md) [c](docs/README.md#nowhere) ![d](nowhere.png)\n")
    (tmp_path / "docs/README.md").write_text("# e\n\n**f**\n\n- [g](../README.md)\n")
    (tmp_path / "docs/alone.md").write_text("# h\n")
    run = made(tmp_path)
    assert run.returncode != 0
    for kind in ("myst.xref_missing", "image.not_readable", "toc.not_included"):
        assert f"[{kind}]" in run.stderr, kind


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield one
    one.close()


def complaints(browser: Browser) -> list[str]:
    """Errors of the pages so far, and what they asked for beside files."""
    return browser.errors + [request for request in browser.requests if not request.startswith(("file:", "data:"))]


def follow(browser: Browser, address: str) -> None:
    """Go where a form or link leads: after a click the page would be asked while it is left, which is an error."""
    browser.call("Page.navigate", url=browser.wait(address))
    browser.wait("document.readyState === 'complete'")


def test_a_search_leads_to_the_place(site, browser):
    browser.open(site / "index.html")
    browser.run("document.querySelector('form input').value = 'critical level'")
    sent = "new URLSearchParams(new FormData(document.querySelector('form')))"
    follow(browser, f"`${{document.querySelector('form').action}}?${{{sent}}}`")
    found = "Compression schemes > Finding the critical level"
    follow(browser, f"[...document.querySelectorAll('.search a')].find(link => link.textContent === '{found}')?.href")
    assert browser.run("document.querySelector(':target h2').textContent").startswith("Finding the critical level")
    browser.wait("scrollY > 0 && document.querySelector(':target h2').getBoundingClientRect().top < innerHeight")
    assert complaints(browser) == []


def test_every_page_fits_a_telephone_and_shows_its_pictures(site, browser):
    browser.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    pictures = 0
    for page in sorted(site.rglob("*.html")):
        browser.open(page)
        assert browser.run("document.documentElement.scrollWidth") == 400, page
        shown = browser.run("[...document.images].map(image => image.naturalWidth > 0)")
        assert all(shown), page
        pictures += len(shown)
    assert pictures > 10
    assert complaints(browser) == []
