"""What a caller may choose for a run: the one schema of all options.

Command line, configuration files, environment variables, the recorded form and the reference page are made
from :class:`RunOptions`. Public in ``sunwell.agent.request``, where RFC-137 puts it.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache, partial
from os import PathLike, fspath
from typing import Any, Literal, Self

import attrs

from sunwell.context.kinds import Count, Lines, Natural, Seconds, Share, Text, allowed, read_value
from sunwell.core.check import Check
from sunwell.core.context_source import ContextSource, ContextSourceMaker
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import Effort, ModelProtocol, ToolSpec
from sunwell.core.price import OutputEstimate
from sunwell.core.task import Budget
from sunwell.core.tool import Proposal, Sandbox, Tool
from sunwell.errors import ConfigurationError, ToolError

DelegationTools = Literal["delegate", "rlm", "subagent"]
"""Which tools a model hands work out with. ``delegate``: start, stream, await, inspect; ``rlm``: ask and
wait for the answer, one question or several; ``subagent``: one question."""
Decide = Literal["words", "classifier", "outcomes"]
"""What decides which way a task is done. ``words``: the words and numbers of the task. ``classifier``: what
the delegation model says when it is asked about the task. ``outcomes``: how checked work of earlier runs
went, once enough is known of it."""
OnLensFailure = Literal["direct", "generic", "fail"]
Fallback = Literal["fail", "parent"]
CacheChoice = Literal["at-once", "after-first", "pre-warm", "after-first-1h", "uncached", "padded"]
"""How siblings that share a prefix are started. ``at-once``: all start, each may write the cache.
``after-first``: the rest starts once the first answer has begun. ``pre-warm``: one small call writes the
cache first. ``after-first-1h``: like ``after-first``, with an entry that lives an hour. ``uncached``: no
entry. ``padded``: like ``after-first``, with the prefix lengthened to the minimum that a cache keeps."""
ModelReference = ModelProtocol | str
Approve = Callable[[Proposal], bool | Awaitable[bool]]
ToolChoice = str | Tool | ToolSpec | Callable[..., Any]
"""The name of an existing tool, a function or tool of the caller's to be added, or the description of a tool
that the caller's own executor carries out."""

SECTIONS = {
    "models": "Models",
    "delegation": "Delegation",
    "work": "Work",
    "permissions": "Permissions",
    "checks": "Checks",
    "budget": "Budget",
    "workers": "Workers",
    "orchestrator": "Orchestrator",
    "sub_calls": "Sub-calls",
    "explore": "Questions about a long context",
    "scratchpad": "Scratchpad",
}
"""The sections of the reference and of the command line's help, with their titles."""
TABLES = frozenset({"budget", "workers", "orchestrator", "sub_calls", "explore", "scratchpad"})
"""The sections that are tables of a configuration file; options of the others are keys at its top."""

ContextChoice = ContextSource | ContextSourceMaker | str
"""A source of context, what makes one for each run, or a folder: ``NAME=FOLDER``."""

Untrusted = Literal["nothing", "lower", "ceiling", "subset", "superset", "only"]
"""What a file or a record that nobody has trusted may do with an option: not set it, lower it, set a ceiling
or lower it, name a part of it, add patterns to it that take nothing back, or set the one harmless value."""


@attrs.frozen(kw_only=True)
class OptionSpec:
    """All that there is to know of one option besides its value. Everything else is made from this."""

    section: str
    help: str
    """One sentence for the command line and the reference."""
    key: str = ""
    """Name in the section's table of a configuration file; empty: the option's own name."""
    metavar: str = ""
    otherwise: str = ""
    """What holds if the option is not set, in words; empty: the default itself."""
    untrusted: Untrusted = "nothing"
    harmless: Any = None
    """The value that ``only`` allows."""
    typed: str = ""
    """Its name on the command line if that is not ``name``: an option that is repeated is in the singular."""
    is_permission: bool = False
    """Whether a resumed run must be given the option again: its record alone grants only ``harmless``."""
    name: str = ""
    """Its one name in Python, in files and, with a prefix, in the environment."""
    kind: Any = None
    default: Any = None

    @property
    def is_open(self) -> bool:
        """Whether a switch that is not set is neither on nor off: other settings decide then."""
        return self.kind is bool and bool(self.otherwise)

    @property
    def switch(self) -> str:
        """How the command line spells it."""
        return f"--{(self.typed or self.name).replace('_', '-')}"

    @property
    def path(self) -> tuple[str, ...]:
        """Its place in a configuration file."""
        return (self.section, self.key or self.name) if self.section in TABLES else (self.name,)


