"""What a demonstration claims: each said with whether it holds."""

import attrs
import click


@attrs.define(eq=False)
class Claims:
    """Says each claim, and remembers whether all of them hold."""

    all_hold: bool = True

    def say(self, holds: bool, sentence: str) -> None:
        """Print *sentence* with a mark for whether it *holds*."""
        self.all_hold = self.all_hold and holds
        mark = click.style("✓" if holds else "✗", fg="green" if holds else "red")
        click.echo(f"  {mark} {sentence}")

    def exit_code(self) -> int:
        """Return 0 where everything held; else say so on standard error, and return 1."""
        if self.all_hold:
            return 0
        click.echo("\nNot everything that is claimed above is so: see the lines with ✗.", err=True)
        return 1
