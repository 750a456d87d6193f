"""Somebody works at the desk with the keyboard alone: real pages and rules; only Kafka is left out."""

import re

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import ServeDesk, SignIn
from tests.fakes.bare_desk import until
from tests.fakes.review_cases import a_case


def keys(page: Page, *names: str) -> None:
    for name in names:
        page.keyboard.press(name)


def take(page: Page) -> None:
    """Take the next case and show its message."""
    page.keyboard.press("n")
    expect(page.get_by_role("button", name="Show the message")).to_be_focused()
    page.keyboard.press("r")
    expect(page.locator("#text")).to_be_focused()


def test_a_case_is_read_and_decided_in_four_keys_and_the_next_is_one_more(
    serve: ServeDesk, sign_in: SignIn
) -> None:
    desk = serve(a_case(1), a_case(2))
    page = sign_in(desk.url)
    expect(page.get_by_role("button", name="Take the next case")).to_be_focused()
    take(page)
    expect(page.locator("#text")).to_contain_text("I can't sleep again")
    keys(page, "4", "Enter")
    expect(page.locator(".outcome")).to_have_text("At risk, high")
    expect(page.get_by_role("button", name="Take the next case")).to_be_focused()
    keys(page, "Enter")
    expect(page.locator(".masked")).to_be_visible()
    decided = [event for event in desk.review.log if event.action == "decided"]
    assert [(event.decision.finding, event.decision.severity) for event in decided if event.decision] == [
        ("at_risk", "high")
    ]


def test_the_text_is_not_on_the_page_until_it_is_asked_for(serve: ServeDesk, sign_in: SignIn) -> None:
    page = sign_in(serve(a_case(1)).url)
    assert "stare at" not in page.content()
    keys(page, "n")
    expect(page.locator(".masked")).to_be_visible()
    assert "stare at" not in page.content()
    keys(page, "r")
    expect(page.locator("#text")).to_contain_text("I can't sleep again")
    keys(page, "r")
    expect(page.locator(".masked")).to_be_visible()
    assert "stare at" not in page.content()


def test_the_models_view_comes_once_the_reviewers_own_judgement_stands(
    serve: ServeDesk, sign_in: SignIn
) -> None:
    desk = serve(a_case(1), undo_seconds=600)
    page = sign_in(desk.url)
    take(page)
    assert "0.90" not in page.content()
    assert page.locator("mark").count() == 0
    expect(page.get_by_text("What the model thought is shown after your own judgement.")).to_be_visible()
    keys(page, "1", "Enter")
    expect(page.locator(".later")).to_contain_text("shown once your decision stands, in 9:5")
    assert "0.90" not in page.content()
    desk.run(desk.review.settle(a_case(1).id))
    page.reload()
    expect(page.get_by_role("heading", name="What the model thought")).to_be_visible()
    expect(page.locator(".model")).to_contain_text("0.90")
    keys(page, "r")
    expect(page.locator("mark")).to_contain_text("sleep")


def test_a_house_may_show_the_models_view_first(serve: ServeDesk, sign_in: SignIn) -> None:
    page = sign_in(serve(a_case(1), model_view="before").url)
    take(page)
    expect(page.locator("mark")).to_contain_text("sleep")
    expect(page.locator(".model")).to_contain_text("high (60 %)")


def test_a_decision_is_undone_in_one_key_from_any_page(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1), a_case(2), undo_seconds=600)
    page = sign_in(desk.url)
    take(page)
    keys(page, "1", "Enter")
    expect(page.locator(".undo")).to_contain_text("Decided: Not at risk")
    keys(page, "q")
    expect(page.get_by_role("heading", name="Review queue")).to_be_visible()
    keys(page, "u")
    expect(page.locator(".decision")).to_be_visible()
    expect(page.locator(".undo")).to_have_count(0)
    assert [event.action for event in desk.review.log] == ["claimed", "decided", "undone"]


def test_the_undo_bar_counts_down_and_goes(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1), undo_seconds=2)
    page = sign_in(desk.url)
    take(page)
    keys(page, "2", "Enter")
    expect(page.locator(".undo .ticks")).to_have_text(re.compile(r"0:0[012]"))
    expect(page.locator(".undo")).to_have_count(0)
    expect(page.locator(".model")).to_contain_text("0.90")  # what waited for it is shown by itself


def test_a_case_is_skipped_with_a_reason(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1), a_case(2))
    page = sign_in(desk.url)
    keys(page, "n")
    expect(page.locator(".decision")).to_be_visible()
    keys(page, "s")
    expect(page.locator("#skip-sheet")).to_be_visible()
    keys(page, "1", "Enter")
    expect(page.get_by_text("You skipped the case.")).to_be_visible()
    released = desk.review.log[-1]
    assert (released.action, released.reason, released.reader) == ("released", "too_close", None)


