"""Commands about settings and models: ``init``, ``config``, ``models`` and ``doctor``."""

import asyncio
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from sunwell.cli.shared_options import DOLLARS, config_options, model_options

if TYPE_CHECKING:
    from sunwell.cli.shared_options import Configured
    from sunwell.config.conformance import Check, ConformanceReport
    from sunwell.config.preflight import PluginRow
    from sunwell.config.setting_lines import SettingRow
    from sunwell.models.registry import ModelRow


def plugin_line(row: "PluginRow") -> str:
    """Return one line that says what the plugin is, whose, and whether it can be used."""
    from sunwell.report.figures import one_line

    if row.problem:
        return f"warning  {one_line(row.problem, 300)}"
    whose = f", of {row.package}" if row.package else ""
    return f"plugin   {one_line(f'{row.name} ({row.group}{whose}): {row.state}', 300)}"


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
# Settings of Sunwell for this project. What is commented out shows the default or an example.
# Order: command line, SUNWELL_* variables, this file, the user's own file, defaults.
# sunwell config show prints what holds and where it comes from.
# After each change: sunwell config trust. Without it, only settings that narrow your own hold.

# Who thinks, and who does the work. Names: opus, sonnet, haiku, openai-smart, openai-cheap,
# provider/model, or a name of your own below.
smart_model = "opus"
delegation_model = "haiku"
# model = "opus"                     # works where nothing is delegated

# delegate = true                    # not set: on where a delegation model is named
# delegation_threshold_tokens = 2000 # largest expected output that is not worth a lens
# effort = "high"                    # low, medium, high, xhigh, max
# on_lens_failure = "direct"         # or "generic", "fail"
# fallback = "fail"                  # or "parent", where the delegation model cannot be used
# allow_shell = false
# sandbox = "required"               # for commands; "off": with all that your account can do
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
# api_key_env = "LAB_API_KEY"        # the variable that holds the key; leave it out where none is needed
# requests_per_minute = 600

