"""Reviewers who work in a real browser: Debian's chromium, without a window, driven by Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from schemas.events import ReviewCase
from tests.fakes.desk_client import DeskClient
from tests.fakes.memory_review import MemoryReview
from tests.fakes.served_desk import ServedDesk, served

PATIENCE_MS = 60_000

SignIn = Callable[..., Page]
ServeDesk = Callable[..., ServedDesk]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, for one file of tests: while Playwright runs, no other test may run an event loop.

    Without one the tests fail and say how to get it: skipped, they would look passed."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.fail("no chromium here: apt-get install chromium, or name another one in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def sign_in(chromium: Browser) -> Iterator[SignIn]:
    """Signs somebody in at a desk, each in a browser profile of their own, and returns their page.

    A page that logs an error or breaks the content policy fails its test.
    """
    faults: list[str] = []
    contexts = []

    def signed_in(url: str, name: str = "Aoi", **options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
        page.on("console", lambda said: faults.append(said.text) if _is_fault(said.text, said.type) else None)
        for cookie in DeskClient(url).sign_in(name).cookies:
            context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": url}])
        page.goto(url)
        return page

    yield signed_in
    for context in contexts:
        context.close()
    assert faults == []


def _is_fault(text: str, kind: str) -> bool:
    # An answer such as 409 is logged as an error too, and is what some tests are about.
    return kind == "error" and "the server responded with a status of" not in text


@pytest.fixture
def serve() -> Iterator[ServeDesk]:
    """Serves desks in memory, with these settings and cases, until the test ends."""

    def serving(*cases: ReviewCase, **settings: Any) -> ServedDesk:
        review = MemoryReview(**settings)
        desk = desks.enter_context(served(review))
        desk.run(review.open(*cases))
        return desk

    with ExitStack() as desks:
        yield serving
