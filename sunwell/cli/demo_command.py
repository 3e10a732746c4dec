"""``sunwell demo``: the main use case on this machine, without keys and without a network."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from sunwell.cli.output import console, say
from sunwell.cli.shared_options import StrictCommand
from sunwell.core.threads import in_thread
from sunwell.errors import ConfigurationError, SunwellError

if TYPE_CHECKING:
    from sunwell.cli.views import View
    from sunwell.context.options import RunOptions
    from sunwell.core.model import ModelProtocol
    from sunwell.core.task import TaskResult
    from sunwell.simulator import Simulator


@attrs.define(eq=False)
class DemoClaims:
    """Prints each claim, and remembers whether all of them are true."""

    all_hold: bool = True

    def say(self, holds: bool, sentence: str) -> None:
        """Print *sentence* with a mark: ✓ if it *holds*, else ✗."""
        self.all_hold = self.all_hold and holds
        say(f"  {'✓' if holds else '✗'} {sentence}", fg="green" if holds else "red")

    def exit_code(self) -> int:
        """Return 0 if all claims are true; otherwise say so on standard error and return 1."""
        if self.all_hold:
            return 0
        say(err=True)
        say("Not all claims above are true: see the lines with ✗.", err=True)
        return 1


TASK = "Generate CRUD endpoints for 5 entities"
_COUNT = re.compile(r"^Ran (\d+) tests?", re.MULTILINE)
_FAILED = re.compile(r"^(?:FAIL|ERROR): (\w+)", re.MULTILINE)
_LONGEST_SECONDS = 60


@attrs.frozen
class DemoVerdict:
    """Result of the shop's own tests."""

    count: int
    failed: tuple[str, ...]
    """Names of the tests that failed, one for each failure."""

    @property
    def is_green(self) -> bool:
        """Whether tests ran and all of them passed."""
        return self.count > 0 and not self.failed

    def by_rule(self, slugs: tuple[str, ...]) -> dict[str, int]:
        """Return the number of failures for each of *slugs*: the tests of a rule begin with its name."""
        counted: Counter[str] = Counter()
        for name in self.failed:
            counted.update(slug for slug in slugs if name.startswith(f"test_{slug}"))
        return dict(counted)


def example_shop() -> Path:
    """Return the folder of the example code base: the repository's, else the installed copy.

    Raises :exc:`~sunwell.errors.ConfigurationError` if there is neither.
    """
    import sunwell

    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    installed = [Path(sysconfig.get_path("data", scheme)) / "share" / "sunwell" for scheme in schemes]
    for root in (Path(sunwell.__file__).resolve().parent.parent, *installed):
        if (folder := root / "examples" / "shop").is_dir():
            return folder
    raise ConfigurationError(
        "the demo needs the example code base examples/shop, which this installation does not have: "
        "run make demo in a checkout of the repository"
    )


def fresh_shop(place: Path) -> Path:
    """Copy the example to *place* and return it."""
    return Path(
        shutil.copytree(example_shop(), place, ignore=shutil.ignore_patterns("__pycache__", ".sunwell"))
    )


