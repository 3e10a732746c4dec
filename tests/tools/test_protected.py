"""The tables of protected files: what is closed under which spelling, and what only looks like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.tools.protected import (
    PROTECTED,
    folded,
    is_git_folder,
    kind_of_name,
    kind_of_path,
    may_be_secret,
    secret_in,
    why_private,
)

PRIVATE_KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
PUBLIC_KEY = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
ACCOUNT = b'{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----..."}'


def paths_of(pattern: str) -> str:
    """Return a path that *pattern* of the table means."""
    return pattern.replace("*", "x") + ("inner.txt" if pattern.endswith("/") else "")


ROWS = [(kind, paths_of(pattern)) for kind in PROTECTED for pattern in kind.patterns]


@pytest.mark.parametrize(("kind", "path"), ROWS, ids=[path for _, path in ROWS])
@pytest.mark.parametrize("above", ["", "deep/down/"])
def test_each_row_of_the_table_means_its_files_at_any_depth(kind, path, above):
    """The first kind that fits counts, and all with the same pattern hold the same."""
    found = kind_of_path(above + path)
    assert found is not None
    assert found.level == kind.level


@pytest.mark.parametrize("kind", PROTECTED, ids=lambda kind: kind.patterns[0])
def test_each_kind_has_a_reason_of_one_plain_sentence(kind):
    """A model reads it behind the path, and does not try again."""
    assert "\n" not in kind.why
    assert not kind.why.endswith(".")
    assert len(kind.why) < 140


def _with_letters(name: str, draw: st.DataObject) -> str:
    letters = []
    for letter in name:
        form = draw.draw(st.sampled_from(["as it is", "upper", "wide", "invisible"]))
        shown = {
            "as it is": letter,
            "upper": letter.upper(),
            "wide": chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter,
            "invisible": letter + draw.draw(st.sampled_from("\u200c\u200d\u2060\ufeff\u00ad\ufe0f\u034f")),
        }
        letters.append(shown[form])
    return "".join(letters) + draw.draw(st.sampled_from(["", ".", " ", "...", " . ", ":", "::$DATA", ":x"]))


@given(st.data(), st.sampled_from(ROWS))
def test_a_name_is_the_same_in_every_spelling_of_a_tolerant_file_system(data, row):
    """Case, wide letters, invisible ones, dots and spaces at the end, streams: for each part of the path."""
    kind, path = row
    spelled = "/".join(_with_letters(part, data) for part in path.split("/"))
    found = kind_of_path(spelled)
    assert found is not None
    assert found.level == kind.level


@given(st.text())
def test_folding_twice_changes_nothing_and_raises_nothing(name):
    """Any text may be the name of a file."""
    assert folded(folded(name)) in (folded(name), ".git", ".sunwell", ".env", ".ssh", ".aws")


@pytest.mark.parametrize(
    "path",
    [
        ".env.example", ".env.sample", ".env.production.template", ".env.local.example", ".environment",
        "id_rsa.pub", "id_ed25519.pub", "id_map.py", "id_rsa_keys.py", "ids.txt", "keys.py", "public.pem",
        "i18n/en.key", "locale.key", "monkey.py", "token.py", "secrets.py", "credentials.md", "envrc.md",
        "docker/config.json", "config.json", "cargo/config.toml", ".github/ISSUE_TEMPLATE.md", "git/x",
        ".gitignore", ".gitkeep", ".sunwellignore", "src/.gitignore", ".github/dependabot.yml",
        "vscode/tasks.json", ".vscode/snippets.code-snippets", "setup.py", "conftest.py", "Makefile",
        "package.json", "pyproject.toml", "tox.ini", "noxfile.py", "Dockerfile", "docker-compose.yml",
        "main.tf", "x.tfvars", "agents.py", "docs/agents/index.md", "workflows/ci.yml",
        "tests/fixtures/data.json", "sunwell/tools/x.py", "profile.py", "profile", "login", "path.pth.md",
        "git~x",
    ],
)  # fmt: skip
def test_what_only_looks_alike_is_open(path):
    """A project's source, its examples and what its own user runs when testing stay ordinary files."""
    assert kind_of_path(path) is None


@pytest.mark.parametrize(
    ("name", "data", "is_secret"),
    [
        pytest.param("public.pem", PUBLIC_KEY, False, id="public-pem"),
        pytest.param("chain.pem", CERTIFICATE * 3, False, id="certificates"),
        pytest.param("server.pem", CERTIFICATE + PRIVATE_KEY, True, id="certificate-and-key"),
        pytest.param("server.crt", CERTIFICATE + PRIVATE_KEY, True, id="key-in-a-crt"),
        pytest.param("SERVER.PEM", b"Bag Attributes\n" + PRIVATE_KEY, True, id="key-behind-a-preamble"),
        pytest.param("notes.txt", PRIVATE_KEY, True, id="nothing-but-a-key"),
        pytest.param("deploy", b"\n\n" + PRIVATE_KEY, True, id="key-after-empty-lines"),
        pytest.param("x", b"PuTTY-User-Key-File-3: ssh-ed25519\n", True, id="putty"),
        pytest.param("x.asc", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", True, id="pgp"),
        pytest.param("x.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", False, id="pgp-public"),
        pytest.param("test_jwt.py", b"KEY = '''\n" + PRIVATE_KEY + b"'''\n", False, id="key-in-a-source"),
        pytest.param("README.md", b"# Keys\n" + PRIVATE_KEY, False, id="key-in-a-document"),
        pytest.param("en.key", b"title = Welcome\nbye = See you\n", False, id="texts"),
        pytest.param("en.key", b"Introduction", False, id="one-word"),
        pytest.param("master.key", b"0a1b2c3d4e5f60718293a4b5c6d7e8f9\n", True, id="key-of-a-framework"),
        pytest.param("x.key", b"0\x82\x04\xa4\x02\x01\x00", True, id="der"),
        pytest.param("slides.key", b"PK\x03\x04\0\0", True, id="no-text"),
        pytest.param("shop-1a2b.json", ACCOUNT, True, id="service-account"),
        pytest.param("schema.json", b'{"private_key": {"type": "string"}}', False, id="schema"),
        pytest.param("empty.pem", b"", False, id="empty"),
    ],
)
def test_where_the_name_is_doubtful_the_content_decides(name, data, is_secret):
    """What is nothing but a private key is secret under every name."""
    assert (secret_in(name, data) is not None) == is_secret
    assert may_be_secret(name, data) or not is_secret


@pytest.mark.parametrize(
    ("names", "is_one"),
    [
        (("HEAD", "config", "refs", "objects"), True),
        (("HEAD", "commondir", "gitdir"), True),
        (("HEAD", "refs"), False),
        (("config", "refs", "objects", "hooks"), False),
        (("head.html", "objects", "refs"), False),
    ],
)
def test_a_repository_is_known_by_what_is_in_it(names, is_one):
    """As git does it: by HEAD, refs and objects, or by HEAD and where the rest is."""
    assert is_git_folder(names) is is_one


def test_a_rule_of_two_names_needs_both():
    """The folder around it decides, whatever is further up."""
    assert kind_of_name("config.json", ".docker") is not None
    assert kind_of_name("config.json", "docker") is None
    assert why_private("config.json", ".DOCKER") is not None
    assert kind_of_path("tasks.json", ".vscode") is not None
