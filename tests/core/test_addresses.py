"""Addresses in errors that models read: left out; all else stays."""

import pytest

from sunwell.core.addresses import without_addresses


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("POST https://api.example.com/v1/chat: 503", "POST [address]: 503", id="url"),
        pytest.param("see http://10.0.0.7:8000/x?y=1.", "see [address].", id="url-ends-a-sentence"),
        pytest.param("cannot connect to gpu-box:8000", "cannot connect to [address]", id="host-and-port"),
        pytest.param("at api.internal.example:443/v1 now", "at [address] now", id="host-port-and-path"),
        pytest.param("peer 192.168.1.20 is gone", "peer [address] is gone", id="ipv4"),
        pytest.param("peer 192.168.1.20:99, gone", "peer [address], gone", id="ipv4-and-port"),
        pytest.param("dial [::1]:8080 failed", "dial [address] failed", id="ipv6-in-brackets"),
        pytest.param("dial 2001:db8::7 failed", "dial [address] failed", id="ipv6"),
        pytest.param("dial ::1 failed", "dial [address] failed", id="ipv6-loopback"),
        pytest.param("localhost refused", "[address] refused", id="localhost"),
        pytest.param("ask api.anthropic.com again", "ask [address] again", id="name-of-a-server"),
    ],
)
def test_addresses_are_left_out(said: str, shown: str) -> None:
    """A model has no use for them, and whoever writes an error could send it there."""
    assert without_addresses(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        "haiku: 429 Too Many Requests",
        "status:503 at 20:56:04 on 2026-11-29T20:56:04Z",
        "the context has 200,000 tokens (max 128,000); version 1.2.3",
        "std::vector, a::b and ratio 3:1",
        "src/auth.py is missing",
    ],
)
def test_what_is_no_address_stays(said: str) -> None:
    """Numbers, times, versions and names of code are no addresses."""
    assert without_addresses(said) == said