def run_tests(shop: Path) -> DemoVerdict:
    """Run the shop's own tests in a separate process without keys: a model wrote the code they run."""
    from sunwell.tools.environment import command_environment, secrets_from_environment

    done = subprocess.run(
        [sys.executable, "-I", "-B", "-m", "unittest"],
        cwd=shop,
        env=command_environment(os.environ, secrets_from_environment()),
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    counted = _COUNT.search(done.stderr)
    failed = tuple(_FAILED.findall(done.stderr))
    if done.returncode and not failed:
        failed = ("the tests themselves",)
    return DemoVerdict(int(counted.group(1)) if counted else 0, failed)


def simulated(simulator: "Simulator", model_id: str, account: str) -> "ModelProtocol":
    """Return the model over HTTP, through the provider's SDK, billed to *account*."""
    from sunwell.models.anthropic_messages import AnthropicModel
    from sunwell.models.connection import Connection

    connection = Connection("anthropic", simulator.url, account, transport=_without_proxies)
    return AnthropicModel(model_id, connection)


def _without_proxies() -> object:
    """Return a transport for loopback only: proxies from the environment are ignored."""
    import httpx2

    return httpx2.AsyncHTTPTransport()


def work(shop: Path, options: "RunOptions", view: "View") -> "TaskResult":
    """Run the task in *shop* through the agent, shown in *view*."""
    from sunwell.agent.agent import Agent
    from sunwell.cli.run_output import drive
    from sunwell.context.session import SessionContext

    agent = Agent()
    return drive(agent, agent.run(SessionContext.build(shop, TASK, options)), view)


SMART, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
_PACE_SECONDS = {SMART: 1.2, CHEAP: 0.35}
"""How long an answer takes in a terminal, so that a person can read along."""
PAGE_WIDTH = 100


@click.command(cls=StrictCommand)
@click.option("--keep", is_flag=True, help="Keep the folder with the finished code and the journals.")
@click.pass_context
def demo(ctx: click.Context, keep: bool) -> None:
    """Show what Sunwell does, on this machine: no network, no keys, about 10 seconds.

    A small shop application lacks the endpoints of five entities. A smart model writes a lens, a cheap
    model writes the endpoints, the shop's own tests check them, and two bills are compared to the last
    digit. Both models are scripts behind a real HTTP server. The exit code is 1 if a claim turns out to
    be false.
    """

    example_shop()
    folder = Path(tempfile.mkdtemp(prefix="sunwell-demo-"))
    try:
        claims = DemoClaims()
        _perform(folder, claims)
    finally:
        if keep:
            say()
            say(f"Folder kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    ctx.exit(claims.exit_code())


def _perform(folder: Path, claims: DemoClaims) -> None:
    say("Sunwell: think once, generate many", bold=True)
    _say(
        "A smart model reads a task once and writes down what it knows; a cheap model uses this to do the "
        "work. In this demo both are scripts behind a real HTTP server on this machine: no network, no keys.",
        indent="",
    )
    with _simulators() as (paced, brisk):
        delegated = _delegated(folder, paced, claims)
        _alone(folder, brisk, delegated, claims)
        _withheld(folder, brisk, claims)
        _climbed(folder, brisk, claims)
    _close()
    _report(delegated, folder / "delegated")


def _delegated(folder: Path, simulator: "Simulator", claims: DemoClaims) -> "TaskResult":
    from sunwell.budget.ledger_protocol import Budget
    from sunwell.context.options import RunOptions

    _head("A shop application lacks the endpoints of five entities, so its tests fail")
    shop = fresh_shop(folder / "delegated")
    before = run_tests(shop)
    claims.say(not before.is_green, f"{len(before.failed)} of {before.count} tests fail")
    _head(f'"{TASK}", for at most $0.50')
    cap = Decimal("0.50")
    options = RunOptions(
        enable_delegation=True,
        smart_model=simulated(simulator, SMART, "demo-delegated"),
        delegation_model=simulated(simulator, CHEAP, "demo-delegated"),
        lens_store=False,
        budget=Budget(usd=cap),
    )
    result = work(shop, options, _view(cap))
    after = run_tests(shop)
    claims.say(result.status == "ok" and after.is_green, _tested(after))
    _head("Two bills: what Sunwell booked, and what the other side of the wire charged")
    _compare_bills(result, simulator, "demo-delegated", claims)
    return result


def _compare_bills(result: "TaskResult", simulator: "Simulator", account: str, claims: DemoClaims) -> None:
    from sunwell.report.figures import exact

    billed = simulator.bill.by_model(account)
    say(f"  {'':<18}{'calls':>6}{'input':>9}{'output':>9}{'booked':>15}{'billed':>15}")
    for line in result.bill.models:
        total = billed.get(line.model)
        theirs = None if total is None else total.usd
        say(
            f"  {line.model:<18}{line.calls:>6}{line.usage.input_tokens:>9,}{line.usage.output_tokens:>9,}"
            f"{_exactly(line.cost_usd):>15}{_exactly(theirs):>15}"
        )
    booked, charged = result.bill.cost_usd, simulator.bill.total_usd(account)
    is_same = (
        bool(charged)
        and booked == charged
        and all(
            line.model in billed and line.cost_usd == billed[line.model].usd for line in result.bill.models
        )
    )
    same = "the same to the last digit" if is_same else "NOT the same"
    claims.say(is_same, f"${exact(booked)} booked, ${exact(charged)} billed: {same}")


def _alone(folder: Path, simulator: "Simulator", delegated: "TaskResult", claims: DemoClaims) -> None:
    from sunwell.cli.plain_view import PlainView
    from sunwell.context.options import RunOptions
    from sunwell.report.figures import dollars
    from sunwell.report.summary import compare_with_smart_model

    _head("The smart model alone, on the same task")
    shop = fresh_shop(folder / "alone")
    options = RunOptions(model=simulated(simulator, SMART, "demo-alone"))
    result = work(shop, options, PlainView(quiet=True))
    comparison = compare_with_smart_model(delegated)
    estimate = None if comparison is None else comparison.estimated_usd
    alone, ours = result.bill.cost_usd, delegated.bill.cost_usd
    billed = simulator.bill.total_usd("demo-alone")
    say(f"  estimated after the delegated run: {dollars(estimate)}")
    outcome = run_tests(shop)
    claims.say(outcome.is_green and alone == billed, f"really run: {dollars(alone)}; {_tested(outcome)}")
    cheaper = alone is not None and ours is not None and ours < alone
    share = f"{1 - ours / alone:.0%} less" if cheaper and alone and ours is not None else "NOT less"
    claims.say(cheaper, f"delegated: {dollars(ours)}, {share}")


def _withheld(folder: Path, simulator: "Simulator", claims: DemoClaims) -> None:
    from sunwell.cli.plain_view import PlainView
    from sunwell.context.options import RunOptions
    from sunwell.report.figures import dollars
    from sunwell.simulator.scripts import CONVENTIONS

    _head("The cheap model alone: the lens withheld")
    shop = fresh_shop(folder / "withheld")
    options = RunOptions(model=simulated(simulator, CHEAP, "demo-withheld"))
    result = work(shop, options, PlainView(quiet=True))
    outcome = run_tests(shop)
    rules = outcome.by_rule(tuple(rule.slug for rule in CONVENTIONS))
    claims.say(
        not outcome.is_green and result.status == "ok",
        f"{dollars(result.bill.cost_usd)}, and {len(outcome.failed)} of {outcome.count} tests fail; "
        f"it calls itself done",
    )
    broken = ", ".join(f"{slug.replace('_', ' ')} ({count})" for slug, count in rules.items())
    _say(f"broken rules, which only the lens contains: {broken or 'none that is known'}", indent="    ")


def _climbed(folder: Path, simulator: "Simulator", claims: DemoClaims) -> None:
    """Have the task climb: cheap first, and up when the shop's own tests fail."""

    from sunwell.cli.plain_view import PlainView
    from sunwell.context.options import RunOptions
    from sunwell.core.check import Checking, Verdict
    from sunwell.report.figures import dollars
    from sunwell.report.verdict_text import verdict_line

    _head("Cheap first, and up only if a check fails")
    shop = fresh_shop(folder / "climbed")
    found: list[str] = []

    async def the_shops_tests(checking: Checking) -> Verdict:
        outcome = await in_thread(run_tests, shop)
        found.append(_tested(outcome))
        return Verdict(outcome.is_green, ", ".join(outcome.failed) or found[-1])

    the_shops_tests.name = "the shop's tests"  # type: ignore[attr-defined]
    os.environ["SUNWELL_OUTCOMES"] = "off"  # what scripts pass says nothing about the models they stand for
    options = RunOptions(
        checks=(the_shops_tests,),
        escalate=True,
        smart_model=simulated(simulator, SMART, "demo-climbed"),
        delegation_model=simulated(simulator, CHEAP, "demo-climbed"),
    )
    result = work(shop, options, PlainView(quiet=True))
    verification = result.verification
    for attempt, said in zip(verification.attempts if verification else (), found, strict=False):
        say(f"  {attempt.rung:<12} {attempt.model}: {dollars(attempt.cost_usd)}, {said}")
    billed = simulator.bill.total_usd("demo-climbed")
    is_verified = verification is not None and verification.passed is True and run_tests(shop).is_green
    claims.say(is_verified and result.bill.cost_usd == billed, verdict_line(result))


def _close() -> None:
    _head("What this demo shows, and what it does not show")
    _say(
        "The infrastructure is real: HTTP, the provider's SDK, files, tests, journal, budget and billing. "
        "The models are scripts, so the demo shows nothing about the quality of any model."
    )
    _head("Next steps, with an API key")
    say("  export ANTHROPIC_API_KEY=...          (or OPENAI_API_KEY)")
    say(f'  {_command()} estimate "Add tests for every module"')
    say(f'  {_command()} run "Add tests for every module" --enable-delegation --budget-usd 0.50')


def _report(result: "TaskResult", shop: Path) -> None:
    """Write the report of the first run to where it stays, over that of an earlier demo."""
    from sunwell.cli.report_command import page_of
    from sunwell.core.user_folders import state_folder
    from sunwell.journal.layout import RunFile
    from sunwell.report.page.page_file import write_page

    _head("A page about the delegated run, for your browser")
    try:
        place = state_folder() / "demo-report.html"
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_page(place, page_of(RunFile(result.run_id, Path(result.journal or "")), shop))
    except (SunwellError, OSError) as error:
        _say(f"It could not be written: {error}")
    else:
        say(f"  {place}")


def _command() -> str:
    """Return how to call this command: its name alone if the shell finds it."""
    called = sys.argv[0]
    is_found = Path(called).name != "sunwell" or shutil.which("sunwell") is not None
    return "sunwell" if is_found else shlex.quote(called)


@contextmanager
def _simulators() -> "Iterator[tuple[Simulator, Simulator]]":
    """Yield a simulator that is slow enough to watch if this is a terminal, and one at full speed."""
    from sunwell.simulator import SimulatedModel, Simulator, running_simulator
    from sunwell.simulator.scripts import DEMO_MODELS

    pace = _PACE_SECONDS if sys.stdout.isatty() else {}
    paced = {name: SimulatedModel(script, pace.get(name, 0.0)) for name, script in DEMO_MODELS.items()}
    with running_simulator(Simulator(paced)) as slow, running_simulator(Simulator(DEMO_MODELS)) as brisk:
        yield slow, brisk


def _view(cap: Decimal) -> "View":
    from sunwell.cli.plain_view import PlainView

    if not sys.stdout.isatty():
        return PlainView(to_stderr=False)
    from sunwell.cli.live_view import LiveView

    return LiveView(console(), cap)


def _say(text: str, indent: str = "  ") -> None:
    from sunwell.cli.terminal import terminal_width

    width = min(terminal_width(), PAGE_WIDTH)
    for line in click.wrap_text(text, width, initial_indent=indent, subsequent_indent=indent).split("\n"):
        say(line)


def _head(text: str) -> None:
    say()
    say(text, bold=True)


def _tested(outcome: "DemoVerdict") -> str:
    if outcome.is_green:
        return f"all {outcome.count} tests pass"
    return f"{len(outcome.failed)} of {outcome.count} tests fail"


def _exactly(usd: Decimal | None) -> str:
    from sunwell.report.figures import exact

    return "unknown" if usd is None else f"${exact(usd)}"
