"""The file of a page: nothing in it is asked for, and nothing in the data is more than data."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import sunwell.report.page.html_page
from sunwell.report.page.html_page import OVERVIEW_SCRIPTS, SCRIPTS, page_html

TEMPLATES = Path(sunwell.report.page.html_page.__file__).parent / "templates"
Values = dict[str, Any]


class Elements(HTMLParser):
    """Collects elements, and the text of those whose content is no HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self._inside: dict[str, str | None] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self.raw.append((self._inside, data))

    def policy(self) -> str:
        """Return the content security policy."""
        return next(
            str(a["content"]) for _, a in self.tags if a.get("http-equiv") == "Content-Security-Policy"
        )


def hashed(text: str) -> str:
    """Return the source of a policy that allows *text*."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_one_script_and_one_style(values: Values) -> None:
    """All else is forbidden: other code, other addresses, forms, and texts that become HTML."""
    parsed = Elements(page_html(values))
    script = next(text for attributes, text in parsed.raw if attributes == {} and "use strict" in text)
    style = next(text for attributes, text in parsed.raw if attributes == {} and ":root" in text)
    assert parsed.policy().split("; ") == [
        "default-src 'none'",
        f"script-src {hashed(script)}",
        f"style-src {hashed(style)}",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_a_live_page_may_ask_where_it_came_from(values: Values) -> None:
    """And nowhere else."""
    parsed = Elements(page_html(values, live="/a-token/"))
    assert parsed.policy().endswith("; connect-src 'self'")
    assert ("html", {"lang": "en", "data-live": "/a-token/"}) in parsed.tags


def test_nothing_in_the_file_leads_elsewhere(values: Values) -> None:
    """No element has an address, and no attribute is code."""
    for tag, attributes in Elements(page_html(values)).tags:
        assert not {"src", "href", "srcdoc", "action", "style"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("</script><img src=x onerror=alert(1)>", id="end-of-script"),
        pytest.param("<!--<script>", id="comment"),
        pytest.param("]]>\u2028\u2029\x00", id="separators"),
        pytest.param("\\</script>\\\\<", id="backslashes"),
        pytest.param("half \ud800 a pair", id="surrogate"),
        pytest.param("{{ 7 * 7 }}{% raw %}", id="template"),
    ],
)
def test_a_text_comes_out_as_it_went_in(values: Values, text: str) -> None:
    """A parser of HTML finds one element for each section, and a parser of JSON the same value in it."""
    before = Elements(page_html(values)).tags
    head = {**values["head"], "verdict": text, "status": text}
    data = {**values, "head": head, "texts": {text: {"head": text}}}
    html = page_html(data)
    html.encode()
    parsed = Elements(html)
    assert parsed.tags == before
    sections = {str(attributes.get("id")): found for attributes, found in parsed.raw}
    assert json.loads(sections["data-texts"]) == {"names": [["head"]], "entries": {text: [0, text]}}
    assert json.loads(sections["data-head"])["verdict"] == text


def test_a_page_without_data_is_small(values: Values) -> None:
    """Style, scripts and shell are less than 200 kB."""
    bare = {name: {} if isinstance(section, dict) else section for name, section in values.items()}
    bare |= {
        "head": values["head"],
        "cost": values["cost"],
        "bill": values["bill"],
        "health": values["health"],
    }
    assert len(page_html(bare).encode()) < 200_000


def test_without_javascript_it_shows_the_verdict_and_the_cost(values: Values) -> None:
    """And says what else there would be."""
    said = re.search(r"<noscript>(.*?)</noscript>", page_html(values), re.DOTALL)
    assert said is not None
    assert "not verified: python -m unittest did not pass" in said[1]
    assert "$0.2180" in said[1]
    assert "JavaScript" in said[1]


def test_scripts_make_elements_and_parse_no_text() -> None:
    """The ways by which a text could become code or HTML do not occur, and one function sets attributes."""
    code = "\n".join((TEMPLATES / name).read_text() for name in (*SCRIPTS, "overview.js"))
    banned = r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|DOMParser|srcdoc"
    banned += "|createContextual"
    assert re.findall(banned, code) == []
    assert code.count(".setAttribute(name,") == 1
    assert "</script" not in code.lower()
    assert {path.name for path in TEMPLATES.glob("*.js")} == {*SCRIPTS, *OVERVIEW_SCRIPTS}
