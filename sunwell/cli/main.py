"""The command ``sunwell``. Loads nothing heavy: each command imports what it needs when it runs."""

import logging

import click

import sunwell
from sunwell.cli.batch import batch
from sunwell.cli.config import config
from sunwell.cli.demo import demo
from sunwell.cli.doctor import doctor
from sunwell.cli.estimate import estimate
from sunwell.cli.export import export
from sunwell.cli.failing import Commands
from sunwell.cli.fork import fork
from sunwell.cli.init import init
from sunwell.cli.lens import lens
from sunwell.cli.models import models
from sunwell.cli.prune import prune
from sunwell.cli.record import record
from sunwell.cli.replay import replay
from sunwell.cli.resume import resume
from sunwell.cli.run import run
from sunwell.cli.runs import runs
from sunwell.cli.show import show
from sunwell.cli.simulate import simulate
from sunwell.cli.streams import exit_after
from sunwell.cli.undo import undo

_NOISY = ("aiohttp", "anthropic", "asyncio", "httpx2", "openai")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: sunwell demo. It needs no key and no network.",
)
@click.version_option(sunwell.__version__, prog_name="sunwell")
def cli() -> None:
    """Think once, generate many.

    A smart model reads a task once and writes a lens; a cheap model does the work with the lens in its
    prompt, under a budget that holds.
    """


for _command in (
    demo,
    run,
    batch,
    resume,
    replay,
    fork,
    lens,
    estimate,
    models,
    runs,
    show,
    undo,
    prune,
    record,
    export,
    init,
    config,
    doctor,
    simulate,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and exit."""
    for name in _NOISY:  # what they warn of is told by events, in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    exit_after(lambda: cli(prog_name="sunwell"))
