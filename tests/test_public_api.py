"""What ``sunwell`` offers: sorted, loaded on first use, typed and documented. All else is private.

``python tests/test_public_api.py`` writes the tables of ``docs/api.md`` anew.
"""

import ast
import importlib
import inspect
import itertools
import re
import subprocess
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest

import sunwell

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
MODULES = ("sunwell.core", "sunwell.errors", "sunwell.events", "sunwell.simulator", "sunwell.testing")
"""Modules whose ``__all__`` is public, besides ``sunwell`` itself."""
RFC_PATHS = (
    "sunwell.core.lens:EphemeralLens",
    "sunwell.agent:Agent",
    "sunwell.agent.loop:AgentLoop",
    "sunwell.agent.loop:LoopConfig",
    "sunwell.agent.request:RunOptions",
    "sunwell.agent.ephemeral_lens:create_ephemeral_lens",
    "sunwell.agent.ephemeral_lens:should_use_delegation",
    "sunwell.context.session:SessionContext",
    "sunwell.models.registry:ModelRegistry",
    "sunwell.models.registry:get_registry",
    "sunwell.models.registry:resolve_model",
)
OTHER_PATHS = (
    "sunwell.adapters.otel:instrument",
    "sunwell.adapters.pydantic_ai:BudgetedModel",
    "sunwell.adapters.pydantic_ai:DelegatedRun",
    "sunwell.adapters.pydantic_ai:Delegation",
    "sunwell.adapters.pydantic_ai:PydanticAIModel",
    "sunwell.adapters.pydantic_ai:SharedBudget",
    "sunwell.adapters.pydantic_ai:SharedBudgetExhausted",
    "sunwell.config:Sources",
    "sunwell.config.resolution:resolve",
    "sunwell.journal.reading:read_records",
    "sunwell.journal.tree:tree",
    "sunwell.report:summary_text",
    "sunwell.tools:McpServer",
    "sunwell.tools:Rules",
    "sunwell.tools:ToolLimits",
    "sunwell.tools:tool",
    "sunwell.tools:under_rules",
    "sunwell.tools:visible",
)
"""Names for few programs, under the paths that the documents show."""
GROUPS = {
    "Running": "run run_sync Agent RunEvents Orchestrator SessionContext LongContext RunOptions Budget "
    "RetryPolicy JournalFiles forecast",
    "Tasks and results": "Task TaskResult BatchResult Bill",
    "Delegation": "EphemeralLens DelegationDecision should_use_delegation estimate_output OutputEstimate "
    "create_ephemeral_lens read_lens AgentLoop LoopConfig",
    "Checks": "Check Checking Verdict CommandCheck FilesCheck SchemaCheck JudgeCheck",
    "Tools": "tool Tool ToolExecutor Toolbox Workspace Proposal ContextSource",
    "Models and prices": "ModelProtocol AnthropicModel ChatModel ResponsesModel Connection get_registry "
    "resolve_model PriceBook Price Rates",
    "Events": "Event RunFinished DelegationStarted EphemeralLensCreated ModelCallFinished ModelTextArrived "
    "ToolCallFinished WorkerFinished BudgetWarning",
    "Errors": "SunwellError ConfigurationError MissingKeyError UnknownModelError BudgetExhausted ModelError "
    "LensError ToolError JournalError",
}


