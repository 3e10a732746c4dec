"""Pages of runs with pauses, of runs that have not ended, and of amounts and texts of any size."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser import needs_chromium, opened

pytestmark = needs_chromium
Values = dict[str, Any]
Written = Callable[..., str]
CALL = "run:1"


@pytest.fixture
def paused(values: Values) -> Values:
    """A run of ten seconds that was killed after five, with a call under way, and resumed after an hour."""
    found = copy.deepcopy(values)
    began = found["head"]["started_at"]
    killed, again, ended = began + 5, began + 3600, began + 3605
    found["head"]["seconds"] = 10.0
    found["health"]["processes"] = [
        {"began_at": began, "last_at": killed, "end": "killed", "answers": 1, "taken_over": 0},
        {"began_at": again, "last_at": ended, "end": "closed", "answers": 1, "taken_over": 1},
    ]
    found["waits"] = {"0": {"span": "", "reason": "stopped", "from_at": killed, "to_at": again}}
    call = found["calls"][CALL]
    (answered,) = call["attempts"]
    lost = {**answered, "at": began + 4, "ended_at": None, "outcome": "open", "usd": None}
    call["attempts"] = [lost, {**answered, "number": 2, "at": again + 1, "ended_at": again + 3}]
    found["calls"] = {CALL: call}
    return found


def test_the_time_line_reaches_to_the_end_of_a_run_that_was_paused(
    browser: Browser, written: Written, paused: Values
) -> None:
    """What was done after a pause is drawn; what a kill cut off ends there, and is not told as under way."""
    with opened(browser, written(paused) + "#time") as page:
        bars = page.locator("rect.call[data-call]")
        assert bars.count() == 2
        cut, answered = bars.nth(0), bars.nth(1)
        stop = page.locator("rect.wait.stopped").first.bounding_box()
        places = [one.bounding_box() for one in (cut, answered)]
        assert stop
        assert places[0]
        assert places[1]
        assert places[0]["x"] + places[0]["width"] <= stop["x"] + 2
        assert places[1]["x"] >= stop["x"] + stop["width"] - 2
        cut.hover()
        assert "cut off" in cut.inner_html()
        assert stop["width"] < 60  # an hour in which nothing happened is drawn short
        page.evaluate("location.hash = 'calls/run:1'")
        page.wait_for_selector("#detail table")
        assert "! cut off" in page.locator("#detail").inner_text()


def test_a_run_that_has_not_ended_is_not_told_as_one_without_failures(
    browser: Browser, written: Written, values: Values
) -> None:
    """It may have been killed, and may fail yet."""
    values["head"].update(status="open", verdict="", verified=None)
    for name in ("calls", "tools", "checks", "rungs"):
        values[name] = {}
    values["spans"] = {"run": {**values["spans"]["run"], "status": "open", "verified": None, "failures": 0}}
    with opened(browser, written(values)) as page:
        assert "the run has not ended" in page.locator("#verdict").inner_text()
        assert "Nothing has failed so far" in page.locator("#view").inner_text()


def test_a_run_of_others_is_told_as_one(browser: Browser, written: Written, values: Values) -> None:
    """In every view, with a sign and words."""
    told = "not started by you on this machine"
    with opened(browser, written(values)) as page:
        assert told not in page.locator("#top").inner_text()
    values["head"]["foreign"] = True
    with opened(browser, written(values) + "#calls") as page:
        assert told in page.locator("#top").inner_text()


def test_what_another_run_did_comes_first_in_the_tree(
    browser: Browser, written: Written, values: Values
) -> None:
    """A fork knows no time for it."""
    kept = [path for path, span in values["spans"].items() if span["parent"] == "run"][-1]
    values["spans"][kept]["started_at"] = None
    with opened(browser, written(values) + "#tree") as page:
        name = page.locator(".inner .line").nth(1).inner_text()
    assert values["spans"][kept]["name"] in name


@pytest.mark.parametrize("view", ["cache", "lens", "checks", "files"])
def test_an_empty_view_says_whether_the_filter_empties_it(
    browser: Browser, written: Written, values: Values, view: str
) -> None:
    """Nothing is there, or nothing is selected: never both."""
    empty = {**values, **{name: {} for name in ("prefixes", "lenses", "checks", "rungs", "files")}}
    with opened(browser, written(empty) + f"#{view}") as page:
        assert "filter" not in page.locator("#view").inner_text()
        page.fill("#filter", "nowhere")
        assert "The filter selects nothing here." in page.locator("#view").inner_text()


def test_a_command_is_shown_as_long_as_it_is_copied(
    browser: Browser, written: Written, values: Values
) -> None:
    """What a record puts behind thousands of characters is seen before it is pasted into a terminal."""
    command = f"sunwell run {'x' * 5000} --sandbox off"
    values["reproduce"] = [{"command": command, "does": "starts it again"}]
    with opened(browser, written(values) + "#journal") as page:
        assert page.locator(".command code").inner_text() == command


@pytest.mark.parametrize("amount", [f"0.{'0' * 150}1", "9" * 40, f"0.{'0' * 5000}1"])
def test_an_amount_of_any_size_is_drawn(
    browser: Browser, written: Written, values: Values, amount: str
) -> None:
    """The picture of money and its keys work with all amounts that a journal can hold."""
    values["cost"].update(usd=amount, cap_usd=None)
    names = ("settled_usd", "reserved_usd", "unconfirmed_usd", "closing_usd")
    points = [dict.fromkeys(names, amount) | {"at": values["head"]["started_at"] + at} for at in (1, 2)]
    values["money"] = {"0": points}
    with opened(browser, written(values) + "#money") as page:
        page.focus(".chart.frame")
        page.keyboard.press("ArrowLeft")
        assert page.locator(".readout").inner_text().startswith("+1.0 s")


def test_a_long_number_in_the_filter_is_read_at_once(
    browser: Browser, written: Written, values: Values
) -> None:
    """No text that is pasted there keeps the page from answering."""
    with opened(browser, written(values) + "#calls") as page:
        page.set_default_timeout(10_000)
        page.fill("#filter", f"cost:>{'1' * 300_000}x {'a' * 100_000} {'-' * 100_000}")
        assert "needs a number" in page.locator("#problems").inner_text()
