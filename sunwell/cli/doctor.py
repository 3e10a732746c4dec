"""``sunwell doctor``: what each configured model can do, found out by asking it."""

import asyncio
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.choices import DOLLARS, config_options, model_options

if TYPE_CHECKING:
    from sunwell.cli.configured import Configured
    from sunwell.config.conformance import Report

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

    The exit code is 1 where something is missing that Sunwell needs.
    """
    from sunwell.cli.configured import configured
    from sunwell.cli.failing import FAILED
    from sunwell.cli.plugin_lines import plugin_line, plugin_object
    from sunwell.config.plugin_rows import plugin_rows

    usd = chosen.pop("max_usd")
    held = configured(ctx, chosen)
    names = dict.fromkeys(held.resolved.names.values())
    examined = asyncio.run(_examine(held, tuple(names), suite=chosen["suite"], usd=usd))
    plugins = plugin_rows(held.resolved, held.loaded.values)
    if chosen["as_json"]:
        told = {
            "models": [_object(*pair) for pair in examined],
            "plugins": [plugin_object(row) for row in plugins],
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        for row in plugins:
            click.echo(plugin_line(row))
        for name, report in examined:
            _print(name, report)
    if not all(not isinstance(report, str) and report.passes for _, report in examined):
        ctx.exit(FAILED)


async def _examine(
    held: "Configured", names: tuple[str, ...], *, suite: bool, usd: Decimal | None
) -> "list[tuple[str, Report | str]]":
    from sunwell.budget.values import Budget
    from sunwell.config.conformance import MOST_TOKENS, examine
    from sunwell.errors import SunwellError

    examined: list[tuple[str, Report | str]] = []
    for name in names:
        try:
            model = held.resolved.registry.get(name)
        except SunwellError as error:
            examined.append((name, str(error)))
            continue
        budget = Budget(usd=usd, tokens=MOST_TOKENS)
        examined.append((name, await examine(model, held.resolved.prices, suite=suite, budget=budget)))
    return examined


def _print(name: str, report: "Report | str") -> None:
    from sunwell.report.figures import dollars, one_line

    if isinstance(report, str):
        click.echo(f"{name}\n  ✗ {report}\n")
        return
    click.echo(f"{name} ({report.model})" if name != report.model else name)
    for check in report.checks:
        detail = f": {one_line(check.detail, 200)}" if check.detail else ""
        click.echo(f"  {_MARKS[check.verdict]} {check.name}{detail}")
    click.echo(f"  {report.calls} calls, {dollars(report.cost_usd)}\n")


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
