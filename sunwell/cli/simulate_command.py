"""``sunwell simulate``: a provider on loopback with scripted models and its own bill."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sunwell.cli.ending import run_async
from sunwell.cli.output import say
from sunwell.cli.shared_options import StrictCommand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sunwell.simulator import AnswerNews, Player, Script, Simulator


@click.command(cls=StrictCommand)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1 (default: any free port)."
)
@click.option(
    "--answers",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each request to DIR and wait for its answer there. Recorded answers are used again.",
)
@click.option(
    "--play",
    metavar="MODEL",
    multiple=True,
    help="With --answers: only this model is answered from DIR (repeatable; default: all models).",
)
@click.option(
    "--ignoring",
    metavar="REGEX",
    multiple=True,
    help="With --answers: text that may differ between a request and its recording (repeatable).",
)
@click.option("--no-wait", is_flag=True, help="With --answers: refuse requests that have no recorded answer.")
def simulate(
    port: int, answers: Path | None, play: tuple[str, ...], ignoring: tuple[str, ...], no_wait: bool
) -> None:
    """Serve scripted models on this machine until Ctrl-C, then print the bill.

    It serves the APIs of Anthropic and OpenAI; each API key is a separate account. The models are scripts:
    they can do only the task of sunwell demo and what sunwell doctor asks, and answer any other task by
    saying that nothing needs to be done. In runs with --orchestrate, the smart model splits any task into
    parts.

    With --answers, you are the model: request 7 is in DIR/007.request.txt, and its answer is
    DIR/007.answer.txt (a text) or DIR/007.answer.json (text and tool calls), as described in docs/testing.md.
    """
    from sunwell.cli.exit_codes import OutputFailed
    from sunwell.errors import ConfigurationError
    from sunwell.simulator import Simulator

    simulator = Simulator(_models(answers, play, ignoring, no_wait), port=port)
    try:
        run_async(simulator.serve_forever(_greet))
    except KeyboardInterrupt:
        _print_bill(simulator)
    except OutputFailed:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"port {port} cannot be used ({_reason(error)}): choose another with --port"
        ) from error


def _models(
    answers: Path | None, play: tuple[str, ...], ignoring: tuple[str, ...], no_wait: bool
) -> "Mapping[str, Script | Player]":
    """Return the scripted models, and in place of those that are played, the files with their answers."""
    from sunwell.simulator import PRICES, answers_from
    from sunwell.simulator.scripts import DEMO_MODELS

    if answers is None:
        for name, is_given in (("--play", play), ("--ignoring", ignoring), ("--no-wait", no_wait)):
            if is_given:
                raise click.UsageError(f"{name} needs --answers DIR")
        return DEMO_MODELS
    played = [_played(name, tuple(PRICES)) for name in play] or list(PRICES)
    files = answers_from(answers, wait=not no_wait, ignoring=ignoring, tell=_tell)
    return {**DEMO_MODELS, **dict.fromkeys(played, files)}


def _played(name: str, known: tuple[str, ...]) -> str:
    """Return the one known id that is *name* or contains it."""
    found = [name] if name in known else [one for one in known if name in one]
    if len(found) != 1 or not name:
        listed = ", ".join(found or known)
        raise click.BadParameter(f"{name!r} must name one of these models: {listed}", param_hint="--play")
    return found[0]


def _tell(news: "AnswerNews") -> None:
    if news.what == "refused":
        say(f"refused: {news.model}; {news.pending} pending")
    else:
        about = f"{news.number:03d} {news.what}: {news.model}, conversation {news.conversation:03d}"
        say(f"{about}; {news.pending} pending; {news.file}")
    if news.note:
        say(f"    {news.note}")


def _reason(error: OSError) -> str:
    """Return the system's own message: asyncio's message repeats address and number."""
    return os.strerror(error.errno) if error.errno else str(error)


def _greet(simulator: "Simulator") -> None:
    from sunwell.simulator import Player

    say("# Simulated models on this machine. In another terminal:")
    say(f"export ANTHROPIC_BASE_URL={simulator.url} ANTHROPIC_API_KEY=simulated")
    say(f"export OPENAI_BASE_URL={simulator.openai_url} OPENAI_API_KEY=simulated")
    if any(isinstance(model, Player) for model in (simulator.models or {}).values()):
        say("# The client's time limits hold while you think: docs/testing.md says how to raise them.")
    say("# Press Ctrl-C to stop and print the bill.")


def _print_bill(simulator: "Simulator") -> None:
    say()
    totals = simulator.bill.by_model()
    for name, total in sorted(totals.items()):
        say(
            f"{name:<20} {total.calls:>4} calls {total.input_tokens:>10,} in {total.output_tokens:>9,} out  "
            f"${total.usd.normalize():f}"
        )
    say(f"total billed: ${simulator.bill.total_usd().normalize():f}" if totals else "nothing was billed")
