"""The site of `make site`: README.md and the pages of docs/ and experiments/, as they are.

Its source is the repository's folder, so that a link leads to where it leads on GitHub: to a page, or to a file's copy.
"""

import re
import shutil

from sphinx.application import Sphinx

project = "smdl"
root_doc = "README"
include_patterns = ["README.md", "docs/**.md", "experiments/*/*.md"]
# What is not walked through: environments and results hold many files.
exclude_patterns = [".*", "results"]
extensions = ["myst_parser"]
myst_heading_anchors = 6
smartquotes = False
# Most blocks that name no language are equations or commands.
highlight_language = "none"

html_theme = "furo"
html_title = project
html_copy_source = False
html_use_index = False
html_show_copyright = False
# An extract would be fetched from each page found, which browsers refuse where pages are opened from a folder.
html_show_search_summary = False


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """The map of the pages, docs/README.md, is the navigation: what is bold there is a caption, each link a page."""
    if page == root_doc:
        map_of_pages = (app.srcdir / "docs/README.md").read_text(encoding="utf-8")
        _, *chapters = re.split(r"^\*\*(.+?)\*\*", map_of_pages, flags=re.MULTILINE)
        source[0] += toctree("", ["README.md"])
        for caption, links in zip(chapters[::2], chapters[1::2], strict=True):
            source[0] += toctree(f":caption: {caption}", re.findall(r"\]\((\S+\.md)\)", links))


def toctree(caption: str, links: list[str]) -> str:
    """A part of the navigation in MyST's Markdown, its links as seen from docs/."""
    pages = "\n".join(f"docs/{link}" for link in links)
    return f"\n\n```{{toctree}}\n:hidden:\n{caption}\n\n{pages}\n```\n"


def add_index(app: Sphinx, failure: Exception | None) -> None:
    """A browser or server that is given the folder opens index.html."""
    if not failure:
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
    app.connect("build-finished", add_index)
