"""``sunwell completion``: shows, installs and removes the script that completes command lines in a shell."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from sunwell.cli.completion import VARIABLE
from sunwell.cli.output import say
from sunwell.cli.shared_options import StrictCommand
from sunwell.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

_SHELLS = ("bash", "zsh", "fish")
_MARK = "# added by: sunwell completion install"
_MODELS = ("model", "smart_model", "delegation_model", "second_model", "judge_model")
_FILES = ("FILE", "FILE|DIR|GLOB|-", "[FILE]", "JOURNAL", "LENS.json", "OUT.jsonl", "TASKS.jsonl")


def _shell_option(function: F) -> F:
    return click.option(
        "--shell", type=click.Choice(_SHELLS), help="The shell. Default: the one that SHELL names."
    )(function)


@click.group()
def completion() -> None:
    """Complete commands, options, models and runs in bash, zsh and fish."""


@completion.command("install", cls=StrictCommand)
@_shell_option
def install(shell: str | None) -> None:
    """Have the shell complete command lines of sunwell, and print what is written and where.

    The script goes into a file of its own; bash and zsh get one line in .bashrc or .zshrc that reads it. bash
    must be 4.4 or later.
    """
    from sunwell.cli.completion import known_words

    chosen = _chosen(shell)
    known_words()  # so that the first answer is as fast as the others
    script, place = script_of(chosen), _ScriptPlace.of(chosen)
    told = [f"written  {place.file}"]
    try:
        place.file.parent.mkdir(parents=True, exist_ok=True)
        place.file.write_text(script, "utf-8")
        if place.startup is not None and place.line not in _lines(place.startup):
            text = _text(place.startup)
            gap = "" if not text or text.endswith("\n") else "\n"
            with place.startup.open("a", encoding="utf-8") as opened:
                opened.write(f"{gap}{place.line}\n")
            told += [f"added to {place.startup}:", f"         {place.line}"]
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from None
    for line in told:
        say(line)
    say("next     open a new shell, type sunwell and press the tab key")


@completion.command("show", cls=StrictCommand)
@_shell_option
def show_script(shell: str | None) -> None:
    """Print the script and write nothing."""
    for line in script_of(_chosen(shell)).splitlines():
        say(line)


@completion.command("uninstall", cls=StrictCommand)
@_shell_option
def uninstall(shell: str | None) -> None:
    """Remove what install has written."""
    place = _ScriptPlace.of(_chosen(shell))
    told = [f"removed  {place.file}"] if place.file.exists() else []
    try:
        place.file.unlink(missing_ok=True)
        if place.startup is not None and place.line in (lines := _lines(place.startup)):
            kept = "".join(f"{line}\n" for line in lines if line != place.line)
            place.startup.write_text(kept, "utf-8", "surrogateescape")
            told += [f"removed from {place.startup}:", f"         {place.line}"]
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be changed: {error.strerror}") from None
    for line in told or ["nothing is installed for this shell"]:
        say(line)


@attrs.frozen
class _ScriptPlace:
    """Where the script of a shell goes."""

    file: Path
    startup: Path | None = None
    """What the shell reads when it starts, if the script has to be named there."""

    @classmethod
    def of(cls, shell: str) -> "_ScriptPlace":
        home = Path.home()
        if shell == "fish":
            return cls(_folder("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "sunwell.fish")
        startup = home / ".bashrc"
        if shell == "zsh":
            startup = Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"
        return cls(_folder("XDG_DATA_HOME", ".local/share") / "sunwell" / f"completion.{shell}", startup)

    @property
    def line(self) -> str:
        """The line that reads the script, if it is there."""
        quoted = shlex.quote(str(self.file))
        return f"[ -r {quoted} ] && . {quoted}  {_MARK}"


def _folder(variable: str, default: str) -> Path:
    chosen = os.environ.get(variable, "")
    return Path(chosen) if chosen.startswith("/") else Path.home() / default


def _text(file: Path) -> str:
    return file.read_text("utf-8", "surrogateescape") if file.exists() else ""


def _lines(file: Path) -> list[str]:
    return _text(file).splitlines()


def _chosen(shell: str | None) -> str:
    found = shell or Path(os.environ.get("SHELL", "")).name
    if found not in _SHELLS:
        raise ConfigurationError(
            f"the shell {found!r} has no completion: name one with --shell bash, zsh or fish"
        )
    return found


def script_of(shell: str) -> str:
    """Return the script for *shell*: click's, which asks ``sunwell``, without what that writes as errors."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    made = kind.source_template % {
        "complete_func": "_sunwell_completion",
        "complete_var": VARIABLE,
        "prog_name": "sunwell",
    }
    for asked in ("=bash_complete $1)", "=zsh_complete sunwell)", "(commandline -t) sunwell)"):
        made = made.replace(asked, f"{asked[:-1]} 2>/dev/null)")
    if shell == "fish":
        made = made.replace('string split "," $completion', 'string split --max 1 "," $completion')
    if shell == "zsh":
        made = f"(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit -i }}\n{made}"
    return f"# Completion of sunwell for {shell}, by: sunwell completion install\n{made.strip()}\n"


def all_words() -> dict[str, Any]:
    """Return the words of all commands and models, as :mod:`sunwell.cli.completion` reads them."""
    from sunwell.cli.main import cli
    from sunwell.models.catalog import ALIASES

    models = {alias: f"alias of {target}" for alias, target in ALIASES.items()}
    models |= dict.fromkeys(ALIASES.values(), "")
    models |= {target.rpartition("/")[2]: f"of {target.rpartition('/')[0]}" for target in ALIASES.values()}
    return {"models": list(models.items()), "tree": _words(cli, cli.context_settings)}


def _words(command: click.Command, settings: Mapping[str, Any]) -> dict[str, Any]:
    below = command.commands if isinstance(command, click.Group) else {}
    params = command.get_params(click.Context(command, **settings))
    return {
        "help": command.get_short_help_str(200),
        "commands": {name: _words(each, settings) for name, each in below.items() if not each.hidden},
        "options": [
            _option_words(param) for param in params if isinstance(param, click.Option) and not param.hidden
        ],
        "arguments": [_kind(param) for param in params if isinstance(param, click.Argument)],
    }


def _option_words(option: click.Option) -> Mapping[str, Any]:
    own = getattr(option, "own_names", None)  # aliases of settings are understood, and not shown
    names = [*option.opts, *option.secondary_opts]
    if own is not None:
        names = [part for name in own for part in name.split("/")]
    is_choice = isinstance(option.type, click.Choice)
    return {
        "names": names,
        "value": None if option.is_flag or option.count else "choice" if is_choice else _kind(option),
        "choices": list(option.type.choices) if isinstance(option.type, click.Choice) else [],
        "repeats": option.multiple,
        "help": (option.help or "").partition(". ")[0],
    }


def _kind(param: click.Parameter) -> str:
    """Return what the value of *param* is: a run, a model, a file, a folder, or anything."""
    metavar = param.metavar or ""
    if param.name == "run_id" or metavar == "RUN":
        return "run"
    if param.name in _MODELS:
        return "model"
    return "file" if metavar in _FILES else "dir" if metavar == "DIR" else ""
