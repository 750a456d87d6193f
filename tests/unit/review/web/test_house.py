"""The words of the house: shipped ones that say they are to be replaced, and a file laid over them."""

from pathlib import Path

import pytest

from engine.task import SHIPPED, load_task
from review.errors import DeskError
from review.web.pages.house import house


def test_the_shipped_meanings_are_those_of_the_shipped_tasks() -> None:
    for task in [load_task(path.stem) for path in SHIPPED.glob("*.yaml")]:
        for level in task.severity.levels:
            assert house(None).level(task.name, level.name, "en").meaning == level.meaning
            assert house(None).level(task.name, level.name, "ja").meaning != level.meaning


def test_the_shipped_guidance_says_that_it_has_to_be_replaced() -> None:
    assert "has to be replaced" in house(None).advice("en")[0]
    assert "置き換えて" in house(None).advice("ja")[0]


def test_severe_is_what_is_listed_or_else_the_last_level() -> None:
    shipped = house(None)
    assert shipped.is_severe(
        "suicide-risk", "behaviour", ["supportive", "indicator", "ideation", "behaviour", "attempt"]
    )
    assert not shipped.is_severe("stress", "moderate", ["low", "moderate", "high"])
    assert shipped.is_severe("rental-scam", "asking", ["vague", "asking"])
    assert not shipped.is_severe("rental-scam", "vague", ["vague", "asking"])
    assert not shipped.is_severe("rental-scam", None, [])


def test_a_level_that_nobody_described_shows_its_identifier() -> None:
    assert (
        house(None).level("spam", "very_bad", "ja").name,
        house(None).level("spam", "very_bad", "ja").meaning,
    ) == ("very bad", "")


def test_a_file_is_laid_over_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(
        "guidance: {en: 'Ring the bell.'}\n"
        "levels: {rental-scam: {asking: {en: {name: asking, meaning: Asks for money.}}}}\n"
        "severe: {stress: [moderate, high]}\n"
    )
    ours = house(path)
    assert ours.advice("en") == ["Ring the bell."]
    assert ours.advice("ja") == house(None).advice("ja")
    assert ours.level("rental-scam", "asking", "ja").meaning == "Asks for money."
    assert ours.level("stress", "low", "en") == house(None).level("stress", "low", "en")
    assert ours.is_severe("stress", "moderate", ["low", "moderate", "high"])


@pytest.mark.parametrize(
    "content",
    [
        "- a list",
        "guidance: [1]",
        "guidence: {en: x}",
        "a: b: c",
        "levels: {t: {l: {fr: {name: a, meaning: b}}}}",
    ],
)
def test_a_file_that_says_anything_else_stops_the_desk_with_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(content)
    with pytest.raises(DeskError, match="cannot use MIMAMORI_REVIEW_HOUSE") as caught:
        house(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DeskError, match="No such file"):
        house(tmp_path / "none.yaml")
