"""Each page, for whoever comes: with a screen reader, a phone, another language, or no JavaScript."""

import re
from collections.abc import Callable
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from review.cases.held import Held, HeldEvent
from review.cases.keys import held_key
from review.stepping import utc_now
from tests.browser.conftest import ServeDesk, SignIn
from tests.browser.test_work import keys, take
from tests.fakes.review_cases import HOSTILE, TEXTS, a_case, an_unread_case
from tests.fakes.served_desk import ServedDesk

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}


def a_full_desk(serve: ServeDesk, **settings: Any) -> ServedDesk:
    """A desk with everything that a page can show."""
    desk = serve(
        a_case(1, conversation_id="chat-1"),
        a_case(2, conversation_id="chat-1"),
        a_case(3, text=HOSTILE),
        an_unread_case(4),
        a_case(5, text="引っ越してから猫としか話していない"),
        *[a_case(number) for number in range(10, 40)],
        severe_per_hour=1,
        break_after_minutes=0.0001,
        model_view="before",
        undo_seconds=600,
        conversation_context=5,
        **settings,
    )
    event = HeldEvent("case-events", 7, "bad_signature", "decided", "mallory", utc_now())
    desk.run(desk.review.table.put(held_key("case:x:0:1"), Held("case:x:0:1", 0, [event], 3), over=None))
    return desk


def walk(page: Page, url: str, look: Callable[[str], None]) -> None:
    """Go past every page and state, and look at each."""
    look("queue")
    keys(page, "?")
    expect(page.locator("#keys")).to_be_visible()
    look("keys")
    keys(page, "Escape", "n")
    expect(page.locator(".masked")).to_be_visible()
    look("masked")
    keys(page, "r")
    expect(page.locator("#text")).to_be_visible()
    keys(page, "4")
    look("text")
    keys(page, "c")
    expect(page.locator("#context li")).to_have_count(1)
    expect(page.locator("#text")).to_be_visible()
    look("conversation")
    keys(page, "4", "s")
    expect(page.locator("#skip-sheet")).to_be_visible()
    look("skip")
    keys(page, "Escape", "h")
    expect(page.locator("#hand-sheet")).to_be_visible()
    look("hand over")
    keys(page, "Escape", "4", "Enter")
    expect(page.locator(".outcome")).to_be_visible()
    look("decided")
    page.goto(url + "/case/case:messages:0:10")
    expect(page.locator(".state")).to_be_visible()
    look("waiting")
    page.goto(url + "/?said=skipped")
    look("queue again")
    page.goto(url + "/case/case:nowhere:0:0")
    look("unknown")
    for place in ("held", "audit", "figures", "erase"):
        page.goto(f"{url}/{place}")
        look(place)
    page.locator(".erasure [name=wanted]").fill("m-10")
    keys(page, "Enter")
    expect(page.locator("[name=meant]")).to_be_visible()
    look("what an erasure takes")
    page.locator("[name=meant]").focus()
    keys(page, "Space", "Enter")
    expect(page.locator("[name=meant]")).to_have_count(0)
    look("erased")


def faults(page: Page, *themes: Literal["light", "dark"]) -> list[str]:
    """What axe finds on a page, in these themes."""
    found = []
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        for fault in Axe().run(page, options=WCAG).response["violations"]:
            places = [node["target"] for node in fault["nodes"]]
            found.append(f"{theme}: {fault['id']} ({fault['impact']}): {places}")
    return found


@pytest.mark.parametrize(("locale", "themes"), [("en-GB", ["light", "dark"]), ("ja-JP", ["light"])])
def test_axe_finds_nothing(
    serve: ServeDesk, sign_in: SignIn, locale: str, themes: list[Literal["light", "dark"]]
) -> None:
    """Each theme in one language: no style depends on both."""
    desk = a_full_desk(serve)
    page = sign_in(desk.url, locale=locale)
    found: list[str] = []

    def look(place: str) -> None:
        found.extend(f"{place}: {fault}" for fault in faults(page, *themes))

    walk(page, desk.url, look)
    page.get_by_role("button", name=re.compile("Sign out|サインアウト")).click()
    expect(page.locator(".sign-in")).to_be_visible()
    look("sign in")
    page.locator("[name=name]").fill("Aoi")
    keys(page, "Enter")
    expect(page.locator("#queue")).to_be_visible()
    assert "\n".join(found) == ""


