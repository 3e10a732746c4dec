"""Which variables are taken for secrets."""

import pytest

from sunwell.tools import secrets_from_environment


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        pytest.param("ANTHROPIC_API_KEY", True, id="api-key"),
        pytest.param("GITHUB_TOKEN", True, id="token"),
        pytest.param("TOKEN", True, id="token-alone"),
        pytest.param("CLIENT_SECRET", True, id="secret"),
        pytest.param("DB_PASSWORD", True, id="password"),
        pytest.param("AWS_SECRET_ACCESS_KEY", True, id="access-key"),
        pytest.param("db_password", True, id="small-letters"),
        pytest.param("MAX_TOKENS", False, id="tokens-are-a-number"),
        pytest.param("TOKENIZER", False, id="longer-word"),
        pytest.param("KEYBOARD", False, id="no-key"),
        pytest.param("PATH", False, id="path"),
    ],
)
def test_variables_are_secret_by_their_names(name, is_secret):
    """The value becomes the variable's name in brackets."""
    shown = secrets_from_environment({name: "value-123"}).redact("<value-123>")
    assert shown == (f"<[{name}]>" if is_secret else "<value-123>")
