"""What an observer of runs has sent along with requests and given to commands, such as the id of a trace."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol


class PassedOn(Protocol):
    """What is passed on now. Both methods are called often, and raise nothing."""

    def headers(self) -> Mapping[str, str]:
        """Return headers for a request to a model's provider that is about to be sent."""
        ...

    def variables(self) -> Mapping[str, str]:
        """Return environment variables for a command or a program that is about to be started."""
        ...


_sources: list[PassedOn] = []
_NOTHING: Mapping[str, str] = MappingProxyType({})


def pass_on(source: PassedOn) -> Callable[[], None]:
    """Pass on what *source* says from now on, in all runs of this process; return what ends that."""
    _sources.append(source)

    def end() -> None:
        if source in _sources:
            _sources.remove(source)

    return end


def passed_headers() -> Mapping[str, str]:
    """Return the headers for a request to a model's provider."""
    if not _sources:
        return _NOTHING
    return {name: value for source in _sources for name, value in source.headers().items()}


def passed_variables() -> Mapping[str, str]:
    """Return the environment variables for a command or a program."""
    return {name: value for source in _sources for name, value in source.variables().items()}
