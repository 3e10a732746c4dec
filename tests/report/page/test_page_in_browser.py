"""The page of a run in a browser: what it shows is true, everybody can use it, and texts stay texts."""

import itertools
import json
import random
import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route

import sunwell.report.page.html_page
from sunwell.report.figures import dollars, exact, seconds_text
from sunwell.report.page.html_page import page_html
from sunwell.report.page.page_data import PageData, PageText, Requests, SpanEntry
from sunwell.report.page.page_json import page_json
from sunwell.tools.wording import visible
from tests.browser import needs_chromium, opened
from tests.filled import filled

pytestmark = needs_chromium
TEMPLATES = Path(sunwell.report.page.html_page.__file__).parent / "templates"
VIEWS = ("summary", "tree", "time", "money", "cost", "cache", "lens", "checks", "files", "calls", "journal")
DETAILS = (
    "tree/run/task-0-0-3",
    "calls/run/task-0-0-2:5",
    "tools/run/task-0-0-2:5:0",
    "checks/run/task-0-0-3",
)
Values = dict[str, Any]
Written = Callable[..., str]


def shows(page: Page, address: str) -> None:
    """Go to *address* in the page."""
    page.evaluate("address => { location.hash = address }", address)
    page.wait_for_function("new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true))))")


def found_at(path: str, values: Any) -> Any:
    """Return the value that *path* names, such as ``calls[run:1].attempts[0].usd``."""
    if not path:
        return values
    if not path.startswith("["):
        name, rest = re.fullmatch(r"\.?(\w+)(.*)", path, re.DOTALL).groups()  # type: ignore[union-attr]
        return found_at(rest, values[name])
    ends = [found.start() for found in re.finditer(r"\]", path)]
    for end in reversed(ends):  # a key may have brackets of its own
        key = path[1:end]
        if isinstance(values, Mapping) and key in values:
            return found_at(path[end + 1 :], values[key])
        if isinstance(values, list) and key.isdigit():
            return found_at(path[end + 1 :], values[int(key)])
    raise KeyError(path)


def figures_of(page: Page) -> list[tuple[str, str, str]]:
    """Return path, exact value and text of each figure that is there."""
    code = "all => all.map(one => [one.dataset.figure, one.dataset.exact, one.textContent])"
    return [tuple(one) for one in page.eval_on_selector_all("[data-figure]", code)]


@pytest.mark.parametrize("address", [*VIEWS, *DETAILS])
def test_what_people_read_is_what_the_data_says(
    browser: Browser, written: Written, values: Values, address: str
) -> None:
    """Each figure on the page names its place in the data; amounts are written as in the terminal."""
    with opened(browser, written(values) + f"#{address}") as page:
        found = figures_of(page)
    assert len(found) > 5
    for path, told, text in found:
        value = found_at(path, values)
        if path.endswith("saved_usd"):
            value = value.lstrip("-")
        if value is None:
            assert (told, text) == ("", "unknown")
        elif isinstance(value, str):
            assert told == exact(Decimal(value)), path
            assert text in (dollars(Decimal(value)), f"${told}"), path
        else:
            assert Decimal(told) == Decimal(str(value)), path
            if path.endswith("seconds"):
                assert text == seconds_text(value)


def amounts() -> list[str]:
    """Return thousands of amounts: random ones, and those beside each boundary of the rule."""
    drawn = random.Random(7)
    edges = [Decimal(10) ** power for power in range(-9, 7)]
    steps = [Decimal(sign) * Decimal(10) ** -places for places in range(2, 13) for sign in (0, 1, -1)]
    halves = [Decimal(n) / 2 * Decimal(10) ** -places for n in range(-9, 10) for places in range(9)]
    found = [edge + step for edge in edges for step in steps] + halves
    for _ in range(4_000):
        places = drawn.randrange(0, 14)
        found.append(
            Decimal(drawn.randrange(-(10 ** drawn.randrange(1, 16)), 10 ** drawn.randrange(1, 16))).scaleb(
                -places
            )
        )
    return [f"{one:f}" for one in found] + ["1E-7", "2.50E+3", "0.000", "00012.340"]


