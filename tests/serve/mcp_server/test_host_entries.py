"""The entry in a host's configuration is put in and taken out; all else stays byte by byte."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.errors import ConfigurationError
from sunwell.serve.mcp_server.host_entries import (
    HOSTS,
    entry_of,
    entry_text,
    installed,
    place_of,
    read_host_file,
    uninstalled,
    write_host_file,
)
from sunwell.serve.mcp_server.json_edits import read_json, with_entry, without_entry

JSON_HOSTS = [host for host, file in HOSTS.items() if not file.is_toml]
ENTRY = {"command": "sunwell", "args": ["mcp", "--max-cost", "0.5"]}
KEYS = st.text('abcde"\\/é', min_size=1, max_size=4)
SPACES = st.sampled_from(["", " ", "\n", "\n  ", "\n\t\t", ' // a "word" {\n', "/* , } */", "\r\n  "])


@st.composite
def documents(draw: st.DrawFn, depth: int = 0) -> tuple[str, Any]:
    """Return a JSON text as editors write it, and its value."""
    kind = draw(st.sampled_from(["scalar", "object", "object", "array"])) if depth < 3 else "scalar"
    if kind == "scalar":
        value = draw(st.one_of(st.none(), st.booleans(), st.integers(-9, 99), st.text(max_size=5)))
        return json.dumps(value, ensure_ascii=draw(st.booleans())), value
    count = draw(st.integers(0, 3))
    parts = [draw(documents(depth + 1)) for _ in range(count)]
    space = [draw(SPACES) for _ in range(3 * count + 1)]
    comma = "," if count and draw(st.booleans()) else ""
    if kind == "array":
        texts = [f"{space[3 * at]}{text}{space[3 * at + 1]}" for at, (text, _) in enumerate(parts)]
        return f"[{','.join(texts)}{comma}{space[-1]}]", [value for _, value in parts]
    keys = draw(st.lists(KEYS, min_size=count, max_size=count, unique=True))
    texts = [
        f"{space[3 * at]}{json.dumps(key)}{space[3 * at + 1]}:{space[3 * at + 2]}{text}"
        for at, (key, (text, _)) in enumerate(zip(keys, parts, strict=True))
    ]
    values = {key: value for key, (_, value) in zip(keys, parts, strict=True)}
    return f"{{{','.join(texts)}{comma}{space[-1]}}}", values


@given(documents())
def test_json_of_editors_is_read_as_it_is_meant(document: tuple[str, Any]) -> None:
    """With comments, spaces everywhere and commas at the end."""
    text, value = document
    assert read_json(text).value == value


@given(documents(), documents(), st.booleans())
def test_an_entry_is_put_in_and_taken_out(
    outer: tuple[str, Any], inner: tuple[str, Any], has_group: bool
) -> None:
    """What the rest says stays, and so do its comments; taken out again, it says what it said."""
    text, value = outer
    if not isinstance(value, dict):
        text, value = "{}", {}
    if has_group:
        group, inside = inner if isinstance(inner[1], dict) else ("{}", {})
        text, value = f'{{"a": {text}, "servers": {group}}}', {"a": value, "servers": inside}
    value.setdefault("servers", {})
    if "sunwell" in value["servers"]:
        return
    made = with_entry(text, ("servers", "sunwell"), ENTRY)
    assert read_json(made).value == {**value, "servers": {**value["servers"], "sunwell": ENTRY}}
    assert made.count("//") == text.count("//")
    assert made.count("/*") == text.count("/*")
    again = without_entry(made, ("servers", "sunwell"))
    assert read_json(again).value == value
    assert again.count("//") == text.count("//")


@pytest.mark.parametrize("host", JSON_HOSTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("comma", ["", ","])
def test_a_file_with_comments_is_the_same_after_both(host: Any, end: str, comma: str) -> None:
    """Byte by byte, where other servers are there; the new entry stands as the others do."""
    group = HOSTS[host].group
    text = end.join(
        [
            "// mine",
            "{",
            '    "theme": "dark", // keep',
            f'    "{group}": {{',
            "        // one of the others",
            f'        "other": {{ "command": "x" }}{comma} /* last */',
            "    }",
            "}",
            "",
        ]
    )
    made = installed(host, text, entry_of(host, ["sunwell"], ["--max-cost", "0.5"]))
    assert f'{end}        "sunwell": {{{end}' in made
    assert made.startswith(text[: text.index("/* last */") - len(comma) - 1])
    assert installed(host, made, entry_of(host, ["sunwell"], ["--max-cost", "0.5"])) == made
    assert uninstalled(host, made) == text


def test_toml_stays_as_it_is() -> None:
    """Comments and the order of all tables; a table behind the entry is not touched."""
    text = '# mine\nmodel = "x"\n\n[mcp_servers.other]\ncommand = "y" # keep\n'
    entry = entry_of("codex", ["sunwell"], [])
    made = installed("codex", text, entry)
    assert made.startswith(text)
    assert tomllib.loads(made)["mcp_servers"]["sunwell"] == entry
    assert uninstalled("codex", made) == text
    behind = f"{made}\n# about it\n[tools]\nweb = true\n"
    assert uninstalled("codex", behind) == f"{text}\n# about it\n[tools]\nweb = true\n"
    assert uninstalled("codex", installed("codex", "", entry)) == ""


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("cursor", "{"),
        ("cursor", "[]"),
        ("cursor", '{"mcpServers": []}'),
        ("cursor", '{"mcpServers": {"sunwell": {"command": "other"}}}'),
        ("cursor", '{"a": 1, "a": 2}'),
        ("cursor", "[" * 5_000),
        ("zed", '{"context_servers": {} } extra'),
        ("codex", "model = "),
        ("codex", 'mcp_servers = { other = { command = "x" } }'),
        ("codex", '[mcp_servers.sunwell]\ncommand = "other"'),
    ],
)
def test_what_is_not_understood_is_refused(host: Any, text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigurationError):
        installed(host, text, entry_of(host, ["sunwell"], []))


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("cursor", ""),
        ("cursor", '{"mcpServers": {}}'),
        ("cursor", '{"mcpServers": {"sunwell": {"command": "other"}}}'),
        ("cursor", '{"mcpServers": {"sunwell": {"command": "sunwell-proxy", "args": ["mcp"]}}}'),
        ("cursor", '{"mcpServers": {"sunwell": {"command": "python", "args": ["-m", "other", "mcp"]}}}'),
        ("cursor", '{"mcpServers": {"sunwell": {"command": "sunwell", "args": "mcp"}}}'),
        ("cursor", '{"mcpServers": {"sunwell": {"command": "sunwell", "args": ["run", "mcp"]}}}'),
        ("codex", '[mcp_servers]\nsunwell = { command = "sunwell", args = ["mcp"] }'),
    ],
)
def test_only_its_own_entry_is_taken_out(host: Any, text: str) -> None:
    """Another program's entry of that name stays."""
    with pytest.raises(ConfigurationError):
        uninstalled(host, text)


