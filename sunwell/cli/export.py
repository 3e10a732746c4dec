"""``sunwell export``: a run as a file that other programs open."""

from pathlib import Path

import click


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("json", "chrome-trace", "otlp-json")),
    default="json",
    show_default=True,
    help="Nested JSON, a trace for Perfetto and speedscope, or OpenTelemetry.",
)
def export(run_id: str, workspace: str, form: str) -> None:
    """Write RUN to standard output in another format."""
    from sunwell.cli.finding import run_in
    from sunwell.journal.exports import export_chrome_trace, export_json, export_otlp_json
    from sunwell.journal.reading import read_records
    from sunwell.journal.tree import tree

    records = read_records(run_in(Path(workspace), run_id).path)
    if form == "json":
        click.echo(export_json(tree(records)))
    elif form == "chrome-trace":
        click.echo(export_chrome_trace(records))
    else:
        click.echo(export_otlp_json(records))
