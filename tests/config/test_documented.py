"""The documents name every setting, every other spelling and every preset.

``python tests/config/test_documented.py`` writes the reference of options anew.
"""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import attrs
import pytest

from sunwell.config.powers import DANGERS, POWERS
from sunwell.config.schema import ROLES, McpEntry, ModelEntry, ProviderSettings, Quirks, Role
from sunwell.config.shape import leaves, options_by_path
from sunwell.context.kinds import without_none
from sunwell.context.options import SECTIONS, OptionSpec, option_specs
from sunwell.context.spellings import RLM_VARIABLES, SPELLINGS
from sunwell.models.catalog import PRESETS

BEGIN = "<!-- options: written by tests/config/test_documented.py -->\n"
END = "<!-- end of options -->\n"
DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()
PROVIDERS = (DOCS / "providers.md").read_text()
MCP = (DOCS / "mcp.md").read_text()
OWN_NAMES = set(option_specs())
OF_ROLES = {field.name for field in attrs.fields(Role)}


UNTRUSTED = {
    "nothing": "not set it",
    "lower": "lower it",
    "ceiling": "set or lower it",
    "subset": "name fewer",
    "superset": "add to it, take nothing back",
}


OTHERWISE = {
    ("explore", "max_steps"): "lower it",
    ("explore", "max_commit_cycles"): "lower it",
    ("context", "*", "path"): "name a folder in the workspace, for a new source",
    ("context", "*", "kind"): "set `folder`, for a new source",
}
"""What such a file may do with settings that are no options of a run."""


def row(spec: OptionSpec) -> str:
    """Return the line of one option."""
    value = "on" if spec.default is True else "off" if spec.default is False else str(spec.default)
    default = spec.otherwise or ("none" if spec.default is None else f"`{value}`")
    kind = without_none(spec.kind)
    words = ", ".join(f"`{word}`" for word in get_args(kind)) if get_origin(kind) is Literal else ""
    told = f"{spec.help} {words}".strip()
    return f"| `{spec.name}` | `{'.'.join(spec.path)}` | {told} | {default} |"


def may_do(spec: OptionSpec) -> str:
    """Return what a file that nobody trusts may do with one option."""
    if spec.path == ("budget", "turns"):
        return "set at most 50, or lower it"
    if spec.untrusted != "only":
        return UNTRUSTED[spec.untrusted]
    harmless = {True: "on", False: "off", None: "switch it off"}.get(spec.harmless, f"`{spec.harmless}`")
    return harmless if spec.harmless is None else f"set {harmless}"


def reference() -> str:
    """Return the reference of all options as it must be."""
    lines = []
    for section, title in SECTIONS.items():
        lines += [f"### {title}", "", "| option | key | meaning | default |"]
        lines += ["| --- | --- | --- | --- |"]
        lines += [row(spec) for spec in option_specs().values() if spec.section == section]
        lines.append("")
    return "\n".join(lines + decisions())


def decisions() -> list[str]:
    """Return the table with the decision on every setting, in order of danger."""
    lines = ["### What a project's file may do", ""]
    lines += [f"ROLE is one of {', '.join(f'`{role}`' for role in ROLES)}; NAME is a name of your own.", ""]
    lines += ["| key | untrusted, it may | once it is trusted, it |", "| --- | --- | --- |"]
    specs = options_by_path()
    shown = [path for path in POWERS if path[0] not in ROLES or len(path) == 1 or path[0] == "model"]
    shown += [path for path in POWERS if path[0] in ROLES and path[1] not in OF_ROLES]
    for path in sorted(shown, key=lambda path: list(DANGERS).index(POWERS[path].danger)):
        power, spec = POWERS[path], specs.get(path)
        may = may_do(spec) if spec else OTHERWISE.get(path, "not set it")
        key = ".".join(path).replace("*", "NAME").replace("model.", "ROLE.")
        words = power.words.replace("{value}", "…").replace("{name}", "NAME" if "*" in path else "ROLE")
        lines.append(f"| `{key}` | {may} | {words} |")
    return [*lines, ""]


def test_the_reference_is_made_from_the_options():
    """Every option with its key, meaning, default and what a file may do with it."""
    assert CONFIGURATION.partition(BEGIN)[2].partition(END)[0] == reference()


def test_every_setting_is_documented():
    """By its key; settings of roles once for all of them."""
    missing = []
    for path, _ in leaves():
        key = (
            path[0]
            if path[0] in ("model", "smart_model", "delegation_model", "second_model", "judge_model")
            else ".".join(path)
        )
        if path[0] == "orchestrator" and path[1] in OF_ROLES:
            key = path[1]
        if not re.search(rf"`{re.escape(key)}`", CONFIGURATION) and f"{key} =" not in CONFIGURATION:
            missing.append(key)
    assert missing == []


@pytest.mark.parametrize("name", [*RLM_VARIABLES, *sorted({path[-1] for path in SPELLINGS} - OWN_NAMES)])
def test_every_other_spelling_is_documented(name):
    """Each word that somebody else's file may hold."""
    assert name in CONFIGURATION


def test_every_key_of_a_server_is_documented():
    """Of those that speak MCP."""
    assert [field.name for field in attrs.fields(McpEntry) if f"`{field.name}`" not in MCP] == []


@pytest.mark.parametrize("kind", [ProviderSettings, ModelEntry])
def test_every_key_of_an_entry_is_documented(kind):
    """Of providers and models."""
    own = {field.name for field in attrs.fields(kind)} - {"headers", "quirks", "provider"} - OF_ROLES
    assert [name for name in sorted(own) if name not in PROVIDERS] == []


def test_every_preset_is_documented():
    """With its address or variable."""
    for name, provider in PRESETS.items():
        assert f"| `{name}`" in PROVIDERS
        assert provider.key_variable is None or provider.key_variable in PROVIDERS
        if provider.base_url and not provider.needs_key:
            assert provider.base_url in PROVIDERS


def test_every_quirk_is_documented():
    """What a server may not understand."""
    assert [f.name for f in attrs.fields(Quirks) if f"{f.name} =" not in PROVIDERS] == []


@pytest.mark.parametrize(
    "document", [CONFIGURATION, PROVIDERS, MCP], ids=["configuration", "providers", "mcp"]
)
def test_every_toml_example_loads(document, project):
    """As it stands there."""
    for number, text in enumerate(re.findall(r"^```toml\n(.*?)^```", document, re.MULTILINE | re.DOTALL)):
        file = project.write(text, f"example-{number}.toml")
        assert project.load(config=file, trust=True).settings


if __name__ == "__main__":
    before, _, rest = CONFIGURATION.partition(BEGIN)
    after = rest.partition(END)[2]
    (DOCS / "configuration.md").write_text(before + BEGIN + reference() + END + after)
