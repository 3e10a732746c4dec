"""The addresses of resources: what of a run a client may read."""

from typing import Literal
from urllib.parse import quote, unquote

import attrs

RunPart = Literal["report", "answer", "skill"]
_RUNS = "sunwell://"
_SKILLS = "skill://sunwell/"
_SKILL_FILE = "SKILL.md"


@attrs.frozen
class RunUri:
    """A part of a run as a resource."""

    root: str
    run_id: str
    part: RunPart

    def __str__(self) -> str:
        root = quote(self.root, safe="")
        if self.part == "skill":
            return f"{_SKILLS}{root}/{self.run_id}/{_SKILL_FILE}"
        return f"{_RUNS}{root}/runs/{self.run_id}/{self.part}"

    @classmethod
    def read(cls, uri: str) -> "RunUri | None":
        """Return what *uri* means; ``None`` if it is the address of nothing here."""
        for prefix in (_SKILLS, _RUNS):
            if not uri.startswith(prefix):
                continue
            match uri.removeprefix(prefix).split("/"):
                case [root, run_id, "SKILL.md"] if prefix == _SKILLS:
                    return cls(unquote(root), run_id, "skill")
                case [root, "runs", run_id, ("report" | "answer") as part] if prefix == _RUNS:
                    return cls(unquote(root), run_id, part)
        return None
