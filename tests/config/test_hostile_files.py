"""Files that are made to be slow or to break a parser: one sentence each, in linear time."""

import os
import time

import pytest

from sunwell.config.documents import read_document
from sunwell.errors import ConfigurationError

N = 100_000
MOST_SECONDS = 4.0  # of CPU; the worst takes a tenth, and one that is not linear many times as long
TOML = {
    "dotted-key": "a." * (N // 2) + "a = 1\n",
    "dotted-table": "[" + "a." * (N // 2) + "a]\n",
    "open-table": "[" + " " * N + "\n",
    "table-of-words": "[" + "a " * (N // 2) + "\n",
    "quoted-dots": '"a".' * (N // 4) + "a = 1\n",
    "table-in-text": 'x = """\n[' + " " * (N - 100) + '\n"""\n',
    "key-in-text": 'x = """\n"a"' + " " * (N - 100) + '\n"""\n',
    "many-keys-in-text": 'x = """\n' + "a." * (N // 2 - 100) + '\n"""\n',
    "lists": "x = " + "[" * N,
    "inline-tables": "x = " + "{a=" * (N // 4),
    "digits": "x = " + "1" * N,
    "exponent": "[budget]\nusd = 1e" + "9" * N,
    "many-tables": "".join(f"[t{i}]\n" for i in range(N // 9)),
    "arrays-of-tables": "[[a]]\n" * (N // 6),
    "many-keys": "".join(f"k{i}=1\n" for i in range(N // 9)),
    "escapes": 'x = "' + "\\u0041" * (N // 6) + '"',
    "two-marks": "\ufeff\ufeffstream = true",
    "nul": "stream = true\0",
    "returns": "stream = true\r" * (N // 20),
    "half-a-pair": 'model = "\\ud800"',
    "doubled-table": "[budget]\nusd = 1\n[budget]\nusd = 2\n",
    "dotted-and-table": "budget.usd = 1\n[budget]\nusd = 2\n",
    "table-as-array": "[[budget]]\nusd = 1\n",
    "no-utf-8": b"model = '\xff\xfe'",
    "utf-16": "model = 'x'".encode("utf-16"),
}
Y = 65_000
YAML = {
    "keys": "".join(f"k{i}: 1\n" for i in range(Y // 10)),
    "list": "x: [" + "1," * (Y // 2) + "]",
    "lists": "x: " + "[" * Y,
    "maps": "x: " + "{a: " * (Y // 5),
    "dashes": "- " * (Y // 2),
    "questions": "? " * (Y // 2),
    "tabs": "\t" * Y,
    "anchors": "&a " * (Y // 3),
    "tags": "!!str " * (Y // 6),
    "documents": "---\n" * (Y // 4),
    "base-60": "max_depth: " + "1:" * (Y // 2) + "1",
    "digits": "max_depth: " + "1" * Y,
    "time": "x: 2001-01-01" + " " * Y + "1",
    "laughs": "a: &a [x]\n" + "".join(f"b{i}: [*a, *a]\n" for i in range(9)),
    "merge": "a: &a {b: 1}\nc:\n  <<: *a\n",
    "too-long": "#" * (Y + 600),
}
FILES = [
    *(pytest.param("sunwell.toml", text, id=f"toml-{name}") for name, text in TOML.items()),
    *(pytest.param("sunwell.yaml", text, id=f"yaml-{name}") for name, text in YAML.items()),
    *(
        pytest.param("pyproject.toml", f"[tool.sunwell]\n{TOML[name]}", id=f"pyproject-{name}")
        for name in ("dotted-key", "lists", "digits", "many-keys")
    ),
]


@pytest.mark.parametrize(("name", "content"), FILES)
def test_a_hostile_file_is_refused_in_one_sentence_and_at_once(project, name, content):
    """An untrusted file cannot keep anybody waiting, or crash a command."""
    file = project.folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    begun = time.process_time()
    with pytest.raises(ConfigurationError) as caught:
        project.load().require_trust()
    assert time.process_time() - begun < MOST_SECONDS
    said = str(caught.value)
    assert str(file) in said
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize("name", ["sunwell.toml", "sunwell.yaml", "pyproject.toml"])
def test_of_a_huge_file_only_the_beginning_is_read(project, name):
    """100 GB, most of them a hole: longer than any configuration, which one sentence says."""
    file = project.folder / name
    file.write_text("[tool.sunwell]\nmodel = 'x'\n")
    os.truncate(file, 100_000_000_000)
    with pytest.raises(ConfigurationError, match=f"{name} is longer than"):
        project.load()


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfstream = true\n", b"stream = true\r\n[budget]\r\nusd = 1\r\n", b"", b"# nothing\n"],
    ids=["mark", "windows", "empty", "comment"],
)
def test_what_an_editor_may_write_is_read(project, content):
    """A byte order mark, line ends of Windows, nothing at all."""
    file = project.folder / "sunwell.toml"
    file.write_bytes(content)
    assert read_document(file).data == content
    project.load(trust=True)


@pytest.mark.parametrize(
    "text",
    [
        'model = "${ANTHROPIC_API_KEY}"',
        'system_prompt = "$(cat /etc/passwd) {{ env.HOME }} %(HOME)s ~"',
        'model = "@/etc/hostname"',
    ],
)
def test_nothing_in_a_file_is_filled_in(project, text):
    """A value is what stands there: no variable, command, file or template in it is looked up."""
    project.write(text)
    loaded = project.load(trust=True)
    [setting] = loaded.settings.values()
    assert setting.value == text.partition('"')[2].rpartition('"')[0]


@pytest.mark.parametrize("key", ["extends", "include", "includes", "import", "profile", "profiles", "env"])
def test_no_file_brings_another(project, key):
    """There is nothing by which a file takes in others, or chooses between parts of itself."""
    project.write(f'{key} = "other.toml"\n')
    project.write("allow_shell = true\n", "other.toml")
    with pytest.raises(ConfigurationError, match=rf"{key} is not a setting"):
        project.load(trust=True)
