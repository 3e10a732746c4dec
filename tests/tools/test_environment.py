"""Which variables are taken for secrets, and what a child process gets."""

import json

import pytest

from sunwell.core.secrets import Secrets
from sunwell.tools import secrets_from_environment
from sunwell.tools.environment import bare_environment, command_environment, desktop_environment
from sunwell.tools.secret_values import is_telling

VALUE = "value-1f2e"


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        pytest.param("ANTHROPIC_API_KEY", True, id="api-key"),
        pytest.param("GITHUB_TOKEN", True, id="token"),
        pytest.param("GH_TOKEN", True, id="token-of-the-command-line"),
        pytest.param("TOKEN", True, id="token-alone"),
        pytest.param("CLIENT_SECRET", True, id="secret"),
        pytest.param("DB_PASSWORD", True, id="password"),
        pytest.param("PGPASSWORD", True, id="password-of-postgres"),
        pytest.param("MYSQL_PWD", True, id="password-of-mysql"),
        pytest.param("SMTP_PASS", True, id="pass"),
        pytest.param("REDISCLI_AUTH", True, id="auth"),
        pytest.param("STRIPE_KEY", True, id="key"),
        pytest.param("FERNET_KEYS", False, id="several-keys-of-no-kind"),
        pytest.param("OPENAI_API_KEYS", True, id="several-keys"),
        pytest.param("AWS_SECRET_ACCESS_KEY", True, id="access-key"),
        pytest.param("AWS_ACCESS_KEY_ID", True, id="access-key-id"),
        pytest.param("AWS_SESSION_TOKEN", True, id="session-token"),
        pytest.param("SENTRY_DSN", True, id="dsn"),
        pytest.param("SLACK_WEBHOOK_URL", True, id="webhook"),
        pytest.param("SESSION_COOKIE", True, id="cookie"),
        pytest.param("AZURE_STORAGE_CONNECTION_STRING", True, id="connection-string"),
        pytest.param("db_password", True, id="small-letters"),
        pytest.param("MAX_TOKENS", False, id="tokens-are-a-number"),
        pytest.param("TOKENIZER", False, id="longer-word"),
        pytest.param("KEYBOARD", False, id="no-key"),
        pytest.param("MONKEY", False, id="no-key-at-all"),
        pytest.param("PUBLIC_KEY", False, id="public-key"),
        pytest.param("STRIPE_PUBLISHABLE_KEY", False, id="publishable-key"),
        pytest.param("SSH_AUTH_SOCK", False, id="socket"),
        pytest.param("AWS_REGION", False, id="region"),
        pytest.param("PATH", False, id="path"),
        pytest.param("PWD", False, id="folder"),
        pytest.param("OLDPWD", False, id="last-folder"),
        pytest.param("COMPASS", False, id="no-pass"),
    ],
)
def test_variables_are_secret_by_their_names(name, is_secret):
    """The value becomes the variable's name in brackets."""
    shown = secrets_from_environment({name: VALUE}).redact(f"<{VALUE}>")
    assert shown == (f"<[{name}]>" if is_secret else f"<{VALUE}>")


@pytest.mark.parametrize(
    ("value", "is_secret"),
    [
        pytest.param("1", False, id="a-digit"),
        pytest.param("true", False, id="yes"),
        pytest.param("postgres", False, id="a-word"),
        pytest.param("changeme", False, id="a-default"),
        pytest.param("test1234", False, id="a-word-with-a-number"),
        pytest.param("12345678", False, id="a-number"),
        pytest.param("us-east-1", False, id="words-with-a-number"),
        pytest.param("127.0.0.1", False, id="an-address"),
        pytest.param("application/json", False, id="a-type"),
        pytest.param("getUserName", False, id="a-name-in-code"),
        pytest.param("/etc/passwd", False, id="a-file"),
        pytest.param("--------------------", False, id="a-line"),
        pytest.param("Sunshine1!", True, id="a-persons"),
        pytest.param("a1b2c3d4", True, id="hex"),
        pytest.param("hGfKsLqPwZ", True, id="random-letters"),
        pytest.param("abcdefghijklmnop", True, id="sixteen-letters"),
        pytest.param("abcd efgh ijkl mnop", True, id="four-groups-of-letters"),
        pytest.param("correct-horse-battery-staple", True, id="many-words"),
        pytest.param("12345678901234", True, id="a-long-number"),
        pytest.param("/etc/no/such+file==", True, id="no-file"),
        pytest.param("0123abcd-0123-0123-0123-0123456789ab", True, id="uuid"),
    ],
)
def test_only_values_that_are_rare_in_ordinary_text_are_replaced(value, is_secret):
    """A password that is a common word would be replaced in every file, and nobody would learn it there."""
    assert is_telling(value) == is_secret
    assert (secrets_from_environment({"DB_PASSWORD": value}).redact(value) == "[DB_PASSWORD]") == is_secret


LOGIN = "postgres://app:S3cr%40et-word@db.example.com:5432/app"


