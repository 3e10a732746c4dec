"""The options that commands share, made from the schema of settings, and the configuration that they make."""

import copy
import os
import select
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import attrs
import click

from sunwell.cli.output import say
from sunwell.context.kinds import Lines, allowed, read_text, without_none
from sunwell.context.options import MODEL_ROLES, SECTIONS, OptionSpec, option_specs
from sunwell.context.spellings import flat_names
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.agent.agent import Agent
    from sunwell.agent.lifecycle.authority import CallerTerms, Ceiling
    from sunwell.budget.ledger_protocol import Budget
    from sunwell.config.resolution import Resolved
    from sunwell.config.sources import Loaded, Sources
    from sunwell.context.options import Approve, RunOptions
    from sunwell.context.session import SessionContext
    from sunwell.core.lens import EphemeralLens

F = TypeVar("F", bound=Callable[..., Any])
Chosen = Mapping[str, Any]
"""Values of a command's options by name."""

_PAIRS = (
    ("ANTHROPIC", "opus", "haiku"),
    ("OPENAI", "openai-smart", "openai-cheap"),
)


class ValueType(click.ParamType[Any]):
    """Reads a typed value as the kind of its setting; the same rules hold in files and variables."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return read_text(value, self.kind) if isinstance(value, str) else value
        except (ValueError, ArithmeticError):
            self.fail(f"{value!r} is not valid: it must be {allowed(self.kind)}", param, ctx)


DOLLARS = ValueType(Decimal)


class SettingOption(click.Option):
    """The option of one setting. Its aliases are understood, and only its own name is shown."""

    def __init__(self, names: Sequence[str], *, section: str, aliases: Sequence[str], **given: Any) -> None:
        super().__init__([*names, *aliases], **given)
        self.section = section
        self.own_names = [name for name in names if name.startswith("-")]

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line in the help."""
        shown = copy.copy(self)
        shown.opts = [name.partition("/")[0] for name in self.own_names]
        shown.secondary_opts = [off for name in self.own_names if (off := name.partition("/")[2])]
        return super(SettingOption, shown).get_help_record(ctx)


class StrictCommand(click.Command):
    """A command that refuses an option without effect: a value that is given twice, texts without JSON."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args* as click does, and count what was given."""
        *_, given = self.make_parser(ctx).parse_args(list(args))
        for param in given:
            takes_one = isinstance(param, click.Option) and not (
                param.multiple or param.is_flag or param.count
            )
            if takes_one and given.count(param) > 1:
                raise click.UsageError(f"{'/'.join(param.opts)} is given twice: keep one", ctx)
        left = super().parse_args(ctx, args)
        if ctx.params.get("with_texts") and not (ctx.params.get("as_json", True) or ctx.params.get("trace")):
            raise click.UsageError(
                "--with-texts has no effect here: texts are given only as JSON; add --json", ctx
            )
        return left


