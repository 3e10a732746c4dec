"""``sunwell models``: what can be named, what it costs, whether its key is there."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sunwell.models.registry import ModelRow


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
        told = {"models": [_object(row) for row in rows], "plugins": list(plugins)}
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


def _object(row: "ModelRow") -> dict[str, Any]:
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
