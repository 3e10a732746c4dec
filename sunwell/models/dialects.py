"""What a model's provider does with a request that its price and its bound depend on."""

from sunwell.core.model import CacheLife, Caching, Effort, ModelProtocol
from sunwell.models import catalog
from sunwell.models.catalog import Provider, preset, vendor_of
from sunwell.models.connection import Connection
from sunwell.models.prices import provider_and_id

UNKNOWN_WINDOW_TOKENS = 131_072
"""The window that counts for a model without a known one, if its reasoning has no other limit."""


def _vendor(model: ModelProtocol) -> Provider | None:
    connection = getattr(model, "connection", None)
    if isinstance(connection, Connection):
        return vendor_of(connection)
    provider, _ = provider_and_id(model)
    return preset(provider) if provider else None


def is_routed(model: ModelProtocol) -> bool | None:
    """Whether requests to *model* are passed on to servers of others; ``None``: unknown."""
    connection = getattr(model, "connection", None)
    if isinstance(connection, Connection):
        return catalog.is_routed(connection)
    known = _vendor(model)
    return True if known is not None and known.is_routed else None


def written_life(model: ModelProtocol, asked: Caching) -> CacheLife | None:
    """Return the longest life of a cache entry that a request may write; ``None``: it writes none.

    Nothing is written if the provider writes only on request and the request does not ask, or if the
    request switches it off. Any other provider, an unknown one too, may write whatever it is sent.
    """
    if asked.prefix is None and not asked.conversation:
        known = _vendor(model)
        if (known is not None and known.writes_on_request) or _can_switch_off(model):
            return None
    return "1h" if asked.prefix == "1h" else "5m"


def sent_effort(model: ModelProtocol, asked: Effort | None) -> Effort | None:
    """Return the effort that *model* is sent if a request asks for *asked*.

    ``None``: none, or its format has no field for it.
    """
    if getattr(_features(model), "effort", True) is False:
        return None
    own: Effort | None = getattr(getattr(model, "tuning", None), "effort", None)
    return own or asked


def _can_switch_off(model: ModelProtocol) -> bool:
    """Whether the format says that nothing is written, as OpenAI's do if breakpoints are known to work."""
    return getattr(_features(model), "breakpoints", False) is True


def _features(model: ModelProtocol) -> object:
    wire = getattr(model, "wire", None)
    return getattr(wire, "features", None) or getattr(wire, "quirks", None)


def reasoning_beyond_limit_tokens(model: ModelProtocol, window_tokens: int | None, limit_tokens: int) -> int:
    """Return the most reasoning that may be billed besides an answer of *limit_tokens*.

    It is 0 if the limit bounds reasoning, too, as it does for nearly all providers. For the others it is
    what the window holds.
    """
    known = _vendor(model)
    if known is None or not known.beyond_limit:
        return 0
    _, model_id = provider_and_id(model)
    name = catalog.spelled_alike(model_id).rpartition("/")[2]
    if "non-reasoning" in name or not name.startswith(known.beyond_limit):
        return 0
    window = UNKNOWN_WINDOW_TOKENS if window_tokens is None else window_tokens
    return max(0, window - limit_tokens)