def in_blank(browser: Browser, script: str, call: str, given: Any) -> Any:
    """Return what *call* gives for *given* where *script* is loaded."""
    page = browser.new_page()
    try:
        source = (TEMPLATES / script).read_text()
        return page.evaluate(f"given => {{ {source}\n return given.map({call}); }}", given)
    finally:
        page.close()


def test_amounts_are_written_as_in_the_terminal(browser: Browser) -> None:
    """The page rounds the decimal digits as Python does, for thousands of amounts of every size."""
    given = amounts()
    assert len(given) > 4_000
    assert in_blank(browser, "figures.js", "dollars", given) == [dollars(Decimal(one)) for one in given]
    assert in_blank(browser, "figures.js", "exactUsd", given) == [exact(Decimal(one)) or "" for one in given]


def test_durations_are_written_as_in_the_terminal(browser: Browser) -> None:
    """Also those that lie between two."""
    drawn = random.Random(8)
    given = (
        [n / 4 for n in range(500)]
        + [n / 20 for n in range(1_400)]
        + [drawn.random() * 9_000 for _ in range(500)]
    )
    assert in_blank(browser, "figures.js", "secondsText", given) == [seconds_text(one) for one in given]


def test_what_cannot_be_seen_is_written_out(browser: Browser) -> None:
    """The rule is that of the terminal, for each character that is assigned, and inside emoji and words."""
    assigned = [
        chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) not in ("Cn", "Cs") and chr(n) != "\\"
    ]
    given = (
        ["".join(part) for part in itertools.batched(assigned, 97)]
        if hasattr(itertools, "batched")
        else ["".join(assigned[at : at + 97]) for at in range(0, len(assigned), 97)]
    )
    given += [
        "👩\u200d👩\u200d👧",
        "❤\ufe0f",
        "1\ufe0f\u20e3",
        "می\u200cخواهم",
        "a\u200cb",
        "x\u202ey",
        "\ufe0f",
        "\x1b[2J\x00",
    ]
    code = (TEMPLATES / "elements.js").read_text()
    page = browser.new_page()
    try:
        told = page.evaluate(f"given => {{ {code}\n return given.map(visible); }}", given)
        assert page.evaluate(f"() => {{ {code}\n return visible('a\\ud800b'); }}") == "a\\ud800b"
    finally:
        page.close()
    different = [(one, got) for one, got in zip(given, told, strict=True) if got != visible(one, joins=True)]
    assert different == []


HOSTILE = {
    "markup": "</script><script>alert(2)</script><img src=x onerror=alert(1)><svg onload=alert(1)>",
    "comment": "<!--<script>--><!-- ]]> <![CDATA[ --!>",
    "address": "javascript:alert(1)",
    "attribute": "\" onmouseover=alert(1) x=' `",
    "separators": "a\u2028b\u2029c\x00d\x1b[31me\x85f\rg",
    "surrogates": "half \ud800 and \udfff",
    "directions": "\u202e\u2066gnp.exe\u2069\u200b\u200f\u061c",
    "prototype": "__proto__",
    "constructor": "constructor",
    "brackets": "]['usd'].x[0]:1/../%2F%zz~3\"",
    "template": "{{ 7 * 7 }}${7*7}{% if x %}",
    "nothing": "",
    "number": "12",
    "marks": "e" + "\u0301" * 300,
    "wide": "𝔘𝔫" * 50 + "界" * 300,
}


def hostile_data(text: str, choice: int = 0) -> tuple[Values, Values]:
    """Return the JSON of data and requests with *text* in every place for a text."""
    return page_json(filled(PageData, text, choice)), page_json(filled(Requests, text, choice))


def visit_all(page: Page, key: str) -> None:
    """Open each view, and the details of all that has *key*; then filter by it."""
    for view in VIEWS:
        shows(page, f"#{view}")
        for line in page.query_selector_all("[role=row][data-at]"):
            if line.is_visible():
                line.evaluate("one => one.click()")
                break
        # Both in the page itself: what a click shows anew may take the place of what is clicked.
        page.eval_on_selector_all("details:not([open]) > summary", "all => all.forEach((one) => one.click())")
    page.fill("#filter", f'"{key}"'.replace("\x00", "")[:200])
    page.fill("#filter", "")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")


