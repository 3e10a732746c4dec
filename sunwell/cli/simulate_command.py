"""``sunwell simulate``: a provider on loopback with scripted models and a bill of its own."""

import asyncio
import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sunwell.simulator import Simulator


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1 (default: any that is free)."
)
def simulate(port: int) -> None:
    """Serve scripted models on this machine until Ctrl-C, then print the bill.

    Both wire formats are spoken; any key is an account. The models are scripts: they know the task of the
    demonstration, and of any other they say that it needs nothing. With --orchestrate the smart one has
    any task done in parts.
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
            f"port {port} cannot be used ({_reason(error)}): name another with --port"
        ) from error


def _reason(error: OSError) -> str:
    """Return the system's own words: those of asyncio repeat address and number."""
    return os.strerror(error.errno) if error.errno else str(error)


def _greet(simulator: "Simulator") -> None:
    click.echo("# Scripted models on this machine. In another terminal:")
    click.echo(f"export ANTHROPIC_BASE_URL={simulator.url} ANTHROPIC_API_KEY=simulated")
    click.echo(f"export OPENAI_BASE_URL={simulator.openai_url} OPENAI_API_KEY=simulated")
    click.echo("# Ctrl-C ends and prints the bill.")


def _print_bill(simulator: "Simulator") -> None:
    click.echo("")
    totals = simulator.bill.by_model()
    for name, total in sorted(totals.items()):
        click.echo(
            f"{name:<20} {total.calls:>4} calls {total.input_tokens:>10,} in {total.output_tokens:>9,} out  "
            f"${total.usd.normalize():f}"
        )
    click.echo(
        f"billed in all: ${simulator.bill.total_usd().normalize():f}" if totals else "nothing was billed"
    )
