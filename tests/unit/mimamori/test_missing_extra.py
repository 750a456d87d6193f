"""A command whose extra is not installed says so in one line, with the command that installs it."""

import subprocess
import sys

import pytest

# Hides a package from one process, as if its extra had not been installed.
HIDDEN = """
import sys
sys.modules[{module!r}] = None
sys.argv = ["mimamori", *{arguments!r}]
from mimamori.cli import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "module", "line"),
    [
        (["review"], "faust", "the review desk needs faust: pip install 'mimamori[review]'"),
        (
            ["adapt", "bundle", "--examples", "e.csv", "--out", "out"],
            "sklearn.metrics",
            "adapting needs sklearn.metrics: pip install 'mimamori[adapt,cpu]'",
        ),
        (
            ["compare", "old", "new", "--messages", "m.csv"],
            "sklearn.metrics",
            "comparing needs sklearn.metrics: pip install 'mimamori[adapt,cpu]'",
        ),
        (
            ["replay", "--from-topic", "m", "--bundle", "new"],
            "scipy.special",
            "replaying against decisions needs scipy.special: pip install 'mimamori[adapt,cpu]'",
        ),
        (
            ["bundle", "build", "stress", "--out", "out"],
            "gguf",
            "building needs gguf: pip install 'mimamori[adapt]'",
        ),
    ],
)
def test_commands_say_it_in_the_same_words(arguments: list[str], module: str, line: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HIDDEN.format(module=module, arguments=arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith(f"error: {line}")
