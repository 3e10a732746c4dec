"""Addresses in errors: what a model reads of a provider's error does not say where its server is."""

import ipaddress
import re

ADDRESS_LEFT_OUT = "[address]"
_MAYBE = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>`]+)"
    r"|(?P<bracketed>\[[0-9a-f:.%]{2,60}\](?::\d{1,5})?)"
    r"|(?P<four>(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w])(?:/[^\s\"'<>`]*)?)"
    r"|(?P<six>(?<![\w:.])[0-9a-f]{0,4}:[0-9a-f]{0,4}:[0-9a-f:.%]{0,40}(?![\w:]))"
    r"|(?P<port>(?<![\w.@-])(?P<host>(?:[\w-]{1,63}\.)*[\w-]{1,63}):\d{2,5}(?![\w:])(?:/[^\s\"'<>`]*)?)"
    r"|(?P<name>(?<![\w.@-])(?:localhost"
    r"|(?:[a-z0-9-]{1,63}\.)+(?:com|net|org|io|ai|dev|app|cloud|internal|local|lan))(?![\w-])"
    r"(?:/[^\s\"'<>`]*)?)",
    re.IGNORECASE,
)
_NO_HOSTS = frozenset({"code", "column", "error", "http", "id", "line", "status"})
_ENDS_SENTENCE = ".,;:!?)]}"


def without_addresses(text: str) -> str:
    """Return *text*, of an error, with ``[address]`` in place of URLs, hosts with a port, and IP addresses.

    A host without a port is left out if it is ``localhost`` or its name ends like one. It is meant for errors
    that models read. Files and answers must not pass through it: there, addresses are what the work is about.
    """
    return _MAYBE.sub(_left_out, text)


def _left_out(found: "re.Match[str]") -> str:
    whole = found[0]
    if found["port"] is not None and _is_no_host(found["host"]):
        return whole
    if found["six"] is not None and not _is_address(whole.rstrip(_ENDS_SENTENCE) or whole):
        return whole
    bare = whole.rstrip(_ENDS_SENTENCE) if found["bracketed"] is None else whole
    return f"{ADDRESS_LEFT_OUT}{whole[len(bare) :]}"


def _is_no_host(name: str) -> bool:
    """Whether *name* before a number is no host: a time of day, or a word such as ``status``."""
    return name.isdigit() or name.casefold() in _NO_HOSTS


def _is_address(text: str) -> bool:
    if not any(sign.isdigit() for sign in text):  # such as "a::b", a name in code
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
