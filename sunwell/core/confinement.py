"""How the commands of a run are kept from the rest of the machine."""

from collections.abc import Mapping
from typing import Literal, Self

import attrs


@attrs.frozen
class Confinement:
    """What was active when the commands of a run, or of its checks, could run."""

    sandbox: Literal["required", "off", "none"] = "none"
    """``none``: no command could run."""
    program: str = ""
    """The program of the sandbox and its version; empty if there is none."""
    network: bool = False
    """Whether commands had the network."""

    @property
    def sentence(self) -> str:
        """It in words, as in ``bubblewrap 0.8.0, no network``."""
        if self.sandbox == "none":
            return "none: no commands run"
        if self.sandbox == "off":
            return "off: commands run with all rights of your account"
        return f"{self.program}, {'with' if self.network else 'no'} network"

    def joined(self, other: "Confinement") -> "Confinement":
        """Return what holds for commands of both: the weaker of the two."""
        if "none" in (self.sandbox, other.sandbox):
            return other if self.sandbox == "none" else self
        weaker = other if other.sandbox == "off" else self
        return attrs.evolve(weaker, network=self.network or other.network)

    @classmethod
    def read(cls, fields: object) -> Self:
        """Return the one that *fields* of a record describe; ``none`` if they describe none."""
        if not isinstance(fields, Mapping):
            return cls()
        sandbox, program = fields.get("sandbox"), fields.get("program")
        if sandbox not in ("required", "off") or not isinstance(program, str):
            return cls()
        return cls(sandbox, program, bool(fields.get("network")))
