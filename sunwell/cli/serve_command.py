"""``sunwell serve``: an endpoint for clients of OpenAI and Anthropic, whose requests become runs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.served_settings import money_options, total_usd
from sunwell.cli.shared_options import (
    Chosen,
    SettingsCommand,
    config_options,
    plugins_option,
    settings_options,
    workspace_option,
)
from sunwell.context.options import SECTIONS
from sunwell.errors import ConfigurationError
from sunwell.tools.wording import quoted

if TYPE_CHECKING:
    from sunwell.cli.served_settings import CommandSettings
    from sunwell.serve.endpoint.endpoint_app import Endpoint
    from sunwell.serve.root_settings import RootSettings

_TOKEN = "SUNWELL_SERVE_TOKEN"
_USUAL = "sunwell"


@click.command(cls=SettingsCommand)
@workspace_option
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Default: any free one.")
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="T",
    help=(
        f"API key of clients; several times for several. Default: that in {_TOKEN}, which other users of "
        "this machine cannot read, or a new one."
    ),
)
@money_options("max-usd", one="one request", all_of="all requests with one key")
@click.option(
    "--offer",
    "offers",
    multiple=True,
    metavar="M|SMART+CHEAP",
    help="Offer sunwell/M, a model that works alone, or sunwell/SMART+CHEAP; several times for several.",
)
@click.option("--write", is_flag=True, help="Let runs change files of the folder; else they only read.")
@plugins_option
@settings_options(*SECTIONS, without=("budget_usd", "stream"))
@config_options
def serve(**chosen: Any) -> None:
    """Answer requests of OpenAI's and Anthropic's clients by runs, on 127.0.0.1.

    It speaks Chat Completions, Responses and Messages. The model "sunwell" is what the settings say; more are
    offered with --offer. A request is one run, and the next one of a conversation goes on with it. Models,
    permissions, checks and caps are those given here and in trusted settings.

    The address is printed, and the token on standard error if one was made. It needs the extra
    sunwell[serve].
    """
    from sunwell.cli.ending import run_async

    run_async(_serve(chosen))


async def _serve(chosen: Chosen) -> None:
    from sunwell.cli.output import say
    from sunwell.cli.served_settings import opened, require_token, token_of

    allowed = total_usd(chosen, "max-usd")
    tokens = [require_token(token, "--token") for token in chosen["tokens"]]
    if tokens:
        say(f"sunwell: other users of this machine can read --token; {_TOKEN} they cannot", err=True)
    made: list[str] = []
    if not tokens:
        token, is_made = token_of(_TOKEN)
        tokens, made = [token], [token] if is_made else []
    try:
        from sunwell.serve.endpoint.endpoint_app import door_error
        from sunwell.serve.endpoint.requested_runs import ClientKey
        from sunwell.serve.http_door import HttpDoor

        endpoint = _endpoint(chosen)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "anyio"):
            raise
        raise ConfigurationError(
            "sunwell serve needs the packages starlette and uvicorn: install them with "
            "pip install 'sunwell[serve]'"
        ) from None
    if chosen["port"]:
        _require_other_models(chosen["port"])
    keys = {token: ClientKey.of(token, allowed) for token in tokens}
    door = HttpDoor(lambda _: endpoint.app(), keys, error=door_error, closing=endpoint.runs.close)
    opened(door, chosen["port"] or 0, "", made)
    say(f"models: {', '.join(endpoint.models)}", err=True)
    try:
        await door.serve()
    finally:
        await endpoint.runs.stop()


def _endpoint(chosen: Chosen) -> "Endpoint":
    """Return the endpoint. Raises :exc:`~sunwell.errors.ConfigurationError` if it could not do anything."""
    from sunwell.cli.output import say
    from sunwell.cli.record_commands import require_folder
    from sunwell.memory.conversation_store import ConversationStore, conversations_file
    from sunwell.serve.endpoint.endpoint_app import Endpoint
    from sunwell.serve.endpoint.requested_runs import RequestedRuns

    folder = require_folder(Path(chosen["workspace"])).resolve()
    _require_journal(folder)
    usual = _settings_of(chosen, folder, {}).options
    offered: dict[str, Mapping[str, Any]] = {_USUAL: {}}
    smart, cheap = usual.smart_model, usual.delegation_model
    if isinstance(smart, str) and isinstance(cheap, str) and usual.enable_delegation:
        offered[f"{_USUAL}/{smart}+{cheap}"] = {}
    for name in chosen["offers"]:
        offered[f"{_USUAL}/{name}"] = _models_of(name)
    for models in offered.values():
        _settings_of(chosen, folder, models)  # what is wrong with one is said now

    def settings_for(name: str) -> "RootSettings":
        return _settings_of(chosen, folder, offered[name])

    def warn(sentence: str) -> None:
        say(f"sunwell: {sentence}", err=True)

    store = ConversationStore(conversations_file(), warn=warn)
    runs = RequestedRuns(folder, settings_for, chosen["max_cost"], store, warn=warn)
    return Endpoint(runs, tuple(offered))


def _require_journal(folder: Path) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if no run could be recorded in *folder*."""
    from sunwell.journal.folders import FOLDER

    there = folder / FOLDER
    place = there if there.exists() else folder
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"no run could be recorded, since {place} is no folder that can be written: make it one, or name "
            "another folder with -w"
        )


def _require_other_models(port: int) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if the models' address is that of the server itself.

    So it is in a shell in which the variables for its clients were exported.
    """
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        place = os.environ.get(name, "").partition("://")[2].partition("/")[0]
        if place in (f"127.0.0.1:{port}", f"localhost:{port}"):
            raise ConfigurationError(
                f"{name} is the address of this server, so its runs would ask it in place of a model: unset "
                f"{name} here, and set it for clients alone"
            )


def _settings_of(chosen: Chosen, folder: Path, models: Mapping[str, Any]) -> "CommandSettings":
    """Return what holds for runs of these *models*; without --write, they have only tools that read."""
    from sunwell.cli.served_settings import CommandSettings
    from sunwell.tools.toolbox import READING_TOOLS

    made = CommandSettings.of({**chosen, **models}, folder, "task")
    if chosen["write"]:
        return made
    named = made.options.tools
    kept = READING_TOOLS if named is None else tuple(one for one in named if one in READING_TOOLS)
    return attrs.evolve(made, options=attrs.evolve(made.options, tools=kept))


def _models_of(name: str) -> Mapping[str, Any]:
    """Return the settings for an offered *name*: a model alone, or a smart and a cheap one."""
    smart, plus, cheap = name.partition("+")
    if not smart or (plus and not cheap) or "+" in cheap:
        raise ConfigurationError(
            f"--offer {quoted(name)} names no model: give one, such as haiku, or a smart and a cheap "
            "one, such as opus+haiku"
        )
    if not plus:
        alone = dict.fromkeys(("model", "smart_model", "delegation_model"), smart)
        return {**alone, "enable_delegation": False, "escalate": False}
    return {"model": smart, "smart_model": smart, "delegation_model": cheap, "enable_delegation": True}