class DefaultedGroup(click.Group):
    """Commands of which one is meant where none is named: all words are then for that one."""

    def __init__(self, *args: Any, default: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the default before its words and options, and where nothing is given."""
        if not args or not (args[0] in self.commands or args[0] in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class SettingsCommand(StrictCommand):
    """A command whose help shows its settings by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options first, then those of each section."""
        lines: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                title = SECTIONS.get(getattr(param, "section", ""), "Options")
                lines.setdefault(title, []).append(record)
        for title in ("Options", *SECTIONS.values()):
            if title in lines:
                with formatter.section(title):
                    formatter.write_dl(lines[title])


def _setting(spec: OptionSpec) -> Callable[[F], F]:
    """Return what adds the option for *spec*."""
    kind, dashed = without_none(spec.kind), spec.switch
    written = [f"--{name.replace('_', '-')}" for name, path in flat_names().items() if path == spec.path]
    aliases = [name for name in written if name != dashed]
    short = ["-m"] if spec.name == "model" else []
    given: dict[str, Any] = {"help": f"{spec.help}{_default(spec)}", "default": None}
    if kind is bool:
        dashed, aliases = f"{dashed}/--no-{dashed[2:]}", [f"{one}/--no-{one[2:]}" for one in aliases]
    elif get_origin(kind) is Literal:
        given["type"] = click.Choice(get_args(kind))
    elif get_origin(kind) is tuple or kind == Lines:
        given |= {"multiple": True, "metavar": spec.metavar}
    else:
        given |= {"type": ValueType(kind), "metavar": spec.metavar}
    return click.option(
        spec.name, *short, dashed, cls=SettingOption, section=spec.section, aliases=aliases, **given
    )


def _default(spec: OptionSpec) -> str:
    if spec.otherwise:
        return f" Default: {spec.otherwise}."
    if spec.default in (None, False, ()):
        return ""
    return f" Default: {'on' if spec.default is True else _plain(spec.default)}."


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_SUB_CALLS = click.option(
    "sub_calls_enabled",
    "--sub-calls/--no-sub-calls",
    cls=SettingOption,
    section="sub_calls",
    aliases=(),
    default=None,
    help="The same as --delegation-tools rlm.",
)
_PLUGINS = click.option(
    "--plugins",
    "--plugin",
    "plugins",
    multiple=True,
    metavar="NAME",
    help="A plugin that the run may load; several times for several.",
)
_WORKSPACE = click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder to work in."
)
_CONFIG = (
    click.option("--config", metavar="FILE", help="Settings in place of the project's own file."),
    click.option("--trust-config", is_flag=True, help="Trust the project's file this once."),
)
_OUTPUT = (
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output."),
    click.option(
        "--with-texts",
        is_flag=True,
        help="Give the tasks and reports of workers in full, in the JSON or the trace.",
    ),
    click.option("-v", "--verbose/--no-verbose", default=None, help="Show every call and every tool."),
)


def _with(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def settings_options(
    *sections: str, without: Sequence[str] = (), only: Sequence[str] = ()
) -> Callable[[F], F]:
    """Add the options of *sections*, those *without* excepted, and *only* some of others."""
    wanted = [
        spec
        for spec in option_specs().values()
        if (spec.section in sections and spec.name not in without) or spec.name in only
    ]
    order = list(SECTIONS)
    wanted.sort(key=lambda spec: order.index(spec.section))  # stable: a section keeps the schema's order

    more = (_SUB_CALLS,) if "sub_calls" in sections else ()
    return _with(*map(_setting, wanted), *more)


def workspace_option(function: F) -> F:
    """Add ``--workspace``."""
    return _WORKSPACE(function)


def model_options(function: F) -> F:
    """Add the options that name models."""
    return settings_options("models")(function)


def plugins_option(function: F) -> F:
    """Add ``--plugins``."""
    return _PLUGINS(function)


def config_options(function: F) -> F:
    """Add ``--config`` and ``--trust-config``."""
    return _with(*_CONFIG)(function)


def output_options(function: F) -> F:
    """Add ``--json``, ``--with-texts`` and ``-v``."""
    return _with(*_OUTPUT)(function)


def strict_option(function: F) -> F:
    """Add ``--strict``."""
    return click.option(
        "--strict",
        is_flag=True,
        help="Exit with 3 if something is unresolved, or if a check could not tell.",
    )(function)


_LONGEST_SECONDS = 10.0  # for the material of a task, which may be without any
_PEEK_SECONDS = 0.1


def context_option(function: F) -> F:
    """Add ``--context``."""
    return click.option(
        "-c",
        "--context",
        metavar="FILE",
        help="File with the material of the task, or the context of the question; - for standard input. "
        "Default: what is piped in.",
    )(function)


def given_text(file: str | None, what: str, longest_seconds: float | None = None) -> str:
    """Return the text of *file*, else what is piped in: *what* it is, is said if it is waited for.

    A terminal is not waited for, and nothing for longer than *longest_seconds*; ``-`` as *file* is standard
    input, however long it takes.

    Raises :exc:`~sunwell.errors.ConfigurationError` if it cannot be read, if a named file is empty, and if
    something is piped in beside it.
    """
    if file == "-":
        return _text_of(None, what)
    text = _text_of(file, what, longest_seconds)
    if file is not None and has_piped():
        raise ConfigurationError(
            f"there is text on standard input beside --context {file}: give one of the two"
        )
    return text


def _text_of(file: str | None, what: str, longest_seconds: float | None = None) -> str:
    from sunwell.cli.terminal import MOST_INPUT_BYTES
    from sunwell.tools.given_files import read_given

    place = "standard input" if file is None else file
    try:
        if file is None:
            data = _piped(what, longest_seconds)
        else:
            means = f", or pipe it in if you mean it (--context - < {file})"
            data = read_given(file, "the context", MOST_INPUT_BYTES, otherwise=means)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"the context {place} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the context {place} is no text: it must be UTF-8") from None
    if len(data) > MOST_INPUT_BYTES:
        raise ConfigurationError(f"the context {place} is longer than {MOST_INPUT_BYTES:,} bytes")
    if file is not None and not text.strip():
        raise ConfigurationError(f"the context {place} is empty: name another file, or leave --context out")
    return text


def _descriptor() -> int | None:
    """Return the descriptor of standard input; ``None`` if it has none."""
    try:
        return sys.stdin.fileno()
    except (OSError, ValueError):
        return None


def can_hold_text() -> bool:
    """Return whether standard input is a file, a pipe or a socket, and no terminal or other device."""
    if sys.stdin is None or sys.stdin.isatty():  # a closed one is None
        return False
    descriptor = _descriptor()
    return descriptor is None or not stat.S_ISCHR(os.fstat(descriptor).st_mode)


def _piped(what: str, longest_seconds: float | None) -> bytes:
    from sunwell.cli.terminal import read_input

    if not can_hold_text():
        return b""
    try:
        return read_input(what, "; if there is none, add < /dev/null", longest_seconds)
    except TimeoutError as error:
        # A task is complete without material: a program that starts Sunwell and leaves a pipe open would
        # otherwise wait without end.
        raise ConfigurationError(
            f"standard input is open and {error}: add < /dev/null if there is no material, or --context - to "
            "wait for it as long as it takes"
        ) from None


def has_piped() -> bool:
    """Return whether text waits on standard input, without waiting for a pipe that stays open."""
    if not can_hold_text():
        return False
    descriptor = _descriptor()
    if descriptor is not None and not select.select([descriptor], [], [], _PEEK_SECONDS)[0]:
        return False
    return bool(sys.stdin.buffer.read(1))  # at once: a byte, or the end


def task_of(chosen: Chosen) -> str:
    """Return the task: the argument, or standard input where that is ``-``; its material follows it."""
    from sunwell.core.markdown import with_material

    task: str | None = chosen["task"]
    if task is None:
        raise ConfigurationError(
            'no task is given: say in a sentence what is to be done ("-" reads it from a pipe)'
        )
    is_piped, file = task == "-", chosen["context"]
    task = _piped_task() if is_piped else task
    what, material = "the material of the task", ""
    if not is_piped:
        material = given_text(file, what, _LONGEST_SECONDS)
    elif file == "-":
        raise ConfigurationError(
            "the task and its material are both to come from standard input: name a file"
        )
    elif file is not None:
        material = _text_of(file, what)
    return with_material(task, material) if task.strip() else task


def _piped_task() -> str:
    from sunwell.cli.terminal import read_input

    if sys.stdin is None:
        raise ConfigurationError("standard input is closed: give the task as an argument")
    try:
        return read_input("the task").decode("utf-8-sig").strip()
    except OSError as error:
        raise ConfigurationError(f"the task cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError("standard input is no text: the task must be UTF-8") from None


def ceilings_of(held: "Configured", *, typed: bool | None = None) -> "Budget":
    """Return the ceilings that were typed, those of files and environment, or with ``None`` both."""
    from sunwell.budget.ledger_protocol import Budget

    return Budget(
        **{
            path[1]: setting.value
            for path, setting in held.loaded.settings.items()
            if path[0] == "budget" and typed in (None, setting.origin.source == "option")
        }
    )


lens_option = click.option(
    "--lens", "lens_file", metavar="LENS.json", help="Use this lens, and have none written; see sunwell lens."
)


def given_lens(chosen: Chosen) -> "EphemeralLens | None":
    """Return the lens in the file that was named; ``None`` if none was."""
    if chosen.get("lens_file") is None:
        return None
    from sunwell.agent.lens.lens_file import read_lens

    return read_lens(chosen["lens_file"])


def session_of(chosen: Chosen, options: "RunOptions") -> "SessionContext":
    """Return the session; a folder that is none and an empty task are refused."""
    from sunwell.context.session import SessionContext

    return SessionContext.build(chosen["workspace"], task_of(chosen), options)


def has_key() -> bool:
    """Whether the key, or the address, of a provider is there whose models are used if none is named."""
    return any(_is_set(prefix) for prefix, _, _ in _PAIRS)


def _is_set(prefix: str) -> bool:
    return any(os.environ.get(f"{prefix}_{part}", "").strip() for part in ("API_KEY", "BASE_URL"))


def default_pair(needs_key: bool) -> tuple[str, str]:
    """Return the smart and the cheap model of the provider whose key is there.

    Raises :exc:`~sunwell.errors.ConfigurationError` where no key is there and one is needed.
    """
    for prefix, smart, cheap in _PAIRS:
        if _is_set(prefix):
            return smart, cheap
    if needs_key:
        raise ConfigurationError(
            "no model is named and no key is there: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or name the "
            "models (--model, --smart-model, --delegation-model); sunwell demo needs neither"
        )
    return _PAIRS[0][1:]


@attrs.frozen
class Configured:
    """What holds for one command."""

    loaded: "Loaded"
    resolved: "Resolved"

    def agent(self) -> "Agent":
        """Return an agent with the configured models and prices."""
        from sunwell.agent.agent import Agent

        made = self.resolved
        return Agent(
            registry=made.registry,
            prices=made.prices,
            tool_plugins=made.tool_plugins,
            mcp_servers=made.mcp_servers.servers,
        )


def sources_of(chosen: Chosen) -> "Sources":
    """Return where settings are looked for."""
    from sunwell.config.sources import Sources

    config = chosen.get("config")
    return Sources(
        Path(chosen.get("workspace") or "."),
        None if config is None else Path(config),
        trust_config=bool(chosen.get("trust_config")),
    )


def configured(
    chosen: Chosen,
    *,
    needs_key: bool = True,
    delegates: bool = False,
    sources: "Sources | None" = None,
) -> Configured:
    """Return the settings for a command; what was typed goes before all else, switches included.

    Where no model is named anywhere, it is the smart one of the provider whose key is there, and its
    cheap one, too, if delegation is on, if a task may climb the ladder, or if *delegates* is true. Each file
    is read once. Raises
    :exc:`~sunwell.errors.ConfigurationError` for what is wrong, or not trusted.
    """
    from sunwell.config.resolution import resolve

    reading, options = (sources or sources_of(chosen)).read(), typed(chosen)
    loaded = reading.load(**options).require_trust()
    values = loaded.values
    if values.model.model is None and values.smart_model.model is None:
        smart, cheap = default_pair(needs_key)
        options["smart_model"] = smart
        wants_pair = values.run.enable_delegation or values.run.escalate or delegates
        if values.delegation_model.model is None and wants_pair:
            options["delegation_model"] = cheap
        loaded = reading.load(**options).require_trust()
    for warning in loaded.warnings:
        say(f"sunwell: {warning}", err=True)
    _tell_accepted(loaded)
    held = Configured(loaded, resolve(loaded.values))
    _tell_plugins(held)
    if chosen.get("plugins"):
        from sunwell.config.preflight import not_installed

        for sentence in not_installed(held.resolved):
            raise ConfigurationError(f"{sentence}: leave it out, or install its package")
    return held


def _tell_plugins(held: Configured) -> None:
    """Say which packages' code is about to be imported."""
    values = held.loaded.values
    if not (values.plugins or values.run.tool_names or held.resolved.names):
        return
    from sunwell.config.preflight import plugins_in_use

    if used := plugins_in_use(held.resolved, values):
        say(f"sunwell: plugins in use: {', '.join(used)}", err=True)


def _tell_accepted(loaded: "Loaded") -> None:
    """Say what a file may do that is trusted this once, before anything runs; --quiet does not hide it."""
    if not loaded.accepted:
        return
    from sunwell.cli.trust_commands import told
    from sunwell.config.powers import power_lines

    for line in told(power_lines(loaded.accepted)):
        say(f"sunwell: trusted this once, it {line}", err=True)


_ALSO_SETTINGS = ("sub_calls_enabled", "plugins", "verbose")
"""Options of commands that are settings, and not options of a run."""


def typed(chosen: Chosen) -> dict[str, Any]:
    """Return the settings that were typed on the command line."""
    names = (*_ALSO_SETTINGS, *option_specs())  # of two that say the same the last counts: --delegation-tools
    return {name: chosen[name] for name in names if chosen.get(name) not in (None, ())}


_CHECKS_AGAIN = ("checks", "check_timeout_seconds", "protect", "must_change", "answer_schema", "judge")
_AGAIN = (
    click.option(
        "--allow-checks",
        is_flag=True,
        help="Run the commands that the record names as checks; they are printed first.",
    ),
    click.option("--approve", is_flag=True, help="Ask before each write and command."),
)
_RESULTS_AGAIN = click.option(
    "--results",
    metavar="OUT.jsonl",
    help="The results file of a batch; needed again if it is not in the workspace.",
)


def again_options(function: F) -> F:
    """Add what a record cannot decide."""
    return _with(*_AGAIN, _RESULTS_AGAIN, _PLUGINS, settings_options("permissions", only=_CHECKS_AGAIN))(
        function
    )


def question_again_options(function: F) -> F:
    """Add what the record of a question about contexts cannot decide."""
    return _with(
        click.option(
            "-c",
            "--context",
            "contexts",
            multiple=True,
            metavar="FILE|DIR|GLOB|-",
            help="A context of the question again, if it is not in the workspace or was piped in.",
        ),
        click.option(
            "--confirm-above",
            type=DOLLARS,
            metavar="X",
            help="Ask before a step of the question whose calls may cost more than X US dollars.",
        ),
    )(function)


def next_options(function: F) -> F:
    """Add what the record of one task cannot decide; it has no results file."""
    return _with(*_AGAIN, _PLUGINS, settings_options("permissions", only=_CHECKS_AGAIN))(function)


def terms_of(
    chosen: Chosen,
    held: "Configured",
    recorded: "RunOptions",
    approve: "Approve | None",
    changed: dict[str, Any] | None = None,
) -> "CallerTerms":
    """Return what is given for a run with the options *recorded*; *changed* are typed options of its own."""
    from sunwell.agent.lifecycle.authority import CallerTerms, permissions

    settings, given = held.loaded.settings, dict(changed or {})
    run = held.loaded.values.run
    for name, permission in permissions().items():
        setting, was = settings.get(permission.path), getattr(recorded, name)
        # Typed, it holds. Only configured, it gives again what the run had, and adds nothing to it.
        if setting and (setting.origin.source == "option" or was == setting.value != permission.harmless):
            given[name] = setting.value
    for name in _CHECKS_AGAIN:
        if chosen.get(name) not in (None, ()):
            given[name] = getattr(run, name)
    if "context_sources" not in given:  # from [context.NAME]: what the run had, and no other
        had = recorded.context_source_texts
        again = held.resolved.options.context_sources
        kept = tuple(one for one in again if (one if isinstance(one, str) else one.name) in had)
        if kept:
            given["context_sources"] = kept
    if run.dry_run:
        given["dry_run"] = True
    if approve is not None:
        given["approve"] = approve
    if set(recorded.tools or ()) & set(run.tools or ()) >= _foreign(recorded):
        given["tools"] = recorded.tools
    own_models = {*held.resolved.names.values(), *held.loaded.values.models}
    for role in MODEL_ROLES:
        if getattr(recorded, role) in own_models:
            given.setdefault(role, getattr(recorded, role))
    return CallerTerms(
        given=given,
        budget=ceilings_of(held, typed=True),
        ceilings=ceilings_of(held, typed=False),
        results=None if chosen.get("results") is None else Path(chosen["results"]),
        accept_changes=chosen["accept_changes"],
        allow_checks=chosen["allow_checks"],
    )


def checks_line(settings: Mapping[str, Any], terms: "CallerTerms") -> str:
    """Return the line that names the commands which the record of a run may run; empty if it may not."""
    from sunwell.agent.lifecycle.run_settings import batch_in, options_from
    from sunwell.core.markdown import one_line

    if not terms.allow_checks:
        return ""
    batch = batch_in(settings)
    named = () if "checks" in terms.given else options_from(settings).check_commands
    found = dict.fromkeys(map(one_line, (*named, *(() if batch is None else batch.checks))))
    return f"checks of the record: {'; '.join(found)}" if found else ""


def ceilings_line(ceilings: "tuple[Ceiling, ...]", held: "Configured") -> str:
    """Return the line that says which ceilings hold and where each comes from."""
    from sunwell.report.figures import dollars

    told = []
    for ceiling in ceilings:
        if ceiling.value is None:
            continue
        amount = dollars(ceiling.value) if ceiling.kind == "usd" else f"{ceiling.value:,} {ceiling.kind}"
        told.append(f"{amount} ({_source(ceiling, held)})")
    return f"ceilings: {', '.join(told) or 'none'}"


def _source(ceiling: "Ceiling", held: "Configured") -> str:
    if ceiling.source == "named":
        return f"--budget-{ceiling.kind}"
    if ceiling.source == "usual":
        return str(held.loaded.settings["budget", ceiling.kind].origin)
    return "the run's record"


def _foreign(recorded: "RunOptions") -> set[str]:
    from sunwell.agent.lifecycle.equipment import taken_names

    return set(recorded.tool_names or ()) - taken_names()
