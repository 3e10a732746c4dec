"""What each setting lets a project's file do once it is trusted, in words, the most dangerous first."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

import attrs

from sunwell.config.setting import Setting, SettingPath
from sunwell.config.setting_lines import shown

Danger = Literal["code", "data", "money", "work", "nothing"]
"""What is at stake: code runs, data or keys go away, money is spent, the work changes, or nothing yet."""
DANGERS: Mapping[Danger, str] = MappingProxyType(
    {
        "code": "runs code",
        "data": "sends data",
        "money": "spends money",
        "work": "changes the work",
        "nothing": "has no effect yet",
    }
)
"""In order of danger, with their names for people."""


@attrs.frozen
class Power:
    """What a trusted file does by one setting."""

    danger: Danger
    words: str
    """``{value}`` stands for the value, ``{name}`` for the provider, model or role that has the setting."""


_ANY = "*"
_LONGEST = 300
_TOP: Mapping[str, tuple[Danger, str]] = {
    "checks": ("code", "runs the command {value} to check the work"),
    "plugins": ("code", "loads the plugins {value} and gives models their tools"),
    "tools": ("code", "gives models the tools {value}, those of plugins included"),
    "allow_shell": ("code", "lets models run commands: {value}"),
    "allow_python": ("code", "lets models run Python in a sandbox: {value}"),
    "sandbox": ("code", "sandbox of commands: {value}"),
    "allow_write": ("code", "lets models write files that other programs run: {value}"),
    "allow_network": ("data", "lets commands in the sandbox reach the network: {value}"),
    "context_sources": ("data", "shows models passages of the files in {value}"),
    "gateway": ("data", "sends the requests for all models to the provider {value}"),
    "answer_schema": ("data", "reads the schema {value} and shows it to models"),
    "judge": ("data", "has a second model judge the result by {value}"),
    "escalate": ("money", "begins with the cheap model and climbs to dearer ones: {value}"),
    "ladder": ("money", "climbs the rungs {value}"),
    "worth_usd": ("money", "climbs rungs that cost up to {value} US dollars"),
    "passes_wrong": ("money", "takes it that checks pass {value} of the wrong results, and begins dearer"),
    "enable_delegation": ("money", "hands work to the cheaper model under a lens: {value}"),
    "decide": ("money", "has this decide whether work is delegated: {value}"),
    "delegation_threshold_tokens": ("money", "delegates from an expected output of {value} tokens on"),
    "delegation_tools": ("money", "lets models start workers with the tools {value}"),
    "split": ("money", "lets the smart model split a task into many: {value}"),
    "fallback": ("money", "if the cheaper model cannot be used: {value}"),
    "on_lens_failure": ("money", "if there is no lens: {value}"),
    "max_lens_tokens": ("money", "allows lenses of {value} tokens"),
    "scout": ("money", "lets the smart model look around before it writes a lens: {value}"),
    "lens_store": ("work", "takes lenses that earlier runs wrote, and keeps new ones: {value}"),
    "scout_turns": ("money", "lets it look for {value} turns"),
    "max_output_tokens": ("money", "allows answers of {value} tokens"),
    "effort": ("money", "asks models for the effort {value}"),
    "fresh": ("work", "restores the files before each rung: {value}"),
    "system_prompt": ("work", "instructs all models: {value}"),
    "work_prompt": ("work", "replaces Sunwell's instructions on how to work by {value}"),
    "workspace_advice": ("work", "shows models AGENTS.md and CLAUDE.md: {value}"),
    "ignore": ("work", "hides the files {value} from models"),
    "dry_run": ("work", "shows changes without making them: {value}"),
    "check_timeout_seconds": ("work", "fails a check that takes longer than {value} seconds"),
    "protect": ("work", "fails work that changes the files {value}"),
    "must_change": ("work", "fails work that changes none of the files {value}"),
    "stream": ("work", "streams the answers: {value}"),
    "verbose": ("work", "shows every call and tool: {value}"),
    "safe": ("nothing", "names files of others that are used; only your own file may set it"),
    "use_nix": ("nothing", "sets use_nix = {value}"),
    "cache_dir": ("data", "keeps answers about long contexts, and takes them, in the folder {value}"),
}
_TABLES: Mapping[SettingPath, tuple[Danger, str]] = {
    ("budget", "usd"): ("money", "allows to spend {value} US dollars"),
    ("budget", "tokens"): ("money", "allows {value} tokens"),
    ("budget", "calls"): ("money", "allows {value} model calls"),
    ("budget", "turns"): ("money", "allows {value} turns"),
    ("budget", "seconds"): ("money", "allows {value} seconds"),
    ("workers", "max_concurrent"): ("money", "allows {value} workers at the same time"),
    ("workers", "timeout_seconds"): ("money", "lets a worker run for {value} seconds"),
    ("workers", "max_depth"): ("money", "allows workers of workers, {value} deep"),
    ("workers", "share"): ("money", "lets one worker use {value} of the budget"),
    ("workers", "fail_fast"): ("work", "stops all workers if one fails: {value}"),
    ("workers", "cache_choice"): ("money", "starts workers in the way {value}"),
    ("workers", "pad_prefix"): ("money", "lengthens prompts for the provider's cache: {value}"),
    ("workers", "lens_gate"): ("money", "tests the lens of a batch by extra runs: {value}"),
    ("orchestrator", "enabled"): ("money", "has a model hand all work to workers: {value}"),
    ("orchestrator", "max_turns"): ("money", "allows the orchestrator {value} turns"),
    ("orchestrator", "max_seconds"): ("money", "allows an orchestrated run {value} seconds"),
    ("orchestrator", "confidence_threshold"): ("work", "ends a run at a confidence of {value}"),
    ("sub_calls", "max_depth"): ("money", "allows sub-calls {value} deep"),
    ("sub_calls", "max_per_turn"): ("money", "allows {value} sub-calls in a turn"),
    ("sub_calls", "max_total_tokens"): ("money", "allows sub-calls {value} tokens"),
    ("sub_calls", "max_cost_per_session"): ("money", "allows sub-calls to spend {value} US dollars"),
    ("sub_calls", "auto_context"): ("money", "shows each sub-call what is found for its question: {value}"),
    ("sub_calls", "budget_inheritance"): ("money", "lets a sub-call use {value} of the budget"),
    ("scratchpad", "earlier_runs"): ("data", "shows models the scratchpads of the runs {value}"),
    ("scratchpad", "max_entries"): ("work", "keeps {value} entries of the scratchpad"),
    ("scratchpad", "persist_decisions"): ("work", "keeps the orchestrator's decisions: {value}"),
    ("explore", "max_steps"): ("money", "allows {value} steps of looking into a long context"),
    ("explore", "answer_memory"): ("work", "takes answers about long contexts from earlier runs: {value}"),
    ("explore", "max_commit_cycles"): ("money", "allows {value} scripts that ask about a long context"),
}
_OF_ROLES: Mapping[str, tuple[Danger, str]] = {
    "model": ("data", "sends the work of {name} to the model {value}, which may be a plugin's"),
    "provider": ("data", "sends the work of {name} to the provider {value}"),
    "max_output_tokens": ("money", "allows {name} answers of {value} tokens"),
    "effort": ("money", "asks {name} for the effort {value}"),
    "thinking_tokens": ("money", "lets {name} think for {value} tokens"),
    "timeout_seconds": ("money", "lets a call of {name} take {value} seconds"),
}
_OF_MODELS: Mapping[str, tuple[Danger, str]] = {
    "model": ("data", "sends what is for the model {name} to {value}"),
    "provider": ("data", "sends what is for the model {name} to the provider {value}"),
    "max_output_tokens": ("money", "allows the model {name} answers of {value} tokens"),
    "effort": ("money", "asks the model {name} for the effort {value}"),
    "thinking_tokens": ("money", "lets the model {name} think for {value} tokens"),
    "timeout_seconds": ("money", "lets a call of the model {name} take {value} seconds"),
    "context_window": ("money", "sends the model {name} up to {value} tokens"),
    "input_usd_per_million": ("money", "counts input of the model {name} at {value} dollars"),
    "output_usd_per_million": ("money", "counts output of the model {name} at {value} dollars"),
    "cached_input_usd_per_million": ("money", "counts cached input of the model {name} at {value} dollars"),
    "cache_write_usd_per_million": ("money", "counts cache writes of the model {name} at {value} dollars"),
}
_OF_PROVIDERS: Mapping[str, tuple[Danger, str]] = {
    "base_url": ("data", "sends everything for the provider {name} to {value}"),
    "api_key_env": ("data", "sends the key in the variable {value} to the provider {name}"),
    "headers_env": ("data", "sends variables to the provider {name} as headers: {value}"),
    "headers": ("data", "sends the provider {name} these headers: {value}"),
    "preset": ("data", "takes address and key of the provider {name} from the preset {value}"),
    "needs_key": ("data", "asks the provider {name} only with a key: {value}"),
    "kind": ("data", "speaks to the provider {name} in the format {value}"),
    "api": ("data", "speaks to the provider {name} over the interface {value}"),
    "timeout_seconds": ("money", "lets a call of the provider {name} take {value} seconds"),
    "first_byte_seconds": ("money", "waits {value} seconds for an answer of the provider {name}"),
    "stall_seconds": ("money", "waits {value} seconds if the provider {name} stalls"),
    "connect_seconds": ("money", "waits {value} seconds for a connection to the provider {name}"),
    "requests_per_minute": ("money", "sends the provider {name} up to {value} requests a minute"),
    "tokens_per_minute": ("money", "sends the provider {name} up to {value} tokens a minute"),
    "reasoning_models": ("money", "asks the models {value} of the provider {name} for effort"),
    "non_reasoning_models": ("work", "asks the models {value} of the provider {name} for no effort"),
    "quirks": ("work", "changes how the provider {name} is asked: {value}"),
}
_OF_CONTEXT: Mapping[str, tuple[Danger, str]] = {
    "kind": ("data", "asks the source of context {name} as {value}"),
    "path": ("data", "shows models passages of the files in {value}, as the source {name}"),
    "server": ("data", "sends what models look for in {name} to the server {value}"),
    "tool": ("data", "calls the tool {value} of the server of {name}"),
    "query_argument": ("work", "gives the server of {name} the question as {value}"),
    "tokens_argument": ("work", "gives the server of {name} the longest answer as {value}"),
    "document_tool": ("data", "calls the tool {value} of the server of {name} for documents"),
    "document_argument": ("work", "gives the server of {name} a document's name as {value}"),
    "api_key": ("data", "sends the server of {name} a key: {value}"),
    "api_key_env": ("data", "sends the key in the variable {value} to the server of {name}"),
    "project_slug": ("data", "asks the server of {name} about the project {value}"),
    "auto_context": ("money", "shows each sub-call what {name} finds for its question: {value}"),
    "timeout_seconds": ("money", "waits {value} seconds for the source {name}"),
}
_OF_MCP: Mapping[str, tuple[Danger, str]] = {
    "command": ("code", "runs the program {value} as the MCP server {name}"),
    "args": ("code", "runs the program of the MCP server {name} with {value}"),
    "sandbox": ("code", "sandbox of the MCP server {name}: {value}"),
    "tools": ("code", "lets models call the tools {value} of the MCP server {name}"),
    "ask": ("code", "has calls of tools of the MCP server {name} approved: {value}"),
    "url": ("data", "sends the calls of the MCP server {name} to {value}"),
    "variables": ("data", "gives the MCP server {name} the variables {value}"),
    "headers": ("data", "sends the MCP server {name} these headers: {value}"),
    "headers_env": ("data", "sends variables to the MCP server {name} as headers: {value}"),
    "allow_network": ("data", "lets the MCP server {name} in its sandbox reach the network: {value}"),
    "allow_http": ("data", "sends the calls of the MCP server {name} in the open: {value}"),
    "start_seconds": ("money", "waits {value} seconds for the start of the MCP server {name}"),
    "call_seconds": ("money", "waits {value} seconds for an answer of the MCP server {name}"),
}
_NAMED_TABLES = ("models", "providers", "context", "mcp")
_ROLES = ("model", "smart_model", "delegation_model", "second_model", "judge_model", "orchestrator")


def _powers() -> Mapping[SettingPath, Power]:
    found: dict[SettingPath, Power] = {(name,): Power(*said) for name, said in _TOP.items()}
    found |= {path: Power(*said) for path, said in _TABLES.items()}
    found |= {(role, key): Power(*said) for role in _ROLES for key, said in _OF_ROLES.items()}
    found |= {("models", _ANY, key): Power(*said) for key, said in _OF_MODELS.items()}
    found |= {("providers", _ANY, key): Power(*said) for key, said in _OF_PROVIDERS.items()}
    found |= {("context", _ANY, key): Power(*said) for key, said in _OF_CONTEXT.items()}
    found |= {("mcp", _ANY, key): Power(*said) for key, said in _OF_MCP.items()}
    return MappingProxyType(found)


POWERS = _powers()
"""One entry for each setting; ``*`` stands for a name of the user's own. ``quirks`` have one together."""


