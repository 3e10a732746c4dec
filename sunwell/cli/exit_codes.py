"""How a command reports failure: one sentence on standard error, and an exit code."""

import io
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from sunwell.errors import BudgetExhausted, ModelError, PinError, SunwellError

if TYPE_CHECKING:
    from sunwell.core.task import TaskResult

OK = 0
FAILED = 1
BAD_INPUT = 2
INCOMPLETE = 3
CANCELLED = 130
READER_GONE = 141
"""What a shell reports for a program that was ended by SIGPIPE."""

_OF_STATUS = {"ok": OK, "incomplete": INCOMPLETE, "error": FAILED, "cancelled": CANCELLED}
JSON_WANTED = "sunwell.json"
"""In a context: whether an error must be printed as a JSON object, too."""
_WHOLE = 1_000


def exit_code(status: str) -> int:
    """Return the exit code of a run that ended with *status*."""
    return _OF_STATUS[status]


def code_of_result(result: "TaskResult", *, strict: bool = False) -> int:
    """Return the exit code of a run with *result*.

    *strict*: a run that is done counts as incomplete if something is unresolved, or if its checks could not
    tell whether it is right.
    """
    if strict and result.success:
        could_not_tell = result.verification is not None and result.verification.passed is None
        if result.unresolved or could_not_tell:
            return INCOMPLETE
    return exit_code(result.status)


class OutputFailed(OSError):
    """Standard output cannot be written. Reported when the command has ended."""


class Commands(click.Group):
    """The commands, in the order in which they were added. Sunwell's own errors become one sentence."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run a command and exit with its code. What is wrong with its options is printed as all else is."""
        from sunwell.cli.output import say, say_told

        try:
            code: Any = super().main(*args, **extra | {"standalone_mode": False})
        except click.ClickException as error:
            page = io.StringIO()
            error.show(file=page)
            say_told(page.getvalue().rstrip("\n"))
            sys.exit(error.exit_code)
        except click.Abort:
            say("sunwell: cancelled", err=True)
            sys.exit(CANCELLED)
        sys.exit(code if isinstance(code, int) else OK)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List each command with its whole first sentence; click would cut it to one line."""
        with formatter.section("Commands"):
            formatter.write_dl([(n, c.get_short_help_str(limit=_WHOLE)) for n, c in self.commands.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise _without_secrets(error) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta[JSON_WANTED] = "--json" in args  # also if the rest of the command line is invalid
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SunwellError as error:
            _fail(ctx, str(error), _code_of(error))
        except click.UsageError as error:
            told = _without_secrets(_suggested(error) if isinstance(error, click.NoSuchOption) else error)
            _say_json(ctx, told.format_message())
            raise told from None
        except (KeyboardInterrupt, click.Abort):
            _fail(ctx, "cancelled", CANCELLED, status="cancelled")
        except (click.exceptions.Exit, click.ClickException, OutputFailed, TimeoutError):
            raise
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            reason = error.strerror or str(error)
            sentence = f"cannot read or write{where} ({reason}): check that it exists and the disk has space"
            _fail(ctx, sentence, FAILED)
        except Exception as error:
            from sunwell.tools.environment import told_safely

            _say_json(ctx, told_safely(f"{type(error).__name__}: {error}"))
            raise


def _without_secrets(error: click.UsageError) -> click.UsageError:
    """Return *error* without known secrets: it repeats what was typed, and logs keep it."""
    from sunwell.tools.environment import told_safely

    message = error.format_message()
    safe = told_safely(message)
    return error if safe == message else click.UsageError(safe, error.ctx)


def _suggested(error: click.NoSuchOption) -> click.UsageError:
    """Return *error* with the option that means what was typed, not one that only looks like it."""
    from sunwell.context.spellings import flat_names, meant_setting

    path = meant_setting(error.option_name)
    known = {} if error.ctx is None else {name for one in error.ctx.command.params for name in one.opts}
    options = [f"--{name.replace('_', '-')}" for name, at in flat_names().items() if at == path]
    found = [option for option in options if option in known]
    if not found:
        return error
    # click itself leaves out suggestions that do not look like what was typed.
    return click.UsageError(f"No such option '{error.option_name}'. Did you mean '{found[0]}'?", error.ctx)


def _fail(ctx: click.Context, sentence: str, code: int, status: str = "error") -> NoReturn:
    from sunwell.cli.output import say
    from sunwell.report.figures import one_line
    from sunwell.tools.environment import told_safely

    say(f"sunwell: {one_line(told_safely(sentence), _WHOLE * 100)}", err=True, wrap=0)
    with suppress(OSError):  # standard output may be what failed
        _say_json(ctx, sentence, status)
    ctx.exit(code)


def _say_json(ctx: click.Context, sentence: str, status: str = "error") -> None:
    from sunwell.cli.terminal import print_json

    if ctx.meta.get(JSON_WANTED):
        print_json({"status": status, "error": sentence}, None)


def _code_of(error: SunwellError) -> int:
    return FAILED if isinstance(error, ModelError | PinError | BudgetExhausted) else BAD_INPUT
