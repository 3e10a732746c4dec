"""What can be known to be wrong before a model is asked."""

import os
from collections.abc import Iterator
from contextlib import suppress

import attrs

from sunwell.agent.lifecycle.model_roles import dearer_worker
from sunwell.agent.run.context_lookup import CONTEXT_QUERY
from sunwell.config.resolution import Resolved
from sunwell.config.schema import ROLES, Configuration
from sunwell.context.json_text import read_schema
from sunwell.core.markdown import one_line
from sunwell.core.message import History, user
from sunwell.core.model import ModelProtocol, Request
from sunwell.errors import ConfigurationError, PluginError, SunwellError
from sunwell.gateway.answer_lengths import AnswerLengths
from sunwell.gateway.booking import claim_for
from sunwell.models.catalog import DEFAULT_SMART_MODEL
from sunwell.models.providers import is_beyond_built_in
from sunwell.models.room import own_output_tokens
from sunwell.plugins import Group
from sunwell.tools.tool_plugins import BUILT_IN, ToolPlugins


@attrs.frozen
class PluginRow:
    """One installed plugin."""

    name: str
    group: Group
    package: str
    """The package that offers it, with its version; empty where it does not say."""
    offers: tuple[str, ...] = ()
    """Names of its tools, where it was loaded."""
    is_used: bool = False
    """Whether the settings name it. What they do not name is not imported."""
    problem: str = ""

    @property
    def state(self) -> str:
        """What is to be said of it, in a few words."""
        if self.problem:
            return self.problem
        if not self.is_used:
            return "not used here"
        return f"gives {', '.join(self.offers)}" if self.offers else "can be used"


def plugin_rows(resolved: Resolved, values: Configuration) -> tuple[PluginRow, ...]:
    """Return a row for each plugin that *values* allow; only those that they name are loaded."""
    models, tools = resolved.model_plugins, resolved.tool_plugins
    named = {name: name.partition("/")[0] for name in (*resolved.names.values(), *_targets(values))}
    rows = []
    for plugin in models.names():
        problem = ""
        used = [name for name, of in named.items() if of == plugin and is_beyond_built_in(name)]
        for name in used:
            try:
                models.model(name)
            except PluginError as error:
                problem = error.sentence
        row = PluginRow(plugin, "sunwell.models", models.plugins.package(plugin))
        rows.append(attrs.evolve(row, is_used=bool(used), problem=problem))
    return (*rows, *_tool_rows(tools, values))


def _tool_rows(tools: ToolPlugins, values: Configuration) -> Iterator[PluginRow]:
    loaded, offered, named = _searched(tools, values)
    for plugin in tools.plugins.names():
        row = PluginRow(plugin, "sunwell.tools", tools.plugins.package(plugin))
        if plugin in loaded:
            try:
                offers = tuple(tool.spec.name for tool in tools.tools_of(plugin))
                used = plugin in offered or bool(named & set(offers))
                row = attrs.evolve(row, offers=offers, is_used=used)
            except PluginError as error:
                row = attrs.evolve(row, is_used=True, problem=error.sentence)
        yield row


def _searched(tools: ToolPlugins, values: Configuration) -> tuple[set[str], set[str], set[str]]:
    """Return the plugins that a run imports for its tools, those offered, and the tools that are named."""
    there, named = set(tools.plugins.names()), set(values.run.tool_names or ()) - BUILT_IN
    named -= {name for name in named if name.partition("__")[0] in values.mcp}
    named -= {CONTEXT_QUERY}
    offered = set() if values.run.tools is not None else set(values.plugins or ()) & there
    # A tool may be called unlike its plugin, and is then searched in all.
    return there if named - there else (named & there) | offered, offered, named


