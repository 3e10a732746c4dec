"""What a file may do once it is trusted is said in words, for every setting there is."""

import re

import attrs
import pytest

from sunwell.config.documents import read_document
from sunwell.config.powers import DANGERS, POWERS, power_lines, power_of
from sunwell.config.schema import ContextEntry, McpEntry, ModelEntry, ProviderSettings, Quirks
from sunwell.config.shape import leaves
from sunwell.config.sources import settings_in


def test_every_setting_has_a_written_decision():
    """One line says what a trusted file does with it, by danger; nobody adds a setting without."""
    judged = {path for path in POWERS if path[0] not in ("models", "providers", "context", "mcp")}
    assert {path for path, _ in leaves()} == judged
    tables = {"models": ModelEntry, "providers": ProviderSettings, "context": ContextEntry, "mcp": McpEntry}
    for table, kind in tables.items():
        named = {path[2] for path in POWERS if path[0] == table}
        assert {field.name for field in attrs.fields(kind)} == named
    for field in attrs.fields(Quirks):
        assert power_of(("providers", "x", "quirks", field.name)).words


@pytest.mark.parametrize("path", POWERS, ids=".".join)
def test_the_words_name_the_value(path):
    """Nobody is asked about a value that is not shown; an unknown danger has no place in the order."""
    power = POWERS[path]
    assert power.danger in DANGERS
    if path != ("safe",):
        assert "{value}" in power.words
    assert set(re.findall(r"{\w+}", power.words)) <= {"{value}", "{name}"}


def lines_of(project, text):
    """Return what a file with *text* does, in order, without the places."""
    return [
        f"{line.danger}: {line.words}"
        for line in power_lines(settings_in(read_document(project.write(text))))
    ]


def test_the_most_dangerous_comes_first_and_each_command_by_itself(project):
    """Whatever the order in the file; secrets are masked."""
    text = """
effort = "max"
checks = ["make", "rm -rf ~"]
[budget]
usd = 9
[providers.lab]
base_url = "https://lab.example/v1"
api_key_env = "AWS_SECRET_ACCESS_KEY"
[providers.lab.headers]
X-Key = "hidden"
[providers.lab.quirks]
tools = false
"""
    assert lines_of(project, text) == [
        'code: runs the command "make" to check the work',
        'code: runs the command "rm -rf ~" to check the work',
        'data: sends everything for the provider lab to "https://lab.example/v1"',
        'data: sends the key in the variable "AWS_SECRET_ACCESS_KEY" to the provider lab',
        "data: sends the provider lab these headers: {X-Key = ********}",
        'money: asks models for the effort "max"',
        "money: allows to spend 9 US dollars",
        "work: changes how the provider lab is asked: tools = false",
    ]


def test_a_command_is_told_whole_and_a_long_text_is_not(project):
    """The end of a command is where the harm may stand."""
    [command] = lines_of(project, f'checks = ["true {"x" * 2000}; rm -rf ~"]')
    assert command.endswith('; rm -rf ~" to check the work')
    [prompt] = lines_of(project, f'system_prompt = "{"x" * 2000}"')
    assert len(prompt) < 400


def test_a_name_of_ones_own_stands_for_nothing_else(project):
    """A provider that is called like a place for the value."""
    [line] = lines_of(project, '[providers."{value}"]\nbase_url = "https://a.example/v1"')
    assert '"https://a.example/v1"' in line


@pytest.mark.parametrize(
    ("text", "danger"),
    [
        ('tools = ["read_file"]', "work"),
        ('tools = ["read_file", "deploy"]', "code"),
        ('model = "opus"', "data"),
        ('model = "evil/x"', "data"),
    ],
)
def test_what_is_not_built_in_is_said_to_be_a_plugins(project, text, danger):
    """A tool of a plugin is somebody's code; so may be a model of that name."""
    [line] = lines_of(project, text)
    assert line.startswith(f"{danger}: ")
    assert ("plugin" in line) is ("deploy" in text or "evil" in text)
