"""What of a run's terms has changed since it was recorded, in words that name it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sunwell.agent.prompts import (
    LENS_CHANGE_PROMPT_VERSION,
    LENS_PROMPT_VERSION,
    ORCHESTRATOR_PROMPT_VERSION,
    WORK_PROMPT_VERSION,
)
from sunwell.agent.run.toolset import Toolset
from sunwell.core.model import ToolSpec

_ASKED = ("enable_delegation", "system_prompt", "work_prompt", "effort")
_MOST_NAMED = 5


def code_of(tools: Toolset) -> dict[str, Any]:
    """Return JSON values for what the code itself asks with: tools as described, versions of prompts."""
    told = digests_of(tools.specs)
    return {
        "tools": told,
        "prompts": {
            "lens": LENS_PROMPT_VERSION,
            "lens_change": LENS_CHANGE_PROMPT_VERSION,
            "work": WORK_PROMPT_VERSION,
            "orchestrator": ORCHESTRATOR_PROMPT_VERSION,
        },
    }


def digests_of(specs: Iterable[ToolSpec]) -> list[list[str]]:
    """Return the name of each tool, with a digest of all that a model is told of it."""
    return [[spec.name, spec.digest] for spec in specs]


def changes_between(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield a clause for each difference that would make a recorded answer one to another question."""
    for role, name in recorded["models"].items():
        if now["models"][role] != name:
            yield f"{role} was {name or 'not named'} and is {now['models'][role] or 'not named'} now"
    for option in _ASKED:
        before, after = (settings["options"].get(option) for settings in (recorded, now))
        if before != after:
            yield _option_changed(option, before, after)
    had, has = _given_lens(recorded), _given_lens(now)
    if had != has:
        yield (
            "the lens is another one" if had and has else "a lens was given" if had else "a lens is given now"
        )
    code = recorded.get("code")
    if code:
        yield from _tools_changed(code["tools"], now["code"]["tools"])
        for prompt, version in code["prompts"].items():
            current = now["code"]["prompts"].get(prompt)
            if current != version:
                yield f"the prompt for {prompt} was version {version} and is {current} now"


def files_clause(paths: Sequence[str]) -> str:
    """Return the clause for files that somebody changed."""
    named = ", ".join(paths[:_MOST_NAMED])
    more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    return f"{named}{more} changed since the run saw {'it' if len(paths) == 1 else 'them'}"


def _given_lens(settings: Mapping[str, Any]) -> Any:
    """Return the lens that a run was given; older records have that of a batch beside its tasks."""
    return settings.get("lens") or settings.get("batch", {}).get("lens")


def _option_changed(option: str, before: Any, after: Any) -> str:
    if option in ("system_prompt", "work_prompt"):
        return f"the {option.replace('_', ' ')} has changed"
    return f"{option} was {before} and is {after} now"


def _tools_changed(before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]) -> Iterator[str]:
    old: dict[str, str] = dict(before)  # type: ignore[arg-type]
    new: dict[str, str] = dict(after)  # type: ignore[arg-type]
    gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
    if gone:
        yield f"the tools {', '.join(gone)} are gone"
    if added:
        yield f"the tools {', '.join(added)} are new"
    for name in old:
        if name in new and old[name] != new[name]:
            yield f"the tool {name} is described in other words"
    if not gone and not added and list(old) != list(new):
        yield "the tools stand in another order"