def plugins_in_use(resolved: Resolved, values: Configuration) -> tuple[str, ...]:
    """Return each plugin whose code a run imports, with its package; nothing is imported for that."""
    models, tools = resolved.model_plugins, resolved.tool_plugins
    wanted = {name.partition("/")[0] for name in resolved.names.values() if is_beyond_built_in(name)}
    found = [(name, models.plugins.package(name)) for name in models.names() if name in wanted]
    if values.plugins or values.run.tool_names:
        loaded, _, _ = _searched(tools, values)
        found += [(name, tools.plugins.package(name)) for name in tools.plugins.names() if name in loaded]
    told = (f"{name} ({package})" if package else name for name, package in found)
    return tuple(dict.fromkeys(told))


def not_installed(resolved: Resolved) -> tuple[str, ...]:
    """Return a sentence for each plugin that the settings allow by name and that is not there."""
    allowed = resolved.tool_plugins.offered
    if not allowed:
        return ()
    there = {*resolved.model_plugins.names(), *resolved.tool_plugins.plugins.names()}
    return tuple(f"plugins: {name} is not installed" for name in allowed if name not in there)


def _targets(values: Configuration) -> tuple[str, ...]:
    return tuple(entry.model for entry in values.models.values() if entry.model)


@attrs.frozen
class Finding:
    """One thing that is wrong, or that somebody should know."""

    sentence: str
    is_error: bool = True
    role: str = ""
    is_told_by_run: bool = False
    """Whether a run says it, too, when it begins."""


def require_sound(resolved: Resolved) -> tuple[str, ...]:
    """Return the warnings on what is about to run that it does not tell itself; raises the first error.

    Raises :exc:`~sunwell.errors.ConfigurationError`. Nothing is sent.
    """
    found = findings(resolved)
    for finding in found:
        if finding.is_error:
            raise ConfigurationError(finding.sentence)
    return tuple(finding.sentence for finding in found if not finding.is_told_by_run)


def findings(resolved: Resolved, *, names: bool = True) -> tuple[Finding, ...]:
    """Return what is wrong with the models of *resolved*: names, keys, prices, windows. Nothing is sent.

    *names* is false if the caller tells itself of models that cannot be had.
    """
    models: dict[str, ModelProtocol] = {}
    found = [Finding(warning, is_error=False) for warning in not_installed(resolved)]
    for role in ROLES:
        name = resolved.names.get(role)
        if name is None:
            continue
        try:
            models[role] = resolved.registry.get(name)
        except SunwellError as error:
            if not names:
                continue
            spared = role == "delegation_model" and resolved.options.fallback == "parent"
            found.append(Finding(f"{role}: {error}", not spared and role != "orchestrator", role))
    found += _checks(resolved)
    return (*found, *_prices(resolved, models), *_windows(resolved, models), *_limits(resolved, models))


def _checks(resolved: Resolved) -> Iterator[Finding]:
    options = resolved.options
    if not options.has_checks:
        return
    from sunwell.checks.command_check import unfound_program  # most settings have no check
    from sunwell.checks.schema_check import SchemaCheck

    if options.answer_schema is not None:
        try:
            SchemaCheck(read_schema(options.answer_schema))
        except ConfigurationError as error:
            yield Finding(str(error))
    for command in options.check_commands:
        if program := unfound_program(command, os.environ):
            yield Finding(
                f"checks: {program} is not found on PATH, so {one_line(command)!r} could not tell anything: "
                "install it, or name it by its path",
                is_error=False,
            )


def useless_caps(resolved: Resolved) -> tuple[Finding, ...]:
    """Return an error for each cap under which no model of *resolved* could be asked anything at all.

    A run tells the smallest cap for its own first call; this is the least for any call: the shortest answer
    that is worth a prompt, with no prompt.
    """
    budget, least = resolved.options.budget, AnswerLengths().enough_tokens("", "work")
    found: list[Finding] = []
    if budget.tokens is not None and budget.tokens < least:
        found.append(Finding(_useless("tokens", f"{budget.tokens:,} tokens", f"{least:,} tokens")))
    asked = Request(History([user("")]))
    needed = []
    for name in {*resolved.names.values(), parent_name(resolved)}:
        with suppress(SunwellError):  # found already, in words of its own
            model = resolved.registry.get(name)
            claim = claim_for(
                model, asked, resolved.prices.price(model), input_tokens=0, least_output_tokens=least
            )
            usd = claim.most_usd(claim.least_output_tokens)
            if usd is not None:
                needed.append(usd)
    if budget.usd is not None and needed and budget.usd < min(needed):
        found.append(Finding(_useless("usd", f"${budget.usd:f}", f"${min(needed).normalize():f}")))
    return tuple(found)


