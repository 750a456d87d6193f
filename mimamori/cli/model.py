"""`mimamori export` and `mimamori bundle build|halve|verify|show`: make and check the bundles of workers.

The commands for keys and signatures are in `mimamori.cli.sign`.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from engine.bundle import TOKENIZER, Bundle, Manifest, read_manifest
from engine.bundle.signature import SHORTEST, Trust, read_signature
from engine.bundle.tokenizer_trial import try_tokenizer
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import SettingsError, extra_for
from engine.task import load_task
from export.errors import ExportError
from export.examples import read_examples, shipped_examples
from mimamori.cli.progress import bars
from mimamori.cli.reading import SeparatorOption, notice
from mimamori.cli.sign import keygen_command, sign_command

bundles = typer.Typer(
    name="bundle", help="Model bundles: build, halve, sign, verify, show.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("export", rich_help_panel="Model")(export_command)
    bundles.command("keygen")(keygen_command)
    bundles.command("sign")(sign_command)
    app.add_typer(bundles, rich_help_panel="Model")


def export_command(
    model: Annotated[
        str,
        typer.Option(
            help="smollm2, gemma3-270m, qwen2.5-coder-0.5b, a hub id, a safetensors folder, or a GGUF file."
        ),
    ],
    task: Annotated[str, typer.Option(help="A shipped task's name, or a task's YAML file.")],
    out: Annotated[Path, typer.Option(help="The bundle's folder; it must not exist yet.")],
    recipe: Annotated[Path | None, typer.Option(help="The recipe's file [default: OUT.recipe]")] = None,
    shots: Annotated[
        int,
        typer.Option(min=0, help="Solved examples in the prompt; their texts are in bundle and recipe."),
    ] = 0,
    examples: Annotated[
        Path | None, typer.Option(help="Labelled JSONL, CSV, … to take them from [default: the task's own]")
    ] = None,
    form: Annotated[
        Literal["auto", "joined", "merged"],
        typer.Option(help="How the graph computes attention; auto measures which is fastest."),
    ] = "auto",
    device: Annotated[
        DeviceChoice,
        typer.Option(help="Where it will run: it is measured and must prove itself there too."),
    ] = "auto",
    precision: Annotated[
        PrecisionChoice,
        typer.Option(help="In which precision it will run there."),
    ] = "auto",
    separator: SeparatorOption = None,
) -> None:
    """Export a language model as a bundle and its recipe; fail if its scores differ from the original's."""
    asked = load_task(task)
    _require_readable(Path(model).expanduser())
    with extra_for("exporting", "export,cpu"):
        from export.exporting.exporter import export_model
        from export.exporting.prompt import solved
    if examples is not None and not shots:
        raise ExportError("--examples are what --shots takes from: say how many with --shots")
    given = examples or shipped_examples(asked)
    if shots and not given.is_file():
        raise ExportError(f"no labelled examples at {given}: give --examples FILE")
    labelled = read_examples(given, asked, separator, notice) if shots else []
    with bars() as progress:
        exported = export_model(
            model,
            asked,
            out,
            progress,
            recipe,
            shots=solved(asked, labelled, shots),
            form=form,
            device=device,
            precision=precision,
        )
    _print(exported.manifest, exported.fingerprint, exported.bundle)
    Console().print(
        f"recipe {exported.recipe} ({exported.recipe.stat().st_size / 1e3:.0f} kB)", soft_wrap=True
    )


@bundles.command("build")
def build_command(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's file, or a shipped task's name.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The bundle's folder.")],
    source: Annotated[
        Path | None, typer.Option(help="Folder of the model's files [default: where the recipe found them]")
    ] = None,
    adapted: Annotated[
        bool,
        typer.Option("--adapted", help="Then adapt it on the task's shipped examples, as the demo does."),
    ] = False,
) -> None:
    """Build a bundle from its recipe and the model's own files, bit for bit, without torch."""
    with extra_for("building", "adapt"):
        from export.adapting.shipped import build_adapted
        from export.building.build import build_bundle
        from export.building.recipe import SUFFIX, shipped_recipe

    path = Path(recipe)
    if path.suffix != SUFFIX and not path.exists():
        path = shipped_recipe(recipe)
    with bars() as progress:
        bundle = (build_adapted if adapted else build_bundle)(path, out, source, progress)
    _print(bundle.manifest, bundle.fingerprint, bundle.path)