def test_axe_would_find_a_fault(serve: ServeDesk, sign_in: SignIn) -> None:
    page = sign_in(serve(a_case(1)).url)
    page.evaluate(
        "Object.assign(document.querySelector('.brand').style, {color: '#ccc', background: '#fff'})"
    )
    assert [fault.split()[1] for fault in faults(page, "light", "dark")] == [
        "color-contrast",
        "color-contrast",
    ]


# What stays in Latin letters on a Japanese page: names, ids, keys, and the message itself.
LATIN = re.compile(
    r"Mimamori|Kafka|English|Aoi|Enter|Esc|m-\d+|user-\d+|chat-\d+|case-events|case:[\w:]+|mallory|\b[A-Z]\b"
    r"|ZWSP|TAG|RLO|PDF|BOM|LRI|PDI|MARKS"
)


# Every text of the page, and what a screen reader says instead of one; the audit log has words of its own.
READ_OUT = """() => [...document.querySelectorAll('body *')]
  .filter(each => !each.closest('.text, .log, .id, select[name=language]'))
  .flatMap(each => [...each.childNodes].filter(node => node.nodeType === 3).map(n => n.textContent)
    .concat(['aria-label', 'title', 'data-warning', 'data-arrived'].map(n => each.getAttribute(n) ?? '')))
  .concat(document.title)"""


def test_nothing_on_a_japanese_page_is_left_in_english(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = a_full_desk(serve)
    page = sign_in(desk.url, locale="ja-JP")
    left: list[str] = []

    def look(place: str) -> None:
        texts = page.evaluate(READ_OUT)
        left.extend(
            f"{place}: {text.strip()}" for text in texts if re.search(r"[A-Za-z]{2}", LATIN.sub("", text))
        )

    assert page.locator("html").get_attribute("lang") == "ja"
    walk(page, desk.url, look)
    assert "\n".join(left) == ""


def test_language_and_colours_are_chosen_and_kept(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1))
    page = sign_in(desk.url)
    page.get_by_label("Language").select_option("ja")
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="確認の待ち行列")).to_be_visible()
    expect(page.locator("body")).to_have_css(
        "background-color", "rgb(20, 26, 26)"
    )  # once its styles are there
    page.goto(desk.url + "/case/case:messages:0:1")
    expect(page.locator("html")).to_have_attribute("lang", "ja")


