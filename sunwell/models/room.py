"""How many tokens one request to a model may have: its prompt, and its longest answer."""

from collections.abc import Mapping

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.errors import RequestTooLong

DEFAULT_OUTPUT_TOKENS = 8_192
"""Most tokens of an answer if nobody chose: long enough for a file, short enough to reserve."""
_DEFAULT_SHARE = 4  # of a small window, an answer of the default length may take a quarter,
_THINKING_SHARE = 2  # with thinking a half,
_LEAST_PROMPT_SHARE = 4  # and an answer of a chosen length all but a quarter
_LEAST_RETRIED_TOKENS = 1_024
_LENS_THINKING_TOKENS = 4_000
_LENS_SHARE = 2


@attrs.frozen
class Room:
    """The tokens of one request. Every path computes them here: a run, a question, a forecast."""

    output_tokens: int
    """Most tokens of the answer, thinking included."""
    window_tokens: int | None = None
    """The model's context window; ``None``: unknown."""

    @property
    def prompt_tokens(self) -> int | None:
        """Most tokens of the prompt; ``None``: unknown."""
        return None if self.window_tokens is None else self.window_tokens - self.output_tokens


def own_output_tokens(model: ModelProtocol, usual: int | None = None) -> int | None:
    """Return the limit of an answer that was set for *model*, else *usual*, the one for all models."""
    own: int | None = getattr(model, "max_output_tokens", None)
    return usual if own is None else own


def thinking_tokens_of(model: ModelProtocol) -> int:
    """Return the thinking budget of *model*; 0: it has none."""
    budget: int | None = getattr(model, "thinking_tokens", None)
    return budget or 0


def lens_output_tokens(model: ModelProtocol, max_lens_tokens: int, window_tokens: int | None = None) -> int:
    """Return the limit of the answer in which *model* writes a lens of at most *max_lens_tokens*.

    It is the one that was set for the model. Otherwise JSON may double the lens, and there is room to think;
    it is at most half of *window_tokens*.
    """
    chosen = own_output_tokens(model)
    if chosen is not None:
        return chosen
    wanted = 2 * max_lens_tokens + max(_LENS_THINKING_TOKENS, thinking_tokens_of(model))
    return wanted if window_tokens is None else min(wanted, max(1, window_tokens // _LENS_SHARE))


@attrs.frozen
class _Learned:
    window_tokens: int | None = None
    output_tokens: int | None = None


_NOTHING = _Learned()


@attrs.define(eq=False)
class ModelLimits:
    """Windows that were set, and limits that providers named when they refused a request."""

    windows: Mapping[str, int] = attrs.field(factory=dict)
    """Context windows that were set, by a model's name or ``provider/id``."""
    learned: dict[str, _Learned] = attrs.field(factory=dict, init=False)
    """What was learned, by a model's name: another object as soon as that is more."""

    def window_tokens(self, model: ModelProtocol) -> int | None:
        """Return what the provider said is the window of *model*, else what was set; ``None``: neither."""
        learned = self.learned.get(model.name, _NOTHING).window_tokens
        own: int | None = getattr(model, "context_window", None)
        return learned or own or self.windows.get(model.name)

    def learn(self, model: ModelProtocol, refusal: RequestTooLong) -> None:
        """Take note of the figures in *refusal*: the provider knows them best."""
        known = self.learned.get(model.name, _NOTHING)
        window, output = refusal.window_tokens, refusal.output_limit_tokens
        learned = _Learned(window or known.window_tokens, output or known.output_tokens)
        self.learned = self.learned | {model.name: learned}

    def room(self, model: ModelProtocol, window_tokens: int | None, asked_tokens: int | None) -> Room:
        """Return the room of a request to *model* that sets *asked_tokens* as the limit of its answer.

        ``None``: the model's own limit, else :data:`DEFAULT_OUTPUT_TOKENS` and what its thinking may take.
        No answer takes so much of a window that no prompt has room.
        """
        chosen = own_output_tokens(model) if asked_tokens is None else asked_tokens
        thinking = thinking_tokens_of(model)
        output = DEFAULT_OUTPUT_TOKENS + thinking if chosen is None else chosen
        if window_tokens is not None:
            usual = window_tokens // (_THINKING_SHARE if thinking else _DEFAULT_SHARE)
            most = usual if chosen is None else window_tokens - window_tokens // _LEAST_PROMPT_SHARE
            output = min(output, max(1, most))
        longest = self.learned.get(model.name, _NOTHING).output_tokens
        return Room(output if longest is None else min(output, longest), window_tokens)


def shorter_answer(refusal: RequestTooLong, refused_tokens: int, room: Room) -> int | None:
    """Return a limit of the answer with which a refused request fits; ``None``: its prompt must be shorter.

    *refused_tokens* is the limit that it had, *room* what is known after the refusal.
    """
    window, prompt = refusal.window_tokens, refusal.input_tokens
    fitting = min(room.output_tokens, refused_tokens)
    if window is not None and prompt is not None:
        fitting = min(fitting, window - prompt)
        if fitting < min(_LEAST_RETRIED_TOKENS, window // _DEFAULT_SHARE):
            return None
    return fitting if fitting < refused_tokens else None