@bundles.command("halve")
def halve_command(
    bundle: Folder, out: Annotated[Path, typer.Option(help="The new bundle's folder.")]
) -> None:
    """Make an fp16 bundle from a full fp32 one, for `device: cuda`; fail if its scores differ.

    Adapt it afterwards, on the GPU: thresholds hold only in the precision that they were fitted in.
    """
    with extra_for("halving", "adapt,cpu"):
        from export.exporting.half import halve
    with bars() as progress:
        progress("halve the bundle", 0, 0)
        made = halve(Bundle.load(bundle), out)
    _print(made.manifest, made.fingerprint, made.path)


@bundles.command("verify")
def verify_command(
    bundle: Folder,
    public_key: Annotated[
        Path | None, typer.Option(help="PEM file of the signer's public key: check the signature, too.")
    ] = None,
    fingerprint: Annotated[
        str, typer.Option(help="The bundle's fingerprint, or its first 32 digits or more: check it, too.")
    ] = "",
) -> None:
    """Check every file of a bundle against its checksum, and its signer and fingerprint if they are given."""
    if fingerprint and not re.fullmatch(f"[0-9a-fA-F]{{{SHORTEST},64}}", fingerprint):
        raise SettingsError(
            f"--fingerprint needs {SHORTEST} to 64 hex digits, as `mimamori bundle show` prints"
        )
    trust = Trust(fingerprint.lower(), public_key)
    manifest, _ = read_manifest(bundle, trust)
    total = sum((bundle / name).stat().st_size for name in manifest.files if (bundle / name).is_file())
    done = 0
    with bars() as progress:

        def count(size: int) -> None:
            nonlocal done
            done += size
            progress("verify the bundle", done, total)

        verified = Bundle.load(bundle, count, trust)
    Console().print(
        escape(f"{bundle}: {len(manifest.files)} files as they were made, {verified.fingerprint}"),
        soft_wrap=True,
    )
    Console().print(_signed(bundle, checked=public_key is not None))


@bundles.command("show")
def show_command(bundle: Folder) -> None:
    """Show what a bundle holds, without checking its files."""
    manifest, fingerprint = read_manifest(bundle)
    _print(manifest, fingerprint, bundle)


def _require_readable(model: Path) -> None:
    """Check a model's files before opening them with libraries that trust what the files claim."""
    try:
        from export.building.tensors import Tensors
    except ModuleNotFoundError:  # reported later, where the extra is needed
        return
    for file in [model] if model.suffix == ".gguf" else sorted(model.glob("*.safetensors")):
        if file.is_file():
            Tensors(file)
    if (model / TOKENIZER).is_file():
        try_tokenizer(model / TOKENIZER, "", ())


def _print(manifest: Manifest, fingerprint: str, path: Path) -> None:
    source = manifest.source
    table = Table(Column("bundle"), Column(str(path), overflow="fold"))
    depth = f"cut at layer {manifest.layer}" if manifest.layer else f"{source.layers} layers"
    if manifest.shallow:
        depth += f" and layer {manifest.shallow} (a cascade)"
    rows = {
        "fingerprint": fingerprint,
        "model": f"{source.name} ({source.revision})",
        "graph": f"{source.family}, {depth}, {source.hidden_size} wide",
        "numbers": f"{manifest.precision}, opset {manifest.opset}",
        "task": f"{manifest.task.name}: {manifest.task.description}",
        "reading": manifest.reading,
        "labels": ", ".join(f"{label.stage}/{label.name}={label.token_id}" for label in manifest.labels),
        "attention": manifest.form,
        "parity": "\n".join(_figures(where, figures) for where, figures in manifest.parity.items()),
        "signature": _signed(path, checked=False),
        "files": "\n".join(f"{digest[:12]}  {name}" for name, digest in manifest.files.items()),
    }
    for name, value in rows.items():
        # The bundle may come from anyone, so its text must not act as markup or move the cursor.
        table.add_row(name, escape("".join(c if c.isprintable() or c == "\n" else "�" for c in value)))
    Console().print(table)


def _signed(bundle: Path, *, checked: bool) -> str:
    signature = read_signature(bundle)
    if signature is None:
        return "not signed"
    return f"signed by {signature.key}" + ("" if checked else ", not checked: verify it with --public-key")


def _figures(where: str, figures: dict[str, float]) -> str:
    return f"{where}: " + ", ".join(f"{name} {value:g}" for name, value in figures.items())
