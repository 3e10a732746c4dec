"""Creates models from names of providers: adapters, plugins, and the models that a server lists."""

import asyncio
import difflib
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.errors import ConfigurationError, MissingKeyError, PluginError
from sunwell.models.answers import NotAnAnswer, decode_object, members, words
from sunwell.models.catalog import (
    ALIASES,
    Api,
    Kind,
    Provider,
    is_same_model,
    names_of,
    parse_reference,
    preset,
    quirks_for,
)
from sunwell.models.connection import OWN_URLS, Connection, client_for, request_options
from sunwell.models.http_model import UNTUNED, HttpModel, Tuning
from sunwell.models.quirks import ChatQuirks
from sunwell.plugins import Plugins

if TYPE_CHECKING:
    from sunwell.models.openai_responses import ResponsesFeatures


@attrs.define(eq=False)
class Recipe:
    """A model that is created on first use."""

    title: str
    """The model's name in errors."""
    make: Callable[[], ModelProtocol]
    _model: ModelProtocol | None = attrs.field(default=None, init=False)
    _making: "_Making | None" = attrs.field(default=None, init=False)

    def model(self) -> ModelProtocol:
        """Return the model; the first caller creates it, and other callers wait for that.

        If *make* raises, the first caller and all waiting callers get the error; the next call tries
        again. Raises :exc:`~sunwell.errors.ConfigurationError` if waiting would never end because the
        model is needed to create itself, in this thread or through others.
        """
        while True:
            # One step: check if the model exists, if another thread is creating it, and if waiting for
            # that thread would be a deadlock; then record who creates or waits. Otherwise two threads
            # could both create it, or each could wait for the other.
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
                    f"the factory of the model {self.title!r} needs this model itself; remove this loop"
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
            # One step: the model exists, no thread is creating it, and none waits for it. Otherwise a
            # thread that was just released would still count as waiting.
            with _LOCK:
                self._model = making.model = model
                self._making = None
                for thread in [thread for thread, wanted in _WAITING.items() if wanted is making]:
                    del _WAITING[thread]
            making.done.set()


@attrs.define(eq=False)
class _Making:
    """One attempt to create a model. With neither model nor error, it was interrupted."""

    thread: int
    done: threading.Event = attrs.field(factory=threading.Event, init=False)
    model: ModelProtocol | None = attrs.field(default=None, init=False)
    error: Exception | None = attrs.field(default=None, init=False)

    def outcome(self) -> ModelProtocol | None:
        try:
            self.done.wait()
        finally:
            with _LOCK:  # an interrupted wait must no longer count as waiting
                _WAITING.pop(threading.get_ident(), None)
        if self.error is not None:
            raise self.error
        return self.model


_LOCK = threading.Lock()
_WAITING: dict[int, _Making] = {}
"""What each thread waits for. One for the process: a deadlock may involve several registries."""


def checked_model(value: object, subject: str) -> ModelProtocol:
    """Return *value* if it is a model, or raise :exc:`TypeError` with a sentence about *subject*."""
    # The class first: to ask whether an object fits a protocol takes long.
    if isinstance(value, HttpModel) or (isinstance(value, ModelProtocol) and not isinstance(value, type)):
        return value
    raise TypeError(f"{subject} {value!r}, which is not a model: a model has name, complete and stream")


@attrs.frozen
class Route:
    """How a model is reached: the connection, its wire format, and what its server supports."""

    connection: Connection
    kind: Kind = "openai"
    api: Api = "chat"
    quirks: ChatQuirks | None = None
    prefix: str = ""
    """Prefix of a model's id at a gateway: the id of its maker."""
    without_effort: tuple[str, ...] = ()
    without_breakpoints: tuple[str, ...] = ()

    def model(self, model_id: str, *, name: str | None = None, tuning: Tuning = UNTUNED) -> ModelProtocol:
        """Return a new adapter for *model_id*."""
        asked = self.prefix + model_id
        if self.kind == "anthropic":
            from sunwell.models.anthropic_messages import AnthropicModel, MessagesFeatures

            effort = self._may(model_id, self.without_effort)
            return AnthropicModel(
                asked, self.connection, name=name, features=MessagesFeatures(effort=effort), tuning=tuning
            )
        if self.api == "responses":
            from sunwell.models.openai_responses import ResponsesModel

            return ResponsesModel(
                asked, self.connection, name=name, features=self._responses(model_id), tuning=tuning
            )
        from sunwell.models.openai_chat import ChatModel

        quirks = self.quirks or quirks_for(self.connection.provider)
        quirks = attrs.evolve(
            quirks,
            effort=quirks.effort and self._may(model_id, self.without_effort),
            breakpoints=quirks.breakpoints and self._may(model_id, self.without_breakpoints),
        )
        return ChatModel(asked, self.connection, name=name, quirks=quirks, tuning=tuning)

    def _responses(self, model_id: str) -> "ResponsesFeatures":
        from sunwell.models.openai_responses import features_for

        known = features_for(self.connection.provider)
        if self.quirks is not None:  # what was set for the provider holds in either of OpenAI's formats
            shared = ("effort", "schema", "cache_key", "breakpoints")
            known = attrs.evolve(known, **{field: getattr(self.quirks, field) for field in shared})
        reasons = self._may(model_id, self.without_effort)
        return attrs.evolve(
            known,
            include=known.include and reasons,
            effort=known.effort and reasons,
            breakpoints=known.breakpoints and self._may(model_id, self.without_breakpoints),
        )

    def _may(self, model_id: str, excluded: tuple[str, ...]) -> bool:
        """Whether *model_id* is none of the *excluded* models; a date at its end does not matter."""
        return not any(
            is_same_model(one, asked) for one in excluded for asked in (model_id, self.prefix + model_id)
        )


