"""Says in a sentence what to install; the room's front door loads it before all else."""

try:
    from pydantic_ai import __version__ as INSTALLED_VERSION  # noqa: N812
except ImportError:
    raise ImportError("pydantic-ai is not installed: pip install 'sunwell[pydantic-ai]'") from None

__all__ = ["INSTALLED_VERSION"]
