"""A disguised text is read twice, as it is and as a person reads it; the higher risk counts."""

import math
import time
import unicodedata
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from engine.disguise.twice import TwiceReadingEngine
from engine.disguise.variant import vary
from engine.language import LanguageDetector
from engine.policy import Policy
from engine.scores import Scores
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Highlight, Thresholds

PLAIN = "I want to end it all"
DISGUISES = {
    "control": "I w\x00a\x00nt to e\x01nd it all",
    "zero width": "I w\u200ban\u200bt to en\u200bd it all",
    "soft hyphen": "I w\u00adan\u00adt to en\u00add it all",
    "joiners in a letter pair": "I w\u200dan\u2060t to en\u200cd it al\ufe0fl",
    "full width": "Ｉ ｗａｎｔ ｔｏ ｅｎｄ ｉｔ ａｌｌ",
    "mathematical": "𝐈 𝓌𝖆𝗇𝘁 𝚝𝕠 𝐞𝐧𝐝 𝐢𝐭 𝐚𝐥𝐥",
    "entities": "&#73; w&#97;nt to &#x65;nd it a&amp;#108;l",
    "marks": "I w̴a̶n̷t to e̵̢̛nd it all",
    "reversed": "\u202ella ti dne ot tnaw I\u202c",
    "circled": "Ⓘ ⓦⓐⓝⓣ ⓣⓞ ⓔⓝⓓ ⓘⓣ ⓐⓛⓛ",
    "surrogates": "I w\ud800ant to e\udfffnd it all",
}
ORDINARY = [
    "in!", "lol ok", "On my way 😂👨‍👩‍👧 ❤️", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 1️⃣ won",
    "“Fine” — she said… ½ off™", "café, naïve Zoë, São Paulo", "tom@example.org, https://example.org/a3b?v=dQw4w9",
    "4th of May at 10am, covid19, mp3s", "OK LOL", "¯\\_(ツ)_/¯ (╯°□°)╯", "明日の会議は10時からです！", "Привет, как дела?",
    "می‌خواهم بروم", "so cooool", "U.S.A. and e.g. a dog", "tiếng Việt",
]  # fmt: skip


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
def test_a_disguise_is_undone(disguise: str) -> None:
    assert vary(disguise).text == PLAIN


@pytest.mark.parametrize(
    ("disguise", "read"),
    [
        ("I w4nt t0 d1e", "I want to die"),
        ("I WANT TO DIE NOW", "i want to die now"),
        ("i  w a n t  t o  g o", "i want to go"),
        ("s.a.d.l.y", "sadly"),
        ("s🙂a🙂d🙂l🙂y", "sadly"),
        ("sooo saaad, I kiiilll it", "so sad, I kill it"),
        ("ᴀʟʟ ᴏғ ɪᴛ", None),
    ],
)
def test_ways_of_writing_are_undone(disguise: str, read: str | None) -> None:
    found = vary(disguise).text
    assert found == read if read else found != disguise


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_writing_is_read_once(text: str) -> None:
    assert vary(text) == (None, False)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("hi\U000e0064\U000e0069\U000e0065", "hidie"),
        ("I w\u0430nt t\u043e g\u043e", "I want to go"),
        ("SSB3YW50IHRvIGVuZCBpdCBhbGw=", PLAIN),
        (PLAIN.encode().hex(), PLAIN),
        ("01001001 00100000 01110111 01100001 01101110 01110100", "I want"),
        ("x9Kq" * 30, None),
    ],
)
def test_what_no_model_can_read_is_obfuscated(text: str, read: str | None) -> None:
    assert vary(text) == (read, True)


@given(st.text(st.characters(), max_size=200))
def test_it_never_raises_and_a_second_pass_finds_nothing_more(text: str) -> None:
    variant = vary(text)
    if variant.text is not None and not variant.obfuscated:
        assert vary(variant.text).text is None
        assert len(variant.text) <= 2 * len(text) + 256