@attrs.frozen
class Providers:
    """Supplies models: of configured providers first, then of a gateway if one is chosen, then of presets.

    A key is sent only to its provider's own host, or to an address whose entry names the key's variable.
    """

    named: Mapping[str, Provider] = attrs.field(factory=dict)
    gateway: str | None = None
    """The provider that serves all models that no entry of ``named`` serves."""
    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """Environment variables; ``None``: those of the process at each lookup."""

    def connection(self, provider: str) -> Route | None:
        """Return how *provider* is reached now; ``None`` if it is unknown.

        All names of a provider mean the same entry and the same variables, so that none of them bypasses a
        proxy. Raises :exc:`~sunwell.errors.MissingKeyError` if its key is missing, and
        :exc:`~sunwell.errors.ConfigurationError` if it has no address.
        """
        names = names_of(provider)
        entry = next((self.named[name] for name in names if name in self.named), None)
        if entry is None and self.gateway is not None and self.gateway not in names:
            through = self.connection(self.gateway)
            if through is None:
                raise ConfigurationError(
                    f"the gateway {self.gateway} is not a known provider: correct it or add it to [providers]"
                )
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
        """Return the route to *provider* with the key from the environment."""
        if provider.base_url is None:
            raise ConfigurationError(
                f"the provider {provider.name} has no address: set base_url in [providers.{provider.name}]"
            )
        read = self._read
        own = provider.base_url == OWN_URLS.get(provider.name)
        variable = provider.key_variable
        headers = [*provider.headers]
        for name, of in provider.header_variables:
            if not (value := read.get(of, "").strip()):
                raise MissingKeyError(of, provider.name)
            headers.append((name, value))
        connection = Connection(
            provider.name,
            None if own else provider.base_url,
            (read.get(variable) or None) if variable else None,
            variable,
            headers,
            provider.timeout_seconds,
            provider.stall_seconds,
            provider.connect_seconds,
            needs_key=provider.needs_key,
            vendor=provider.vendor,
            requests_per_minute=provider.requests_per_minute,
            tokens_per_minute=provider.tokens_per_minute,
            first_byte_seconds=provider.first_byte_seconds,
        )
        return Route(
            connection,
            provider.kind,
            provider.api,
            provider.quirks,
            without_effort=provider.without_effort,
            without_breakpoints=provider.without_breakpoints,
        )

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new adapter for a route from this supply."""
        if not isinstance(connection, Route):
            raise TypeError(f"expected a Route, got {connection!r}")
        return connection.model(model_id)

    @property
    def _read(self) -> Mapping[str, str]:
        return os.environ if self.variables is None else self.variables


def provider_from_variables(
    name: str, environ: Mapping[str, str] | None = None, *, like: Provider | None = None
) -> Provider | None:
    """Return the provider *name* at the address in ``NAME_BASE_URL``; the same user set the key, too.

    The variables of its other names count, too, after those of *name*. ``None`` if none of them is set. The
    server counts as supporting what *like* supports.
    """
    for one in names_of(name):
        found = Connection.from_environment(one, environ=environ)
        if found.base_url is not None:
            key = _first_set(names_of(name), one, environ)
            base = like or Provider(name)
            return attrs.evolve(
                base,
                base_url=found.base_url,
                key_variable=key,
                needs_key=False,
                api="chat",
                quirks=_at_another_address(base),
            )
    return None


def _first_set(names: tuple[str, ...], first: str, environ: Mapping[str, str] | None) -> str:
    """Return the variable that holds the key: that of *first*, or of the first other name that has one."""
    found = [Connection.from_environment(name, environ=environ) for name in (first, *names)]
    return next((one.variable for one in found if one.api_key), found[0].variable)


def _at_another_address(base: Provider) -> ChatQuirks | None:
    """Return what a server supports that has taken the place of a preset's own.

    It may be any compatible server. One that ignored the newer name of the token limit would answer without
    a limit; one that rejects the older name is learned.
    """
    if base.quirks is None or base.base_url is None:
        return base.quirks
    return attrs.evolve(base.quirks, token_limit="max_tokens", returns_reasoning=True)


class Supply(Protocol):
    """Where a registry gets models that are not registered."""

    def connection(self, provider: str) -> Hashable | None:
        """Return how *provider* is reached now, an equal value until something changes; ``None``: unknown.

        Raises :exc:`~sunwell.errors.MissingKeyError` if its key is missing.
        """
        ...

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new model for a connection from this supply."""
        ...


