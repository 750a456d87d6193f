"""A command whose extra is not installed says so in one line, with the command that installs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.tiny_bundle import write_tiny_bundle

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
        (["review"], "faust", "the review desk needs faust: in a clone of Mimamori, pip install '.[review]'"),
        (
            ["adapt", "bundle", "--examples", "e.csv", "--out", "out"],
            "sklearn.metrics",
            "adapting needs sklearn.metrics: in a clone of Mimamori, pip install '.[adapt,cpu]'",
        ),
        (
            ["compare", "old", "new", "--messages", "m.csv"],
            "sklearn.metrics",
            "comparing needs sklearn.metrics: in a clone of Mimamori, pip install '.[adapt,cpu]'",
        ),
        (
            ["replay", "--from-topic", "m", "--bundle", "new"],
            "scipy.special",
            (
                "replaying against decisions needs scipy.special: "
                "in a clone of Mimamori, pip install '.[adapt,cpu]'"
            ),
        ),
        (
            ["bundle", "build", "stress", "--out", "out"],
            "gguf",
            "building needs gguf: in a clone of Mimamori, pip install '.[adapt]'",
        ),
    ],
)
def test_commands_say_it_in_the_same_words(arguments: list[str], module: str, line: str) -> None:
    assert _said(arguments, module).endswith(f"error: {line}")


def test_a_baseline_says_it_too(tmp_path: Path) -> None:
    bundle = str(write_tiny_bundle(tmp_path / "bundle").path)
    arguments = ["evaluate", bundle, "--examples", "e.csv", "--train", "t.csv", "--baseline", "tf-idf"]
    line = (
        "measuring baselines needs aiolimiter: in a clone of Mimamori, pip install '.[baselines,adapt,cpu]'"
    )
    assert _said(arguments, "aiolimiter").endswith(f"error: {line}")


def _said(arguments: list[str], module: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", HIDDEN.format(module=module, arguments=arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    return ended.stderr.strip()


def test_without_baselines_their_extra_is_not_needed() -> None:
    calls = "ways_from(None, None, None), announce([], [], []), settle([])"
    hidden = "import sys; sys.modules.update(dict.fromkeys(['aiohttp', 'aiolimiter', 'tenacity']))"
    code = f"{hidden}; from mimamori.cli.baselines import announce, settle, ways_from; {calls}"
    subprocess.run([sys.executable, "-c", code], check=True)
