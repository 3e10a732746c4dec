"""Writes the page of a run: one HTML file that asks for nothing, with its style, scripts and data in it."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sunwell.report.figures import dollars, one_line
from sunwell.report.page.page_data import FORMAT

SCRIPTS = (
    "figures.js", "run_data.js", "elements.js", "filter.js", "long_list.js", "lists.js", "details.js",
    "charts.js", "documents.js", "theme.js", "filter_box.js", "page.js",
)  # fmt: skip
"""In the order in which they are joined to one script."""
OVERVIEW_SCRIPTS = (
    "figures.js", "run_data.js", "elements.js", "filter.js", "long_list.js", "theme.js", "filter_box.js",
    "overview.js",
)  # fmt: skip
"""Those of the page of all runs."""
_FEW_FAILED = 500
_MAPPINGS = (
    "spans", "calls", "tools", "checks", "rungs", "waits", "money", "prefixes", "lenses", "files", "texts",
)  # fmt: skip
_RISKY = "<>&\u2028\u2029"
_NOT_UTF8 = re.compile("[\ud800-\udfff]")


def page_html(
    data_json: Mapping[str, Any], *, requests: Mapping[str, Any] | None = None, live: str | None = None
) -> str:
    """Return the page of a run as the text of one HTML file, which UTF-8 can encode.

    Args:
        data_json: The JSON values of a :class:`~sunwell.report.page.page_data.PageData`.
        requests: The JSON values of its :class:`~sunwell.report.page.page_data.Requests`, if they are to be
            in the file.
        live: Path, ending in a slash, under which the page asks for ``changes?since=N`` and
            ``request?call=KEY``; ``None``: the page asks for nothing. ``data_json`` may have a ``version``,
            the number of the state that it tells; without one, the page asks for all changes.
    """
    head, cost = data_json["head"], data_json["cost"]
    first = _first(data_json)
    texts = {one: text for one, text in data_json["texts"].items() if one not in first["texts"]}
    sections = {**data_json, "texts": texts}
    sections = {name: _packed(value) if name in _MAPPINGS else value for name, value in sections.items()}
    sections["first"] = first
    if requests is not None:
        sections["requests"] = requests
    script = _script(SCRIPTS)
    style = _template_text("page.css")
    return _environment().get_template("page.html").render(
        title=one_line(f"{head['run_id']} · Sunwell", 60),
        verdict=_plain(head["verdict"] or "no verdict"),
        status=_plain(head["status"]),
        cost=dollars(None if cost["usd"] is None else Decimal(cost["usd"])),
        format=FORMAT,
        live=live,
        policy=policy(script, style, asks=live is not None),
        style=Markup(style),
        script=Markup(script),
        data=list(_embedded(sections)),
    )  # fmt: skip


def _first(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the summary shows of the long sections: a page of many calls opens without reading them.

    ``failed`` is ``None`` if so much failed that there is nothing to save.
    """
    head = data["head"]
    ids = [head["task"], head["error"], head["answer"], *head["notices"]]
    ids += [span["error"] for span in data["spans"].values()]
    failed: dict[str, dict[str, Any]] = {
        "calls": _entries(data["calls"], lambda call: call["status"] in ("failed", "refused")),
        "tools": _entries(data["tools"], lambda tool: tool["status"] == "failed"),
        "checks": _entries(data["checks"], lambda check: check["passed"] is False),
    }
    for call in failed["calls"].values():
        ids += [call["refusal"], *(attempt["detail"] for attempt in call["attempts"])]
    ids += [tool["result"] for tool in failed["tools"].values()]
    ids += [check["evidence"] for check in failed["checks"].values()]
    few = sum(len(entries) for entries in failed.values()) <= _FEW_FAILED
    texts = {one: data["texts"][one] for one in ids if one in data["texts"]} if few else {}
    return {"failed": failed if few else None, "texts": texts}


def _packed(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return *entries* with the names of their fields told once, which is less than half as long.

    An object becomes a list of the number of its names and its values, a list begins with -1. Most of the
    time in which a page of many calls opens is the reading of its text.
    """
    numbers: dict[tuple[str, ...], int] = {}

    def packed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return [numbers.setdefault(tuple(value), len(numbers)), *map(packed, value.values())]
        return [-1, *map(packed, value)] if isinstance(value, list | tuple) else value

    found = {key: packed(entry) for key, entry in entries.items()}
    return {"names": list(numbers), "entries": found}


def _entries(section: Mapping[str, Any], wanted: Callable[[Any], bool]) -> dict[str, Any]:
    return {key: entry for key, entry in section.items() if wanted(entry)}


def overview_html(values: Mapping[str, Any]) -> str:
    """Return the page of all runs as the text of one HTML file, which UTF-8 can encode.

    *values* are the JSON values of an :class:`~sunwell.report.page.overview.Overview`.
    """
    totals = values["totals"]
    script = _script(OVERVIEW_SCRIPTS)
    style = _template_text("page.css") + _template_text("overview.css")
    return _environment().get_template("overview.html").render(
        title="Runs · Sunwell",
        live=None,
        cost=f"{totals['runs']:,} runs, {dollars(Decimal(totals['usd']))}",
        format=FORMAT,
        policy=policy(script, style),
        style=Markup(style),
        script=Markup(script),
        data=list(_embedded(values)),
    )  # fmt: skip


def policy(script: str, style: str, *, asks: bool = False) -> str:
    """Return a content security policy that allows this one *script* and *style*, and nothing else.

    With *asks*, the page may ask the address that it came from.
    """
    rules = [
        "default-src 'none'",
        f"script-src {_hashed(script)}",
        f"style-src {_hashed(style)}",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if asks:
        rules.append("connect-src 'self'")
    return "; ".join(rules)


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _plain(text: str) -> str:
    return one_line(_NOT_UTF8.sub("\ufffd", text[:2000]), 300)


def _embedded(sections: Mapping[str, Any]) -> Iterator[tuple[str, Markup]]:
    """Yield each section as JSON that cannot end its element, and that is the same value for a parser."""
    for name, value in sections.items():
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for sign in _RISKY:  # one after the other: that is faster than one expression with a function
            text = text.replace(sign, _escaped(sign))
        yield name, Markup(_NOT_UTF8.sub(lambda found: _escaped(found[0]), text))


def _escaped(sign: str) -> str:
    return f"\\u{ord(sign):04x}"


@cache
def _environment() -> Environment:
    loader = PackageLoader("sunwell.report.page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False)


def _template_text(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _script(names: Iterable[str]) -> str:
    """Return scripts as one, in a function of its own so that nothing of the page is a global name."""
    joined = "\n".join(_template_text(name) for name in names)
    return f'"use strict";\n(() => {{\n{joined}}})();\n'
