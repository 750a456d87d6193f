"""Reads a sentence embedding's folder as sentence-transformers writes it: what it computes, and how.

    onnx/model.onnx, model.onnx     the graph; without one, it is built from the weights of a BERT
    tokenizer.json                  needed
    modules.json, 1_Pooling/        which of the hidden states are taken, whether vectors are normalised
    sentence_bert_config.json       how many tokens are read, and whether letters are lowered first
    config_sentence_transformers.json   what stands before a text, where a prompt is the default

Everything is read as data. No code of the folder runs.
"""

from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from engine.bundle.graph_files import external_files
from engine.errors import BundleError
from export.baselines.bert import WEIGHTS, bert_graph

TOKENIZER: Final = "tokenizer.json"
_GRAPHS: Final = ("onnx/model.onnx", "model.onnx")
_LONGEST: Final = 512

Pooling = Literal["mean", "cls", "max"]
S = TypeVar("S")


class _Module(msgspec.Struct, frozen=True):
    path: str
    type: str


class _Pooling(msgspec.Struct, frozen=True):
    pooling_mode_cls_token: bool = False
    pooling_mode_mean_tokens: bool = True
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False


class _Reading(msgspec.Struct, frozen=True):
    max_seq_length: int | None = None
    do_lower_case: bool = False


class _Prompts(msgspec.Struct, frozen=True):
    prompts: dict[str, str] = {}
    default_prompt_name: str | None = None


class SentenceFolder(msgspec.Struct, frozen=True):
    """What a folder says of its embedding. `longest` counts tokens; `before` stands before each text."""

    path: Path
    graph: Path | None
    pooling: Pooling
    normalised: bool
    longest: int
    lowered: bool
    before: str

    def model(self) -> Path | bytes:
        """The graph's file, or one that is built from the weights. Raises BundleError."""
        return self.graph if self.graph is not None else bert_graph(self.path)


def read_folder(path: Path) -> SentenceFolder:
    """Read the folder's settings.

    Raises BundleError: a file is missing or broken, or asks for what cannot be run here.
    """
    if not path.is_dir():
        raise BundleError(f"no folder at {path}: give one as sentence-transformers writes it")
    if not (path / TOKENIZER).is_file():
        raise BundleError(f"{path} has no {TOKENIZER}: save the model again with its fast tokenizer")
    graph = next((path / name for name in _GRAPHS if (path / name).is_file()), None)
    if graph is None and not (path / WEIGHTS).is_file():
        raise BundleError(f"{path} has neither {_GRAPHS[0]} nor {WEIGHTS}")
    if graph is not None:
        _require_inside(graph)
    modules = _read(path / "modules.json", list[_Module], [])
    pooling, normalised = _pooling(path, modules)
    reading = _read(path / "sentence_bert_config.json", _Reading, _Reading())
    prompts = _read(path / "config_sentence_transformers.json", _Prompts, _Prompts())
    longest = reading.max_seq_length or _LONGEST
    if not 2 < longest <= 1 << 15:  # noqa: PLR2004 - the two marks around a text, and the longest there are
        raise BundleError(f"{path / 'sentence_bert_config.json'}: max_seq_length cannot be {longest}")
    return SentenceFolder(
        path=path,
        graph=graph,
        pooling=pooling,
        normalised=normalised,
        longest=longest,
        lowered=reading.do_lower_case,
        before=prompts.prompts.get(prompts.default_prompt_name or "", ""),
    )


def _pooling(path: Path, modules: list[_Module]) -> tuple[Pooling, bool]:
    """Without modules.json: the mean, normalised, as most embeddings are used."""
    if not modules:
        return _mode(path / "1_Pooling" / "config.json"), True
    kinds = [module.type.rsplit(".", 1)[-1] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise BundleError(
            f"{path / 'modules.json'} lists {', '.join(kinds)[:200]}, and only Transformer, Pooling and "
            "Normalize can be run here"
        )
    folder = modules[1].path
    if Path(folder).name != folder:
        raise BundleError(f"{path / 'modules.json'}: the pooling's path must be a folder in {path}")
    return _mode(path / folder / "config.json"), "Normalize" in kinds


def _mode(config: Path) -> Pooling:
    asked = _read(config, _Pooling, _Pooling())
    modes = [name.removeprefix("pooling_mode_") for name in asked.__struct_fields__ if getattr(asked, name)]
    known: dict[str, Pooling] = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}
    if len(modes) != 1 or modes[0] not in known:
        raise BundleError(
            f"{config} asks for {' and '.join(modes) or 'no pooling'}: "
            f"one of {', '.join(known)} can be run here"
        )
    return known[modes[0]]


def _read(path: Path, kind: type[S], otherwise: S) -> S:
    if not path.is_file():
        return otherwise
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}") from None


def _require_inside(graph: Path) -> None:
    """A graph names files with its weights, and a device library would open any path that stands there."""
    for name in external_files(graph):
        if Path(name).name != name or not (graph.parent / name).is_file():
            raise BundleError(f"{graph} takes weights from {name[:200]}, which is not a file beside it")