@attrs.frozen
class Environment:
    """Models of providers with a known address: ``PROVIDER_BASE_URL``, or else the preset's."""

    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """Environment variables; ``None``: those of the process at each lookup."""

    def connection(self, provider: str) -> Hashable | None:
        """Return how *provider* is reached now; ``None`` if it has no address.

        Raises :exc:`~sunwell.errors.MissingKeyError` if it requires a key and none is set.
        """

        return Providers(variables=self.variables).connection(provider)

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new adapter for the provider's wire format."""

        return Providers(variables=self.variables).model(model_id, connection)


@attrs.define(eq=False)
class ModelPlugins:
    """The models that installed packages offer. Built-in names have precedence.

    A plugin is a model, a callable that returns one, or a mapping of names to either. A single model
    has the plugin's own name; one of several is called ``PLUGIN/NAME``.
    """

    plugins: Plugins = attrs.field(factory=lambda: Plugins("sunwell.models"))
    _recipes: dict[str, Recipe] = attrs.field(factory=dict, init=False)

    def names(self) -> tuple[str, ...]:
        """Return the names of the plugins; nothing is imported."""
        return self.plugins.names()

    def model(self, name: str) -> ModelProtocol | None:
        """Return the model called *name*, created once; ``None`` if no plugin has that name.

        Raises :exc:`~sunwell.errors.PluginError` if the plugin cannot provide it.
        """
        if name.partition("/")[0] not in self.names():
            return None
        return self._recipes.setdefault(name, Recipe(name, partial(self._made, name))).model()

    def _made(self, name: str) -> ModelProtocol:
        plugin, _, inner = name.partition("/")
        value = self._chosen(plugin, inner)
        if isinstance(value, type) or not _is_model(value):
            if not callable(value):
                self.plugins.leave_out(plugin, f"it returns {type(value).__name__}, which is not a model")
            try:
                value = value()
            except (Exception, SystemExit) as error:  # foreign code
                self.plugins.fail(plugin, error)
        if isinstance(value, type) or not _is_model(value):
            self.plugins.leave_out(plugin, f"it returns {type(value).__name__}, which is not a model")
        made: ModelProtocol = value
        return made

    def _chosen(self, plugin: str, inner: str) -> Any:
        value = self.plugins.load(plugin)
        if not isinstance(value, Mapping):
            if inner:
                raise PluginError(f"the plugin {plugin} has only one model: call it {plugin}")
            return value
        if inner not in value:
            there = ", ".join(f"{plugin}/{name}" for name in list(value)[:20]) or "none"
            raise PluginError(f"the plugin {plugin} has no model {inner!r}; it has: {there}")
        return value[inner]


def is_beyond_built_in(model: str) -> bool:
    """Whether *model* is not built in: neither an alias nor a model of a known provider."""
    reference = parse_reference(ALIASES.get(model, model))
    return reference is None or preset(reference.provider) is None


def _is_model(value: object) -> bool:
    try:
        return isinstance(value, ModelProtocol)
    except Exception:  # reading its attributes runs foreign code
        return False


_LONGEST_SECONDS = 5.0
_MOST_PAGES = 20


@attrs.frozen
class Unlisted:
    """A model that is not in its server's list."""

    model_id: str
    provider: str
    nearest: str | None

    @property
    def sentence(self) -> str:
        """The warning for the user."""
        advice = f"did you mean {self.nearest}?" if self.nearest else "check the id"
        return f"{self.provider} does not list a model {self.model_id}; {advice}"


async def unlisted(model: HttpModel, *, longest_seconds: float = _LONGEST_SECONDS) -> Unlisted | None:
    """Return the problem with the id of *model*; ``None`` if it is listed, or the server gives no list."""
    try:
        async with asyncio.timeout(longest_seconds):
            ids = await _offered(model)
    except Exception:  # a server without a list, or one that is down: the first call will show it
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