def _option(
    section: str,
    sentence: str,
    *,
    key: str = "",
    metavar: str = "",
    otherwise: str = "",
    untrusted: Untrusted = "nothing",
    harmless: Any = None,
    typed: str = "",
    is_permission: bool = False,
    read: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    spec = OptionSpec(
        section=section,
        help=sentence,
        key=key,
        metavar=metavar,
        otherwise=otherwise,
        untrusted=untrusted,
        harmless=harmless,
        typed=typed,
        is_permission=is_permission,
    )
    return {"option": spec} if read is None else {"option": spec, "read": read}


def _checked(_: type, fields: "list[attrs.Attribute[Any]]") -> "list[attrs.Attribute[Any]]":
    """Give each option a converter that reads its value as its kind, or refuses it in one sentence."""
    return [
        field
        if field.converter is not None
        else field.evolve(
            converter=field.metadata.get("read") or partial(_read, field.name, field.type, field.default)
        )
        for field in fields
    ]


def _read(name: str, kind: Any, default: Any, value: Any) -> Any:
    if value is default:  # most options of a run are
        return value
    if value is None and type(None) in getattr(kind, "__args__", ()):
        return None
    try:
        return read_value(value, kind)
    except ValueError:
        raise ConfigurationError(f"{name} cannot be {value!r}: it must be {allowed(kind)}") from None


def _model(role: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None or (isinstance(value, str) and value.strip()) or isinstance(value, ModelProtocol):
            return value
        raise ConfigurationError(f"{role} cannot be {value!r}: it must be a model or the name of one")

    return read


def _budget(value: Any) -> Budget:
    if not isinstance(value, Budget):
        raise ConfigurationError(f'budget cannot be {value!r}: it must be a Budget, as in Budget(usd="0.50")')
    return value


def _callable(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} cannot be {value!r}: it must be a function")
    return value


def _checks(value: Any) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"checks cannot be {value!r}: it must be a list of commands and functions")
    checks = tuple(value)
    for check in checks:
        if not callable(check) and not (isinstance(check, str) and check.strip()):
            raise ConfigurationError(
                f"checks cannot contain {check!r}: each is a command or an asynchronous function"
            )
    return checks


def _answer_schema(value: Any) -> str | None:
    if isinstance(value, Mapping):
        import json

        try:
            return json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"answer_schema is not JSON: {error}") from None
    if value is None or (isinstance(value, str | PathLike) and str(fspath(value)).strip()):
        return None if value is None else str(fspath(value))
    raise ConfigurationError(
        f"answer_schema cannot be {value!r}: it must be a JSON schema or a file with one"
    )


def _rubric(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise ConfigurationError(f"judge cannot be {value!r}: say in words what the work must fulfil")


def _lens(value: Any) -> EphemeralLens | None:
    if value is None or isinstance(value, EphemeralLens):
        if value is not None and value.is_empty:
            raise ConfigurationError("lens contains no guidance: give at least one rule")
        return value
    raise ConfigurationError(
        f"lens cannot be {value!r}: it must be an EphemeralLens (sunwell.read_lens reads one from a file)"
    )


def _runs(value: Any) -> tuple[str, ...]:
    return tuple(_read("earlier_runs", tuple[Text, ...], (), value))


def read_globs(option: str, value: Any) -> tuple[str, ...]:
    """Return the globs in *value*. Raises :exc:`~sunwell.errors.ConfigurationError` for one that is none."""
    globs: tuple[str, ...] = _read(option, tuple[Text, ...], (), value)
    if not globs:
        return ()
    from sunwell.tools.file_glob import FileGlob  # the room of tools loads on first use

    for glob in globs:
        try:
            FileGlob.of(glob)
        except ToolError as error:
            raise ConfigurationError(f"{option}: {error.sentence}") from None
    return globs


def _protected(value: Any) -> tuple[str, ...]:
    return read_globs("protect", value)


def _must_change(value: Any) -> tuple[str, ...]:
    return read_globs("must_change", value)


def _allow_write(value: Any) -> tuple[str, ...]:
    return read_globs("allow_write", value)


def _ignore(value: Any) -> tuple[str, ...]:
    patterns: tuple[str, ...] = _read("ignore", tuple[Text, ...], (), value)
    if patterns:
        from sunwell.tools.hidden_files import HiddenFiles  # the room of tools loads on first use

        HiddenFiles.of(patterns)
    return patterns


_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def source_name(source: ContextChoice) -> str:
    """Return what *source* of the option is called.

    A text is ``NAME=FOLDER``, or a folder alone, which gives a name with ``-`` for what no name has.
    """
    if not isinstance(source, str):
        return source.name
    named, _, _ = source.partition("=")
    if "=" in source:
        return named
    return re.sub(r"[^A-Za-z0-9_]+", "-", source.rstrip("/").rpartition("/")[2]).strip("-_")[:32] or "folder"


def source_folder(source: str) -> str:
    """Return the folder that the text *source* of the option names."""
    return source.partition("=")[2] or source


def _context_sources(value: Any) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"context_sources cannot be {value!r}: it must be a list such as docs=docs")
    sources = tuple(value)
    for source in sources:
        if not isinstance(source, str | ContextSource | ContextSourceMaker) or not _SOURCE_NAME.fullmatch(
            source_name(source)
        ):
            raise ConfigurationError(
                f"context_sources cannot contain {source!r}: each is NAME=FOLDER or a ContextSource, and a "
                "name has up to 32 letters, digits, - and _"
            )
    names = [source_name(source) for source in sources]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f"two context sources are called {twice!r}: give one another name")
    return sources