def test_a_case_is_handed_over(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1))
    aoi, ben = sign_in(desk.url, "Aoi"), sign_in(desk.url, "Ben")
    keys(aoi, "n")
    expect(aoi.locator(".decision")).to_be_visible()
    keys(aoi, "h")
    expect(aoi.get_by_label("Their sign-in name")).to_be_focused()
    assert aoi.locator("#colleagues option").get_attribute("value") == "Ben"
    aoi.keyboard.type("Ben")
    keys(aoi, "Enter")
    expect(aoi.get_by_text("You handed the case over.")).to_be_visible()
    expect(aoi.locator(".row .holder")).to_have_text("with Ben")
    keys(aoi, "n")
    expect(aoi.get_by_text("There is no case for you to take just now.")).to_be_visible()
    keys(ben, "n")
    expect(ben.locator(".decision")).to_be_visible()


def test_an_answer_and_a_note_outlive_what_is_shown_and_hidden_beside_them(
    serve: ServeDesk, sign_in: SignIn
) -> None:
    cases = [a_case(number, conversation_id="c1") for number in (1, 2)]
    page = sign_in(serve(*cases, conversation_context=2).url)
    keys(page, "n")
    expect(page.locator(".decision")).to_be_visible()
    keys(page, "r")
    expect(page.locator("#text")).to_be_visible()
    keys(page, "2", "m")
    page.keyboard.type("ask her sister")
    keys(page, "Escape", "c")
    expect(page.locator(".around")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("ask her sister")
    keys(page, "r")
    expect(page.locator(".masked")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("ask her sister")
    expect(page.locator("input:checked")).to_have_value("at_risk:low")
    keys(page, "2", "Enter")
    expect(page.locator(".undo")).to_be_visible()
    keys(page, "n")  # of the next case, nothing is filled in
    expect(page.locator(".decision")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("")
    expect(page.locator("input:checked")).to_have_count(0)


def test_a_lease_is_extended_and_the_message_stays(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1), lease_seconds=30)
    page = sign_in(desk.url)
    take(page)
    expect(page.locator("#said")).to_contain_text("Less than a minute left")
    keys(page, "2", "e")
    expect(page.locator("#extend")).to_be_focused()
    page.wait_for_function("document.querySelector('#lease .ticks').textContent >= '0:28'")
    assert [event.action for event in desk.review.log] == ["claimed", "extended"]
    expect(page.locator("#text")).to_contain_text("I can't sleep again")
    expect(page.get_by_label("At risk, low")).to_be_checked()


def test_a_lease_that_runs_out_hides_the_message_and_says_so(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1), lease_seconds=2)
    page = sign_in(desk.url)
    take(page)
    expect(page.locator(".state")).to_have_text("This case waits for a reader.")
    assert "stare at" not in page.content()
    keys(page, "t")
    steps = until(lambda: desk.review.log[2:] and desk.review.log, "the case was not taken again")
    assert [event.action for event in steps[:3]] == ["claimed", "expired", "claimed"]


def test_two_reviewers_never_get_the_same_case(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(*[a_case(number) for number in range(6)])
    aoi, ben = sign_in(desk.url, "Aoi"), sign_in(desk.url, "Ben")
    for page in (aoi, ben):
        keys(page, "n")
        expect(page.locator(".decision")).to_be_visible()
    assert aoi.url != ben.url
    ben.goto(aoi.url)
    expect(ben.locator(".state")).to_have_text("This case is with Aoi.")
    assert ben.locator(".masked button").count() == 1
    keys(ben, "r")
    holders = [event.actor for event in desk.review.log if event.action == "claimed"]
    assert sorted(holders) == ["Aoi", "Ben"]


def test_new_cases_come_in_their_place_while_the_page_is_open(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(10), a_case(20), refresh_seconds=1)
    page = sign_in(desk.url)
    rows = page.locator(".row")
    expect(rows).to_have_count(2)
    keys(page, "j", "j")
    focused = page.evaluate("document.activeElement.closest('.row').dataset.case")
    assert focused == "case:messages:0:20"
    desk.run(desk.review.open(a_case(15)))
    expect(rows).to_have_count(3)
    assert rows.evaluate_all("all => all.map(row => row.dataset.case)") == [
        f"case:messages:0:{n}" for n in (10, 15, 20)
    ]
    expect(page.locator("#said")).to_have_text("New cases: 1")
    assert page.evaluate("document.activeElement.closest('.row').dataset.case") == focused
    keys(page, "Enter")
    expect(page.get_by_role("button", name="Take this case")).to_be_focused()


def test_a_key_that_is_held_down_decides_one_case(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(*[a_case(number) for number in range(5)])
    page = sign_in(desk.url)
    take(page)
    keys(page, "1")
    page.keyboard.down("Enter")
    expect(page.locator(".outcome")).to_be_visible()
    for _ in range(20):
        page.keyboard.down("Enter")  # a second time without up: what a held key sends
    page.keyboard.up("Enter")
    expect(page.locator(".outcome")).to_be_visible()
    assert [event.action for event in desk.review.log] == ["claimed", "decided"]


def test_a_key_for_a_page_that_is_still_on_its_way_does_nothing(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1), a_case(2))
    page = sign_in(desk.url)
    take(page)
    keys(page, "1", "Enter")
    expect(page.locator(".outcome")).to_be_visible()
    answers: list[Route] = []

    def hold(route: Route) -> None:
        answers.append(route)

    page.route("**/next", hold)
    keys(page, "n", "n", "Enter", "r", "u", "1", "Enter")
    (answer,) = answers
    answer.continue_()
    expect(page.locator(".masked .main")).to_be_focused()
    assert [event.action for event in desk.review.log] == ["claimed", "decided", "claimed"]


def test_keys_are_listed_and_can_be_switched_off(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1))
    page = sign_in(desk.url)
    keys(page, "?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    keys(page, "Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.get_by_label("Single keys").select_option("off")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("body[data-keys=off]")).to_have_count(1)
    keys(page, "Tab", "n", "?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    assert desk.review.log == []


def test_writing_a_note_presses_no_key(serve: ServeDesk, sign_in: SignIn) -> None:
    desk = serve(a_case(1))
    page = sign_in(desk.url)
    take(page)
    keys(page, "2", "m")
    page.keyboard.type("no 4 ?nrsh qu")
    keys(page, "Enter")
    expect(page.locator(".outcome")).to_contain_text("At risk, low")
    (decision,) = [event.decision for event in desk.review.log if event.decision]
    assert decision.note is None  # it is sealed in the log, and shown here
    expect(page.locator(".outcome")).to_contain_text("no 4 ?nrsh qu")


def test_after_many_severe_cases_other_ones_come_and_a_break_is_due(
    serve: ServeDesk, sign_in: SignIn
) -> None:
    desk = serve(a_case(1), a_case(2), severe_per_hour=1, break_after_minutes=0.0001)
    page = sign_in(desk.url)
    take(page)
    expect(page.get_by_text("A short break is due")).to_be_visible()
    keys(page, "4", "Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_visible()  # the guidance is there before the answer
    expect(page.get_by_role("complementary", name="When somebody may be in danger")).to_be_visible()
    # What can still be undone does not count yet: it would say that the model finds it severe.
    expect(page.get_by_text("That is enough for one person.")).to_have_count(0)
    desk.run(desk.review.settle(a_case(1).id))
    page.reload()
    expect(page.get_by_text("That is enough for one person.")).to_be_visible()


def test_the_guidance_of_the_house_stands_beside_severe_levels_alone(
    serve: ServeDesk, sign_in: SignIn
) -> None:
    page = sign_in(serve(a_case(1)).url)
    take(page)
    guidance = page.get_by_role("complementary", name="When somebody may be in danger")
    keys(page, "3")
    expect(guidance).to_be_hidden()
    keys(page, "4")
    expect(guidance).to_be_visible()
    expect(guidance).to_contain_text("has to be replaced")


def test_nothing_of_a_case_stays_in_the_browser(serve: ServeDesk, sign_in: SignIn) -> None:
    page = sign_in(serve(a_case(1), a_case(2)).url)
    take(page)
    keys(page, "1", "Enter")
    expect(page.locator(".outcome")).to_be_visible()
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert "stare at" not in kept
    assert "<" not in kept
    page.go_back()
    expect(page.locator(".outcome, .masked").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert "stare at" not in page.content()


def test_a_browser_whose_clock_is_years_off_counts_right(serve: ServeDesk, sign_in: SignIn) -> None:
    page = sign_in(serve(a_case(1), undo_seconds=600).url)
    page.clock.install(time="2031-05-04")
    page.reload()
    take(page)
    expect(page.locator("#lease .ticks")).to_have_text(re.compile(r"^9:\d\d$"))
    keys(page, "1", "Enter")
    expect(page.locator(".undo .ticks")).to_have_text(re.compile(r"^9:\d\d$"))
