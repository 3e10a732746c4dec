"""A project and a user of their own for each test, and no variable of anybody else's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.config import Loaded, Sources

KEYS = {
    "ANTHROPIC_API_KEY": "sk-ant-secret-1",
    "OPENAI_API_KEY": "sk-openai-secret-2",
    "XAI_API_KEY": "xai-secret-3",
    "MOONSHOT_API_KEY": "moon-secret-4",
}


@attrs.frozen
class Project:
    """A folder with a project, and the folder of its user."""

    folder: Path
    user: Path

    def write(self, text: str, name: str = "sunwell.toml") -> Path:
        """Put a file of the project down."""
        file = self.folder / name
        file.write_text(text)
        return file

    def write_user(self, text: str) -> None:
        """Put the user's own file down."""
        self.user.mkdir(exist_ok=True)
        (self.user / "config.toml").write_text(text)

    def environ(self, **variables: str) -> dict[str, str]:
        """Return an environment with the user's folder and *variables*."""
        return {"SUNWELL_HOME": str(self.user), **variables}

    def load(
        self,
        environ: Mapping[str, str] | None = None,
        config: Path | None = None,
        trust: bool = False,
        **options: Any,
    ) -> Loaded:
        """Load what holds in the project."""
        read = self.environ(**(environ or {}))
        return Sources(self.folder, config, read, trust).load(**options)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    return Project(folder, tmp_path / "user")