def _tools(value: Iterable[ToolChoice] | None) -> tuple[str | Tool, ...] | None:
    if value is None:
        return None
    from sunwell.tools.function_tool import as_tool, require_distinct  # the room of tools loads on first use

    if isinstance(value, str) or not isinstance(value, Iterable):  # tuple("abc") would be ("a", "b", "c")
        raise ConfigurationError(f"tools cannot be {value!r}: it must be a list of names and functions")
    tools = tuple(one if isinstance(one, str) else as_tool(one) for one in value)
    require_distinct(one.spec.name for one in tools if not isinstance(one, str))
    return tools


@attrs.frozen
class SubCallLimits:
    """Ceilings of all sub-calls that ``rlm`` tools make in a run; ``None`` is no ceiling."""

    max_depth: int = 3
    """Limit of the nesting, whatever ``RunOptions.max_depth`` allows."""
    max_sub_calls_per_turn: int = 5
    max_total_tokens: int | None = 50_000
    """Output and new input of all of them together; input that is read again does not count again."""
    max_cost_per_session: Decimal | None = Decimal("1.0")
    """US dollars of all of them together."""
    budget_inheritance: float = 0.5
    """Largest share of the parent's remaining budget that one sub-call may take, in dollars and in tokens."""


_CEILINGS: Mapping[str, OptionSpec] = {
    "usd": OptionSpec(
        section="budget", kind=Decimal | None, metavar="X", untrusted="ceiling",
        help="Spending cap in US dollars.",
    ),
    "tokens": OptionSpec(
        section="budget", kind=Natural | None, metavar="N", untrusted="ceiling",
        help="Token cap: input and output of all calls together.",
    ),
    "calls": OptionSpec(
        section="budget", kind=Natural | None, metavar="N", untrusted="ceiling",
        help="Maximum number of model calls.",
    ),
    "turns": OptionSpec(
        section="budget", kind=Natural | None, metavar="N", untrusted="ceiling",
        help="Maximum number of turns.", otherwise="50 for each piece of work",
    ),
    "seconds": OptionSpec(
        section="budget", kind=Seconds | None, metavar="S", untrusted="ceiling",
        help="Maximum wall time; waiting for your approval does not count.",
    ),
}  # fmt: skip
"""The parts of ``budget``, each an option of its own outside of Python: ``budget_usd``, and so on."""


@cache
def _names_of(cls: type) -> frozenset[str]:
    return frozenset(attrs.fields_dict(cls))


