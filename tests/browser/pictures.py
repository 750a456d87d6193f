"""Takes the documentation's pictures anew, of a desk in memory: python -m tests.browser.pictures

Japanese needs a font that has it, such as Debian's fonts-ipafont-gothic.
"""

import shutil
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from schemas.events import Highlight, Severity
from tests.fakes.memory_review import MemoryReview
from tests.fakes.review_cases import a_case, an_unread_case
from tests.fakes.served_desk import ServedDesk, served

DOCS: Final = Path(__file__).parents[2] / "docs"
LAPTOP: Final = {"viewport": {"width": 1280, "height": 800}}
PHONE: Final = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}
STRESS: Final = ("low", "moderate", "high")


def guessed(level: str, **shares: float) -> Severity:
    return Severity(level, dict.fromkeys(STRESS, 0.2) | {level: 0.6} | shares)


def a_morning() -> list[Any]:
    """Cases as they may wait on a morning."""
    texts = [
        "I snapped at my kids again. I hardly sleep",
        "is anybody awake",
        "sorry, it is all too much today",
    ]
    talk = [
        a_case(20 + number, text=text, conversation_id="chat-41", severity=guessed("moderate"))
        for number, text in enumerate(texts)
    ]
    text = "I can't sleep again, it is the third week, and at work I just stare at the screen"
    marks = [Highlight(2, 13, 0.5), Highlight(27, 41, 0.2)]
    return [
        a_case(1, text=text, highlights=marks, severity=guessed("high")),
        a_case(12, severity=guessed("moderate"), conversation_id="chat-7"),
        *talk,
        an_unread_case(30),
        *[a_case(40 + number, severity=guessed("low"), conversation_id=None) for number in range(8)],
    ]


def signed_in(browser: Browser, desk: ServedDesk, name: str, **options: Any) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(desk.url + "/sign-in")
    page.fill("[name=name]", name)
    page.keyboard.press("Enter")
    page.wait_for_url(desk.url + "/")
    return page


def take(page: Page, answer: str) -> None:
    """Take a case, read it, and choose an answer."""
    page.keyboard.press("n")
    page.locator(".masked .main").wait_for()
    page.keyboard.press("r")
    page.locator("#text").wait_for()
    page.keyboard.press(answer)


def tutorial(browser: Browser) -> None:
    """The second case of the tutorial."""
    levels, text = (
        ["suspicious", "luring", "asking"],
        "Write to my other address, the chat here loses messages",
    )
    scam = a_case(1, task="rental-scam", text=text, levels=levels, severity=None, message_id="c4")
    with served(MemoryReview()) as desk:
        desk.run(desk.review.open(scam))
        page = signed_in(browser, desk, "Aoi", viewport={"width": 1000, "height": 640})
        take(page, "3")
        page.screenshot(path=DOCS / "tutorial" / "desk.png")


def main() -> None:
    """Take them."""
    with (
        sync_playwright() as playwright,
        served(MemoryReview(undo_seconds=600, capacity_window_minutes=0.1)) as desk,
    ):
        desk.run(desk.review.open(*a_morning()))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        aoi = signed_in(browser, desk, "Aoi", **LAPTOP)
        take(aoi, "3")
        aoi.screenshot(path=DOCS / "how-to" / "desk-case.png")
        aoi.keyboard.press("Enter")
        aoi.locator(".outcome").wait_for()
        desk.run(desk.review.settle(str(aoi.locator(".undo").get_attribute("action")).split("/")[2]))
        aoi.reload()
        aoi.keyboard.press("r")
        aoi.locator("mark").first.wait_for()
        aoi.screenshot(path=DOCS / "how-to" / "desk-decided.png")
        ben = signed_in(browser, desk, "Ben", **PHONE)
        take(ben, "4")
        ben.screenshot(path=DOCS / "how-to" / "desk-phone.png")
        kaori = signed_in(browser, desk, "Kaori", locale="ja-JP", color_scheme="dark", **LAPTOP)
        take(kaori, "2")
        kaori.screenshot(path=DOCS / "how-to" / "desk-japanese-dark.png")
        queue = signed_in(browser, desk, "Mika", **LAPTOP)
        queue.screenshot(path=DOCS / "how-to" / "desk-queue.png")
        tutorial(browser)
        browser.close()


if __name__ == "__main__":
    main()
