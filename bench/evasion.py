"""Measures what disguises do to the shipped tasks, before and after the second reading: docs/explanation/evasion.md.

    mimamori bundle build stress --adapted --out STRESS
    mimamori bundle build suicide-risk --adapted --out SUICIDE
    python -m bench.evasion STRESS SUICIDE --traffic chat.jsonl

The messages are each task's shipped examples, at risk and harmless, that were held out of the fit. "Before"
is the engine alone, "after" the engine as every command uses it. A message counts as cleared where its
verdict is `clear`; a harmless one counts as flagged where it is not. `--traffic` takes JSONL files with
`text`, to count how much of ordinary traffic is read twice or taken for another language.
"""

import argparse
import base64
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from engine.bundle import Bundle
from engine.device_names import DeviceChoice
from engine.disguise.twice import TwiceReadingEngine
from engine.disguise.variant import vary
from engine.language import LanguageDetector
from engine.load import load_engine
from engine.policy import Policy
from engine.scores import Scores
from engine.task import SHIPPED
from export.examples import read_examples
from mimamori.demo.stage import CONVERSATIONS

ROOT = Path(__file__).parents[1]
LEET = str.maketrans("aeiost", "431057")
CYRILLIC = str.maketrans("aeiopcyxs", "аеіорсухѕ")
SMALL_CAPITALS = str.maketrans("abcdefghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ")


def between(mark: str) -> Callable[[str], str]:
    """A disguise that puts `mark` between the letters of each word."""
    return lambda text: " ".join(mark.join(word) for word in text.split(" "))


def shifted(text: str, first: int, upper: int, lower: int) -> str:
    """Replace Latin letters with those of another block, whose A is at `upper` and a at `lower`."""
    pairs = ((ord("A"), upper), (ord("a"), lower))
    return "".join(
        next((chr(ord(c) - base + start) for base, start in pairs if 0 <= ord(c) - base < first), c)
        for c in text
    )


EVASIONS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "U+0000 between letters": between("\x00"),
    "zero-width space": between("\u200b"),
    "soft hyphen": between("\u00ad"),
    "word joiner": between("\u2060"),
    "zero-width joiner": between("\u200d"),
    "full-width letters": lambda text: shifted(text, 26, 0xFF21, 0xFF41),
    "mathematical letters": lambda text: shifted(text, 26, 0x1D400, 0x1D41A),
    "HTML entities": lambda text: "".join(f"&#{ord(c)};" if c.isalpha() else c for c in text),
    "leetspeak": lambda text: text.lower().translate(LEET),
    "capitals": str.upper,
    "letters apart by spaces": lambda text: "  ".join(" ".join(word) for word in text.split(" ")),
    "letters apart by dots": between("."),
    "letters apart by emoji": between("🙂"),
    "right-to-left override": lambda text: "\u202e" + text[::-1] + "\u202c",
    "combining marks": between("\u0335\u0323\u0301"),
    "Cyrillic look-alikes": lambda text: text.lower().translate(CYRILLIC),
    "small capitals": lambda text: text.lower().translate(SMALL_CAPITALS),
    "drawn-out letters": lambda text: "".join(c * 4 if c in "aeiou" else c for c in text),
    "tag characters": lambda text: "hi " + "".join(chr(0xE0000 + ord(c)) if c.isascii() else c for c in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
}

HARMLESS = {
    "emoji": [
        "on my way 😂😂😂",
        "👨‍👩‍👧 family day ❤️",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿 won!!",
        "1️⃣ milk 2️⃣ eggs",
        "🎉🎉 happy birthday Zoë 🎂",
    ],
    "kaomoji, ASCII art": [
        "¯\\_(ツ)_/¯ no idea",
        "(╯°□°)╯︵ ┻━┻",
        "(´・ω・`)",
        " /\\_/\\\n( o.o )\n > ^ <",
        "ಠ_ಠ really",
    ],
    "code, addresses": [
        "def main() -> int: return 0",
        "git commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "see https://example.org/watch?v=dQw4w9WgXcQ&list=PL0123456789abcdef",
        "mail me: tom.b@example.org, h4x0r on irc",
        "SELECT id, name FROM users WHERE id &lt; 10;",
    ],
    "typography": [
        "“Fine” — she said… it’s ½ price",
        "café, naïve, Zoë, São Paulo",
        "5 µm, TNFα, E = mc²",
        "№ 5 by Chanel™",
        "ﬁnd the ﬂat",
    ],
    "slang, capitals": [
        "LOL OK",
        "gr8 c u 2moro",
        "YES!!! WE WON THE CUP TONIGHT",
        "sooo good, yesss",
        "h8 mondays lol, covid19 test neg",
    ],
    "Japanese": [
        "おはよう!今日もいい天気だね",
        "明日の会議は10時からです",
        "ラーメン食べたい🍜",
        "了解です、あとで電話するね",
        "週末 free? new place できたらしい",
    ],
}


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--traffic", nargs="*", type=Path, default=[])
    parser.add_argument("--device", default="auto", choices=get_args(DeviceChoice))
    parser.add_argument("--most", type=int, default=1000, help="messages of each kind")
    arguments = parser.parse_args()
    for path in arguments.bundles:
        disguises(Bundle.load(path), arguments.device, arguments.most)
    demo = CONVERSATIONS
    for path in [demo, *arguments.traffic]:
        traffic(path)
    languages()
    cost(
        Bundle.load(arguments.bundles[0]),
        [*texts(demo), *(t for p in arguments.traffic for t in texts(p))],
        arguments.device,
    )


