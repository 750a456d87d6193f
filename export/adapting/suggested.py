"""Suggesting, as `mimamori suggest` asks for it: read the traffic, ask the head, write a file to label.

The method is in `suggesting.py`. The head is fitted on the labelled examples at the middle layer, or is the
bundle's own where it is adapted already. Without either, the suggestions stand for the traffic alone.
"""

import csv
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from engine.bundle import Bundle, Heads
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import BundleError, TaskError
from engine.load import open_reader
from engine.proof import prove
from engine.reading.reader import Reader
from export.adapting.cut import cut_bundle
from export.adapting.heads import MIDDLE, Array, Vectors, from_labels
from export.adapting.suggesting import suggest
from export.adapting.traffic import MOST, gather, read_layers, stretches
from export.adapting.windowing import UNCUT, read_windows
from export.building.staging import writing
from export.checking import checked, normal
from export.examples import LabelledExample

Progress = Callable[[str, int, int], None]

_FORMATS: Final = (".jsonl", ".csv")
_COLUMNS: Final = ("text", "at_risk", "severity", "note")
_FEWEST_OF_A_CLASS: Final = 2
# A spreadsheet takes a cell that begins so for a formula, and anybody can have sent it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class SuggestReport(msgspec.Struct, frozen=True):
    """What was suggested, out of what. `head` says whose uncertainty counted.

    Of the `seen` messages `read` were looked at: up to so many different ones that are not labelled yet.
    """

    out: Path
    suggestions: int
    uncertain: int
    seen: int
    empty: int
    repeated: int
    labelled: int
    read: int
    head: str
    layer: int
    runs: str
    seconds: float


def suggest_rows(
    bundle: Path,
    texts: Iterable[str],
    examples: Sequence[LabelledExample],
    count: int,
    out: Path,
    progress: Progress,
    *,
    most: int = MOST,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
) -> SuggestReport:
    """Write `count` of the unlabelled `texts` to the new file `out`, for a person to label.

    `out` is JSONL or CSV in the format of labelled examples, with `at_risk` and `severity` empty and a note
    of why a message was chosen; only its owner may read it. Texts stay in memory otherwise. Up to `most` are
    read.

    Raises TaskError: `out` exists or cannot be written, the examples contradict one another, or the traffic
    has too few different messages. BundleError: the bundle has no pooled reading, or there is no room for a
    cut one beside `out`. DeviceError: as in `load_engine`.
    """
    began = time.monotonic()
    require_new(out)
    loaded = Bundle.load(bundle)
    if not loaded.manifest.bound:
        raise BundleError(f"{bundle} has the prompted reading only: suggestions need the pooled one")
    kept, _ = checked(examples, loaded.manifest.task)
    known = [example.text for example in kept]
    traffic = gather(texts, known, most, fewest=count, purpose=f"suggesting {count}")
    unlike = _unlike(traffic.texts, known)
    if len(unlike) < count:
        raise TaskError(
            f"suggesting {count} needs as many different unlabelled messages: apart from case, spaces and "
            f"disguise the traffic has {len(unlike)}; bring more traffic, or lower --count"
        )
    open_pooled = partial(open_reader, output="pooled", device=device, precision=precision, threads=threads)
    with writing(out), tempfile.TemporaryDirectory(prefix=".suggest-", dir=out.parent) as folder:
        layer = loaded.manifest.layer or round(MIDDLE * loaded.manifest.source.layers)
        cut = loaded if loaded.manifest.layer else cut_bundle(loaded, layer, Path(folder))
        reader = open_pooled(cut)
        prove(reader, cut, "pooled")
        drawn = stretches(reader, unlike)
        heard = read_layers(reader, drawn, 1, partial(progress, "read the traffic")).layer(1)
        with threadpool_limits(1, "blas"):
            decisions, head = _opinion(heard, kept, reader, loaded.heads)
            progress("choose", 0, 1)
            found = suggest(heard, decisions, count)
        runs = f"{reader.device.name} {reader.device.precision}"
        del reader
    of = f"of {len(unlike)} messages"
    _write(
        out,
        [
            (unlike[each.message], f"{_kind(uncertain=each.uncertain)}: stands for {each.stands_for} {of}")
            for each in found
        ],
    )
    progress("choose", 1, 1)
    return SuggestReport(
        out=out,
        suggestions=len(found),
        uncertain=sum(each.uncertain for each in found),
        seen=traffic.seen,
        empty=traffic.empty,
        repeated=traffic.repeated,
        labelled=traffic.labelled,
        read=len(unlike),
        head=head,
        layer=layer,
        runs=runs,
        seconds=time.monotonic() - began,
    )


def require_new(out: Path) -> None:
    """Raise TaskError unless a file `out` can be written: its name fits, and nothing is there yet."""
    if out.suffix.lower() not in _FORMATS:
        raise TaskError(f"--out {out}: name it .jsonl or .csv")
    if out.exists() or out.is_symlink():
        raise TaskError(f"{out} exists already: it may hold labels; give another --out")
    if not out.parent.is_dir():
        raise TaskError(f"--out {out}: there is no folder {out.parent}")


def _unlike(texts: Sequence[str], known: Sequence[str]) -> list[str]:
    """One of each text, apart from case, spaces and disguise, that is not among the known ones."""
    met = {normal(text) for text in known}
    kept = []
    for text in texts:
        words = normal(text)
        if words not in met:
            met.add(words)
            kept.append(text)
    return kept


def _opinion(
    heard: Array, examples: Sequence[LabelledExample], reader: Reader, heads: Heads | None
) -> tuple[Array | None, str]:
    """Decision values of the traffic, None where nobody has any, and whose they are."""
    labels = np.array([example.at_risk for example in examples], np.int64)
    if min(np.bincount(labels, minlength=2)) >= _FEWEST_OF_A_CLASS:
        read = read_windows(reader, [example.text for example in examples], UNCUT)
        vectors = Vectors(read.windows[:, np.newaxis].astype(np.float32), read.starts)
        means = vectors.means(vectors.layer(1))
        risk = from_labels(labels)(means, np.arange(len(labels)))
        return risk(heard), f"fitted on {len(labels)} labelled examples"
    if heads is not None:
        z = (heard - heads.mean) / heads.scale
        return np.asarray(z @ heads.risk_weight + heads.risk_bias, np.float64), "the bundle's own"
    return None, "none: fewer than 2 examples of a class"


def _kind(*, uncertain: bool) -> str:
    return "uncertain" if uncertain else "representative"


def _write(out: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write the file at once, for its owner alone; on any error nothing of it stays."""
    if out.suffix.lower() == ".csv":
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(
            (f" {text}" if text.startswith(_FORMULA) else text, "", "", note) for text, note in rows
        )
        written = table.getvalue().encode()
    else:
        each = (dict(zip(_COLUMNS, (text, None, None, note), strict=True)) for text, note in rows)
        written = b"".join(msgspec.json.encode(row) + b"\n" for row in each)
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise TaskError(f"{out} exists already: it may hold labels; give another --out") from None
    except OSError as error:
        raise TaskError(f"cannot write {out}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(written)
    except OSError as error:
        out.unlink()
        raise TaskError(f"cannot write {out}: {error.strerror}; nothing was written") from None
