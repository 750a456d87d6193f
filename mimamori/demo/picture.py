"""Runs `mimamori demo` and draws its output as an SVG, with the most eventful stretch of its arrivals.

    python -m mimamori.demo.picture docs/demo.svg

The picture holds only its text and colours. It fetches no font or style from anywhere.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTH: Final = 106
ARRIVALS: Final = 24  # as many lines as fit on a screen
_INK: Final = (222, 226, 230)
_GROUND: Final = (16, 20, 24)
_COLOURS: Final = {
    "black": _GROUND,
    "red": (255, 107, 107),
    "green": (105, 219, 124),
    "yellow": (255, 212, 59),
    "blue": (116, 192, 252),
    "magenta": (229, 153, 247),
    "cyan": (102, 217, 232),
    "white": _INK,
}
# rich's own frame loads a font from a content delivery network. This one uses the reader's own fonts.
FRAME: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>mimamori demo</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def main() -> None:
    """Run the demo and draw it into the file that the first argument names."""
    picture = Path(sys.argv[1])
    printed = subprocess.run(
        [sys.executable, "-m", "mimamori", "demo"],
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH)},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    shown = _shown(printed.splitlines())
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print("[bold]$ make demo[/]")
        for line in shown:
            console.print(Text.from_ansi(line), overflow="crop", no_wrap=True)
        theme = TerminalTheme(_GROUND, _INK, list(_COLOURS.values()))
        console.save_svg(str(picture), title="", theme=theme, code_format=FRAME, unique_id="demo")


def _shown(lines: list[str]) -> list[str]:
    """Pick the lines on what runs, the arrivals with the most at risk or unreadable, and the summary."""
    first = next(number for number, line in enumerate(lines) if "worker reads with" in line) + 2
    summary = next(number for number, line in enumerate(lines) if "What happened" in line)
    end = next(number for number in range(summary, len(lines)) if "└" in lines[number]) + 1
    lively = [sum(sign in line for sign in ("at_risk", "dead letter")) for line in lines]
    starts = range(first, summary - ARRIVALS)
    start = max(starts, key=lambda number: sum(lively[number : number + ARRIVALS]))
    return [*lines[first - 3 : first], "…", *lines[start : start + ARRIVALS], "…", "", *lines[summary:end]]


if __name__ == "__main__":
    main()
