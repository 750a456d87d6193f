"""What smaller batches cost: the padded tokens of 1,000 messages, read so many at a time. Nothing is run.

    python -m bench.packing BUNDLE

The worker commits a batch every few seconds and so reads a few hundred messages at a time, while the engine
offline gets all of them at once and finds more rows of one length.
"""

import argparse
from pathlib import Path

from bench.yardstick import corpus
from engine.bundle import Bundle
from engine.devices.device import CPU_RUN_COST
from engine.identity import MAX_MESSAGE_TOKENS
from engine.reading.cutting import Cutter
from engine.reading.packing import pack
from engine.reading.reader import load_tokenizer, tokenise_prompt
from schemas import decode
from schemas.events import Message

MESSAGES = 1000
AT_A_TIME = (1000, 400, 250, 128, 64, 32)
DEVICE_TOKENS = 2048


def main() -> None:
    """Pack and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    bundle = Bundle.load(parser.parse_args().bundle)
    tokenizer = load_tokenizer(bundle.path)
    prompt = tokenise_prompt(tokenizer, bundle.manifest.prompt)
    suffix = [] if bundle.manifest.reading == "pooled" else prompt.risk_suffix
    cutter = Cutter(
        lambda texts: [each.ids for each in tokenizer.encode_batch(list(texts), add_special_tokens=False)],
        bundle.windowing,
        MAX_MESSAGE_TOKENS,
        prompt.blank,
    )
    texts = [decode(Message, value).text for _, value in corpus.distinct(MESSAGES) if value is not None]
    print("| messages at a time | tokens | with padding | runs | cost |\n|---|---|---|---|---|")
    whole = 0
    for count in AT_A_TIME:
        tokens = padded = runs = 0
        for start in range(0, len(texts), count):
            lengths = [len(row) for row in cutter.cut(texts[start : start + count], suffix).tokens]
            groups = pack(lengths, DEVICE_TOKENS, CPU_RUN_COST)
            tokens += sum(lengths)
            padded += sum(max(lengths[row] for row in group) * len(group) for group in groups)
            runs += len(groups)
        cost = padded + CPU_RUN_COST * runs
        whole = whole or cost
        print(f"| {count:,} | {tokens:,} | {padded:,} | {runs} | {cost / whole:.3f} |")


if __name__ == "__main__":
    main()