def strangers(page: Page) -> list[str]:
    """Return what is in the document and not made by the page's own script."""
    code = """all => {
      const tags = ['IMG', 'IFRAME', 'OBJECT', 'EMBED', 'FORM', 'LINK', 'BASE'];
      const scripts = [...document.scripts].filter((one) => one.type !== 'application/json');
      const leads = ({name, value}) =>
        name.startsWith('on') || name === 'src' || (name === 'href' && !value.startsWith('#'));
      return all
        .filter((one) => tags.includes(one.tagName) || [...one.attributes].some(leads))
        .concat(scripts.slice(1))
        .map((one) => one.outerHTML.slice(0, 200));
    }"""
    found: list[str] = page.eval_on_selector_all("*", code)
    return found


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE.items()])
def test_a_text_does_nothing_wherever_it_stands(browser: Browser, written: Written, text: str) -> None:
    """In every text of every class of the data, as keys too: no dialog, no error, no request, no element."""
    data, requests = hostile_data(text, len(text))
    with opened(browser, written(data, requests), width=1000) as page:
        visit_all(page, text)
        assert strangers(page) == []
        assert page.title().endswith("Sunwell")
        assert page.evaluate("({}).head") is None
        shown = page.evaluate("document.body.innerText")
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\u200f\u2028\u2029]", shown
        )


def test_texts_of_a_megabyte_are_shown_in_part(browser: Browser, written: Written, values: Values) -> None:
    """A name, a text and a key that no data should have do not stop the page."""
    for long in ("a" * 1_000_000, "\u202e<b>" * 250_000, "word \n" * 170_000):
        entry = page_json(filled(SpanEntry, long))
        texts = {long: page_json(PageText(long, long, 5))}
        data = {**values, "spans": {long: {**entry, "parent": ""}}, "texts": {**values["texts"], **texts}}
        data["head"] = {**values["head"], "verdict": long, "task": long, "run_id": long}
        with opened(browser, written(data)) as page:
            visit_all(page, "a")
            shows(page, "#tree/~0")
            assert page.is_visible("#detail h2")
            assert page.evaluate("document.body.innerText.length") < 1_000_000


@pytest.mark.parametrize(
    ("width", "dark"), [pytest.param(1400, False, id="wide-light"), pytest.param(360, True, id="narrow-dark")]
)
def test_everybody_can_use_it(
    browser: Browser, written: Written, values: Values, width: int, dark: bool
) -> None:
    """Each view and detail is without a violation of axe, and a narrow screen never scrolls sideways."""
    found = []
    with opened(browser, written(values), width=width, dark=dark) as page:
        for address in [*VIEWS, *DETAILS]:
            shows(page, f"#{address}")
            result = Axe().run(page)
            found += [
                (address, one["id"], one["nodes"][0]["html"][:300]) for one in result.response["violations"]
            ]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    assert found == []


def test_all_is_reached_by_keyboard(browser: Browser, written: Written, values: Values) -> None:
    """From the filter through the tree to a detail and back, and the help."""
    with opened(browser, written(values) + "#tree") as page:
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "filter"
        page.keyboard.type("span:task-0-0-3")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.getAttribute('role')") == "treegrid"
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        assert "task-0-0-3" in page.inner_text("#detail h2")
        page.keyboard.press("ArrowLeft")
        active = page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
        assert page.get_attribute(f"#{active}", "aria-expanded") == "false"
        page.keyboard.press("Escape")
        page.wait_for_selector("#detail", state="hidden")  # the address changes first
        page.keyboard.press("?")
        assert page.is_visible("#keys")
        page.keyboard.press("Escape")
        assert not page.is_visible("#keys")
        page.keyboard.press("]")
        assert page.url.endswith("#time")


