"""Commands about settings and models: ``init``, ``config``, ``models`` and ``doctor``."""

import os
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.colours import REPORT
from sunwell.cli.ending import run_async
from sunwell.cli.output import say
from sunwell.cli.shared_options import (
    DOLLARS,
    StrictCommand,
    config_options,
    default_pair,
    has_key,
    model_options,
)
from sunwell.cli.trust_commands import place_options, trust, untrust

if TYPE_CHECKING:
    from sunwell.cli.shared_options import Configured
    from sunwell.config.conformance import ConformanceReport, Trial
    from sunwell.config.preflight import PluginRow
    from sunwell.config.setting_lines import SettingRow
    from sunwell.models.registry import ModelRow
    from sunwell.tools.mcp_tools import ServerReport


def plugin_line(row: "PluginRow") -> str:
    """Return one line with the plugin's name, its package, and whether it can be used."""
    from sunwell.report.figures import one_line

    if row.problem:
        return f"warning  {one_line(row.problem)}"
    whose = f", from {row.package}" if row.package else ""
    return f"plugin   {one_line(f'{row.name} ({row.group}{whose}): {row.state}')}"


def plugin_object(row: "PluginRow") -> dict[str, Any]:
    """Return the same for a program."""
    return {
        "name": row.name,
        "group": row.group,
        "package": row.package,
        "offers": list(row.offers),
        "used": row.is_used,
        "problem": row.problem,
    }


START = """\
# Sunwell settings for this project. Lines that are commented out show the default or an example.
# Precedence: command line, SUNWELL_* variables, this file, the user's own file, defaults.
# "sunwell config show" prints each value and where it comes from.
# After each change run "sunwell config trust". Until then, only settings that narrow your own are used.

# The model that writes the lens, and the model that does the work. Names: opus, sonnet, haiku,
# openai-smart, openai-cheap, provider/model, or a name that you define below.
smart_model = "{smart}"
delegation_model = "{cheap}"
# model = "{smart}"  # does the work if nothing is delegated

# delegate = true                    # not set: on if a delegation model is named
# delegation_threshold_tokens = 2000 # largest expected output that is not worth a lens
# effort = "high"                    # none, minimal, low, medium, high, xhigh, max
# on_lens_failure = "direct"         # or "generic", "fail"
# fallback = "fail"                  # or "parent": if the delegation model cannot be used
# allow_shell = false
# sandbox = "required"               # for shell commands; "off": with all rights of your account
# allow_network = false              # in the sandbox
# allow_python = false

[budget]
# usd = 0.50
# tokens = 200_000
# seconds = "30m"

[workers]
# max_concurrent = 4
# max_depth = 1
# timeout_seconds = "5m"

# A server of your own.
# [providers.lab]
# kind = "openai"                    # or "anthropic"
# base_url = "http://127.0.0.1:8000/v1"
# api_key_env = "LAB_API_KEY"        # the variable that holds the key; leave it out if no key is needed
# requests_per_minute = 600

# A name of your own for a model, with its prices in US dollars per million tokens.
# [models.fast]
# model = "lab/llama-5"
# context_window = 64_000
# input_usd_per_million = 0.10
# output_usd_per_million = 0.40
"""


@click.command(cls=StrictCommand)
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Project folder.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def init(workspace: str, force: bool) -> None:
    """Write a sunwell.toml with comments to start from, and trust it.

    It names the two models of the provider whose key is there.
    """
    from sunwell.cli.record_commands import require_folder
    from sunwell.config.trust import TrustRecord
    from sunwell.errors import ConfigurationError

    file = require_folder(Path(workspace)) / "sunwell.toml"
    if os.path.lexists(file) and not force:
        raise ConfigurationError(f"{file} exists already: use --force to overwrite it")
    smart, cheap = default_pair(needs_key=False)
    data = START.replace("{smart}", smart).replace("{cheap}", cheap).encode()
    try:
        if force:
            file.unlink(missing_ok=True)  # a link is replaced, not followed
        with file.open("xb") as opened:
            opened.write(data)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    problem = ""
    try:  # before anything is printed: output that fails must not leave a file without trust
        TrustRecord.of_user().add(file, data)
    except ConfigurationError as error:
        problem = str(error)
    say(f"written  {file}")
    if problem:
        say(f"sunwell: the file is not trusted yet: {problem}", err=True)
    else:
        say("trusted  in this version; after each change, run: sunwell config trust")
    if has_key():
        say("next     run: sunwell config check")
    else:
        say("next     set ANTHROPIC_API_KEY, or name other models in the file")
        say("         then run: sunwell config check")


