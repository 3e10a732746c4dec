"""``sunwell estimate``: what a task would cost."""

from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.colours import ESTIMATE
from sunwell.cli.output import say
from sunwell.cli.shared_options import (
    SettingsCommand,
    config_options,
    context_option,
    given_lens,
    lens_option,
    session_of,
    settings_options,
    workspace_option,
)
from sunwell.cli.terminal import fitted_lines
from sunwell.context.options import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sunwell.agent.ladder.climb_outcomes import ExpectedClimb
    from sunwell.core.price import OutputEstimate, Side
    from sunwell.report.forecast import Forecast


_MOST_REASONS = 6


@click.command(cls=SettingsCommand)
@click.argument("task", required=False)
@context_option
@lens_option
@workspace_option
@settings_options(*SECTIONS)
@click.option(
    "--expect-workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Price a run whose model starts N workers. Default: assumed from the expected output.",
)
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def estimate(**chosen: Any) -> None:
    """Show whether TASK would be delegated, and what each way would cost.

    With --orchestrate or --delegation-tools, it shows what a run costs whose model hands the work out, beside
    the other ways, and how that compares with the smart model alone.

    No model is called, nothing is spent and no API key is needed. Without any model named, the two models of
    the provider whose API key is set are used, or opus with haiku.
    """
    from sunwell.agent.policy.handed_out_cost import ASSUMED
    from sunwell.cli.shared_options import configured
    from sunwell.cli.terminal import print_json
    from sunwell.errors import ConfigurationError
    from sunwell.report.forecast import forecast, forecast_object

    # Whoever has a model hand the work out is shown the price of that, with the models that such a run takes.
    has_tools = bool(chosen["delegation_tools"] or chosen["sub_calls_enabled"])
    held = configured(chosen, needs_key=False, delegates=not has_tools)
    options = attrs.evolve(held.resolved.options, lens=given_lens(chosen))
    if not options.orchestrate and options.delegation_tools is None:
        options = attrs.evolve(options, enable_delegation=True)
    agent, session = held.agent(), session_of(chosen, options)
    assumed, count = ASSUMED, chosen["expect_workers"]
    if count is not None:
        if not options.orchestrate and options.delegation_tools is None:
            raise ConfigurationError(
                "--expect-workers has no effect here: no model hands work out; add --orchestrate or "
                "--delegation-tools"
            )
        assumed = assumed.with_workers(count)
    made = forecast(
        session,
        prices=agent.prices,
        registry=agent.registry,
        equipment=agent.equipment,
        assumed=assumed,
    )
    if chosen["as_json"]:
        print_json(forecast_object(made))
        return
    for line in _lines(made):
        say(line, palette=ESTIMATE)
    for name, value in chosen.items():
        if name.startswith("budget_") and value is not None:
            option = f"--{name.replace('_', '-')}"
            say(f"Whichever way is taken, {option} {value} holds.")


def _lines(made: "Forecast") -> list[str]:
    from sunwell.agent.orchestration.handed_out_quote import handed_out_sentence
    from sunwell.report.figures import exact
    from sunwell.report.summary import DECIDERS

    verdict = "would be delegated" if made.decision else "would not be delegated"
    head = f"{verdict}: {made.decision.reason}"
    if made.is_orchestrated:
        head = f"would be orchestrated: {made.smart_model} hands all work out to {made.delegation_model}"
    compared = handed_out_sentence(made.quote)
    is_decided = not made.is_orchestrated and made.lens is None
    who = {
        "delegated": f"{made.smart_model} writes the lens, {made.delegation_model} works"
        if made.lens is None
        else f"{made.delegation_model} works under the given lens",
        "direct": f"{made.own_model} alone",
        "smart-low-effort": f"{made.smart_model} alone at low effort",
        "cheap": f"{made.delegation_model} alone, without a lens",
        "orchestrated": f"{made.smart_model} hands all work out, {made.delegation_model} works",
        "with-workers": f"{made.worker_with_tools} works and may hand parts out to {made.delegation_model}",
    }
    lines = [
        *fitted_lines(head),
        *(fitted_lines(f"Decided by {DECIDERS[made.decision.decided_by]}.") if is_decided else []),
        *(fitted_lines(compared) if compared else []),
        "",
        *_output_lines(made.quote.output),
        *price_table(
            ("low", "expected", "high", "worst"),
            [(side.name, amounts_of(side), who[side.name], side is made.chosen) for side in made.quote.sides],
        ),
    ]
    if made.lens is not None:
        from sunwell.report.summary import lens_about

        lines.append("")
        for line in lens_about(made.lens):
            lines += fitted_lines(line, 9)
    if made.ladder is not None and made.ladder.rungs:
        lines += ["", *_ladder_lines(made.ladder)]
    for each in made.warnings:
        lines += fitted_lines(f"warning: {each}", 9)
    lines += ["", "Assumed:"]
    for each in made.quote.assumptions:
        lines += fitted_lines(f"  · {each}", 4)
    lines.append("")
    if made.least_usd is not None:
        least = f"{exact(made.least_usd)} dollars or {made.least_tokens:,} tokens"
        lines += fitted_lines(f"A cap of {least} holds the first call of {made.without_lens}; less may not.")
    dated = f"Prices of {made.quote.price_date}. " if made.quote.price_date else ""
    return [*lines, *fitted_lines(f"{dated}Nothing was asked and nothing was spent.")]


