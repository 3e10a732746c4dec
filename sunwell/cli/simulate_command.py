"""``sunwell simulate``: a provider on loopback with scripted models and its own bill."""

import asyncio
import os
from typing import TYPE_CHECKING

import click

from sunwell.cli.shared_options import StrictCommand

if TYPE_CHECKING:
    from sunwell.simulator import Simulator


@click.command(cls=StrictCommand)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1 (default: any free port)."
)
def simulate(port: int) -> None:
    """Serve scripted models on this machine until Ctrl-C, then print the bill.

    It serves the APIs of Anthropic and OpenAI; each API key is a separate account. The models are scripts:
    they can do only the task of sunwell demo and what sunwell doctor asks, and answer any other task by
    saying that nothing needs to be done. In runs with --orchestrate, the smart model splits any task into
    parts.
    """
    from sunwell.cli.exit_codes import OutputFailed
    from sunwell.errors import ConfigurationError
    from sunwell.simulator import Simulator
    from sunwell.simulator.scripts import DEMO_MODELS

    simulator = Simulator(DEMO_MODELS, port=port)
    try:
        asyncio.run(simulator.serve_forever(_greet))
    except KeyboardInterrupt:
        _print_bill(simulator)
    except OutputFailed:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"port {port} cannot be used ({_reason(error)}): choose another with --port"
        ) from error


def _reason(error: OSError) -> str:
    """Return the system's own message: asyncio's message repeats address and number."""
    return os.strerror(error.errno) if error.errno else str(error)


def _greet(simulator: "Simulator") -> None:
    click.echo("# Scripted models on this machine. In another terminal:")
    click.echo(f"export ANTHROPIC_BASE_URL={simulator.url} ANTHROPIC_API_KEY=simulated")
    click.echo(f"export OPENAI_BASE_URL={simulator.openai_url} OPENAI_API_KEY=simulated")
    click.echo("# Press Ctrl-C to stop and print the bill.")


def _print_bill(simulator: "Simulator") -> None:
    click.echo("")
    totals = simulator.bill.by_model()
    for name, total in sorted(totals.items()):
        click.echo(
            f"{name:<20} {total.calls:>4} calls {total.input_tokens:>10,} in {total.output_tokens:>9,} out  "
            f"${total.usd.normalize():f}"
        )
    click.echo(
        f"total billed: ${simulator.bill.total_usd().normalize():f}" if totals else "nothing was billed"
    )
