"""From a provider's name to a model: adapters, plugins, and what a server offers."""

import asyncio
import difflib
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, Protocol

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.errors import ConfigurationError, PluginError
from sunwell.models.answers import NotAnAnswer, decode_object, members, words
from sunwell.models.catalog import ALIASES, Api, Kind, Provider, is_same_model, parse_reference, preset
from sunwell.models.connection import OWN_URLS, Connection, client_for, request_options
from sunwell.models.http_model import UNTUNED, HttpModel, Tuning
from sunwell.models.openai_chat import ChatQuirks, quirks_for
from sunwell.plugins import Plugins


@attrs.define(eq=False)
class Recipe:
    """A model that is made when somebody first wants it."""

    title: str
    """What the model is called where something goes wrong."""
    make: Callable[[], ModelProtocol]
    _model: ModelProtocol | None = attrs.field(default=None, init=False)
    _making: "_Making | None" = attrs.field(default=None, init=False)

    def model(self) -> ModelProtocol:
        """Return the model; the first caller makes it, and all others wait for that one.

        What *make* raises, the maker and everyone who waits get to see; the next call tries again.
        Raises :exc:`~sunwell.errors.ConfigurationError` where waiting would never end, since the
        model is needed for its own making, in this thread or by way of others.
        """
        while True:
            # One step: look whether the model is there, whether somebody makes it, whether waiting
            # for that one would close a circle, and note who makes or who waits. Otherwise two
            # threads would both make it, or each would wait for the other.
            with _LOCK:
                if self._model is not None:
                    return self._model
                making = self._making
                is_ours = making is None
                if making is None:
                    making = self._making = _Making(threading.get_ident())
                else:
                    self._refuse_circle(making)
                    _WAITING[threading.get_ident()] = making
            if is_ours:
                return self._made(making)
            made = making.outcome()
            if made is not None:
                return made

    def _refuse_circle(self, making: "_Making") -> None:
        ours = threading.get_ident()
        step: _Making | None = making
        while step is not None:
            if step.thread == ours:
                raise ConfigurationError(
                    f"the model {self.title!r} is needed for its own making; let no factory resolve itself"
                )
            step = _WAITING.get(step.thread)

    def _made(self, making: "_Making") -> ModelProtocol:
        model: ModelProtocol | None = None
        try:
            # Outside the lock: a factory may take long, and may resolve other models.
            model = checked_model(self.make(), f"the factory of {self.title!r} returned")
            return model
        except Exception as error:
            making.error = error
            raise
        finally:
            # One step: the model is there, nobody makes it any more, and nobody waits for it.
            # Otherwise a thread that was just let go would still count as waiting.
            with _LOCK:
                self._model = making.model = model
                self._making = None
                for thread in [thread for thread, wanted in _WAITING.items() if wanted is making]:
                    del _WAITING[thread]
            making.done.set()


@attrs.define(eq=False)
class _Making:
    """One attempt to make a model. With neither model nor error, the maker was interrupted."""

    thread: int
    done: threading.Event = attrs.field(factory=threading.Event, init=False)
    model: ModelProtocol | None = attrs.field(default=None, init=False)
    error: Exception | None = attrs.field(default=None, init=False)

    def outcome(self) -> ModelProtocol | None:
        try:
            self.done.wait()
        finally:
            with _LOCK:  # an interrupted wait must not be taken for one that goes on
                _WAITING.pop(threading.get_ident(), None)
        if self.error is not None:
            raise self.error
        return self.model


_LOCK = threading.Lock()
_WAITING: dict[int, _Making] = {}
"""What each thread waits for. One for the process: a circle may lead through several registries."""


def checked_model(value: object, subject: str) -> ModelProtocol:
    """Return *value* if it is a model, or raise :exc:`TypeError` with a sentence about *subject*."""
    if isinstance(value, ModelProtocol) and not isinstance(value, type):
        return value
    raise TypeError(f"{subject} {value!r}, which is no model: a model has name, complete and stream")