@attrs.frozen(field_transformer=_checked)
class RunOptions:
    """Options for one run; the first four are RFC-137's.

    Each value is checked when it is set. Raises :exc:`~sunwell.errors.ConfigurationError` in one sentence,
    also for an option that does not exist. ``docs/configuration.md`` lists all options with their defaults.
    """

    def __new__(cls, *_: Any, **given: Any) -> Self:
        """Refuse an unknown option with a suggestion; Python's own TypeError has none."""
        known: frozenset[str] = _names_of(cls)  # type: ignore[arg-type]
        for name in given:
            if name not in known:
                raise ConfigurationError(f"RunOptions has no option {name!r}; {suggested_option(name)}")
        return object.__new__(cls)

    enable_delegation: bool = attrs.field(
        default=False,
        metadata=_option(
            "delegation",
            "Let the policy hand the task to a cheaper model under a lens.",
            otherwise="on the command line and in files, on if delegation_model is set; in Python off",
        ),
    )
    delegation_threshold_tokens: Natural = attrs.field(
        default=2000,
        metadata=_option(
            "delegation", "Do not delegate if the expected output has at most N tokens.", metavar="N"
        ),
    )
    decide: Decide = attrs.field(
        default="words",
        kw_only=True,  # what may be given by position is older
        metadata=_option(
            "delegation",
            "What decides whether to delegate: words of the task, a classifier (one cheap call), or outcomes "
            "of earlier checked work.",
        ),
    )
    smart_model: ModelReference | None = attrs.field(
        default=None,
        metadata=_option(
            "models",
            "Model that writes the lens.",
            metavar="M",
            otherwise="model",
            read=_model("smart_model"),
        ),
    )
    delegation_model: ModelReference | None = attrs.field(
        default=None,
        metadata=_option(
            "models",
            "Model used by workers, with the lens in its prompt.",
            metavar="M",
            otherwise="model",
            read=_model("delegation_model"),
        ),
    )
    model: ModelReference | None = attrs.field(
        default=None,
        metadata=_option(
            "models",
            "Main model: it works if delegation is off, or if there is no lens.",
            metavar="M",
            otherwise="smart_model, else opus",
            read=_model("model"),
        ),
    )
    budget: Budget = attrs.field(default=Budget(), metadata={"read": _budget})
    """Ceilings of the whole run."""
    system_prompt: str | None = attrs.field(
        default=None,
        metadata=_option(
            "work",
            "Your instructions; they come before those of Sunwell and before the lens.",
            metavar="TEXT",
        ),
    )
    work_prompt: str | None = attrs.field(
        default=None,
        metadata=_option(
            "work",
            "Instructions on how to work, in place of Sunwell's own; an empty text: none.",
            metavar="TEXT",
            otherwise="Sunwell's own",
        ),
    )
    workspace_advice: bool = attrs.field(
        default=True,
        metadata=_option(
            "work",
            "Show models AGENTS.md and CLAUDE.md of the workspace, as advice on its code.",
            untrusted="only",
            harmless=False,
        ),
    )
    ignore: tuple[Text, ...] = attrs.field(
        default=(),
        converter=_ignore,
        metadata=_option(
            "work",
            "Files that models are not shown and tools do not open, as in a .gitignore: 'data/', '*.csv'.",
            metavar="PATTERN",
            otherwise="none",
            untrusted="superset",
        ),
    )
    """It takes nothing back that an ignore file hides. Commands see these files."""
    tools: tuple[str | Tool, ...] | None = attrs.field(
        default=None,
        converter=_tools,
        metadata=_option(
            "work",
            "Names of the tools that may be used, those of plugins included.",
            metavar="NAME",
            otherwise="all of the workspace",
            untrusted="subset",
        ),
    )
    """Names choose among the existing tools; ``None``: all, ``()``: none. Functions and tools of the
    caller's are added to the chosen ones; if no name is among them, all others stay."""
    max_output_tokens: Count | None = attrs.field(
        default=None,
        metadata=_option(
            "work",
            "Maximum tokens of one answer, thinking included. A limit set for a model holds for that model.",
            metavar="N",
            otherwise="8192",
            untrusted="lower",
        ),
    )
    effort: Effort | None = attrs.field(
        default=None,
        metadata=_option(
            "work", "Effort of the main model and of the smart model.", otherwise="the provider's default"
        ),
    )
    on_lens_failure: OnLensFailure = attrs.field(
        default="direct",
        metadata=_option(
            "delegation",
            "If there is no usable lens: work without delegation, use a generic lens, or fail.",
            untrusted="only",
            harmless="fail",
        ),
    )
    max_lens_tokens: Count = attrs.field(
        default=1500,
        metadata=_option(
            "delegation",
            "Maximum tokens of a lens; the smart model is told, and a longer lens is shortened.",
            metavar="N",
            untrusted="lower",
        ),
    )
    scout: bool = attrs.field(
        default=True,
        metadata=_option(
            "delegation",
            "Let the smart model read and search before it writes a lens, if what it is shown is not enough.",
            untrusted="only",
            harmless=False,
        ),
    )
    scout_turns: Count = attrs.field(
        default=3,
        metadata=_option(
            "delegation",
            "Maximum number of turns in which the smart model looks before it writes the lens.",
            metavar="N",
            untrusted="lower",
        ),
    )
    allow_shell: bool = attrs.field(
        default=False,
        metadata=_option(
            "permissions",
            "Let the model run commands in the workspace.",
            untrusted="only",
            harmless=False,
            is_permission=True,
        ),
    )
    sandbox: Sandbox = attrs.field(
        default="required",
        metadata=_option(
            "permissions",
            "Run commands in a sandbox or not at all, or with all rights of your account.",
            untrusted="only",
            harmless="required",
            is_permission=True,
        ),
    )
    allow_network: bool = attrs.field(
        default=False,
        metadata=_option(
            "permissions",
            "Let commands in the sandbox use the network, with the services of this machine.",
            untrusted="only",
            harmless=False,
            is_permission=True,
        ),
    )
    allow_python: bool = attrs.field(
        default=False,
        metadata=_option(
            "permissions",
            "Let the model run Python in a sandbox (needs sunwell[python]).",
            untrusted="only",
            harmless=False,
            is_permission=True,
        ),
    )
    allow_write: tuple[Text, ...] = attrs.field(
        default=(),
        converter=_allow_write,
        metadata=_option(
            "permissions",
            "Files that may be written without asking although other programs run them, such as .envrc.",
            metavar="GLOB",
            otherwise="none",
            harmless=(),
            is_permission=True,
        ),
    )
    context_sources: tuple[ContextChoice, ...] = attrs.field(
        default=(),
        converter=_context_sources,
        metadata=_option(
            "permissions",
            "A folder in which models may look things up, as NAME=FOLDER.",
            metavar="NAME=FOLDER",
            otherwise="none",
            typed="context_source",
            harmless=(),
            is_permission=True,
        ),
    )
    """Each is such a text, any :class:`~sunwell.core.context_source.ContextSource`, or a
    :class:`~sunwell.core.context_source.ContextSourceMaker`."""
    approve: Approve | None = attrs.field(default=None, metadata={"read": partial(_callable, "approve")})
    """Asked before each write and command; ``None``: nobody is asked."""
    dry_run: bool = attrs.field(
        default=False,
        metadata=_option("permissions", "Show changes without making them.", untrusted="only", harmless=True),
    )
    max_concurrent: Count = attrs.field(
        default=4,
        metadata=_option(
            "workers",
            "Maximum number of workers that run at the same time, in the whole run.",
            metavar="N",
            untrusted="lower",
        ),
    )
    worker_timeout_seconds: Seconds | None = attrs.field(
        default=300.0,
        metadata=_option(
            "workers",
            "Maximum wall time of a worker whose task sets none.",
            key="timeout_seconds",
            metavar="S",
            untrusted="lower",
        ),
    )
    max_depth: Natural = attrs.field(
        default=1,
        metadata=_option(
            "workers", "Maximum depth of workers below the main model.", metavar="N", untrusted="lower"
        ),
    )
    worker_share: Share = attrs.field(
        default=0.5,
        metadata=_option(
            "workers",
            "Largest share of the remaining budget for one worker that a model starts alone.",
            key="share",
            metavar="X",
            untrusted="lower",
        ),
    )
    fail_fast: bool = attrs.field(
        default=False,
        metadata=_option("workers", "Stop the other workers of a batch if one fails."),
    )
    orchestrate: bool = attrs.field(
        default=False,
        metadata=_option(
            "orchestrator",
            "Have the smart model hand all work to workers; it has no other tools.",
            key="enabled",
            otherwise="on if an orchestrator's model is set",
        ),
    )
    delegation_tools: DelegationTools | None = attrs.field(
        default=None,
        metadata=_option(
            "delegation",
            "Tools with which the working model may start workers.",
            otherwise="none, or delegate for an orchestrator",
            untrusted="only",
        ),
    )
    orchestrator_max_turns: Count = attrs.field(
        default=20,
        metadata=_option(
            "orchestrator",
            "Maximum number of the orchestrator's own turns.",
            key="max_turns",
            metavar="N",
            untrusted="lower",
        ),
    )
    orchestrator_max_seconds: Seconds = attrs.field(
        default=1800.0,
        metadata=_option(
            "orchestrator",
            "Maximum wall time of an orchestrated run if the budget sets none.",
            key="max_seconds",
            metavar="S",
            untrusted="lower",
        ),
    )
    orchestrator_confidence_threshold: Share = attrs.field(
        default=0.9,
        metadata=_option(
            "orchestrator",
            "Confidence from which on a draft without `ready` is asked about, once.",
            key="confidence_threshold",
            metavar="X",
        ),
    )
    earlier_runs: tuple[Text, ...] = attrs.field(
        default=(),
        converter=_runs,
        metadata=_option(
            "scratchpad",
            "Runs of this workspace whose scratchpads may be read.",
            metavar="RUN",
            otherwise="none",
        ),
    )
    sub_calls_max_depth: Natural = attrs.field(
        default=3,
        metadata=_option(
            "sub_calls",
            "Maximum depth of sub-calls; max_depth also holds.",
            key="max_depth",
            metavar="N",
            untrusted="lower",
        ),
    )
    sub_calls_max_per_turn: Count = attrs.field(
        default=5,
        metadata=_option(
            "sub_calls",
            "Maximum number of sub-calls in one turn.",
            key="max_per_turn",
            metavar="N",
            untrusted="lower",
        ),
    )
    sub_calls_max_total_tokens: Natural | None = attrs.field(
        default=50_000,
        metadata=_option(
            "sub_calls",
            "Token cap of all sub-calls together: output and new input; what is read again does not count.",
            key="max_total_tokens",
            metavar="N",
            untrusted="lower",
        ),
    )
    sub_calls_max_cost_per_session: Decimal | None = attrs.field(
        default=Decimal("1.0"),
        metadata=_option(
            "sub_calls",
            "Spending cap of all sub-calls together, in US dollars.",
            key="max_cost_per_session",
            metavar="X",
            untrusted="lower",
        ),
    )
    sub_calls_budget_inheritance: Share = attrs.field(
        default=0.5,
        metadata=_option(
            "sub_calls",
            "Largest share of the parent's remaining budget for one sub-call.",
            key="budget_inheritance",
            metavar="X",
            untrusted="lower",
        ),
    )
    auto_context: bool = attrs.field(
        default=False,
        metadata=_option(
            "sub_calls",
            "Show each sub-call that names no context_query what the context sources find for its question.",
            untrusted="only",
            harmless=False,
        ),
    )
    max_explore: Count = attrs.field(
        default=20,
        metadata=_option(
            "explore",
            "Maximum number of steps that look into a long context without asking about it.",
            key="max_steps",
            metavar="N",
            untrusted="lower",
        ),
    )
    max_commit_cycles: Count = attrs.field(
        default=5,
        metadata=_option(
            "explore",
            "Maximum number of scripts that ask a model about parts of a long context.",
            metavar="N",
            untrusted="lower",
        ),
    )
    answer_memory: bool = attrs.field(
        default=True,
        metadata=_option(
            "explore",
            "Take answers about parts of a long context from earlier runs, for nothing, and keep new ones.",
            untrusted="only",
            harmless=False,
        ),
    )
    cache_dir: Text | None = attrs.field(
        default=None,
        metadata=_option(
            "work",
            "Folder in which answers about long contexts are kept for later runs.",
            metavar="DIR",
            otherwise="the user's cache folder for Sunwell",
        ),
    )
    scratchpad_max_entries: Count = attrs.field(
        default=1000,
        metadata=_option(
            "scratchpad",
            "Maximum number of entries of the scratchpad.",
            key="max_entries",
            metavar="N",
            untrusted="lower",
        ),
    )
    scratchpad_persist_decisions: bool = attrs.field(
        default=True,
        metadata=_option(
            "scratchpad",
            "Keep what the orchestrator decided in the scratchpad.",
            key="persist_decisions",
        ),
    )
    split: bool = attrs.field(
        default=False,
        metadata=_option(
            "delegation", "Let the smart model split a delegated task into items, one worker each."
        ),
    )
    lens_store: bool = attrs.field(
        default=True,
        metadata=_option(
            "delegation",
            "Take a lens that an earlier run wrote for the same task and the same files, and keep new ones.",
            untrusted="only",
            harmless=False,
        ),
    )
    fallback: Fallback = attrs.field(
        default="fail",
        metadata=_option(
            "delegation",
            "If the delegation model cannot be used: fail before spending, or use the main model.",
            untrusted="only",
            harmless="fail",
        ),
    )
    cache_choice: CacheChoice | None = attrs.field(
        default=None,
        metadata=_option(
            "workers",
            "How workers with a common prompt are started, for the provider's cache.",
            otherwise="the cheapest way",
        ),
    )
    pad_prefix: bool = attrs.field(
        default=False,
        metadata=_option(
            "workers", "Allow lengthening a common prompt, with its own text, to what a cache keeps."
        ),
    )
    lens_gate: bool = attrs.field(
        default=True,
        metadata=_option(
            "workers",
            "Run items of a large checked batch with and without its lens, and withhold one that harms.",
        ),
    )
    """For batches of at least 40 checked items that write no files; at most 20 extra runs of the cheap
    model."""
    estimator: Callable[[str], int | OutputEstimate] | None = attrs.field(
        default=None, metadata={"read": partial(_callable, "estimator")}
    )
    """Returns the expected output of a task in tokens, as a number or as an
    :class:`~sunwell.core.price.OutputEstimate`; ``None``: :func:`~sunwell.agent.policy.estimator.\
estimate_output`."""
    checks: tuple[Check | str, ...] = attrs.field(
        default=(),
        converter=_checks,
        metadata=_option(
            "checks",
            "A command that says whether the work is right: its exit code must be 0.",
            metavar="COMMAND",
            otherwise="none",
            typed="check",
            harmless=(),
            is_permission=True,
        ),
    )
    """Each is a command, or any :class:`~sunwell.core.check.Check`."""
    check_timeout_seconds: Seconds = attrs.field(
        default=300.0,
        metadata=_option(
            "checks",
            "Maximum wall time of each check command; one that has not ended by then has failed.",
            metavar="S",
            typed="check_timeout",
        ),
    )
    protect: tuple[Text, ...] = attrs.field(
        default=(),
        converter=_protected,
        metadata=_option(
            "checks", "Files that must not be changed, created or deleted.", metavar="GLOB", otherwise="none"
        ),
    )
    must_change: tuple[Text, ...] = attrs.field(
        default=(),
        converter=_must_change,
        metadata=_option(
            "checks",
            "Files of which at least one must be changed or created.",
            metavar="GLOB",
            otherwise="none",
        ),
    )
    escalate: bool = attrs.field(
        default=False,
        metadata=_option(
            "checks",
            "Begin with the cheap model, and go up to dearer ways only if a check fails.",
        ),
    )
    ladder: tuple[Text, ...] | None = attrs.field(
        default=None,
        metadata=_option(
            "checks",
            "Rungs that may be climbed: cheap, cheap_again, lens, second, smart.",
            metavar="RUNG",
            otherwise="all for which there is a model",
        ),
    )
    second_model: ModelReference | None = attrs.field(
        default=None,
        metadata=_option(
            "models",
            "Model of another family, which tries before the smart model does.",
            metavar="M",
            otherwise="none",
            read=_model("second_model"),
        ),
    )
    answer_schema: str | None = attrs.field(
        default=None,
        metadata=_option(
            "checks",
            "A file with the JSON schema that the answer must fit (needs sunwell[schema]).",
            metavar="FILE",
            otherwise="none",
            read=_answer_schema,
        ),
    )
    """A path, or the schema itself, as a dict or as JSON text. A file is read when the run begins."""
    judge: str | None = attrs.field(
        default=None,
        metadata=_option(
            "checks",
            "A rubric by which another model than the worker judges the result.",
            metavar="RUBRIC",
            otherwise="none",
            read=_rubric,
        ),
    )
    judge_model: ModelReference | None = attrs.field(
        default=None,
        metadata=_option(
            "models",
            "Model that judges by the rubric.",
            metavar="M",
            otherwise="the first of smart_model, second_model and model that did not do the work",
            read=_model("judge_model"),
        ),
    )
    worth_usd: Decimal | None = attrs.field(
        default=None,
        metadata=_option(
            "checks",
            "What a solved task is worth: a rung that is dearer, for its chance, is not climbed.",
            metavar="X",
            otherwise="ten times what the smart model alone is expected to cost",
            untrusted="lower",
        ),
    )
    passes_wrong: Share = attrs.field(
        default=0.0,
        metadata=_option(
            "checks",
            "Share of wrong results that the checks are known to pass; the ladder then begins with the smart "
            "model where cheap wrong work would stand.",
            metavar="SHARE",
        ),
    )
    fresh: bool = attrs.field(
        default=False,
        metadata=_option("checks", "Restore the files before each rung that begins a new conversation."),
    )
    stream: bool = attrs.field(
        default=False,
        metadata=_option("work", "Stream the answers, with ModelTextArrived events."),
    )
    lens: EphemeralLens | None = attrs.field(default=None, metadata={"read": _lens})
    """An existing lens. All work is done under it, by the delegation model if one is named; none is written
    and none is paid. ``None``: one is written if the task is delegated."""

    @property
    def own_tools(self) -> tuple[Tool, ...]:
        """The caller's own tools among ``tools``."""
        return tuple(one for one in self.tools or () if not isinstance(one, str))

    @property
    def tool_names(self) -> tuple[str, ...] | None:
        """The names of the tools that may be used, the caller's own among them; ``None``: all."""
        if self.tools is None or (self.tools and not any(isinstance(one, str) for one in self.tools)):
            return None
        names = (one if isinstance(one, str) else one.spec.name for one in self.tools)
        return tuple(dict.fromkeys(names))

    @property
    def has_checks(self) -> bool:
        """Whether anything says if a result of the run stands."""
        return bool(
            self.checks or self.protect or self.must_change or self.answer_schema or self.judge is not None
        )

    @property
    def check_commands(self) -> tuple[str, ...]:
        """The commands among ``checks``."""
        return tuple(one for one in self.checks if isinstance(one, str))

    @property
    def context_source_texts(self) -> tuple[str, ...]:
        """The sources of context as a record has them: of the caller's own objects their names alone."""
        return tuple(one if isinstance(one, str) else one.name for one in self.context_sources)

    @property
    def sub_call_limits(self) -> SubCallLimits:
        """The ceilings of sub-calls as one value."""
        return SubCallLimits(
            self.sub_calls_max_depth,
            self.sub_calls_max_per_turn,
            self.sub_calls_max_total_tokens,
            self.sub_calls_max_cost_per_session,
            self.sub_calls_budget_inheritance,
        )