def test_three_clicks_tell_which_worker_failed_why_at_what_cost_and_what_was_tried(
    browser: Browser, written: Written, values: Values
) -> None:
    """The first entry of the page is the first cause, and opens all the rest."""
    with opened(browser, written(values)) as page:
        first = page.locator(".failure a").first
        assert "task-0-0-3" in first.inner_text()
        assert "the provider did not answer in 60 s" in first.inner_text()
        assert "first: ModelTimeoutError: no answer in 60 s" in first.inner_text()
        first.click()
        said = page.inner_text("#detail")
        assert "the provider did not answer in 60 s" in said
        cost = page.get_attribute('#detail [data-figure="spans[run/task-0-0-3].usd"]', "data-exact")
        assert cost == exact(Decimal(values["spans"]["run/task-0-0-3"]["usd"]))
        for tried in ("rung cheap_again", "rung lens", "2 attempts", "python -m unittest", "✗ failed"):
            assert tried in said


FILTERS = [
    ("status:failed", lambda call: call["status"] == "failed"),
    ("model:opus", lambda call: "opus" in call["model"]),
    ("purpose:lens", lambda call: call["purpose"] == "lens"),
    ("-purpose:lens", lambda call: call["purpose"] != "lens"),
    ("cost:>0.005", lambda call: call["usd"] is not None and Decimal(call["usd"]) > Decimal("0.005")),
    ("cost:<=0.002764", lambda call: call["usd"] is not None and Decimal(call["usd"]) <= Decimal("0.002764")),
    ("attempts:2 span:task-0-0", lambda call: len(call["attempts"]) == 2),
    ("status:failed,answered model:HAIKU", lambda call: "haiku" in call["model"]),
    ('"then write endpoint 5"', lambda call: call["number"] == 5),
    ("tool:write_file -status:failed", lambda call: call["number"] % 3 == 1 and call["status"] != "failed"),
    ("ratelimited", lambda call: any(one["error"] == "RateLimitedError" for one in call["attempts"])),
    ("nothing has this", lambda call: False),
]


@pytest.mark.parametrize(("text", "selects"), FILTERS, ids=[text for text, _ in FILTERS])
def test_the_filter_selects_and_adds_up(
    browser: Browser, written: Written, values: Values, text: str, selects: Callable[[Values], bool]
) -> None:
    """What the list shows are the calls that the words mean, and the sum is that of these calls."""
    wanted = [call for call in values["calls"].values() if selects(call)]
    with opened(browser, written(values) + "#calls") as page:
        page.fill("#filter", text)
        assert page.get_attribute("[role=grid]", "aria-rowcount") == str(len(wanted) + 1)
        assert page.inner_text("#problems") == ""
        told = page.get_attribute("#selection [data-exact]", "data-exact")
        known = [Decimal(call["usd"]) for call in wanted if call["usd"] is not None]
        assert told == exact(sum(known, Decimal(0)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cots:>1", "There is no cots: here"),
        ("cost:>much", "cost: needs a number"),
        ("status:", "After status: there is nothing"),
        ('"open', "A quote is open"),
    ],
)
def test_the_filter_says_what_it_does_not_understand(
    browser: Browser, written: Written, values: Values, text: str, said: str
) -> None:
    """And goes on with the rest."""
    with opened(browser, written(values) + "#calls") as page:
        page.fill("#filter", f"model:opus {text}")
        assert said in page.inner_text("#problems")


