"""The page of a run that is followed, in a browser: in the end it shows what the finished page shows."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from sunwell.journal import FileJournal, read_records
from sunwell.report.page.html_page import page_html
from sunwell.report.page.page_data import PageData
from sunwell.report.page.page_json import page_json
from sunwell.report.page.run_view import RunView
from sunwell.report.page.sent_messages import request_of
from sunwell.serve.followed_run import FollowedRun
from sunwell.serve.live_page import LivePage
from tests.browser import CHROMIUM, needs_chromium, opened, running_browser
from tests.report.page.sample_runs import SAMPLES, SampleRun

pytestmark = needs_chromium
VIEWS = ("summary", "tree", "time", "money", "cost", "cache", "lens", "checks", "files", "calls", "journal")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser to the tests of this module."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with running_browser() as started:
        yield started


def made(name: str, folder: Path) -> SampleRun:
    """Make a run; in a thread, since the browser has the event loop of this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: asyncio.run(SAMPLES[name](folder))).result()


def html(data: PageData, version: int, address: str) -> str:
    return page_html({**page_json(data), "version": version}, live=address)


@contextmanager
def served(path: Path) -> Iterator[str]:
    """Serve the page of the run whose journal is at *path* from a thread, and give its address."""

    async def sent(key: str) -> Mapping[str, Any] | None:
        return page_json(await asyncio.to_thread(request_of, read_records(path), key))

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> LivePage:
        return await LivePage(FollowedRun.at(path, lambda: RunView(path)), html, sent).__aenter__()

    page = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    try:
        yield page.url
    finally:
        asyncio.run_coroutine_threadsafe(page.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def final_page(path: Path, place: Path) -> str:
    """Write the page of the run as it is now, and return its address."""
    view = RunView(path)
    for record in read_records(path, torn=view.torn):
        view.take(record)
    place.write_text(page_html(page_json(view.data())))
    return place.as_uri()


def told(page: Page) -> dict[str, str]:
    """Return the text of each view, and of what stands above all of them."""
    found = {}
    for view in VIEWS:
        page.evaluate("address => { location.hash = address }", view)
        page.wait_for_function(
            "new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true))))"
        )
        found[view] = page.inner_text("#view")
    return found | {name: page.inner_text(f"#{name}") for name in ("verdict", "facts")}


@pytest.mark.parametrize("name", ["failing_worker", "escalation", "batch", "hostile"])
def test_a_page_that_was_open_all_the_time_ends_as_the_finished_page(
    name: str, tmp_path: Path, browser: Browser
) -> None:
    """Its texts are those of a page that is written now."""
    sample = made(name, tmp_path / "made")
    path, lines = tmp_path / "journal.jsonl", sample.journal.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    third = len(lines) // 3
    steps = [lines[2:third], lines[third : 2 * third], lines[2 * third : -1], lines[-1:]]
    with served(path) as address, opened(browser, address) as page:
        begun = told(page)
        for step in steps:
            grow(path, b"".join(step), page)
        page.locator("#live", has_text="ended").wait_for()
        live = told(page)
    with opened(browser, final_page(path, tmp_path / "final.html")) as page:
        final = told(page)
    assert live == final
    assert begun["summary"] != final["summary"]


def test_a_request_that_is_on_its_way_is_not_asked_for_again(tmp_path: Path, browser: Browser) -> None:
    """The run is played for each, and a call that is open is drawn again with each change of the run."""
    sample = made("small", tmp_path / "made")
    path, lines = tmp_path / "journal.jsonl", sample.journal.read_bytes().splitlines(keepends=True)
    half = len(lines) // 2
    path.write_bytes(b"".join(lines[:half]))
    held: list[Route] = []
    with served(path) as address, opened(browser, address) as page:
        page.route("**/request?*", lambda route: held.append(route))
        page.evaluate("location.hash = 'calls/run/direct:0'")
        page.locator("#detail", has_text="It is being made again").wait_for()
        for line in lines[half : half + 3]:
            grow(path, line, page)
        assert len(held) == 1
        held[0].continue_()
        page.locator("#detail summary", has_text="Show it").wait_for()


def grow(path: Path, added: bytes, page: Page) -> None:
    """Add to the journal, and wait until the page has asked for what changed."""
    with (
        page.expect_response(lambda response: "changes?since=" in response.url and response.json()["patch"]),
        path.open("ab") as file,
    ):
        file.write(added)


def test_a_run_that_is_killed_and_resumed_is_followed(tmp_path: Path, browser: Browser) -> None:
    """The page shows the torn end while it is there, and the two processes afterwards."""
    sample = made("resumed", tmp_path / "made")
    path, lines = tmp_path / "journal.jsonl", sample.journal.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:14]))
    with served(path) as address, opened(browser, f"{address}#journal") as page:
        grow(path, lines[14][:30], page)
        page.locator('[data-figure="health.torn_bytes"][data-exact="30"]').wait_for()
        FileJournal.open(path).close()
        grow(path, b"".join(lines[14:]), page)
        page.locator("#live", has_text="ended").wait_for()
        live = told(page)
    with opened(browser, final_page(path, tmp_path / "final.html")) as page:
        assert told(page) == live


def test_a_request_is_shown_when_its_call_is_opened(tmp_path: Path, browser: Browser) -> None:
    """It is asked for then, and not before."""
    sample = made("small", tmp_path / "made")
    with served(sample.journal) as address, opened(browser, address) as page:
        with page.expect_response(lambda response: "request?call=" in response.url):
            page.evaluate("location.hash = '#calls/run/direct:0'")
        page.get_by_text("Show it").click()
        page.locator("#detail", has_text="Write three steps down").wait_for()


def test_a_journal_that_is_gone_is_told(tmp_path: Path, browser: Browser) -> None:
    """The page keeps what it has, and goes on if the journal comes back."""
    sample = made("small", tmp_path / "made")
    content, path = sample.journal.read_bytes(), tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with served(path) as address, opened(browser, address) as page:
        page.locator("#live", has_text="ended").wait_for()
        before = page.inner_text("#view")
        path.unlink()
        page.locator("#live", has_text="cannot be read").wait_for()
        assert page.inner_text("#view") == before
        path.write_bytes(content)
        page.locator("#live", has_text="ended").wait_for()