@click.group()
def config() -> None:
    """Show, check and trust the settings of a project."""


@config.command(cls=StrictCommand)
@place_options
@click.option("--all", "everything", is_flag=True, help="Also show defaults.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(workspace: str, config: str | None, everything: bool, as_json: bool) -> None:
    """Print each setting with its value and where it comes from; secrets are masked."""
    from sunwell.cli.shared_options import sources_of
    from sunwell.cli.terminal import print_json
    from sunwell.config.setting_lines import file_rows, rows

    loaded = sources_of({"workspace": workspace, "config": config}).load()
    for warning in loaded.warnings:
        say(f"sunwell: {warning}", err=True)
    shown = rows(loaded, everything=everything)
    if as_json:
        files = [{"file": row.file, "trust": row.trust} for row in file_rows(loaded)]
        print_json({"files": files, "settings": [_object(row) for row in shown]})
        return
    wide = max((len(f"{row.key} = {row.value}") for row in shown), default=0)
    for row in shown:
        trust = "" if row.is_trusted else "  (not trusted: ignored)"
        say(f"{f'{row.key} = {row.value}':<{min(wide, 60)}}  # {row.origin}{trust}")
    for file in file_rows(loaded):
        say(f"# read {file.file} ({file.trust})")
    if not shown:
        say("nothing is set: all settings have their defaults (show them with --all)")


@config.command(cls=StrictCommand)
@place_options
@click.option("--online", is_flag=True, help="Also ask the servers if they have the models; free of charge.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def check(ctx: click.Context, workspace: str, config: str | None, online: bool, as_json: bool) -> None:
    """Check the settings: names, values, providers, API keys, prices.

    Nothing is sent without --online.
    """
    from sunwell.cli.exit_codes import BAD_INPUT
    from sunwell.cli.shared_options import sources_of
    from sunwell.cli.terminal import print_json
    from sunwell.config.preflight import findings, plugin_rows, unlisted_models, useless_caps
    from sunwell.config.resolution import resolve
    from sunwell.config.setting_lines import file_rows

    def tell(line: str, wrap: int | None = 9) -> None:
        if not as_json:
            say(line, wrap=wrap, palette=REPORT)

    loaded = sources_of({"workspace": workspace, "config": config}).load()
    files = file_rows(loaded)
    for row in files:
        tell(f"read     {row.file} ({row.trust})", None)  # whole, so that it can be copied
    for warning in loaded.warnings:
        tell(f"warning  {warning}")
    loaded.require_trust()
    resolved = resolve(loaded.values)
    found = findings(resolved) + useless_caps(resolved)
    if online:
        found += run_async(unlisted_models(resolved))
    plugins = plugin_rows(resolved, loaded.values)
    for plugin in plugins:
        tell(plugin_line(plugin))
    for finding in found:
        tell(f"{'error' if finding.is_error else 'warning':<8} {finding.sentence}")
    is_valid = not any(finding.is_error for finding in found)
    if as_json:
        told = {
            "valid": is_valid,
            "files": [{"file": row.file, "trust": row.trust} for row in files],
            "warnings": list(loaded.warnings),
            "plugins": [plugin_object(row) for row in plugins],
            "settings": [{"sentence": each.sentence, "is_error": each.is_error} for each in found],
        }
        print_json(told)
    if not is_valid:
        ctx.exit(BAD_INPUT)
    tell("all settings are valid")


config.add_command(trust)
config.add_command(untrust)


def _object(row: "SettingRow") -> dict[str, Any]:
    return {"key": row.key, "value": row.value, "origin": row.origin, "trusted": row.is_trusted}


@click.command(cls=StrictCommand)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def models(as_json: bool) -> None:
    """List the built-in model names, with prices per million tokens and whether the API key is set."""
    from sunwell.cli.terminal import print_json
    from sunwell.models.prices import PriceBook
    from sunwell.models.registry import list_models
    from sunwell.plugins import Plugins
    from sunwell.report.figures import dollars

    rows, plugins = list_models(PriceBook()), Plugins("sunwell.models").names()
    if as_json:
        told = {"models": [_model_object(row) for row in rows], "plugins": list(plugins)}
        print_json(told)
        return
    names = max(len(row.alias) for row in rows)
    ids = max(len(row.model_id) for row in rows)
    say(f"{'name':<{names}} {'model':<{ids}} {'input':>7} {'output':>7}  key", wrap=names + 1)
    for row in rows:
        line = (
            f"{row.alias:<{names}} {row.model_id:<{ids}} {dollars(row.input_usd):>7} "
            f"{dollars(row.output_usd):>7}  {row.key_variable} {'is set' if row.has_key else 'is not set'}"
        )
        say(line, wrap=names + 1)
    date = max(row.price_date for row in rows)
    dated = f", as of {date}" if date else ""
    say()
    say(f"US dollars per million tokens, lowest tier, without caching{dated}.", wrap=0)
    say(
        "Other models: provider/model. Set PROVIDER_API_KEY, and PROVIDER_BASE_URL for any other "
        "OpenAI-compatible server.",
        wrap=0,
    )
    if plugins:
        names_of = ", ".join(plugins)
        say(f"Installed plugins: {names_of}. If a plugin has several models, write PLUGIN/MODEL.", wrap=0)


def _model_object(row: "ModelRow") -> dict[str, Any]:
    from sunwell.report.figures import exact

    return {
        "alias": row.alias,
        "model": row.model_id,
        "provider": row.provider,
        "input_usd_per_million": exact(row.input_usd),
        "output_usd_per_million": exact(row.output_usd),
        "price_date": row.price_date or None,
        "key_variable": row.key_variable,
        "has_key": row.has_key,
    }


_MARKS = {"yes": "✓", "no": "–", "failed": "✗"}


@click.command(cls=StrictCommand)
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Project folder.")
@model_options
@click.option("--suite", is_flag=True, help="Also test rarely used features: the conformance suite.")
@click.option("--max-usd", type=DOLLARS, metavar="X", help="Spending cap for each model in US dollars.")
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def doctor(ctx: click.Context, /, **chosen: Any) -> None:
    """Test each configured model with a few small questions, and show what it can do and what that cost.

    Also tests whether the settings fit together, spending caps among them, and whether the sandbox for shell
    commands works on this machine. The exit code is 1 if
    something is missing that Sunwell needs. The sandbox is needed only if shell commands are allowed and
    must run in it.
    """
    from sunwell.cli.exit_codes import FAILED
    from sunwell.cli.shared_options import configured
    from sunwell.cli.terminal import print_json
    from sunwell.config.preflight import findings, plugin_rows, useless_caps
    from sunwell.config.setting_lines import file_rows

    usd = chosen.pop("max_usd")
    held = configured(chosen)
    plugins, files = plugin_rows(held.resolved, held.loaded.values), file_rows(held.loaded)
    examining = _Examining(held, chosen["suite"], usd, quiet=chosen["as_json"])
    sandbox = _sandbox(held, chosen["workspace"])
    found = findings(held.resolved, names=False) + useless_caps(held.resolved)
    if not examining.quiet:
        mark = _MARKS["yes" if sandbox["works"] else "no"]
        say(f"sandbox  {mark} {sandbox['detail']}", wrap=9, palette=REPORT)
        say()
        for file in files:
            say(f"read     {file.file} ({file.trust})", palette=REPORT)
        for row in plugins:
            say(plugin_line(row), wrap=9, palette=REPORT)
        for finding in found:
            mark = _MARKS["failed" if finding.is_error else "no"]
            say(f"settings {mark} {finding.sentence}", wrap=9, palette=REPORT)
    servers = run_async(held.resolved.mcp_servers.reports(Path(chosen["workspace"]).absolute()))
    for server in () if examining.quiet else servers:
        say(server_line(server), wrap=9, palette=REPORT)
    examined = run_async(examining.all())
    if examining.quiet:
        told = {
            "models": [_check_object(*pair) for pair in examined],
            "files": [{"file": file.file, "trust": file.trust} for file in files],
            "plugins": [plugin_object(row) for row in plugins],
            "mcp": [attrs.asdict(server) for server in servers],
            "sandbox": sandbox,
            "settings": [{"sentence": each.sentence, "is_error": each.is_error} for each in found],
        }
        print_json(told)
    lacking = [name for name, report in examined if isinstance(report, str) or not report.passes]
    if sandbox["required"] and not sandbox["works"]:
        lacking.append("sandbox")
    lacking += [f"mcp.{server.name}" for server in servers if server.problem]
    if any(finding.is_error for finding in found):
        lacking.append("settings")
    if not examining.quiet:
        say(_last_line(len(examined), lacking), wrap=0, palette=REPORT)
    if lacking:
        ctx.exit(FAILED)


def server_line(server: "ServerReport") -> str:
    """Return what an MCP server offers, and what of it models may call."""
    if server.problem:
        return f"mcp      {_MARKS['failed']} {server.name}: {server.problem}"
    granted, offers = ", ".join(server.granted) or "nothing", ", ".join(server.offers) or "no tools"
    spoken = f"{server.name} ({server.protocol_version})"
    return f"mcp      {_MARKS['yes']} {spoken} offers {offers}; models may call: {granted}"


def _sandbox(held: "Configured", workspace: str) -> dict[str, Any]:
    """Return whether shell commands can run in a sandbox on this machine, with the program or the reason."""
    import os

    from sunwell.core.confinement import Confinement
    from sunwell.errors import ConfigurationError
    from sunwell.tools.environment import command_environment, secrets_from_environment
    from sunwell.tools.sandbox import require_sandbox, sandbox_name
    from sunwell.tools.workspace import Workspace

    options = held.resolved.options
    runs = options.allow_shell or bool(options.check_commands)
    told: dict[str, Any] = {
        "required": runs and options.sandbox == "required",
        "is_off": options.sandbox == "off",
        "network": options.sandbox == "off" or options.allow_network,
    }
    environ = command_environment(os.environ, secrets_from_environment())
    try:
        root = Workspace(workspace).root
        found = require_sandbox(root, environ, network=options.allow_network)
    except ConfigurationError as error:
        return told | {"works": False, "detail": error.sentence}
    lacks = ""
    if not found.disables_namespaces:
        lacks = "; commands can create user namespaces: a newer version of bubblewrap prevents that"
    confined = Confinement("required", sandbox_name(root, environ), options.allow_network)
    chosen = "; it is off: commands run with all rights of your account" if told["is_off"] else ""
    return told | {"works": True, "detail": f"{found.program} works ({confined.sentence}){lacks}{chosen}"}


@attrs.frozen
class _Examining:
    """Examines each configured model, and prints each finding at once."""

    held: "Configured"
    suite: bool
    usd: Decimal | None
    quiet: bool

    async def all(self) -> "list[tuple[str, ConformanceReport | str]]":
        return [(name, await self._one(name)) for name in dict.fromkeys(self.held.resolved.names.values())]

    async def _one(self, name: str) -> "ConformanceReport | str":
        from sunwell.budget.ledger_protocol import Budget
        from sunwell.config.conformance import MOST_TOKENS, examine
        from sunwell.errors import SunwellError

        try:
            model = self.held.resolved.registry.get(name)
        except SunwellError as error:
            self._say(name, f"  ✗ {error}", "")
            return str(error)
        self._say(f"{name} ({model.name})" if name != model.name else name)
        prices = self.held.resolved.prices
        budget = Budget(usd=self.usd, tokens=MOST_TOKENS)
        report = await examine(model, prices, suite=self.suite, budget=budget, tell=self._tell)
        self._say(_cost_line(report, has_price=prices.price(model) is not None), "")
        return report

    def _tell(self, check: "Trial") -> None:
        from sunwell.report.figures import one_line

        detail = f": {one_line(check.detail)}" if check.detail else ""
        needed = "" if check.verdict == "yes" or check.is_required else " (optional)"
        self._say(f"  {_MARKS[check.verdict]} {check.name}{detail}{needed}")

    def _say(self, *lines: str) -> None:
        for line in () if self.quiet else lines:
            say(line, wrap=4, palette=REPORT)


def _cost_line(report: "ConformanceReport", *, has_price: bool) -> str:
    from sunwell.report.figures import dollars

    calls = f"  {report.calls} call{'' if report.calls == 1 else 's'}, {report.tokens:,} tokens reported"
    if not has_price:
        return f"{calls}; the price is unknown, so the cost is unknown"
    uncertain = report.uncertain_usd
    more = f", and up to {dollars(uncertain)} more for calls without reported usage" if uncertain else ""
    return f"{calls}, {dollars(report.cost_usd)}{more}"


def _last_line(examined: int, lacking: list[str]) -> str:
    if not lacking:
        return "everything that Sunwell needs works" if examined else "no model is configured"
    return f"something that Sunwell needs does not work: {', '.join(lacking)}"


def _check_object(name: str, report: "ConformanceReport | str") -> dict[str, Any]:
    from sunwell.report.figures import exact

    if isinstance(report, str):
        return {"name": name, "error": report, "passes": False}
    checks = [
        {"name": check.name, "verdict": check.verdict, "detail": check.detail, "required": check.is_required}
        for check in report.checks
    ]
    return {
        "name": name,
        "model": report.model,
        "passes": report.passes,
        "checks": checks,
        "calls": report.calls,
        "cost_usd": exact(report.cost_usd),
    }