def power_of(path: SettingPath) -> Power:
    """Return what the setting at *path* does. Raises :exc:`KeyError` for one that nobody has judged."""
    if path[0] in _NAMED_TABLES:
        path = (path[0], _ANY, *path[2:3])
    return POWERS[path]


@attrs.frozen
class PowerLine:
    """What one setting of a file does, ready to be shown."""

    danger: Danger
    words: str
    where: str
    """The file and line."""


def power_lines(settings: Iterable[Setting]) -> tuple[PowerLine, ...]:
    """Return what *settings* do, the most dangerous first; each command and plugin by itself."""
    order = list(DANGERS)
    lines = [line for setting in settings for line in _lines(setting)]
    return tuple(sorted(lines, key=lambda line: order.index(line.danger)))


def _lines(setting: Setting) -> Iterable[PowerLine]:
    path, value = setting.path, setting.value
    power = power_of(path)
    if path == ("tools",) or path[-1] == "model":
        from sunwell.models.providers import is_beyond_built_in
        from sunwell.tools.tool_plugins import BUILT_IN

        is_plain = set(value or ()) <= BUILT_IN if path == ("tools",) else not is_beyond_built_in(value)
        if is_plain:
            words = power.words.replace(", those of plugins included", "").replace(
                ", which may be a plugin's", ""
            )
            power = attrs.evolve(power, words=words, danger="work" if path == ("tools",) else "data")
    values = value if path == ("checks",) else (value,)
    name = path[1] if path[0] in _NAMED_TABLES else path[0]
    for each in values:
        quirk = f"{path[-1]} = " if "quirks" in path else ""
        text = shown(path, each)
        if power.danger != "code" and len(text) > _LONGEST:  # what runs is told whole
            text = f"{text[:_LONGEST]}…"
        told = power.words.replace("{name}", name).replace("{value}", quirk + text)
        yield PowerLine(power.danger, told, str(setting.origin))
