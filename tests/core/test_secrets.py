"""Known secrets do not come through, in whatever writing."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.secrets import Secrets

KEY = 'sk-"abc/def+ghi?jkl'


def known(*values: str) -> Secrets:
    secrets = Secrets()
    for index, value in enumerate(values):
        secrets.add(value, f"KEY_{index}")
    return secrets


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(KEY, id="plain"),
        pytest.param(quote(KEY, safe=""), id="percent-encoded"),
        pytest.param(json.dumps(KEY), id="in-json"),
        pytest.param(base64.b64encode(KEY.encode()).decode(), id="base64"),
        pytest.param(base64.urlsafe_b64encode(KEY.encode()).decode(), id="base64-for-urls"),
        pytest.param(base64.b64encode(f"u:{KEY}".encode()).decode(), id="base64-after-two-bytes"),
        pytest.param(base64.b64encode(f"a{KEY}b".encode()).decode(), id="base64-inside"),
    ],
)
def test_a_secret_is_replaced_in_every_usual_writing(written):
    """A secret becomes its name, plain and as headers, addresses and JSON write it."""
    shown = known(KEY).redact(f"before {written} after")
    assert "[KEY_0]" in shown
    assert written not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        pytest.param("12345", False, id="five-characters"),
        pytest.param("123456", True, id="six-characters"),
        pytest.param(" 12345\n", False, id="white-space-does-not-count"),
        pytest.param("", False, id="empty"),
    ],
)
def test_short_values_stay_because_they_occur_in_ordinary_text(value, is_kept):
    """Values are kept from six characters on."""
    assert (known(value).redact(f"<{value.strip()}>") == "<[KEY_0]>") == is_kept


@pytest.mark.parametrize("order", [("secret-one", "secret-one-long"), ("secret-one-long", "secret-one")])
def test_the_longer_of_two_secrets_goes_first(order):
    """Nothing is left of a secret that begins with another one, in whatever order they were added."""
    shown = known(*order).redact("secret-one-long secret-one")
    assert "secret" not in shown
    assert "long" not in shown


def test_text_without_secrets_is_left_alone():
    """Where nothing is known or nothing occurs, text stays the same."""
    assert Secrets().redact("abc") == "abc"
    assert known("another-secret").redact("abc") == "abc"


def test_a_secret_is_not_in_the_description_of_its_keeper():
    """Printing the keeper tells nothing."""
    assert "sk-shown" not in repr(known("sk-shown-never"))


@given(
    before=st.text(),
    after=st.text(),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6),
)
def test_no_surrounding_text_lets_a_secret_through(before, after, secret):
    """Whatever stands around it, the secret itself is gone, unless its own name brings it back."""
    secrets = known(secret)
    if secret.strip() not in f"[KEY_0]{before}{after}":
        assert secret not in secrets.redact(f"{before} {secret} {after}") or "[KEY_0]" in secret