def test_a_live_page_takes_what_has_changed(browser: Browser, values: Values) -> None:
    """Entries are added, replaced and removed, and a request comes when its call is opened."""
    first, *others = values["calls"]
    cost = {**values["cost"], "usd": "0.3"}
    call = {**values["calls"][others[0]], "model": "another-model"}
    patch = {
        "cost": cost,
        "calls": {first: None, others[0]: call, "run:99": {**call, "span": "run", "number": 99}},
    }
    sent = {
        "system": ["s"], "tools": "", "goes_on": "", "kept": 0, "settings": [], "agrees": True,
        "messages": [{"role": "user", "parts": [["text", "m"]]}],
    }  # fmt: skip
    texts = {
        "s": {"head": "Be brief.", "tail": "", "left_out": 0},
        "m": {"head": "Say hello", "tail": "", "left_out": 0},
    }
    asked: list[str] = []

    def answer(route: Route) -> None:
        address = route.request.url
        asked.append(address)
        if "/changes" in address:
            since = int(address.rpartition("=")[2])
            route.fulfill(body=json.dumps({"version": 7, "patch": patch if since < 7 else {}}))
        elif "/request" in address:
            route.fulfill(body=json.dumps({"sent": {"run:99": sent}, "texts": texts, "missing": ""}))
        else:
            route.fulfill(body=page_html(values, live="/a-token/"), content_type="text/html")

    browser_context = browser.new_context()
    page = browser_context.new_page()
    page.route("**/*", answer)
    page.goto("http://127.0.0.1:9/a-token/#calls/run:99")
    page.wait_for_selector('#facts [data-exact="0.3"]')
    page.wait_for_selector("#detail summary")
    page.click("#detail summary")
    page.locator("#detail", has_text="Say hello").wait_for()
    assert page.get_attribute("[role=grid]", "aria-rowcount") == str(len(values["calls"]) + 1)
    page.fill("#filter", "model:another-model")
    assert page.get_attribute("[role=grid]", "aria-rowcount") == "3"
    browser_context.close()
    assert "http://127.0.0.1:9/a-token/changes?since=0" in asked


def test_a_request_is_shown_with_what_an_earlier_one_had(
    browser: Browser, written: Written, values: Values
) -> None:
    """A conversation is told once: the messages before stand in the request that they were first sent in."""
    first, second = list(values["calls"])[3:5]
    sent = {
        "system": ["s"],
        "tools": "",
        "schema": "",
        "goes_on": "",
        "kept": 0,
        "settings": [["effort", "low"]],
        "messages": [
            {"role": who, "parts": [["text", what]]} for who, what in (("user", "a"), ("model", "b"))
        ],
        "agrees": True,
    }
    later = {
        **sent,
        "goes_on": first,
        "kept": 1,
        "agrees": False,
        "messages": [{"role": "user", "parts": [["text", "c"]]}],
    }
    said = {"s": "Be brief.", "a": "The first question", "b": "The first answer", "c": "The second question"}
    texts = {key: {"head": text, "tail": "", "left_out": 0} for key, text in said.items()}
    requests = {"sent": {first: sent, second: later}, "texts": texts, "missing": ""}
    with opened(browser, written(values, requests) + f"#calls/{second}") as page:
        page.click("#detail summary")
        page.locator("#detail", has_text="The second question").wait_for()
        shown = page.inner_text("#detail")
        assert (
            shown.index("Be brief.") < shown.index("The first question") < shown.index("The second question")
        )
        assert "The first answer" not in shown
        assert "This is not exactly what was sent" in shown


def test_the_time_line_tells_and_opens_what_it_shows(
    browser: Browser, written: Written, values: Values
) -> None:
    """A shape says what it is where the pointer is on it, and a call is opened by a click on it."""
    with opened(browser, written(values) + "#time") as page:
        call = page.locator("rect.call.lens[data-call]")
        call.hover()
        assert "call 2, lens, claude-opus-5-5: answered" in call.inner_html()
        call.click()
        assert page.inner_text("#detail h2") == "Call 2 of run ✓ answered"
        page.keyboard.press("+")
        assert page.locator("rect.call.lens[data-call]").count() == 0
        page.keyboard.press("0")
        assert page.locator("rect.call.lens[data-call]").count() == 1


def test_a_printed_page_has_what_is_read(browser: Browser, written: Written, values: Values) -> None:
    """Summary, cost, cache, lens, checks and journal; not the lists."""
    with opened(browser, written(values)) as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        said = page.inner_text("body")
        for heading in ("What failed", "Shared prefixes", "Checks and rungs", "Journal"):
            assert heading in said
        assert not page.is_visible("#views")
        assert not page.is_visible("#main")


def test_the_theme_is_chosen_by_the_system_or_by_hand(
    browser: Browser, written: Written, values: Values
) -> None:
    """The button changes it."""
    with opened(browser, written(values), dark=True) as page:
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.click("#theme-button")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_every_class_of_the_data_is_filled() -> None:
    """The hostile texts stand in every field: none of the sections is empty."""
    made = filled(PageData, "x")
    assert [field.name for field in attrs.fields(PageData) if not getattr(made, field.name)] == []