@attrs.frozen
class Route:
    """How a model is reached: the connection, the format spoken on it, and what its server understands."""

    connection: Connection
    kind: Kind = "openai"
    api: Api = "chat"
    quirks: ChatQuirks | None = None
    prefix: str = ""
    """What stands before a model's id at a gateway: the id of its maker."""
    without_effort: tuple[str, ...] = ()

    def model(self, model_id: str, *, name: str | None = None, tuning: Tuning = UNTUNED) -> ModelProtocol:
        """Return a new adapter for *model_id*."""
        asked = self.prefix + model_id
        if self.kind == "anthropic":
            from sunwell.models.anthropic_messages import AnthropicModel

            return AnthropicModel(asked, self.connection, name=name, tuning=tuning)
        if self.api == "responses":
            from sunwell.models.openai_responses import ResponsesModel

            return ResponsesModel(asked, self.connection, name=name, tuning=tuning)
        from sunwell.models.openai_chat import ChatModel

        quirks = self.quirks or quirks_for(self.connection.provider, asked)
        if model_id in self.without_effort or asked in self.without_effort:
            quirks = attrs.evolve(quirks, effort=False)
        return ChatModel(asked, self.connection, name=name, quirks=quirks, tuning=tuning)


@attrs.frozen
class Providers:
    """A supply of models: named providers first, then a gateway if one is chosen, then presets.

    A key goes only to its provider's own host, or to an address whose entry names its variable.
    """

    named: Mapping[str, Provider] = attrs.field(factory=dict)
    gateway: str | None = None
    """The provider that serves what no entry of ``named`` does."""
    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """Environment variables; ``None`` is the process's own, as they are at each look-up."""

    def connection(self, provider: str) -> Route | None:
        """Return how *provider* is reached now; ``None`` where nobody knows.

        Raises :exc:`~sunwell.errors.MissingKeyError` where its key is missing, and
        :exc:`~sunwell.errors.ConfigurationError` where it has no address.
        """
        entry = self.named.get(provider)
        if entry is None and self.gateway is not None and provider != self.gateway:
            through = self.connection(self.gateway)
            if through is None:
                raise ConfigurationError(f"the gateway {self.gateway} is no provider that is known")
            return attrs.evolve(through, prefix=f"{provider}/")
        if entry is None:
            known = preset(provider)
            entry = provider_from_variables(provider, self._read, like=known) or known
        if entry is None:
            return None
        route = self.route(entry)
        route.connection.check_key()
        return route

    def route(self, provider: Provider) -> Route:
        """Return the way to *provider* with the key that the environment holds."""
        if provider.base_url is None:
            raise ConfigurationError(
                f"the provider {provider.name} has no address: give [providers.{provider.name}] a base_url"
            )
        read = self._read
        own = provider.base_url == OWN_URLS.get(provider.name)
        variable = provider.key_variable
        connection = Connection(
            provider.name,
            None if own else provider.base_url,
            (read.get(variable) or None) if variable else None,
            variable,
            provider.headers,
            provider.timeout_seconds,
            provider.stall_seconds,
            provider.connect_seconds,
            needs_key=provider.needs_key,
            requests_per_minute=provider.requests_per_minute,
            tokens_per_minute=provider.tokens_per_minute,
        )
        return Route(
            connection, provider.kind, provider.api, provider.quirks, without_effort=provider.without_effort
        )

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new adapter behind a route that this supply gave."""
        if not isinstance(connection, Route):
            raise TypeError(f"a Route is wanted, got {connection!r}")
        return connection.model(model_id)

    @property
    def _read(self) -> Mapping[str, str]:
        return os.environ if self.variables is None else self.variables


def provider_from_variables(
    name: str, environ: Mapping[str, str] | None = None, *, like: Provider | None = None
) -> Provider | None:
    """Return *name* at the address that ``NAME_BASE_URL`` holds: its owner is who set the key, too.

    ``None`` where there is no such variable. What the server understands is what *like* does.
    """
    found = Connection.from_environment(name, environ=environ)
    if found.base_url is None:
        return None
    kind: Kind = like.kind if like else "openai"
    quirks = like.quirks if like else None
    return Provider(name, kind, found.base_url, found.variable, needs_key=False, quirks=quirks)


class Supply(Protocol):
    """Where a registry gets models from that nobody registered."""

    def connection(self, provider: str) -> Hashable | None:
        """Return how *provider* is reached now, equal as long as nothing changed; ``None``: unknown.

        Raises :exc:`~sunwell.errors.MissingKeyError` where its key is missing.
        """
        ...

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new model behind a connection that this supply gave."""
        ...


