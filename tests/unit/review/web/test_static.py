"""What browsers load: one library, pinned by its hash, with its licence; and a small script of ours."""

import hashlib
from pathlib import Path

import review.web

STATIC = Path(review.web.__file__).parent / "static"
# htmx.org 2.0.11 on npm, dist/htmx.min.js.
HTMX = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"


def test_htmx_is_the_file_that_was_published_and_comes_with_its_licence() -> None:
    assert hashlib.sha256((STATIC / "htmx.min.js").read_bytes()).hexdigest() == HTMX
    assert b'version:"2.0.11"' in (STATIC / "htmx.min.js").read_bytes()
    assert (STATIC / "htmx.LICENSE").read_text().startswith("Zero-Clause BSD")


def test_nothing_else_is_loaded_and_our_own_script_stays_small() -> None:
    assert {path.name for path in STATIC.iterdir()} == {
        "desk.css",
        "desk.js",
        "htmx.LICENSE",
        "htmx.min.js",
        "icon.svg",
    }
    assert len((STATIC / "desk.js").read_text().splitlines()) < 120
    assert "http" not in (STATIC / "desk.css").read_text() + (STATIC / "desk.js").read_text()
