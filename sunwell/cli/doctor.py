"""``sunwell doctor``: what each configured model can do, found out by asking it."""

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.choices import DOLLARS, config_options, model_options

if TYPE_CHECKING:
    from sunwell.cli.configured import Configured
    from sunwell.config.conformance import Check, Report

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
    from sunwell.cli.configured import configured
    from sunwell.cli.failing import FAILED
    from sunwell.cli.plugin_lines import plugin_line, plugin_object
    from sunwell.config.plugin_rows import plugin_rows
    from sunwell.report.figures import json_text

    usd = chosen.pop("max_usd")
    held = configured(ctx, chosen)
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
            "models": [_object(*pair) for pair in examined],
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

    async def all(self) -> "list[tuple[str, Report | str]]":
        return [(name, await self._one(name)) for name in dict.fromkeys(self.held.resolved.names.values())]

    async def _one(self, name: str) -> "Report | str":
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


def _cost_line(report: "Report", *, has_price: bool) -> str:
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


def _object(name: str, report: "Report | str") -> dict[str, Any]:
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
