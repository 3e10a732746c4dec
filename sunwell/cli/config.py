"""``sunwell config``: what is set and where, whether it is right, and whose files are trusted."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sunwell.config.showing import Row

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
    from sunwell.cli.configured import sources_of
    from sunwell.config.showing import rows
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
    from sunwell.cli.configured import sources_of
    from sunwell.cli.failing import BAD_INPUT
    from sunwell.cli.plugin_lines import plugin_line
    from sunwell.config.plugin_rows import plugin_rows
    from sunwell.config.preflight import findings, unlisted_models
    from sunwell.config.resolving import resolve
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
    from sunwell.config.loading import Sources
    from sunwell.config.settings import dotted
    from sunwell.config.showing import shown
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


def _object(row: "Row") -> dict[str, Any]:
    return {"key": row.key, "value": row.value, "origin": row.origin, "trusted": row.is_trusted}
