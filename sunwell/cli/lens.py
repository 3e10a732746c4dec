"""``sunwell lens``: write, show and check a lens alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.choices import DOLLARS, Chosen, config_options, task_of
from sunwell.cli.run import EXIT_CODES

if TYPE_CHECKING:
    from sunwell.core.lens import EphemeralLens


@click.command(epilog=EXIT_CODES)
@click.argument("task", required=False)
@click.option("-o", "--output", metavar="LENS.json", help="Where to write the lens.")
@click.option("--check", metavar="LENS.json", help="Check a lens that is there; nothing is asked or spent.")
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="What it is about.")
@click.option("--smart-model", metavar="M", help="The model that writes the lens.")
@click.option("--max-usd", type=DOLLARS, metavar="X", help="Most US dollars that may be billed.")
@click.option(
    "--effort",
    type=click.Choice(("low", "medium", "high", "xhigh", "max")),
    help="Effort of the smart model.",
)
@config_options
@click.pass_context
def lens(ctx: click.Context, /, **chosen: Any) -> None:
    """Have the smart model write a lens for TASK, and show it as its readers will see it.

    With --check LENS.json it shows and checks a lens that is there.
    """
    from sunwell.agent.lens.lens_file import lens_json, read_lens
    from sunwell.errors import ConfigurationError

    if (chosen["task"] is None) == (chosen["check"] is None):
        raise ConfigurationError("name a task to write a lens for, or --check LENS.json to check one")
    if chosen["check"] is not None:
        _show(read_lens(Path(chosen["check"])))
        return
    written = _write(ctx, chosen)
    if chosen["output"] is not None:
        _save(Path(chosen["output"]), lens_json(written))
    _show(written)


def _write(ctx: click.Context, chosen: Chosen) -> "EphemeralLens":
    import asyncio

    from sunwell.cli.configured import configured
    from sunwell.context.session import SessionContext

    held = configured(ctx, chosen)
    options = attrs.evolve(held.resolved.options, on_lens_failure="fail")
    session = SessionContext.build(chosen["workspace"], task_of(chosen), options=options)
    return asyncio.run(held.agent().lens(session))


def _save(path: Path, text: str) -> None:
    from sunwell.errors import ConfigurationError

    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"the lens cannot be written to {path}: {error.strerror or error}; it stands in the journal"
        ) from None
    click.echo(f"sunwell: wrote {path}", err=True)


def _show(shown: "EphemeralLens") -> None:
    from sunwell.agent.lens.lens_file import lens_remarks
    from sunwell.agent.lens.lens_parser import lens_tokens
    from sunwell.tools.wording import visible

    click.echo(visible(shown.to_context()))
    click.echo(f"sunwell: about {lens_tokens(shown):,} tokens for each reader", err=True)
    for remark in lens_remarks(shown):
        click.echo(visible(f"sunwell: look again: {remark}"), err=True)
