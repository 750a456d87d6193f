"""What the check of the built site sees, and what it lets pass."""

from pathlib import Path

import pytest

from docs.check import faults

HEAD = '<meta http-equiv="Content-Security-Policy" content="default-src \'self\'">'
GOOD = f"""{HEAD}<link rel="stylesheet" href="own.css"><img src="data:image/png;base64,AA==">
<h1 id="top">Title</h1><p>Text<br>- no list, since <code>| a |</code></p>
<a href="#top">up</a><a href="folder/">in</a><a href="folder/index.html#part">there</a>
<a href="https://example.org/">elsewhere</a><a href="mailto:a@example.org">write</a>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "own.css").write_text("body { background: url(own.png) }")
    (tmp_path / "folder" / "index.html").write_text(f'{HEAD}<h2 id="part">Part</h2><a href="/">home</a>')
    return tmp_path


def test_a_site_that_is_right_has_no_faults(site: Path) -> None:
    assert faults(site) == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<a href="gone.html">', "links to gone.html, which is not there"),
        ('<a href="../index.html">', "links to ../index.html, which is not there"),
        ('<a href="#gone">', "links to #gone, which has no such heading"),
        ('<a href="folder/#gone">', "links to folder/#gone, which has no such heading"),
        ('<script src="https://cdn.example.org/x.js"></script>', "fetches https://cdn.example.org/x.js"),
        ('<link rel="stylesheet" href="//fonts.example.org/x">', "fetches //fonts.example.org/x"),
        ('<img src="gone.png">', "fetches gone.png, which is not there"),
        ("<p>A list:\n- one\n- two</p>", "shows Markdown as text"),
        ("<p>A table:\n| a | b |</p>", "shows Markdown as text"),
    ],
)
def test_what_is_wrong_with_a_page_is_named(site: Path, html: str, fault: str) -> None:
    (site / "index.html").write_text(GOOD + html)
    (found,) = faults(site)
    assert found.startswith(f"index.html: {fault}")


def test_a_page_without_its_policy_is_named(site: Path) -> None:
    (site / "index.html").write_text(GOOD.removeprefix(HEAD))
    (found,) = faults(site)
    assert "index.html: has no Content-Security-Policy" in found


@pytest.mark.parametrize(
    "css", ["@import '//fonts.example.org/x.css';", "a { background: url( 'https://e.org/x')}"]
)
def test_a_style_that_fetches_from_elsewhere_is_named(site: Path, css: str) -> None:
    (site / "own.css").write_text(css)
    (found,) = faults(site)
    assert "from elsewhere" in found