# A name of your own for a model, with its prices in US dollars per million tokens.
# [models.fast]
# model = "lab/llama-5"
# context_window = 64_000
# input_usd_per_million = 0.10
# output_usd_per_million = 0.40
"""


@click.command()
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The project.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(workspace: str, force: bool) -> None:
    """Write a commented sunwell.toml to start from, and trust it as it is written."""
    from sunwell.cli.record_commands import require_folder
    from sunwell.config.trust import TrustRecord
    from sunwell.errors import ConfigurationError

    file = require_folder(Path(workspace)) / "sunwell.toml"
    if os.path.lexists(file) and not force:
        raise ConfigurationError(f"{file} is there already: --force writes over it")
    data = START.encode()
    try:
        if force:
            file.unlink(missing_ok=True)  # a link is replaced, not followed
        with file.open("xb") as opened:
            opened.write(data)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"written  {file}")
    try:
        TrustRecord.of_user().add(file, data)
        click.echo("trusted  as it is now; after each change: sunwell config trust")
    except ConfigurationError as error:
        click.echo(f"sunwell: the file is not trusted yet: {error}", err=True)
    click.echo("next     set ANTHROPIC_API_KEY, or name other models in the file; then: sunwell config check")


F = TypeVar("F", bound=Callable[..., Any])


def _place(function: F) -> F:
    function = click.option(
        "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the project."
    )(function)
    return click.option("--config", metavar="FILE", help="A file in place of the project's own.")(function)


@click.group()
def config() -> None:
    """Show, check and trust the settings of a project."""


@config.command()
@_place
@click.option("--all", "everything", is_flag=True, help="Show defaults, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(workspace: str, config: str | None, everything: bool, as_json: bool) -> None:
    """Print each setting with its value and where it comes from; secrets are masked."""
    from sunwell.cli.shared_options import sources_of
    from sunwell.config.setting_lines import rows
    from sunwell.report.figures import json_text
    from sunwell.tools.wording import on_one_line

    loaded = sources_of({"workspace": workspace, "config": config}).load()
    for warning in loaded.warnings:
        click.echo(f"sunwell: {warning}", err=True)
    shown = rows(loaded, everything=everything)
    if as_json:
        click.echo(json_text({"settings": [_object(row) for row in shown]}))
        return
    wide = max((len(f"{row.key} = {row.value}") for row in shown), default=0)
    for row in shown:
        trust = "" if row.is_trusted else "  (not trusted: does not hold)"
        click.echo(on_one_line(f"{f'{row.key} = {row.value}':<{min(wide, 60)}}  # {row.origin}{trust}"))
    if not shown:
        click.echo("nothing is set: all defaults hold (--all shows them)")


@config.command()
@_place
@click.option("--online", is_flag=True, help="Ask the servers, too, whether they have the models: free.")
@click.pass_context
def check(ctx: click.Context, workspace: str, config: str | None, online: bool) -> None:
    """Check the settings: keys, values, providers, keys of providers, prices.

    Nothing is sent without --online.
    """
    from sunwell.cli.exit_codes import BAD_INPUT
    from sunwell.cli.shared_options import sources_of
    from sunwell.config.preflight import findings, plugin_rows, unlisted_models
    from sunwell.config.resolution import resolve
    from sunwell.tools.wording import on_one_line

    loaded = sources_of({"workspace": workspace, "config": config}).load()
    for file in loaded.files:
        click.echo(on_one_line(f"read     {file}"))
    for warning in loaded.warnings:
        click.echo(on_one_line(f"warning  {warning}"))
    loaded.require_trust()
    resolved = resolve(loaded.values)
    found = findings(resolved)
    if online:
        found += asyncio.run(unlisted_models(resolved))
    for row in plugin_rows(resolved, loaded.values):
        click.echo(plugin_line(row))
    for finding in found:
        click.echo(on_one_line(f"{'error' if finding.is_error else 'warning':<8} {finding.sentence}"))
    if any(finding.is_error for finding in found):
        ctx.exit(BAD_INPUT)
    click.echo("all settings are understood")


@config.command()
@_place
@click.argument("file", required=False, metavar="[FILE]")
def trust(workspace: str, config: str | None, file: str | None) -> None:
    """Trust a project's file as it is now, with all that it sets.

    What it sets beyond narrowing your own settings is listed: models, addresses, key variables, shell and
    the like. A change of the file ends the trust.
    """
    from sunwell.config.setting import dotted
    from sunwell.config.setting_lines import shown
    from sunwell.config.sources import Sources
    from sunwell.config.trust import TrustRecord
    from sunwell.errors import ConfigurationError
    from sunwell.tools.wording import on_one_line

    named = file or config
    reading = Sources(Path(workspace), None if named is None else Path(named).resolve()).read()
    if reading.project is None:
        why = "; ".join(reading.warnings)
        raise ConfigurationError(why or f"{Path(workspace).resolve()} has no configuration file to trust")
    asked = reading.needing_trust()
    document = reading.project
    TrustRecord.of_user().add(document.file, document.data)  # the very bytes that are shown here
    click.echo(f"trusted  {document.file.resolve()} as it is now{', with' if asked else ''}")
    for setting in asked:
        click.echo(on_one_line(f"         {dotted(setting.path)} = {shown(setting.path, setting.value)}"))
    if not asked:
        click.echo("         it sets nothing that needs trust")


def _object(row: "SettingRow") -> dict[str, Any]:
    return {"key": row.key, "value": row.value, "origin": row.origin, "trusted": row.is_trusted}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def models(as_json: bool) -> None:
    """List the built-in names of models, with prices per million tokens, and whether the key is there."""
    from sunwell.models.prices import PriceBook
    from sunwell.models.registry import list_models
    from sunwell.plugins import Plugins
    from sunwell.report.figures import dollars, json_text

    rows, plugins = list_models(PriceBook()), Plugins("sunwell.models").names()
    if as_json:
        told = {"models": [_model_object(row) for row in rows], "plugins": list(plugins)}
        click.echo(json_text(told))
        return
    names = max(len(row.alias) for row in rows)
    ids = max(len(row.model_id) for row in rows)
    click.echo(f"{'name':<{names}} {'model':<{ids}} {'input':>7} {'output':>7}  key")
    for row in rows:
        click.echo(
            f"{row.alias:<{names}} {row.model_id:<{ids}} {dollars(row.input_usd):>7} "
            f"{dollars(row.output_usd):>7}  {row.key_variable} {'is set' if row.has_key else 'is not set'}"
        )
    date = max(row.price_date for row in rows)
    click.echo(
        f"\nUS dollars per million tokens, lowest tier, uncached{f', as of {date}' if date else ''}.\n"
        "Other models: provider/model, with PROVIDER_API_KEY, and PROVIDER_BASE_URL\n"
        "for any OpenAI-compatible server."
    )
    if plugins:
        click.echo(f"Installed plugins: {', '.join(plugins)}. A plugin with several models: PLUGIN/MODEL.")


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


@click.command()
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The project.")
@model_options
@click.option("--suite", is_flag=True, help="Try what is seldom, too: the conformance suite.")
@click.option("--max-usd", type=DOLLARS, metavar="X", help="Most US dollars for each model.")
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def doctor(ctx: click.Context, /, **chosen: Any) -> None:
    """Ask each configured model a few small questions, and say what it can do and what that cost.

    Says too whether the sandbox for commands works here. The exit code is 1 where something is missing that
    Sunwell needs; the sandbox is needed if commands are allowed and may not run without it.
    """
    from sunwell.cli.exit_codes import FAILED
    from sunwell.cli.shared_options import configured
    from sunwell.config.preflight import plugin_rows
    from sunwell.report.figures import json_text

    usd = chosen.pop("max_usd")
    held = configured(chosen)
    plugins = plugin_rows(held.resolved, held.loaded.values)
    examining = _Examining(held, chosen["suite"], usd, quiet=chosen["as_json"])
    sandbox = _sandbox(held, chosen["workspace"])
    if not examining.quiet:
        click.echo(f"sandbox  {_MARKS['yes' if sandbox['works'] else 'no']} {sandbox['detail']}\n")
        for row in plugins:
            click.echo(plugin_line(row))
    examined = asyncio.run(examining.all())
    if examining.quiet:
        told = {
            "models": [_check_object(*pair) for pair in examined],
            "plugins": [plugin_object(row) for row in plugins],
            "sandbox": sandbox,
        }
        click.echo(json_text(told))
    lacking = [name for name, report in examined if isinstance(report, str) or not report.passes]
    if sandbox["required"] and not sandbox["works"]:
        lacking.append("sandbox")
    if not examining.quiet:
        click.echo(_last_line(len(examined), lacking))
    if lacking:
        ctx.exit(FAILED)


def _sandbox(held: "Configured", workspace: str) -> dict[str, Any]:
    """Return whether commands can run in a sandbox here, with the program or the reason."""
    import os

    from sunwell.errors import ConfigurationError
    from sunwell.tools.environment import command_environment, secrets_from_environment
    from sunwell.tools.sandbox import require_sandbox
    from sunwell.tools.workspace import Workspace

    options = held.resolved.options
    told: dict[str, Any] = {"required": options.allow_shell and options.sandbox == "required"}
    environ = command_environment(os.environ, secrets_from_environment())
    try:
        found = require_sandbox(Workspace(workspace).root, environ)
    except ConfigurationError as error:
        return told | {"works": False, "detail": error.sentence}
    lacks = "" if found.disables_namespaces else "; commands can make user namespaces: a newer one forbids it"
    return told | {"works": True, "detail": f"{found.program} works{lacks}"}


@attrs.frozen
class _Examining:
    """Asks each configured model, and tells what is found as it is found."""

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
            self._say(f"{name}\n  ✗ {error}\n")
            return str(error)
        self._say(f"{name} ({model.name})" if name != model.name else name)
        prices = self.held.resolved.prices
        budget = Budget(usd=self.usd, tokens=MOST_TOKENS)
        report = await examine(model, prices, suite=self.suite, budget=budget, tell=self._tell)
        self._say(_cost_line(report, has_price=prices.price(model) is not None) + "\n")
        return report

    def _tell(self, check: "Check") -> None:
        from sunwell.report.figures import one_line

        detail = f": {one_line(check.detail, 300)}" if check.detail else ""
        needed = "" if check.verdict == "yes" or check.is_required else " (Sunwell can do without it)"
        self._say(f"  {_MARKS[check.verdict]} {check.name}{detail}{needed}")

    def _say(self, line: str) -> None:
        if not self.quiet:
            click.echo(line)


def _cost_line(report: "ConformanceReport", *, has_price: bool) -> str:
    from sunwell.report.figures import dollars

    calls = f"  {report.calls} call{'' if report.calls == 1 else 's'}, {report.tokens:,} tokens reported"
    if not has_price:
        return f"{calls}; its price is not known, so neither is the cost"
    uncertain = report.uncertain_usd
    more = f", and at most {dollars(uncertain)} for what was not reported" if uncertain else ""
    return f"{calls}, {dollars(report.cost_usd)}{more}"


def _last_line(examined: int, lacking: list[str]) -> str:
    if not lacking:
        return "all that Sunwell needs is there" if examined else "no model is configured"
    return f"something that Sunwell needs is missing at: {', '.join(lacking)}"


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
