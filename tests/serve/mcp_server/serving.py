"""A server of Sunwell in this process, its clients, and models that answer them over HTTP on loopback."""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from mcp import Client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult

from sunwell.agent import Agent
from sunwell.agent.lifecycle.authority import CallerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.config.resolution import Resolved, resolve
from sunwell.config.sources import Sources
from sunwell.context.options import Approve, RunOptions
from sunwell.serve.mcp_server.delegation_server import DelegationServer
from sunwell.serve.mcp_server.delegations import Delegations
from sunwell.serve.mcp_server.held_call import ANSWER_SECONDS
from sunwell.serve.mcp_server.served_roots import ServedRoots
from sunwell.serve.process_purse import ProcessPurse
from sunwell.serve.root_settings import ServerTerms, Work

MODES = ("legacy", "2026-07-28")
"""How a client greets: with a handshake as before 2026-07-28, or as from then on."""
TASK = "Generate CRUD endpoints for 5 entities"
SHOP = Path(__file__).parents[3] / "examples" / "shop"
MODELS = {"smart_model": "opus", "delegation_model": "haiku"}


@attrs.frozen
class PlainSettings:
    """The settings of a root without a command line."""

    resolved: Resolved
    options: RunOptions
    warnings: tuple[str, ...] = ()

    def agent(self) -> Agent:
        """Return an agent with the configured models."""
        return Agent(registry=self.resolved.registry, prices=self.resolved.prices)

    def terms(self, recorded: RunOptions, approve: Approve | None) -> CallerTerms:
        """Return terms with what is allowed here."""
        given: dict[str, Any] = {} if approve is None else {"approve": approve}
        if self.options.checks:
            given["checks"] = self.options.checks
        return CallerTerms(given=given, ceilings=Budget())


def serving(
    *folders: Path,
    terms: ServerTerms | None = None,
    total: str = "10",
    answer_seconds: float = ANSWER_SECONDS,
    **settings: Any,
) -> DelegationServer:
    """Return a server for *folders* with *settings* as they are typed."""

    def settings_of(root: Path, work: Work) -> PlainSettings:
        made = resolve(Sources(root).read().load(**{**MODELS, **settings}).values)
        options = made.options
        if work == "question":
            options = attrs.evolve(options, tools=None)
        return PlainSettings(made, options)

    def begin() -> Delegations:
        return Delegations(
            ServedRoots.of(folders), settings_of, terms or ServerTerms(), ProcessPurse(Decimal(total))
        )

    return DelegationServer(begin, answer_seconds)


@asynccontextmanager
async def connected(server: DelegationServer, mode: str, **given: Any) -> AsyncIterator[Client]:
    """Connect a client to *server* in this process; *given* are arguments of the client."""
    async with server, Client(server, mode=mode, **given) as client:
        yield client


def told(result: CallToolResult) -> dict[str, Any]:
    """Return the structured result; its text is the same as JSON."""
    assert not result.is_error, result.content
    found: dict[str, Any] = result.structured_content or {}
    assert json.loads(result.content[0].text) == found
    return found


def refused(result: CallToolResult) -> str:
    """Return the sentence of a call that was refused."""
    assert result.is_error, result.structured_content
    return result.content[0].text


def shop(folder: Path) -> Path:
    """Return a fresh copy of the example code base in *folder*."""
    place = folder / "shop"
    shutil.copytree(SHOP, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def answering(*answers: bool) -> tuple[Callable[..., Any], list[str]]:
    """Return a user who says yes or no, and the list of what was asked; the last answer is repeated."""
    asked: list[str] = []

    async def answer(_: Any, params: ElicitRequestParams) -> ElicitResult:
        yes = answers[min(len(asked), len(answers) - 1)]
        asked.append(params.message)
        return ElicitResult(action="accept", content={"go_on": yes})

    return answer, asked