def documented(thing: Any) -> str:
    """Return the first paragraph of a docstring, in Markdown."""
    text = " ".join(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].split())
    text = re.sub(r":\w+:`(?:[^`<]*<)?[~!]?([\w.]+)>?`", lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`").replace("|", "\\|")


def called(name: str, thing: Any) -> str:
    """Return how *thing* is written: functions with their arguments, without types and defaults."""
    if inspect.isclass(thing):
        return f"`{name}`"
    shown = []
    for parameter in inspect.signature(thing).parameters.values():
        star = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
        if parameter.name != "self":
            is_optional = parameter.default is not parameter.empty
            shown.append(f"{star}{parameter.name}{'=…' if is_optional else ''}")
    return f"`{name}({', '.join(shown)})`"


def table(things: Iterable[tuple[str, Any]]) -> list[str]:
    """Return the lines of a table of *things*."""
    rows = [f"| {called(name, thing)} | {documented(thing)} |" for name, thing in things]
    return ["| name | what it is |", "| --- | --- |", *rows, ""]


def methods(kind: type) -> list[tuple[str, Any]]:
    """Return the public methods of *kind*, in the order of the code."""
    return [
        (name, thing)
        for name, thing in vars(kind).items()
        if inspect.isfunction(thing) and not name.startswith("_")
    ]


FIELDS = (
    "RunOptions",
    "Budget",
    "RetryPolicy",
    "Task",
    "TaskResult",
    "BatchResult",
    "Bill",
    "EphemeralLens",
    "DelegationDecision",
    "Verdict",
    "CommandCheck",
    "FilesCheck",
    "Proposal",
    "Price",
    "Rates",
)
"""The option and result types whose fields are listed."""


def said_of_fields(kind: type) -> dict[str, str]:
    """Return the first sentence of the text below each field of *kind* in its source."""
    (node,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    told: dict[str, str] = {}
    for above, below in itertools.pairwise(node.body):
        if not (isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            holder = type("Said", (), {"__doc__": str(below.value.value)})
            told[above.target.id] = documented(holder)
    return told


def typed(field: Any) -> str:
    """Return the type of *field* as a reader writes it, without paths and checks."""
    kind = field.type
    if isinstance(kind, str):
        text = kind
    elif isinstance(kind, type) and not typing.get_args(kind):
        text = kind.__name__
    else:
        text = str(kind)
    text = re.sub(r"typing\.Annotated\[([\w.]+), .*?\)\]", r"\1", text)
    text = re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)
    text = re.sub(r"Optional\[(.+)\]$", r"\1 | None", text)  # until Python 3.13
    return f"`{text}`".replace("|", "\\|")


def default_of(field: Any) -> str:
    """Return the default of *field*; a dash if it must be given."""
    if field.default is attrs.NOTHING:
        return "–"
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        made = "" if field.default.takes_self else repr(field.default.factory())
        return f"`{made}`" if made else "–"
    return f"`{field.default!r}`".replace("|", "\\|")


def fields_of(kind: type) -> list[str]:
    """Return the lines of a table of what *kind* holds, in the order of the code."""
    said = said_of_fields(kind)
    rows = []
    for field in attrs.fields(kind):
        if field.name.startswith("_"):
            continue
        option = field.metadata.get("option")
        text = option.help if option is not None else said.get(field.name, "")
        if option is not None and option.otherwise:
            text += f" If not set: {option.otherwise}."
        rows.append(f"| `{field.name}` | {typed(field)} | {default_of(field)} | {text} |")
    return ["| field | type | default | what it is |", "| --- | --- | --- | --- |", *rows, ""]


def reference() -> str:
    """Return the part of the page that is made from the code."""
    lines: list[str] = []
    for title, names in GROUPS.items():
        lines += [f"### {title}", "", *table((name, getattr(sunwell, name)) for name in names.split())]
        if title == "Running":
            lines += ["Methods of `Agent`:", "", *table(methods(sunwell.Agent))]
        for name in names.split():
            if name in FIELDS:
                lines += [f"Fields of `{name}`:", "", *fields_of(getattr(sunwell, name))]
    lines += ["## Other public modules", "", "| module | what it holds |", "| --- | --- |"]
    lines += [f"| `{name}` | {documented(importlib.import_module(name))} |" for name in MODULES]
    lines += ["", "## Other paths that stay", "", "| import | what it is |", "| --- | --- |"]
    for path in (*RFC_PATHS, *OTHER_PATHS):
        module, name = path.split(":")
        thing = getattr(importlib.import_module(module), name)
        lines.append(f"| `from {module} import {name}` | {documented(thing)} |")
    return "\n".join(lines) + "\n"


BEGIN = "<!-- from here on written by tests/test_public_api.py -->\n"


def written() -> str:
    """Return what of the page is made from the code, as it is there."""
    return PAGE.read_text().partition(BEGIN)[2].lstrip("\n")


_FIRST = """
import os, sys
import asyncio, decimal, json, logging
import attrs, blinker, click, jinja2, msgspec, regex, yaml

for name in sys.argv[1:]:
    module, attribute = name.split(":")
    assert not any(one.partition(".")[0] == "sunwell" for one in sys.modules)
    if os.fork() == 0:
        exec(f"from {module} import {attribute}")
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.mark.timeout(280)  # many imports in one test
def test_name_is_the_first_import() -> None:
    """No name needs another to be imported before it: each is, in a process that has loaded none of them."""
    names = [*RFC_PATHS, *OTHER_PATHS, "sunwell:Agent", "sunwell:run", "sunwell:run_sync"]
    line = [sys.executable, "-c", _FIRST, *names]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"{name} 0" for name in names], done.stderr


def test_names_are_sorted() -> None:
    """Classes, then functions, each in the order of the alphabet."""
    assert list(sunwell.__all__) == sorted(sunwell.__all__)


def test_names_can_be_found_by_looking() -> None:
    """What is loaded on first use is listed all the same: in a shell, a notebook, an editor."""
    assert {*sunwell.__all__, "core", "errors", "events", "simulator", "testing"} <= set(dir(sunwell))


def test_type_checkers_and_programs_see_the_same() -> None:
    """The imports for type checkers name the very things that are loaded, and no others."""
    body = ast.parse(Path(sunwell.__file__).read_text()).body
    (typed,) = (
        node for node in body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: f"{node.module}.{alias.name}"
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen.keys() == {*sunwell.__all__, "core", "errors", "events", "simulator", "testing"}
    for name in sunwell.__all__:
        module, _, attribute = seen[name].rpartition(".")
        assert getattr(sunwell, name) is getattr(importlib.import_module(module), attribute)


def test_names_are_loaded_on_first_use() -> None:
    """Importing the package and looking at its names loads none of its rooms; a name loads what it needs."""
    code = (
        "import sys, sunwell; dir(sunwell); sunwell.__all__;"
        "print([name for name in sys.modules if name.startswith('sunwell.')]);"
        "sunwell.Budget; print('sunwell.agent' in sys.modules, 'Budget' in vars(sunwell))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n") == ["[]", "False True", ""]


def test_a_star_brings_all_of_them() -> None:
    """``from sunwell import *`` works, and brings no module along."""
    names: dict[str, Any] = {}
    exec("from sunwell import *", names)
    del names["__builtins__"]
    assert sorted(names) == list(sunwell.__all__)


def test_modules_are_reached_through_the_package() -> None:
    """``sunwell.events`` works after ``import sunwell`` alone, in a program that has loaded nothing else."""
    code = "import sunwell; sunwell.events.RunFinished, sunwell.testing.ScriptedModel, sunwell.core.Task"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Agnet'"):
        sunwell.Agnet  # type: ignore[attr-defined]  # noqa: B018


def test_every_name_is_in_the_reference() -> None:
    """Each in one group, with what its docstring says first."""
    grouped = [name for names in GROUPS.values() for name in names.split()]
    assert sorted(grouped) == list(sunwell.__all__)
    assert [name for name in grouped if not documented(getattr(sunwell, name))] == []


def test_every_field_has_a_line() -> None:
    """No field of an option or result type has to be guessed."""
    empty = [
        (name, row) for name in FIELDS for row in fields_of(getattr(sunwell, name)) if row.endswith("|  |")
    ]
    assert empty == []


def test_the_reference_is_the_codes_own() -> None:
    """Names, arguments and sentences; ``python tests/test_public_api.py`` writes them anew."""
    assert written() == reference()


IMPORT = re.compile(r"^\s*from (sunwell[\w.]*) import (.+)$", re.MULTILINE)


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda page: page.name,
)
def test_documents_show_public_imports_alone(page: Path) -> None:
    """Whoever copies from them stands on what stays."""
    public = {f"sunwell:{name}" for name in sunwell.__all__} | {*RFC_PATHS, *OTHER_PATHS}
    for module in MODULES:
        loaded = importlib.import_module(module)
        names = getattr(loaded, "__all__", [name for name in vars(loaded) if name[0].isupper()])
        public |= {f"{module}:{name}" for name in names} | {module.replace(".", ":")}
    shown = {
        f"{module}:{name.strip()}"
        for module, names in IMPORT.findall(page.read_text())
        for name in names.strip("()").split(",")
    }
    assert shown - public == set()


if __name__ == "__main__":
    kept = PAGE.read_text().partition(BEGIN)[0]
    PAGE.write_text(kept + BEGIN + "\n" + reference())
