"""Which models a server says that it has. Asking costs nothing; a server that does not say is believed."""

import asyncio
import difflib

import attrs

from sunwell.models.answers import NotAnAnswer, decode_object, members, words
from sunwell.models.clients import client_for, request_options
from sunwell.models.http_model import HttpModel
from sunwell.models.references import is_same_model

_LONGEST_SECONDS = 5.0
_MOST_PAGES = 20


@attrs.frozen
class Unlisted:
    """A model that its server does not list."""

    model_id: str
    provider: str
    nearest: str | None

    @property
    def sentence(self) -> str:
        """What a user should know."""
        advice = f"did you mean {self.nearest}?" if self.nearest else "check the id"
        return f"{self.provider} does not list a model {self.model_id}; {advice}"


async def unlisted(model: HttpModel, *, longest_seconds: float = _LONGEST_SECONDS) -> Unlisted | None:
    """Return what is wrong with the id of *model*; ``None`` where it is listed, or nothing can be learned."""
    try:
        async with asyncio.timeout(longest_seconds):
            ids = await _offered(model)
    except Exception:  # a server without a list, or one that is down: the first call will tell
        return None
    if not ids or any(_is_listed(model.model_id, listed) for listed in ids):
        return None
    found = difflib.get_close_matches(model.model_id, ids, 1, 0.6)
    return Unlisted(model.model_id, model.provider, found[0] if found else None)


def _is_listed(asked: str, listed: str) -> bool:
    return is_same_model(asked, listed) or listed.partition(":")[0] == asked or listed == f"models/{asked}"


async def _offered(model: HttpModel) -> list[str]:
    import httpx2

    client = await client_for(model.wire.sdk, model.connection)
    path = "/v1/models" if model.wire.sdk == "anthropic" else "/models"
    options = request_options(model.wire.sdk, model.connection)
    ids: list[str] = []
    after = ""
    for _ in range(_MOST_PAGES):
        place = f"{path}?limit=1000{after}" if model.wire.sdk == "anthropic" else path
        response = await client.get(place, cast_to=httpx2.Response, options=options)
        page = decode_object(await _body(response))
        data = page.get("data")
        if not isinstance(data, list):
            raise NotAnAnswer("sent no list of models")
        ids += [name for entry in data if (name := words(members(entry).get("id")))]
        if page.get("has_more") is not True or not ids:
            break
        after = f"&after_id={ids[-1]}"
    return ids


async def _body(response: object) -> bytes:
    content = getattr(response, "content", b"")
    return bytes(content)
