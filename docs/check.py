"""Finds faults in a built site: broken links, and files that a browser would fetch from another host.

Zensical checks links between pages before it builds them. This module reads the resulting HTML, so it also
checks links to other files and into folders, and finds Markdown that was not rendered as intended.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

# Element -> attribute whose address a browser fetches by itself. A link (`a`) is followed by a person, and
# may lead anywhere.
FETCHED: Final = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "video": "src",
}
POLICY: Final = "Content-Security-Policy"  # set in docs/theme/main.html
# Markdown that was rendered as text: a list or table without an empty line before it, or an unclosed fence.
UNREAD: Final = re.compile(r"^(?:[-*] |\d+\. |\|.*\||```)", re.MULTILINE)
ELSEWHERE_IN_CSS: Final = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"'])\s*(?:https?:)?//[^)\"']+")


class Page(HTMLParser):
    """A page's anchors, links and fetched addresses, and paragraphs that look like unrendered Markdown."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.unread: list[str] = []
        self.closed = POLICY in html
        self._paragraph: list[str] | None = None
        self._code = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect anchors, links and fetched addresses from a tag."""
        given = {name: value for name, value in attrs if value is not None}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in FETCHED and FETCHED[tag] in given:
            self.fetched.append(given[FETCHED[tag]])
        elif tag == "p":
            self._paragraph = []
        self._code += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        """At the end of a paragraph, check whether it looks like unrendered Markdown."""
        self._code -= tag == "code"
        if tag == "p" and self._paragraph is not None:
            if found := UNREAD.search("".join(self._paragraph)):
                self.unread.append(found.group())
            self._paragraph = None

    def handle_data(self, data: str) -> None:
        """Collect a paragraph's text, except its code, which may look like Markdown."""
        if self._paragraph is not None and not self._code:
            self._paragraph.append(data)


def faults(site: Path) -> list[str]:
    """Return one line for each fault of the site, and no line if there is none."""
    pages = {file: Page(file.read_text("utf-8")) for file in sorted(site.rglob("*.html"))}
    found = [f"{file.relative_to(site)}: {fault}" for file in pages for fault in _of_page(file, pages, site)]
    for file in sorted(site.rglob("*.css")):
        elsewhere = ELSEWHERE_IN_CSS.findall(file.read_text("utf-8"))
        found += [f"{file.relative_to(site)}: fetches {address} from elsewhere" for address in elsewhere]
    return found


def _of_page(file: Path, pages: dict[Path, Page], site: Path) -> Iterator[str]:
    page = pages[file]
    if not page.closed:
        yield f"has no {POLICY}, so a script of the theme may fetch from elsewhere"
    for address in page.fetched:
        if urlsplit(address).netloc or urlsplit(address).scheme not in {"", "data"}:
            yield f"fetches {address} from elsewhere"
        elif not address.startswith("data:") and _target(file, address, site) is None:
            yield f"fetches {address}, which is not there"
    for address in page.links:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = _target(file, address, site)
        if target is None:
            yield f"links to {address}, which is not there"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"links to {address}, which has no such heading"
    for start in page.unread:
        yield f"shows Markdown as text (“{start}”): a list or a table needs an empty line before it"


def _target(file: Path, address: str, site: Path) -> Path | None:
    """Return the file that an address without a host leads to, or None if there is no such file."""
    path = unquote(urlsplit(address).path)
    start = site if path.startswith("/") else file.parent
    target = (start / path.lstrip("/")).resolve() if path else file
    if target.is_dir():
        target /= "index.html"
    return target if target.is_file() and target.is_relative_to(site.resolve()) else None
