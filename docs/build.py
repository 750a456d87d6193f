"""`python -m docs.build`: make the site of the documentation, and refuse broken links. `make docs` calls it.

    python -m docs.build            build/site/, checked
    python -m docs.build --serve    the same pages on http://localhost:8000, rebuilt as they are edited

The site is a copy of the repository's own layout (README.md, docs/, schemas/ …), so that a link that works there works
here. Pages are linked into `build/pages/`; the reference pages are written there from the code (`docs/reference/`).
Zensical builds them and checks links between pages; `docs/check.py` looks at what came out.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from docs.check import faults
from docs.reference import PAGES

ROOT: Final = Path(__file__).parents[1]
STAGED: Final = ROOT / "build" / "pages"
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
SITE: Final = ROOT / "build" / "site"
# What the site shows and what its pages link to.
SHOWN: Final = (
    "*.md",
    "LICENSE",
    "docs/**/*.md",
    "docs/**/*.json",
    "docs/**/*.jsonl",
    "docs/**/*.png",
    "docs/**/*.svg",
    "sbom/licences.md",
    "schemas/asyncapi.yaml",
    "schemas/json/*.json",
    "schemas/examples/*.json",
    "schemas/topics/*.yaml",
)


def stage(staged: Path = STAGED) -> None:
    """Link every page into `staged`, and write the reference pages there. Raises ValueError: see their modules."""
    shutil.rmtree(staged, ignore_errors=True)
    for pattern in SHOWN:
        for file in ROOT.glob(pattern):
            place = staged / file.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(file)
    for name, page in PAGES.items():
        (staged / "docs" / "reference" / name).write_text(page(), "utf-8")


def main() -> int:
    """The command. The exit status is 1 where a link is broken or anything else is wrong with the site."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="serve the pages, and rebuild them as they are edited")
    stage()
    zensical = [sys.executable, "-m", "zensical"]
    if parser.parse_args().serve:
        return subprocess.run([*zensical, "serve"], cwd=ROOT, check=False).returncode
    shutil.rmtree(SITE, ignore_errors=True)
    # Without its cache, which forgets the faults of pages that did not change.
    built = subprocess.run(
        [*zensical, "build", "--clean", "--strict"],
        cwd=ROOT,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if built.returncode:
        # Colours are written wherever it writes to, and its own traceback says nothing of the pages.
        print(COLOUR.sub("", built.stdout).partition("Traceback")[0])
        return built.returncode
    found = faults(SITE)
    print("\n".join(found or [f"{SITE / 'index.html'}: {sum(1 for _ in SITE.rglob('*.html'))} pages, no broken link"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
