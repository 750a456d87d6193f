"""Every command is found by its name alone, and imports nothing that only another one needs."""

import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

import mimamori.cli
from mimamori.cli import app
from mimamori.cli.areas import MODULES, nothing

IMPORTED = """
import sys
sys.argv = ["mimamori", "size", "--rate", "1k/s", "--tokens", "12"]
from mimamori.cli import main
try:
    main()
finally:
    print(*sys.modules)
"""

IN_AN_IMAGE = """
import sys
sys.modules["mimamori.sandbox"] = None
from mimamori.cli import main
main()
"""


def registered(module: str) -> set[str]:
    held = typer.Typer(callback=nothing)
    import_module(f"mimamori.cli.{module}").register(held)
    return set(typer.main.get_group(held).commands)


def test_the_table_names_every_command_of_every_module() -> None:
    told = defaultdict(set)
    for name, module in MODULES.items():
        told[module].add(name)
    folder = Path(mimamori.cli.__file__).parent
    registering = {file.stem for file in folder.glob("*.py") if "\ndef register(" in file.read_text()}
    assert {module: registered(module) for module in registering} == told


def test_a_name_gives_its_command_and_another_name_gives_none() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    assert list(root.commands) == list(MODULES)
    assert [command.name for command in root.commands.values()] == list(MODULES)
    assert "sizes" not in root.commands
    assert root.commands.get("sizes") is None


def test_it_says_which_release_it_is() -> None:
    release = tomllib.loads((Path(mimamori.cli.__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output) == (0, f"mimamori {release['project']['version']}\n")


def test_a_command_imports_no_other_one() -> None:
    ran = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    imported = ran.stdout.splitlines()[-1].split()
    assert "mimamori.cli.size" in imported
    assert {"mimamori.cli.run", "worker.settings", "numpy", "redis", "openvino", "onnxruntime"}.isdisjoint(
        imported
    )


def test_an_image_without_the_servers_offers_no_command_that_starts_one() -> None:
    def mimamori_in_it(command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", IN_AN_IMAGE, command], capture_output=True, text=True, check=False
        )

    offered = {line.split()[1] for line in mimamori_in_it("--help").stdout.splitlines() if line[:2] == "│ "}
    assert {"run", "doctor", "topics"} < offered
    assert offered.isdisjoint({"demo", "sandbox", "soak"})
    refused = mimamori_in_it("soak")
    assert refused.returncode == 2
    assert "No such command 'soak'" in refused.stderr
