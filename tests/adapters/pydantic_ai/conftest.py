"""Where pydantic-ai is not installed, these tests are skipped by its name."""

import pytest

pytest.importorskip("pydantic_ai", reason="sunwell[pydantic-ai] is not installed")