def _ladder_lines(ladder: "ExpectedClimb") -> list[str]:
    """Return the ladder: what it would cost with a check, rung by rung."""
    from sunwell.report.figures import dollars

    head = (
        f"With a check and --escalate: about {dollars(ladder.expected_usd)} expected, at most "
        f"{dollars(ladder.worst_usd)}; {ladder.passes:.0%} pass."
    )
    rows = []
    for rung in ladder.rungs:
        amounts = (dollars(rung.side.expected_usd), dollars(rung.side.worst_usd))
        shares = (f"{rung.reached:.0%}", f"{rung.chance:.0%}")
        basis = f"{rung.tries:,} outcomes" if rung.tries else "assumed"
        words = f"{_RUNGS[rung.name].format(model=rung.model)} ({basis})"
        rows.append((rung.name, (*amounts, *shares), words, False))
    return [*fitted_lines(head), *price_table(("expected", "worst", "climbed", "passes"), rows)]


_RUNGS = {
    "cheap": "{model} alone, with the check",
    "cheap_again": "{model}, told what the check found",
    "lens": "a lens by the smart model, {model} works",
    "second": "{model} alone",
    "smart": "{model} alone at low effort",
}


def _output_lines(output: "OutputEstimate | None") -> list[str]:
    """Return the expected output with its range, and what it rests on."""
    if output is None:
        return []
    span = f"{output.expected_tokens:,} tokens, {output.low_tokens:,} to {output.high_tokens:,}"
    reasons = [*output.counted[:_MOST_REASONS], *output.unknown[:_MOST_REASONS]]
    left = len(output.counted) + len(output.unknown) - len(reasons)
    reasons += [f"and {left} more: --json shows them all"] if left else []
    lines = fitted_lines(f"Expected output: {span}")
    for each in reasons:
        lines += fitted_lines(f"  · {each}", 4)
    return [*lines, ""]


def amounts_of(side: "Side") -> tuple[str, ...]:
    from sunwell.report.figures import dollars

    is_unbounded = side.worst_usd is None and side.expected_usd is not None
    several = [dollars(usd) for usd in (side.low_usd, side.expected_usd, side.high_usd)]
    return (*several, "no bound" if is_unbounded else dollars(side.worst_usd))


def price_table(
    heads: tuple[str, ...], rows: "Sequence[tuple[str, tuple[str, ...], str, bool]]"
) -> list[str]:
    """Return rows of a name, figures, words and whether it is chosen; columns are as wide as what is in them.

    If a terminal has no room for the figures in one line, each stands below the name with its heading.
    """
    from sunwell.cli.terminal import fitted_lines, is_terminal, terminal_width

    wide = [
        max(map(len, column)) for column in zip(heads, *(figures for _, figures, _, _ in rows), strict=True)
    ]
    names = max((len(name) for name, *_ in rows), default=0)
    whole = 2 + names + sum(size + 2 for size in wide)
    if is_terminal() and whole > terminal_width():
        lines = []
        for name, figures, words, is_chosen in rows:
            lines += fitted_lines(f"{'→' if is_chosen else ' '} {name}: {words}", 4)
            pairs = zip(heads, figures, strict=True)
            lines += [f"    {head:<{max(map(len, heads))}} {figure}" for head, figure in pairs]
        return lines
    lines = [" " * (2 + names) + "".join(f"  {head:>{size}}" for head, size in zip(heads, wide, strict=True))]
    for name, figures, words, is_chosen in rows:
        told = "".join(f"  {figure:>{size}}" for figure, size in zip(figures, wide, strict=True))
        line = f"{'→' if is_chosen else ' '} {name:<{names}}{told}  "
        if is_terminal() and terminal_width() - len(line) < _LEAST_WORDS:
            lines += [line.rstrip(), *fitted_lines(f"    {words}", 4)]
        else:
            lines += fitted_lines(line + words, len(line))
    return lines


_LEAST_WORDS = 24
