"""``sunwell estimate``: what a task would be and cost. Nothing is asked and nothing is spent."""

from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.choices import (
    budget_options,
    config_options,
    manner_options,
    model_options,
    session_of,
    task_options,
)
from sunwell.cli.page import fitted

if TYPE_CHECKING:
    from sunwell.core.price import Side
    from sunwell.report.forecast import Forecast


@click.command()
@task_options
@model_options
@budget_options
@manner_options
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def estimate(ctx: click.Context, /, **chosen: Any) -> None:
    """Say whether TASK would be delegated, and what each way would cost.

    Nothing is asked and nothing is spent; no key is needed. Without any model named it is the pair of the
    provider whose key is there, else opus with haiku.
    """
    from sunwell.cli.configured import configured
    from sunwell.report.figures import json_text
    from sunwell.report.forecast import forecast, forecast_object

    held = configured(ctx, chosen, needs_key=False, delegates=True)
    options = attrs.evolve(held.resolved.options, enable_delegation=True)
    made = forecast(session_of(chosen, options), prices=held.resolved.prices, registry=held.resolved.registry)
    if chosen["as_json"]:
        click.echo(json_text(forecast_object(made)))
        return
    for line in _lines(made):
        click.echo(line)
    if chosen["max_usd"] is not None:
        click.echo(f"Whichever way is taken, --max-usd {chosen['max_usd']} holds.")


def _lines(made: "Forecast") -> list[str]:
    verdict = "would be delegated" if made.decision else "would not be delegated"
    sides = [
        (made.quote.delegated, f"{made.smart_model} writes the lens, {made.delegation_model} works"),
        (made.quote.direct, f"{made.own_model} alone"),
        *((side, f"{made.smart_model} alone at low effort") for side in made.quote.alternatives),
    ]
    lines = [
        fitted(f"{verdict}: {made.decision.reason}"),
        "",
        f"{'':<18}{'low':>11}{'expected':>11}{'worst':>11}",
    ]
    lines += [_row(side, who, side is made.chosen) for side, who in sides]
    lines += ["", "Assumed:", *(fitted(f"  · {each}", 4) for each in made.quote.assumptions), ""]
    dated = f"Prices of {made.quote.price_date}. " if made.quote.price_date else ""
    return [*lines, f"{dated}Nothing was asked and nothing was spent."]


def _row(side: "Side", who: str, is_chosen: bool) -> str:
    from sunwell.report.figures import dollars

    amounts = "".join(f"{dollars(usd):>11}" for usd in (side.low_usd, side.expected_usd, side.worst_usd))
    row = f"{'→ ' if is_chosen else '  '}{side.name:<16}{amounts}   "
    return fitted(row + who, len(row))