@pytest.mark.parametrize(
    ("name", "value", "text", "shown"),
    [
        pytest.param("DATABASE_URL", LOGIN, LOGIN, "[DATABASE_URL]", id="all-of-it"),
        pytest.param("DATABASE_URL", LOGIN, "S3cr%40et-word", "[DATABASE_URL]", id="the-password"),
        pytest.param("DATABASE_URL", LOGIN, "S3cr@et-word", "[DATABASE_URL]", id="the-password-decoded"),
        pytest.param("DATABASE_URL", LOGIN, "db.example.com", "db.example.com", id="not-the-host"),
        pytest.param("HTTPS_PROXY", LOGIN, "S3cr%40et-word", "[HTTPS_PROXY]", id="in-any-variable"),
        pytest.param(
            "AUTH", "https://a.example/x", "https://a.example/x", "https://a.example/x", id="no-login"
        ),
        pytest.param("APP_URL", "https://a/?api_key=q1w2e3r4t5", "q1w2e3r4t5", "[APP_URL]", id="parameter"),
        pytest.param("DSN", "Server=a;Pwd=q1w2e3r4t5;X=1", "q1w2e3r4t5", "[DSN]", id="pairs"),
        pytest.param(
            "GOOGLE_CREDENTIALS",
            json.dumps({"type": "service_account", "private_key": "q1w2e3r4t5"}),
            "q1w2e3r4t5 service_account",
            "[GOOGLE_CREDENTIALS] service_account",
            id="json",
        ),
    ],
)
def test_secrets_within_a_value_are_replaced_alone_and_with_it(name, value, text, shown):
    """The password of an address counts in every variable; the other parts of the address do not."""
    assert secrets_from_environment({name: value}).redact(text) == shown


HOSTILE = (
    "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PYTHONSTARTUP",
    "PYTHONHOME", "PYTHONINSPECT", "NODE_OPTIONS", "BASH_ENV", "ENV", "IFS", "GIT_DIR", "GIT_SSH_COMMAND",
    "GIT_CONFIG_COUNT", "GIT_EXTERNAL_DIFF", "PERL5LIB", "PERL5OPT", "RUBYOPT", "RUBYLIB",
    "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "EDITOR", "PAGER", "BROWSER", "LESSOPEN",
    "SSH_AUTH_SOCK", "GCONV_PATH",
    "MALLOC_CHECK_", "PS4", "PROMPT_COMMAND", "CDPATH", "BASH_FUNC_ls%%", "RIPGREP_CONFIG_PATH",
    "HTTPS_PROXY",
)  # fmt: skip


def test_no_variable_that_steers_a_program_reaches_a_child():
    """What is not on the short list stays behind: loaders, interpreters, shells, git, editors, proxies."""
    given = dict.fromkeys(HOSTILE, "/tmp/evil") | {"PATH": "/usr/bin", "HOME": "/h", "LC_ALL": "C"}
    got = command_environment(given, Secrets())
    assert {name: value for name, value in got.items() if value == "/tmp/evil"} == {}
    assert set(got) == {"PATH", "HOME", "LC_ALL", "TERM", "PAGER", "GIT_PAGER", "GIT_TERMINAL_PROMPT"}
    assert bare_environment() == {"LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        pytest.param(".:/usr/bin", "/usr/bin", id="this-folder"),
        pytest.param(":/usr/bin:", "/usr/bin", id="empty-is-this-folder"),
        pytest.param("bin:./bin:../bin:/usr/bin:~/bin", "/usr/bin", id="relative"),
        pytest.param("/work/.venv/bin:/usr/bin", "/work/.venv/bin:/usr/bin", id="absolute"),
        pytest.param(".:", "/bin:/usr/bin", id="none-left"),
    ],
)
def test_a_relative_folder_of_path_is_left_out(path, kept):
    """It would be the workspace's, where a model may write a program called git or python."""
    assert command_environment({"PATH": path}, Secrets())["PATH"] == kept


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("JDBC_URL", "jdbc:postgresql://h/db?user=u&password=Zr7KqwPm3xVtY8sNbD60", "Zr7KqwPm3xVtY8sNbD60"),
        ("GIT_URL", "https://Zr7KqwPm3xVtY8sNbD57@github.com/x", "Zr7KqwPm3xVtY8sNbD57"),
        ("SECRET_KEY_BASE", "Zr7KqwPm3xVtY8sNbD47", "Zr7KqwPm3xVtY8sNbD47"),
        ("API_TOKEN_2", "Zr7KqwPm3xVtY8sNbD51", "Zr7KqwPm3xVtY8sNbD51"),
        ("MYSQL_PW", "Zr7KqwPm3xVtY8sNbD63", "Zr7KqwPm3xVtY8sNbD63"),
    ],
)
def test_names_with_a_number_and_addresses_in_addresses_hold_secrets(name, value, secret) -> None:
    """Each of them was sent to a provider once."""
    assert secret not in secrets_from_environment({name: value}).redact(f"read {secret} here")


def test_a_browser_gets_all_but_secrets_and_what_loads_code() -> None:
    """It needs the variables of the desktop, which are many and have no list."""
    secrets = Secrets()
    secrets.add(VALUE, "API_KEY")
    kept = {"DISPLAY": ":0", "XDG_RUNTIME_DIR": "/run/user/1", "HOME": "/home/a", "BROWSER": "firefox"}
    lost = {"A": f"x{VALUE}", "LD_PRELOAD": "/a.so", "DYLD_INSERT_LIBRARIES": "/a", "PYTHONSTARTUP": "/a.py"}
    assert desktop_environment({**kept, **lost}, secrets) == kept


def test_a_variable_that_changes_between_two_runs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found before is used only while the environment is the same."""
    text = "first-1f2e9a, second-7c3b5d"
    for value, shown in (
        ("first-1f2e9a", "[DB_PASSWORD], second-7c3b5d"),
        ("second-7c3b5d", "first-1f2e9a, [DB_PASSWORD]"),
    ):
        monkeypatch.setenv("DB_PASSWORD", value)
        assert [secrets_from_environment().redact(text) for _ in range(2)] == [shown, shown]
    monkeypatch.delenv("DB_PASSWORD")
    assert secrets_from_environment().redact(text) == text


def test_what_one_run_learns_is_not_known_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is looked at once, and each gets secrets of its own."""
    monkeypatch.setenv("DB_PASSWORD", "first-1f2e9a")
    secrets_from_environment().add("only-here-1f2e", "KEY")
    assert secrets_from_environment().redact("only-here-1f2e") == "only-here-1f2e"
