"""`python -m docs.build`: build the documentation's site, and fail on broken links. `make docs` runs it.

    python -m docs.build            build/site/, checked
    python -m docs.build --serve    the same pages on http://localhost:8000, rebuilt as pages are edited

The site has the same layout as the repository (README.md, docs/, schemas/ …), so that a link that works in
one works in the other. Pages are copied into `build/pages/`, and the reference pages are written there from
the code (`docs/reference/`). Zensical builds the site and checks links between pages; `docs/check.py` checks
the result.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docs.check import faults
from docs.reference import PAGES

ROOT: Final = Path(__file__).parents[1]
STAGED: Final = ROOT / "build" / "pages"
ZENSICAL: Final = (sys.executable, "-m", "zensical")
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
SITE: Final = ROOT / "build" / "site"
# The files that the site shows or that its pages link to.
SHOWN: Final = (
    "*.md",
    "LICENSE",
    "docs/**/*.md",
    "docs/**/*.json",
    "docs/**/*.jsonl",
    "docs/**/*.png",
    "docs/**/*.svg",
    "docs/examples/*.java",
    "docs/examples/*.py",
    "docs/examples/connect/*/[cC]onnect.*",
    "docs/theme/site.css",
    "helm/files/*",
    "sbom/licences.md",
    "schemas/asyncapi.yaml",
    "schemas/json/*.json",
    "schemas/avro/*.avsc",
    "schemas/examples/*.json",
    "schemas/topics/*.yaml",
)


def stage(staged: Path = STAGED) -> None:
    """Copy every page into `staged`, and write the reference pages there.

    Raises ValueError: something in the code has no place in its reference page. The message says what to do.
    """
    shutil.rmtree(staged, ignore_errors=True)
    copy_changed(staged)
    for name, page in PAGES.items():
        (staged / "docs" / "reference" / name).write_text(page(), "utf-8")


def copy_changed(staged: Path = STAGED) -> None:
    """Copy the files that were edited since they were last copied.

    Symbolic links instead of copies would not work: Zensical's watcher does not see a change behind them.
    """
    for pattern in SHOWN:
        for file in ROOT.glob(pattern):
            place = staged / file.relative_to(ROOT)
            if not place.exists() or place.stat().st_mtime < file.stat().st_mtime:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, place)


def serve() -> int:
    """Serve the staged pages until Ctrl-C. Files that are edited meanwhile are staged again."""
    server = subprocess.Popen([*ZENSICAL, "serve"], cwd=ROOT)
    try:
        while server.poll() is None:
            copy_changed()
            time.sleep(0.5)
    except KeyboardInterrupt:
        server.terminate()
    return server.wait()


def unlisted() -> list[str]:
    """Report staged pages that the navigation does not list, because readers would not find them."""
    nav = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    listed = set(_leaves(nav))
    pages = sorted(str(page.relative_to(STAGED)) for page in STAGED.rglob("*.md"))
    return [
        f"{page} is not in the navigation: add it to `nav` in zensical.toml"
        for page in pages
        if page not in listed
    ]


def _leaves(nav: object) -> Iterator[object]:
    """Yield the files that a navigation lists. It is a list of mappings from a title to a file or a list."""
    if isinstance(nav, list):
        for entry in nav:
            yield from _leaves(entry)
    elif isinstance(nav, dict):
        for entry in nav.values():
            yield from _leaves(entry)
    else:
        yield nav


def main() -> int:
    """Run the command. Returns exit status 1 if a link is broken or anything else is wrong with the site."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--serve", action="store_true", help="serve the pages, and rebuild them as they are edited"
    )
    serves = parser.parse_args().serve
    try:
        stage()
    except ValueError as error:
        print(f"error: {error}")
        return 1
    if serves:
        return serve()
    shutil.rmtree(SITE, ignore_errors=True)
    # Build without Zensical's cache: a cached build does not report faults of unchanged pages again.
    built = subprocess.run(
        [*ZENSICAL, "build", "--clean", "--strict"],
        cwd=ROOT,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if built.returncode:
        # Zensical prints colours even into a pipe, and its traceback says nothing about the pages.
        print(COLOUR.sub("", built.stdout).partition("Traceback")[0])
        return built.returncode
    found = unlisted() + faults(SITE)
    print(
        "\n".join(
            found or [f"{SITE / 'index.html'}: {sum(1 for _ in SITE.rglob('*.html'))} pages, no broken link"]
        )
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
