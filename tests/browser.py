"""A browser for tests of pages: it fails on each message, error and request that a page should not make."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
_QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Give a browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET)
        try:
            yield browser
        finally:
            browser.close()


@attrs.define(eq=False)
class Heard:
    """What a page did besides showing itself."""

    messages: list[str] = attrs.Factory(list)
    """Messages on its console, errors, and dialogs."""
    requests: list[str] = attrs.Factory(list)
    """Addresses that it asked for, its own among them."""

    def listen(self, page: Page) -> None:
        """Hear all that *page* does from now on."""
        page.on("console", lambda said: self.messages.append(_told(said)))
        page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        page.on(
            "dialog", lambda dialog: (self.messages.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on("request", lambda request: self.requests.append(request.url))


def _told(said: ConsoleMessage) -> str:
    return f"{said.type}: {said.text}"


@contextmanager
def opened(
    browser: Browser, address: str, *, width: int = 1400, height: int = 900, dark: bool = False
) -> Iterator[Page]:
    """Give the page at *address* once it is ready; at the end it must have been silent.

    It may ask for what begins with its own address alone, and put nothing on its console.
    """
    heard = Heard()
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    try:
        page = context.new_page()
        heard.listen(page)
        page.goto(address)
        page.wait_for_selector("html[data-ready]", state="attached")
        yield page
        page.wait_for_function("new Promise((done) => requestAnimationFrame(() => done(true)))")
    finally:
        context.close()
    assert heard.messages == []
    own = address.partition("#")[0]
    assert [url for url in heard.requests if not url.startswith(own)] == []