@given(
    st.lists(
        st.sampled_from(["the", "an", "dog", "went", "home", "with", "some", "bread", "we", "like", "it"]),
        min_size=1,
    )
)
def test_plain_words_are_left_alone(words: list[str]) -> None:
    assert vary(" ".join(words)) == (None, False)


FORMATS = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) == "Cf" and chr(c) != "\u202e"]


@given(st.sampled_from([c for c in FORMATS if not 0xE0020 <= ord(c) < 0xE007F]), st.integers(1, 3))
def test_any_format_character_between_letters_is_taken_out(mark: str, count: int) -> None:
    assert vary("to e" + mark * count + "nd it").text == "to end it"


BOMBS = {
    "entities": "&amp;" * 20_000 + "#65;",
    "nested entities": "&#38;" * 20_000,
    "marks": "a" + "\u0301\u0323" * 50_000,
    "expansion": "\ufdfa" * 20_000,
    "apart": "a " * 50_000,
    "leet": "a1" * 50_000,
    "overrides": "\u202e" * 100_000,
    "hexadecimal": "a0" * 50_000,
    "addresses": "x." * 50_000 + "@",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_takes_time_in_proportion_to_its_length(bomb: str) -> None:
    started = time.process_time()
    variant = vary(bomb)
    # Quadratic ways took 48 s here, this one a fifth of a second at most: not a timing, a class of cost.
    assert time.process_time() - started < 20
    assert len(variant.text or "") <= 2 * len(bomb) + 256


class _Scored(CannedEngine):
    """Gives each text the risk it is told, and remembers what it was asked."""

    def __init__(self, risks: dict[str, float], reading: str = "pooled") -> None:
        super().__init__(reading=reading)  # type: ignore[arg-type] # literals below
        self.risks = risks
        self.asked: list[list[str]] = []

    def read(self, texts: Sequence[str]) -> list[Scores]:
        self.asked.append(list(texts))
        return [Scores(self.risks.get(text, 0.1), (0.5, 0.3, 0.2), 1, text == "cut") for text in texts]

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [(0.1, 0.1, 0.8) if text == PLAIN else (0.8, 0.1, 0.1) for text in texts]


def test_the_higher_risk_counts_and_windows_add_up() -> None:
    disguised = DISGUISES["zero width"]
    engine = _Scored({PLAIN: 0.9})
    calm, risky = TwiceReadingEngine(engine, []).read(["hello you", disguised])
    assert (calm.risk, calm.windows, risky.risk, risky.windows) == (0.1, 1, 0.9, 2)
    assert engine.asked == [["hello you", disguised, PLAIN]]
    higher_as_it_is = TwiceReadingEngine(_Scored({disguised: 0.8}), []).read([disguised])
    assert higher_as_it_is[0].risk == 0.8


@pytest.mark.parametrize("shallow", [PLAIN, DISGUISES["zero width"]])
def test_a_text_counts_as_decided_at_the_deeper_depth_of_its_two_readings(shallow: str) -> None:
    """Whichever of them stopped, and even where that one has the higher risk."""

    class Stopping(_Scored):
        def read(self, texts: Sequence[str]) -> list[Scores]:
            read = zip(texts, super().read(texts), strict=True)
            return [msgspec.structs.replace(each, depth=1 if text == shallow else 16) for text, each in read]

    for risks in ({PLAIN: 0.2}, {DISGUISES["zero width"]: 0.2}):
        (scores,) = TwiceReadingEngine(Stopping(risks), []).read([DISGUISES["zero width"]])
        assert (scores.risk, scores.depth) == (0.2, 16)


def test_no_number_is_higher_than_any() -> None:
    disguised = DISGUISES["zero width"]
    for risks in ({PLAIN: math.nan}, {disguised: math.nan}):
        assert math.isnan(TwiceReadingEngine(_Scored(risks), []).read([disguised])[0].risk)


def test_the_graver_reading_is_the_severity_of_a_prompted_one() -> None:
    engine = TwiceReadingEngine(_Scored({}, "prompted"), [])
    assert engine.grade(["hello you", DISGUISES["reversed"]]) == [(0.8, 0.1, 0.1), (0.1, 0.1, 0.8)]


def test_what_stays_unreadable_or_is_in_another_language_is_never_clear() -> None:
    policy = Policy(Thresholds(0.3, 0.7, "test"), 0.0, frozenset(["en", "ja"]))
    engine = TwiceReadingEngine(_Scored({}), ["en", "ja"])
    blob, german, english = engine.read(
        ["x9Kq" * 30, "ich kann seit Wochen nicht mehr schlafen", "I sleep well"]
    )
    assert policy.rule(blob, None, "id").reasons == ["below_lower_threshold", "obfuscated"]
    assert policy.rule(german, None, "id").reasons == ["below_lower_threshold", "unsupported_language"]
    assert policy.rule(german, "en", "id").verdict == "clear", "a declared language is believed …"
    (russian,) = engine.read(["я больше не могу"])
    assert policy.rule(russian, "en", "id").verdict == "uncertain", "… but not against the script"
    assert policy.rule(english, None, "id").verdict == "clear"


@pytest.mark.parametrize(
    "text",
    ["lol ok", "brb", "Priya Natarajan", "Deutsche Bank", "hola amigos", "ಠ_ಠ", "¯\\_(ツ)_/¯", "😂", "明日行く", "",
     "https://beispiel.example/ich-kann-nicht-mehr", "The wifi is down again, anyone else?", "\ud800"],
)  # fmt: skip
def test_short_and_english_texts_are_in_no_other_language(text: str) -> None:
    assert LanguageDetector(["en", "ja"]).foreign([text]) == [None]


@pytest.mark.parametrize(
    ("text", "language"),
    [("мне плохо", "und-Cyrl"), ("我最近压力很大睡不着觉", "zh-Hani"), ("오늘 너무 피곤해", "ko-Kore"), ("أنا متعب", "und-Arab"),
     ("je n'arrive plus à dormir", "fr"), ("bugün çok yorgunum artık", "tr"), ("ok но мне очень плохо", "und-Cyrl")],
)  # fmt: skip
def test_another_language_is_noticed(text: str, language: str) -> None:
    assert LanguageDetector(["en", "ja"]).foreign([text]) == [language]
    assert LanguageDetector([]).foreign([text]) == [None], "no languages means any"


class MarkingEngine(CannedEngine):
    """Marks the word "end", and finds the texts that have it riskier."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        return [
            structs.replace(scores, risk=0.9, highlights=self.marks(text.index("end")))
            if "end" in text
            else structs.replace(scores, risk=0.1)
            for text, scores in zip(texts, super().read(texts), strict=True)
        ]

    def marks(self, at: int) -> tuple[Highlight, ...] | None:
        """The word that starts there."""
        return (Highlight(at, at + 3, 0.5),)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        (PLAIN, "end"),
        ("I w\u200ban\u200bt to en\u200bd it all", "en\u200bd"),
        ("I will b3nd it all", "b3nd"),
        ("nothing of it", None),
    ],
)
def test_highlights_of_the_second_reading_are_places_in_the_text_as_sent(
    text: str, marked: str | None
) -> None:
    (scores,) = TwiceReadingEngine(MarkingEngine(), []).read([text])
    assert [text[each.start : each.end] for each in scores.highlights or ()] == ([marked] if marked else [])


def test_highlights_that_failed_in_the_second_reading_stay_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MarkingEngine()
    monkeypatch.setattr(engine, "marks", lambda _: None)
    (scores,) = TwiceReadingEngine(engine, []).read(["I want to e\u200bnd it all"])
    assert scores.highlights is None
    assert scores.risk == 0.9
