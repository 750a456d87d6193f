"""How the prompted reading ranks messages when the same question is put in other words.

    python -m bench.phrasing LABELLED … [--bundle FULL] [--messages 300] [--seed 1]

A model that understands the question ranks messages alike however it is put, and the other way round where
the question is turned round ("turned round" is counted so that a "No" means at risk). One that does not
answers by its bias: most messages get the same answer, which one hangs on the words of the question, and
what is left hangs on the message's length. Nothing is fitted; the bundle is read as exported.
"""

import argparse
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from sklearn.metrics import roc_auc_score

from bench.yardstick.bundles import full_bundle
from bench.yardstick.labelled import Ints, read_labelled
from engine.bundle import Bundle, Prompt
from engine.identity import PROMPTED
from engine.load import open_reader
from export.adapting.heads import Array

_ANSWER: Final = "Answer only Yes or No."


class Words(NamedTuple):
    """A prompt, and whether "Yes" means at risk in it (1) or "No" does (-1)."""

    prompt: Prompt
    sign: int = 1


def main() -> None:
    """Ask, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path, nargs="+", help="JSONL with text and at_risk or stressor")
    parser.add_argument("--bundle", type=Path, help="a full bundle of stress; default: it is built")
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    full = full_bundle(options.bundle)
    data = read_labelled(options.labelled)
    chance = np.random.default_rng(options.seed)
    drawn = chance.permutation(len(data.texts))[: options.messages]
    texts, labels = [data.texts[n] for n in drawn], data.labels[drawn]
    print(f"{len(texts)} messages, {labels.sum()} at risk\n")
    print("| the question | AUC | says Yes | Yes over No, at risk | the others | correlation with length |")
    print("|---|---|---|---|---|---|")
    for name, words in _ways(full).items():
        margins = _ask(full, words.prompt, texts, options.threads)
        _show(name, words.sign, margins, texts, labels)


def _ways(full: Bundle) -> dict[str, Words]:
    prompt, task = full.manifest.prompt, full.manifest.task
    head = task.message.partition("{message}")[0]

    def asked(question: str) -> Prompt:
        return msgspec.structs.replace(
            prompt, risk_suffix=prompt.risk_suffix.replace(task.risk.question, question)
        )

    first = prompt.prefix.removesuffix(head) + f"{task.risk.question}\n{head}"
    return {
        "as exported": Words(prompt),
        "without the instruction": Words(
            msgspec.structs.replace(prompt, prefix=prompt.prefix.replace(task.instruction, ""))
        ),
        "before the message": Words(msgspec.structs.replace(asked(""), prefix=first)),
        "other words": Words(asked(f"Does something weigh on the person who wrote this? {_ANSWER}")),
        "turned round": Words(
            asked(f"Is the writer of this message fine, without any stress? {_ANSWER}"), -1
        ),
        "no question": Words(asked(_ANSWER)),
    }


def _ask(full: Bundle, prompt: Prompt, texts: list[str], threads: int) -> Array:
    """How much likelier Yes is than No, in log-odds, for each text [N]."""
    manifest = full.manifest
    asked = msgspec.structs.replace(full, manifest=msgspec.structs.replace(manifest, prompt=prompt))
    reader = open_reader(asked, "label_logits", threads=threads)
    rows = reader.cutter(PROMPTED).cut(texts, reader.prompt.risk_suffix)
    clear, at_risk = (column for column, label in enumerate(manifest.labels) if label.stage == "risk")
    logits = reader.rows(rows.tokens).astype(np.float64)
    starts = [span.start for span in rows.spans]
    return np.asarray(np.maximum.reduceat(logits[:, at_risk] - logits[:, clear], starts), np.float64)


def _show(name: str, sign: int, margins: Array, texts: list[str], labels: Ints) -> None:
    lengths = np.log([len(text) for text in texts])
    print(
        f"| {name} | {roc_auc_score(labels, sign * margins):.3f} | {np.mean(margins > 0):.0%} "
        f"| {margins[labels == 1].mean():+.2f} | {margins[labels == 0].mean():+.2f} "
        f"| {np.corrcoef(lengths, margins)[0, 1]:+.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