def suggested_option(name: str, also: Iterable[str] = ()) -> str:
    """Return what to write in place of *name*, which is not an option, as the end of a sentence.

    *also* are other names that are known where it was written.
    """
    from sunwell.context.spellings import meant_setting  # it is made from the options

    path = meant_setting(name)
    known = [field.name for field in attrs.fields(RunOptions)]
    if path is not None and path[0] == "budget":
        return f"did you mean budget=Budget({path[1]}=...)?"
    spec = next((spec for spec in option_specs().values() if spec.path == path), None)
    if spec is not None:
        return f"did you mean {spec.name}?"
    from difflib import get_close_matches

    near = get_close_matches(name[:100], (*known, *also), 3, 0.7)
    return f"did you mean {' or '.join(near)}?" if near else "docs/configuration.md lists all options"


MODEL_ROLES = ("model", "smart_model", "delegation_model", "second_model", "judge_model")
"""The options that name a model."""


_BY_LINES = ("checks", "protect", "must_change", "allow_write", "ignore", "context_sources")
"""Lists whose parts may have commas in them."""


@cache
def option_specs() -> Mapping[str, OptionSpec]:
    """Return the spec of each option by its name; ``approve``, ``estimator`` and ``lens`` have none."""
    specs: dict[str, OptionSpec] = {}
    for field in attrs.fields(RunOptions):
        if field.name == "budget":
            for key, ceiling in _CEILINGS.items():
                name = f"budget_{key}"
                specs[name] = attrs.evolve(ceiling, name=name, key=key)
        elif "option" in field.metadata:
            kind = Text | None if field.name in MODEL_ROLES else field.type
            kind = tuple[Text, ...] | None if field.name == "tools" else kind
            kind = Lines if field.name in _BY_LINES else kind
            kind = Text | None if field.name in ("answer_schema", "judge") else kind
            spec: OptionSpec = field.metadata["option"]
            specs[field.name] = attrs.evolve(spec, name=field.name, kind=kind, default=field.default)
    return specs