def _useless(unit: str, cap: str, needed: str) -> str:
    return f"budget.{unit}: a cap of {cap} holds no answer of a named model; the shortest needs {needed}"


async def unlisted_models(resolved: Resolved) -> tuple[Finding, ...]:
    """Return a warning for each model that its server, asked for its list, does not have.

    It costs nothing. It is no error: some servers take more names than they list.
    """
    from sunwell.models.connection import close_clients
    from sunwell.models.http_model import HttpModel
    from sunwell.models.providers import unlisted

    found: list[Finding] = []
    for role, name in resolved.names.items():
        try:
            model = resolved.registry.get(name)
        except SunwellError:
            continue  # found already, in words of its own
        missing = await unlisted(model) if isinstance(model, HttpModel) else None
        if missing is not None:
            found.append(Finding(f"{role}: {missing.sentence}", is_error=False, role=role))
    await close_clients()
    return tuple(found)


def _prices(resolved: Resolved, models: dict[str, ModelProtocol]) -> Iterator[Finding]:
    prices = {role: resolved.prices.price(model) for role, model in models.items()}
    if resolved.options.budget.usd is not None:
        for role, price in prices.items():
            if price is None and role != "orchestrator":
                yield Finding(
                    f"{role}: {models[role].name} has no known price, so a budget in dollars cannot hold: "
                    "give its prices in [models.NAME] of sunwell.toml, or a budget in tokens",
                    role=role,
                )
    worker, smart = models.get("delegation_model"), models.get("smart_model") or models.get("model")
    dearer = dearer_worker(worker, smart, resolved.prices) if worker and smart else ""
    if dearer:
        yield Finding(dearer, is_error=False, role="delegation_model", is_told_by_run=True)


def _windows(resolved: Resolved, models: dict[str, ModelProtocol]) -> Iterator[Finding]:
    worker = models.get("delegation_model")
    if worker is None or not resolved.options.enable_delegation:
        return
    window = resolved.prices.window_tokens(worker)
    needed = resolved.options.max_lens_tokens
    if window is not None and window <= 2 * needed:
        yield Finding(
            f"the context window of {worker.name}, {window:,} tokens, cannot hold a lens of up to "
            f"{needed:,} tokens and the work: name a delegation model with a longer one",
            role="delegation_model",
        )


def _limits(resolved: Resolved, models: dict[str, ModelProtocol]) -> Iterator[Finding]:
    for role, model in models.items():
        tuning = getattr(model, "tuning", None)
        if tuning is None or not tuning.thinking_tokens:
            continue
        usual = own_output_tokens(model, resolved.options.max_output_tokens)
        said = _of_thinking(model, tuning.thinking_tokens, resolved.prices.room(model, usual).output_tokens)
        yield Finding(f"{role}: {said}", False, role)


def _of_thinking(model: ModelProtocol, wanted: int, limit: int) -> str:
    """Return what becomes of a thinking budget of *wanted* tokens."""
    from sunwell.models.anthropic_messages import AnthropicModel, thinking_budget

    if not isinstance(model, AnthropicModel):
        return f"{model.name} takes no budget of thinking: set effort instead"
    if thinking_budget(wanted, limit) is None:
        return (
            f"thinking_tokens is {wanted:,} and the longest answer {limit:,} tokens: {model.name} does not "
            "think: raise max_output_tokens"
        )
    return (
        f"{model.name} thinks as much as it needs within the longest answer, {limit:,} tokens, and with a "
        "budget only if it refuses that; set effort or max_output_tokens to limit it"
    )


def parent_name(resolved: Resolved) -> str:
    """Return the name of the loop's own model."""
    return resolved.names.get("model") or resolved.names.get("smart_model") or DEFAULT_SMART_MODEL