@pytest.mark.parametrize("command", [["sunwell"], ["/opt/bin/sunwell"], ["python3", "-m", "sunwell"]])
def test_each_entry_that_starts_sunwell_is_taken_out(command: list[str]) -> None:
    """By its name, by its path, and as a module of an interpreter."""
    made = installed("cursor", "{}", entry_of("cursor", command, ["--max-cost", "2"]))
    assert json.loads(uninstalled("cursor", made)) == {"mcpServers": {}}


def test_the_former_file_is_kept_and_a_link_stays_a_link(tmp_path: Path) -> None:
    """Each time under a free name; the mode is that of the file."""
    real, link = tmp_path / "dotfiles.json", tmp_path / "home" / "settings.json"
    assert write_host_file(real, "{}\n") is None
    real.chmod(0o640)
    link.parent.mkdir()
    link.symlink_to(real)
    kept = [write_host_file(link, text) for text in ("one", "two")]
    assert [copy and copy.name for copy in kept] == [
        "dotfiles.json.before-sunwell",
        "dotfiles.json.before-sunwell-2",
    ]
    assert [copy and copy.read_text() for copy in kept] == ["{}\n", "one"]
    assert link.is_symlink()
    assert read_host_file(link) == "two"
    assert real.stat().st_mode & 0o777 == 0o640
    with pytest.raises(ConfigurationError, match="is no file"):
        read_host_file(tmp_path)


@pytest.mark.parametrize("host", HOSTS)
def test_each_host_has_a_place_for_a_project_and_for_a_user(host: Any) -> None:
    """And an entry that a file of its own can hold."""
    places = [place_of(host, scope, Path("/p"), Path("/h")) for scope in ("project", "user")]
    assert [place.parts[1] for place in places] == ["p", "h"]
    entry = entry_of(host, ["sunwell"], ["--total", "3"])
    assert entry["args"][0] == "mcp"
    text = entry_text(host, entry)
    assert installed(host, text, entry) == text