@attrs.frozen
class Environment:
    """Models of the providers whose address is known: ``PROVIDER_BASE_URL``, else the preset's."""

    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """Environment variables; ``None`` is the process's own, as they are at each look-up."""

    def connection(self, provider: str) -> Hashable | None:
        """Return how *provider* is reached now, ``None`` where it has no address.

        Raises :exc:`~sunwell.errors.MissingKeyError` where it needs a key and there is none.
        """

        return Providers(variables=self.variables).connection(provider)

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new adapter in the format that the provider speaks."""

        return Providers(variables=self.variables).model(model_id, connection)


@attrs.define(eq=False)
class ModelPlugins:
    """The models that installed packages offer, below all that is built in.

    A plugin is a model, a callable that returns one, or a mapping of names to such. The only model
    of a plugin goes by the plugin's own name, one of several by ``PLUGIN/NAME``.
    """

    plugins: Plugins = attrs.field(factory=lambda: Plugins("sunwell.models"))
    _recipes: dict[str, Recipe] = attrs.field(factory=dict, init=False)

    def names(self) -> tuple[str, ...]:
        """Return the names of the plugins; nothing is imported."""
        return self.plugins.names()

    def model(self, name: str) -> ModelProtocol | None:
        """Return the model called *name*, made once; ``None`` where no plugin goes by that name.

        Raises :exc:`~sunwell.errors.PluginError` where the plugin cannot give it.
        """
        if name.partition("/")[0] not in self.names():
            return None
        return self._recipes.setdefault(name, Recipe(name, partial(self._made, name))).model()

    def _made(self, name: str) -> ModelProtocol:
        plugin, _, inner = name.partition("/")
        value = self._chosen(plugin, inner)
        if isinstance(value, type) or not _is_model(value):
            if not callable(value):
                self.plugins.leave_out(plugin, f"it gives {type(value).__name__}, no model")
            try:
                value = value()
            except (Exception, SystemExit) as error:  # somebody else's code
                self.plugins.fail(plugin, error)
        if isinstance(value, type) or not _is_model(value):
            self.plugins.leave_out(plugin, f"it gives {type(value).__name__}, no model")
        made: ModelProtocol = value
        return made

    def _chosen(self, plugin: str, inner: str) -> Any:
        value = self.plugins.load(plugin)
        if not isinstance(value, Mapping):
            if inner:
                raise PluginError(f"the plugin {plugin} has one model, which is called {plugin}")
            return value
        if inner not in value:
            there = ", ".join(f"{plugin}/{name}" for name in list(value)[:20]) or "none"
            raise PluginError(f"the plugin {plugin} has no such model; it has: {there}")
        return value[inner]


def is_beyond_built_in(model: str) -> bool:
    """Whether *model* names nothing that is built in: neither an alias nor a model of a known provider."""
    reference = parse_reference(ALIASES.get(model, model))
    return reference is None or preset(reference.provider) is None


def _is_model(value: object) -> bool:
    try:
        return isinstance(value, ModelProtocol)
    except Exception:  # asking for its attributes runs somebody else's code
        return False


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
    if not ids or model.model_id in ids or any(_is_listed(model.model_id, listed) for listed in ids):
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
