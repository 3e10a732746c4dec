"""``sunwell ask``: a question about files, folders or a pipe, however long they are."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.run_command import EXIT_CODES, require_place
from sunwell.cli.shared_options import (
    DOLLARS,
    Chosen,
    Configured,
    SettingsCommand,
    can_hold_text,
    config_options,
    has_piped,
    output_options,
    settings_options,
    strict_option,
    workspace_option,
)
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.agent.run.asked_contexts import Confirm, Source
    from sunwell.cli.views import View
    from sunwell.context.options import RunOptions
    from sunwell.core.task import TaskResult

_STANDARD_INPUT = "standard input"


@click.command(cls=SettingsCommand, epilog=EXIT_CODES)
@click.argument("question")
@click.option(
    "-c",
    "--context",
    "contexts",
    multiple=True,
    metavar="FILE|DIR|GLOB|-",
    help="What the question is about; several times for several. Default: what is piped in.",
)
@workspace_option
@click.option(
    "--confirm-above",
    type=DOLLARS,
    metavar="X",
    help="Ask before a step whose calls may cost more than X US dollars, and if nobody knows.",
)
@settings_options(
    "models",
    "budget",
    "explore",
    only=(
        "effort",
        "max_output_tokens",
        "max_depth",
        "max_concurrent",
        "system_prompt",
        "stream",
        "cache_dir",
    ),
)
@click.option(
    "--dry-run",
    "prices_only",
    is_flag=True,
    help="Only say which way would be taken, and what both would cost. Nothing is asked; no key is needed.",
)
@click.option("--trace", metavar="FILE", help="Write the whole trace as JSON.")
@config_options
@output_options
@strict_option
@click.pass_context
def ask(ctx: click.Context, /, **chosen: Any) -> None:
    """Answer QUESTION about contexts of any length: files, folders, globs, or what is piped in.

    A short context goes into one prompt. Into a longer one the smart model looks with scripts, which cost
    nothing, and asks the delegation model about the parts that matter. Which way, why, and what both would
    cost is said first. The answer says which share of the contexts was read.

    Without any model named, it uses the two models of the provider whose API key is set. The answer goes to
    standard output, the bill and everything else to standard error.
    """
    from sunwell.cli.run_output import tell
    from sunwell.cli.shared_options import configured
    from sunwell.cli.views import choose_view
    from sunwell.config.preflight import require_sound

    if chosen["trace"] is not None:
        require_place(chosen["trace"])
    held = configured(chosen, delegates=True, needs_key=not chosen["prices_only"])
    values = held.loaded.values
    view = choose_view(as_json=chosen["as_json"], verbose=values.verbose, max_usd=values.run.budget.usd)
    with ExitStack() as opened:
        contexts = opened_contexts(chosen["contexts"], opened)
        if chosen["prices_only"]:
            _tell_prices(contexts, chosen, held)
            return
        for warning in require_sound(held.resolved):
            view.say(warning)
        chosen |= {"contexts": needed_again(contexts, chosen["workspace"])}
        question, options = chosen["question"], held.resolved.options
        result = answered(question, contexts, chosen, held, attrs.evolve(options, tools=None), view)
    ctx.exit(tell(result, chosen))


def answered(
    question: str,
    contexts: "Mapping[str, Source]",
    chosen: Chosen,
    held: Configured,
    options: "RunOptions",
    view: "View",
) -> "TaskResult":
    """Ask *question* about *contexts* and return the result."""
    from sunwell.cli.run_output import drive

    if not question.strip():
        raise ConfigurationError("the question is empty: say what you want to know")
    agent = held.agent()
    events = agent.ask(
        question,
        contexts,
        workspace=chosen["workspace"],
        options=options,
        confirm=_confirming(chosen["confirm_above"], view),
    )
    return drive(agent, events, view, chosen)


def opened_contexts(named: Sequence[str], opened: ExitStack) -> "dict[str, Source]":
    """Return the contexts by name: paths, which the run opens, and what is piped in.

    Raises :exc:`~sunwell.errors.ConfigurationError` if there is none, one is named twice, or a file cannot be
    read; nothing is asked then.
    """
    from sunwell.agent.run.asked_contexts import context_names
    from sunwell.context.long_context import LongContext
    from sunwell.tools.environment import secrets_from_environment

    if not named and not can_hold_text():
        raise ConfigurationError(
            "there is no context: name a file, a folder or a glob with -c, or pipe one in"
        )
    if named and "-" not in named and has_piped():
        raise ConfigurationError(
            f"there is text on standard input beside --context {named[0]}: give one of the two"
        )
    found: dict[str, Source] = {}
    is_empty = True
    names = context_names([one for one in named if one != "-"], Path.cwd())
    for name in named or ("-",):
        shown = _STANDARD_INPUT if name == "-" else names.pop(0)
        if shown in found:
            raise ConfigurationError(f"the context {shown} is given twice: keep one")
        if name != "-":
            path = os.path.abspath(Path(name).expanduser())  # noqa: PTH100 - a glob is no path
            if not Path(path).is_dir():
                with LongContext.of(path, name) as context:  # what is wrong is said before anything begins
                    is_empty = is_empty and not context.size_bytes
            else:
                is_empty = False
            found[shown] = path
        elif sys.stdin is None:
            raise ConfigurationError("standard input is closed: name a file with -c")
        else:
            piped = LongContext.of(sys.stdin.buffer, shown, secrets=secrets_from_environment())
            found[shown] = opened.enter_context(piped)
            is_empty = is_empty and not piped.size_bytes
    if is_empty:
        raise ConfigurationError(f"the context {next(iter(found))} is empty: name another one")
    return found


def _tell_prices(contexts: "Mapping[str, Source]", chosen: Chosen, held: Configured) -> None:
    """Print the way that would be taken, and what both ways would cost."""
    from sunwell.cli.colours import ESTIMATE
    from sunwell.cli.estimate_commands import amounts_of, price_table
    from sunwell.cli.output import say
    from sunwell.cli.terminal import fitted_lines, print_json
    from sunwell.report.forecast import ask_forecast, quote_object

    agent, options = held.agent(), held.resolved.options
    made = ask_forecast(chosen["question"], _bytes_of(contexts), options, agent.prices, agent.registry)
    quote = quote_object(made.quote, made.decision)
    if chosen["as_json"]:
        models = {"smart_model": made.smart_model, "delegation_model": made.delegation_model}
        told = {"decision": attrs.asdict(made.decision), "models": models, "quote": quote}
        print_json(told | {"warnings": [made.warning] if made.warning else []})
        return
    who = {
        "explored": f"{made.smart_model} looks with scripts, and may ask {made.delegation_model} about parts",
        "direct": f"{made.smart_model} reads all of it",
    }
    rows = [
        (one.name, amounts_of(one), who[one.name], one.name == quote["chosen"]) for one in made.quote.sides
    ]
    lines = [*fitted_lines(f"would be {made.decision.reason}"), ""]
    lines += [*price_table(("low", "expected", "high", "worst"), rows), "", "Assumed:"]
    for each in made.quote.assumptions:
        lines += fitted_lines(f"  · {each}", 4)
    lines += ["", *(fitted_lines(f"warning: {made.warning}", 9) if made.warning else ())]
    dated = f"Prices of {made.quote.price_date}. " if made.quote.price_date else ""
    for line in [*lines, *fitted_lines(f"{dated}Nothing was asked and nothing was spent.")]:
        say(line, palette=ESTIMATE)


def _bytes_of(contexts: "Mapping[str, Source]") -> int:
    from sunwell.context.long_context import LongContext

    total = 0
    with ExitStack() as opened:
        for source in contexts.values():
            if not isinstance(source, LongContext):
                source = opened.enter_context(LongContext.of(source))
            total += source.size_bytes
    return total


def needed_again(contexts: "Mapping[str, Source]", workspace: str) -> tuple[str, ...]:
    """Return what ``-c`` must name again when the run is resumed: what lies outside of *workspace*."""
    from sunwell.agent.run.asked_contexts import is_within

    return tuple(
        "-" if not isinstance(source, str) else name if os.path.abspath(name) == source else source  # noqa: PTH100
        for name, source in contexts.items()
        if not isinstance(source, str) or not is_within(Path(source), Path(workspace))
    )


def given_again(
    chosen: Chosen, settings: "Mapping[str, Any]", opened: ExitStack, view: "View"
) -> dict[str, Any]:
    """Return what the user gives again of a question for ``Agent.resume``, if the run with *settings* is one.

    Raises :exc:`~sunwell.errors.ConfigurationError` if it is none, or as :func:`opened_contexts` does.
    """
    named, above, asked = chosen["contexts"], chosen["confirm_above"], settings.get("asked")
    if asked is None and (named or above is not None):
        option = "-c" if named else "--confirm-above"
        raise ConfigurationError(f"the run asks about no context: leave {option} out")
    found = opened_contexts(named, opened) if named else {}
    contexts = _in_their_places(found, dict(asked["contexts"])) if found and asked is not None else None
    return {"contexts": contexts, "confirm": _confirming(above, view)}


def _in_their_places(found: "Mapping[str, Source]", had: Mapping[str, str]) -> "dict[str, Source]":
    """Return the contexts that are *found* by the names that a run *had* for them.

    One with a name of the run takes its place; others take those that its record cannot name, and then the
    rest, in order.
    """
    free = sorted((name for name in had if name not in found), key=lambda name: bool(had[name]))
    placed: dict[str, Source] = {}
    for name, source in found.items():
        if name not in had and not free:
            raise ConfigurationError(
                f"the run has no place for the context {name}: it has only {', '.join(had)}"
            )
        placed[name if name in had else free.pop(0)] = source
    return placed


def said_of(contexts: "Mapping[str, Source]") -> str:
    """Return how long the contexts are: in characters, or in bytes if they are long."""
    from sunwell.context.long_context import MOST_TEXT_BYTES, LongContext

    told = []
    for name, source in contexts.items():
        if not isinstance(source, LongContext) and Path(source).is_dir():
            told.append(f"the folder {name}")
            continue
        with ExitStack() as opened:
            context = source
            if not isinstance(context, LongContext):
                context = opened.enter_context(LongContext.of(context))
            is_long = context.size_bytes > MOST_TEXT_BYTES
            told.append(
                f"{context.size_bytes:,} bytes" if is_long else f"{len(context.whole.text()):,} chars"
            )
    return ", ".join(told)


def _confirming(above: Decimal | None, view: "View") -> "Confirm | None":
    """Return what asks the user before a step that may cost more than *above*; ``None``: nobody is asked."""
    if above is None:
        return None
    from sunwell.cli.approval_prompt import can_ask, confirmed
    from sunwell.errors import ToolError
    from sunwell.report.figures import dollars

    async def confirm(what: str, most_usd: Decimal | None) -> bool:
        if most_usd is not None and most_usd <= above:
            return True
        if not can_ask():
            beyond = f"a step above {dollars(above)} (--confirm-above) needs a person, and none is there"
            view.say(f"refused: {what}: {beyond}")
            raise ToolError(f"{what}: {beyond}")
        with view.paused():
            return await confirmed(f"{what}. Go on?")

    return confirm