def opened(bundle: Bundle, device: DeviceChoice) -> TwiceReadingEngine:
    """The engine as every command uses it, from which the engine inside can be taken."""
    engine = load_engine(bundle, device=device)
    if not isinstance(engine, TwiceReadingEngine):
        raise TypeError(f"load_engine gave {type(engine).__name__}: there is no second reading to measure")
    return engine


def disguises(bundle: Bundle, device: DeviceChoice, most: int) -> None:
    """Count cleared at-risk messages and flagged harmless ones, before and after."""
    task = bundle.manifest.task
    engine = opened(bundle, device)
    policy = Policy(bundle.thresholds_for(engine.identity), 0.0, frozenset(task.languages))
    held_out = read_examples(SHIPPED / f"{task.name}.heldout.jsonl", task)
    risky, harmless = ([e.text for e in held_out if e.at_risk is wanted][:most] for wanted in (True, False))
    print(
        f"\n### {task.name}: {len(risky)} at-risk and {len(harmless)} harmless messages, {engine.describe()}\n"
    )
    print("| disguise | at risk: cleared before | after | harmless: flagged before | after |")
    print("|---|---|---|---|---|")
    for name, disguise in EVASIONS.items():
        one, other = ([disguise(t) for t in group] for group in (risky, harmless))
        before, after = _clear(engine, policy, one)
        calm_before, calm_after = _clear(engine, policy, other)
        print(
            f"| {name} | {before} | {after} | {len(other) - calm_before} | {len(other) - calm_after} |",
            flush=True,
        )
    print("\n| ordinary harmless texts | flagged before | after |\n|---|---|---|")
    for name, group in HARMLESS.items():
        before, after = _clear(engine, policy, group)
        print(f"| {name} ({len(group)}) | {len(group) - before} | {len(group) - after} |")


def _clear(engine: TwiceReadingEngine, policy: Policy, group: Sequence[str]) -> tuple[int, int]:
    inner = engine._engine  # noqa: SLF001 - the engine without the second reading
    ruled = [
        [policy.rule(s, None, "id").verdict for s in reads(group)] for reads in (inner.read, engine.read)
    ]
    return ruled[0].count("clear"), ruled[1].count("clear")


def texts(path: Path) -> list[str]:
    """The texts of a JSONL file."""
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def traffic(path: Path) -> None:
    """Count how much of ordinary traffic is read twice, called obfuscated, or taken for another language."""
    group = texts(path)
    variants = [vary(text) for text in group]
    detector = LanguageDetector(("en", "ja"))
    foreign = sum(found is not None for found in detector.foreign(group))
    more = sum(len(v.text) for v in variants if v.text) / sum(map(len, group))
    twice = sum(v.text is not None for v in variants)
    print(
        f"\n{path.name}: {len(group)} messages, {twice / len(group):.2%} read twice ({more:.2%} more characters), "
        f"{sum(v.obfuscated for v in variants)} obfuscated, {foreign / len(group):.2%} in another language"
    )


def languages() -> None:
    """Measure recall on messages in other languages, by length (the sentence's index, from short to long)."""
    detector = LanguageDetector(("en", "ja"))
    foreign = json.loads((ROOT / "bench" / "foreign.json").read_text())
    print("\n| letters | messages not in English or Japanese | noticed |\n|---|---|---|")
    sentences = [text for language, texts in foreign.items() if language != "ja" for text in texts]
    letters_of = [sum(map(str.isalpha, text)) for text in sentences]
    group = list(zip(letters_of, detector.foreign(sentences), strict=True))
    for low, high in ((0, 14), (14, 20), (20, 30), (30, 1000)):
        band = [found for letters, found in group if low <= letters < high]
        print(f"| {low} to {high - 1} | {len(band)} | {sum(found is not None for found in band)} |")


def cost(bundle: Bundle, group: list[str], device: DeviceChoice) -> None:
    """Time the whole engine against the engine inside: the median ratio of interleaved runs, and its spread."""
    engine = opened(bundle, device)
    sample = random.Random(7).sample(group, min(300, len(group)))
    ratios = []
    for number in range(9):
        reads: list[Callable[[Sequence[str]], list[Scores]]] = [engine._engine.read, engine.read]  # noqa: SLF001
        spent = {}
        for index in (0, 1) if number % 2 else (1, 0):
            start = time.process_time()
            reads[index](sample)
            spent[index] = time.process_time() - start
        ratios.append(spent[1] / spent[0])
    own = time.process_time()
    for text in sample:
        vary(text)
    engine._detector.foreign(sample)  # noqa: SLF001
    own = time.process_time() - own
    print(
        f"\nCost on {len(sample)} ordinary messages: {own / len(sample) * 1e6:.0f} µs a message to look at the text; "
        f"CPU time of the whole over the engine alone: median {statistics.median(ratios):.3f} "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f}, {len(ratios)} pairs)"
    )


if __name__ == "__main__":
    main()