@pytest.mark.parametrize(("task", "answers"), [("stress", 5), ("suicide-risk", 7)])
def test_on_a_phone_the_decision_is_above_the_fold(
    serve: ServeDesk, sign_in: SignIn, task: str, answers: int
) -> None:
    page = sign_in(serve(a_case(0, task=task)).url, **PHONE)
    for step in ("masked", "shown"):
        page.get_by_role(
            "button", name="Take the next case" if step == "masked" else "Show the message"
        ).click()
        expect(page.locator(".masked" if step == "masked" else "#text")).to_be_visible()
        places = [choice.bounding_box() for choice in page.locator(".decision .choice").all()]
        places.append(page.get_by_role("button", name="Confirm").bounding_box())
        assert len(places) == answers + 1
        assert all(place and place["y"] >= 0 and place["y"] + place["height"] <= 844 for place in places), (
            places
        )
        assert all(place and place["height"] >= 24 for place in places)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_phone_scrolls_no_page_sideways(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = a_full_desk(serve)
    page = sign_in(desk.url, **PHONE)
    wide: list[str] = []

    def look(place: str) -> None:
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            wide.append(place)
        # A table scrolls in itself, and no word in it is broken.
        tables = page.locator(".wide > .held").evaluate_all("all => all.map(table => table.offsetWidth)")
        if any(width < 600 for width in tables):
            wide.append(f"the table of {place}")

    walk(page, desk.url, look)
    assert wide == []


def test_a_hostile_message_is_inert_and_what_it_hides_is_named(serve: ServeDesk, sign_in: SignIn) -> None:
    page = sign_in(serve(a_case(1, text=HOSTILE)).url)
    take(page)
    assert page.title() == "Escalation, stress · Mimamori"
    text = page.locator("#text")
    assert text.locator("script, img, style").count() == 0
    expect(text).to_contain_text("<script>document.title='owned'</script>")
    glyphs = text.locator(".glyph").evaluate_all("all => all.map(each => [each.title, each.textContent])")
    named = {name for name, _ in glyphs}
    assert named >= {
        "RIGHT-TO-LEFT OVERRIDE",
        "ZERO WIDTH SPACE",
        "ZERO WIDTH NO-BREAK SPACE",
        "TAG CHARACTERS",
        "COMBINING MARKS",
    }
    assert any("hi" in shown for name, shown in glyphs if name == "TAG CHARACTERS")
    expect(page.locator(".decision")).to_be_visible()
    keys(page, "2", "Enter")
    expect(page.locator(".outcome")).to_be_visible()


def test_a_message_of_100_kb_is_folded_and_the_decision_stays_in_reach(
    serve: ServeDesk, sign_in: SignIn
) -> None:
    text = "".join(f"{TEXTS[number % 5]} ({number}). " for number in range(1500))[:100_000]
    page = sign_in(serve(a_case(1, text=text)).url)
    take(page)
    fold = page.locator(".fold")
    expect(fold).to_have_text(re.compile("98500 more characters"))
    expect(page.get_by_role("button", name="Confirm")).to_be_in_viewport()
    fold.locator("summary").click()
    expect(page.locator("#text")).to_contain_text(text[-40:].strip())
    expect(page.get_by_role("button", name="Confirm")).to_be_in_viewport()


def test_a_case_without_text_says_where_to_look(serve: ServeDesk, sign_in: SignIn) -> None:
    page = sign_in(serve(a_case(1, text=None)).url)
    keys(page, "n")
    expect(page.get_by_text("Look the message up by its id.")).to_be_visible()
    keys(page, "1", "Enter")
    expect(page.locator(".outcome")).to_be_visible()


def test_a_broken_record_says_so_and_is_decided_like_any_other(serve: ServeDesk, sign_in: SignIn) -> None:
    page = sign_in(serve(an_unread_case(1, levels=[], task="own-task")).url)
    take(page)
    expect(page.get_by_text("What arrived, as far as it can be shown.")).to_be_visible()
    expect(page.get_by_text("no model has read this: the record is broken")).to_be_visible()
    assert page.locator(".decision .choice .name").all_inner_texts() == ["Not at risk", "At risk", "Unsure"]
    keys(page, "2", "Enter")
    expect(page.locator(".outcome")).to_have_text("At risk")


@pytest.mark.parametrize("case_id", ["case:a/b?c#d:0:1", 'case:"><script>:0:1', "case:%2e%2e:0:1"])
def test_an_id_that_a_hostile_producer_made_up_leads_to_its_case(
    serve: ServeDesk, sign_in: SignIn, case_id: str
) -> None:
    page = sign_in(serve(a_case(1, id=case_id)).url)
    take(page)
    keys(page, "1", "Enter")
    expect(page.locator(".outcome")).to_be_visible()


def test_everything_works_without_javascript(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1), a_case(2), undo_seconds=600)
    page = sign_in(desk.url, java_script_enabled=False)
    page.get_by_role("button", name="Take the next case").click()
    page.get_by_role("button", name="Show the message").click()
    expect(page.locator("#text")).to_contain_text("stare at the screen")
    page.get_by_label("At risk, moderate").check()
    page.get_by_role("button", name="Keep it longer").click()
    page.get_by_label("At risk, moderate").check()
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator(".outcome")).to_have_text("At risk, moderate")
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Skip").click()
    page.get_by_label("I know somebody involved").check()
    page.get_by_role("button", name="Skip it").click()
    expect(page.get_by_text("You skipped the case.")).to_be_visible()
    steps = [event.action for event in desk.review.log]
    assert steps == ["claimed", "extended", "decided", "undone", "released"]


def test_a_lead_reopens_a_decided_case(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1), undo_seconds=0)
    page = sign_in(desk.url)
    take(page)
    keys(page, "1", "Enter")
    expect(page.locator(".outcome")).to_be_visible()
    while desk.review.log[-1].action != "settled":
        page.wait_for_timeout(20)
    page.reload()
    page.get_by_label("Why another decision?").fill("a second look")
    page.get_by_role("button", name="Reopen this case").click()
    expect(page.locator(".state")).to_have_text("This case waits for a second reader.")


def test_a_lead_discards_what_was_not_believed(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = a_full_desk(serve)
    page = sign_in(desk.url)
    expect(page.get_by_text("Events that were not believed, for a lead to look at: 1.")).to_be_visible()
    page.get_by_role("link", name="Held").click()
    expect(page.get_by_role("cell", name="its signature is wrong or missing")).to_be_visible()
    expect(page.get_by_text("and 3 more")).to_be_visible()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("There are none.")).to_be_visible()
