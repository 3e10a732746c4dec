"""``sunwell config trust`` and ``untrust``: a file is shown, with what it may do, before anybody is asked."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sunwell.cli.exit_codes import FAILED
from sunwell.cli.output import say, say_now
from sunwell.cli.shared_options import StrictCommand
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.config.documents import Document
    from sunwell.config.powers import PowerLine

F = TypeVar("F", bound=Callable[..., Any])


def place_options(function: F) -> F:
    """Add ``--workspace`` and ``--config``."""
    function = click.option(
        "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Project folder."
    )(function)
    config = click.option("--config", metavar="FILE", help="Use this file instead of the project's own.")
    return config(function)


@click.command(cls=StrictCommand)
@place_options
@click.option("--yes", is_flag=True, help="Do not ask; needs --hash.")
@click.option("--hash", "seen", metavar="sha256:…", help="Hash of the version that you have read.")
@click.option("--list", "is_list", is_flag=True, help="List the files that you trust.")
@click.argument("file", required=False, metavar="[FILE]")
@click.pass_context
def trust(
    ctx: click.Context,
    workspace: str,
    config: str | None,
    yes: bool,
    seen: str | None,
    is_list: bool,
    file: str | None,
) -> None:
    """Show a project's file and what it may do once it is trusted, then ask whether to trust it.

    The whole file is shown, and in words each setting that needs trust, the most dangerous first. Without a
    terminal, --yes trusts the version whose hash was printed and is named with --hash. The trust is for this
    file with this content: it ends when the file changes or is moved.
    """
    from sunwell.config.sources import Sources
    from sunwell.config.trust import TrustRecord, hash_of

    if is_list:
        _list()
        return
    named = file or config
    sources = Sources(Path(workspace), None if named is None else Path(named).resolve())
    reading = sources.read()
    document = reading.project
    if document is None:
        why = "; ".join(reading.warnings)
        raise ConfigurationError(why or f"{Path(workspace).resolve()} has no configuration file to trust")
    from sunwell.config.powers import power_lines

    digest = hash_of(document.data)
    _print(document, digest, power_lines(reading.needing_trust()))
    if not _agreed(document, digest, yes=yes, seen=seen):
        say("not trusted")
        ctx.exit(FAILED)
    now = sources.read().project
    if now is None or now.data != document.data:
        raise ConfigurationError(
            f"{document.file} has changed since it was shown, and is not trusted: read it again"
        )
    TrustRecord.of_user().add(document.file, document.data)  # exactly the bytes that were shown
    say("trusted  in this version")


def _print(document: "Document", digest: str, powers: "tuple[PowerLine, ...]") -> None:
    from sunwell.tools.wording import visible

    say(f"file     {document.file.resolve()}")
    say(f"hash     {digest}")
    say()
    text = document.data.decode("utf-8-sig").removesuffix("\n").split("\n")
    width = len(str(len(text)))
    for number, line in enumerate(text, 1):
        # A line break of Windows is one; any other carriage return could hide what stands before it.
        say(f"  {number:>{width}} | {visible(line.removesuffix(chr(13)), kept=chr(9))}")
    say()
    say("once trusted, this file:" if powers else "no setting needs trust: all narrow your own")
    for line in told(powers):
        say(f"  {line}")


def told(powers: "Iterable[PowerLine]") -> tuple[str, ...]:
    """Return a line for each of *powers*: what is at stake, what the setting does, and where it stands."""
    from sunwell.config.powers import DANGERS
    from sunwell.tools.wording import on_one_line

    return tuple(on_one_line(f"{DANGERS[each.danger]}: {each.words}  ({each.where})") for each in powers)


def _agreed(document: "Document", digest: str, *, yes: bool, seen: str | None) -> bool:
    """Whether the user wants this version. Raises ConfigurationError if nobody can be asked."""
    if seen is not None and seen != digest:
        raise ConfigurationError(f"{document.file} is not the version that --hash names: read it again")
    if yes and seen is not None:
        return True
    if not yes and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        return _asked()
    raise ConfigurationError(
        "it is not trusted yet, as there is no terminal to ask at: if you want this version, run sunwell "
        f"config trust {shlex.quote(str(document.file.resolve()))} --yes --hash {digest}"
    )


def _asked() -> bool:
    import termios

    # What was typed before the question was there is no answer to it.
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    say()
    say_now("trust this version? [y]es, [n]o: ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _list() -> None:
    from sunwell.config.documents import read_content
    from sunwell.config.trust import TrustRecord, digest_of

    known, problem = TrustRecord.of_user().entries()
    if problem:
        raise ConfigurationError(problem)
    for name, digest in sorted(known.items()):
        try:
            state = "trusted" if digest_of(read_content(Path(name)).data) == digest else "changed"
        except ConfigurationError:
            state = "missing"
        say(f"{state:<8} {name}  sha256:{digest}")
    if not known:
        say("no file is trusted")


@click.command(cls=StrictCommand)
@place_options
@click.argument("file", required=False, metavar="[FILE]")
def untrust(workspace: str, config: str | None, file: str | None) -> None:
    """Trust a project's file no longer, whatever its content; it need not exist any more."""
    from sunwell.config.documents import project_file
    from sunwell.config.trust import TrustRecord

    named = file or config
    found = project_file(Path(workspace)) if named is None else Path(named)
    if found is None:
        raise ConfigurationError(f"{Path(workspace).resolve()} has no configuration file: name one")
    is_known = TrustRecord.of_user().remove(found)
    words = "trusted no longer:" if is_known else "was not trusted:"
    say(f"{words} {os.path.realpath(found)}")
