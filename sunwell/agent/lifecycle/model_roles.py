"""Which model plays which part, resolved before any money is spent."""

import attrs

from sunwell.context.options import MODEL_ROLES, Fallback, ModelReference, RunOptions
from sunwell.core.model import ModelProtocol
from sunwell.errors import ConfigurationError, MissingKeyError, UnknownModelError
from sunwell.events import ModelFellBack
from sunwell.models.catalog import DEFAULT_SMART_MODEL, retirement_of
from sunwell.models.prices import PriceBook
from sunwell.models.registry import ModelRegistry, resolve_model


@attrs.frozen
class Roles:
    """The models of a run. ``smart`` and ``worker`` are ``None`` where the loop's own takes the part."""

    own: ModelProtocol
    smart: ModelProtocol | None
    worker: ModelProtocol | None
    warnings: tuple[str, ...] = ()
    fell_back: ModelFellBack | None = None
    """What the loop's own model stands in for; ``None`` where every role has the model that was named."""
    second: ModelProtocol | None = None
    """Who tries before the smart model does, on the ladder."""
    judge: ModelProtocol | None = None
    """Who judges by a rubric; ``None`` if nobody is named."""

    @property
    def judges(self) -> tuple[ModelProtocol, ...]:
        """The models that may judge, the best first: the named one alone, or all others."""
        if self.judge is not None:
            return (self.judge,)
        found = (self.smart, self.second, self.own, self.worker)
        return tuple({one.name: one for one in found if one is not None}.values())


@attrs.frozen
class Choices:
    """What a caller named, as it was named."""

    model: ModelReference | None = None
    smart_model: ModelReference | None = None
    delegation_model: ModelReference | None = None
    second_model: ModelReference | None = None
    judge_model: ModelReference | None = None

    @classmethod
    def of(cls, options: RunOptions) -> "Choices":
        """Return what *options* name."""
        return cls(*[getattr(options, role) for role in MODEL_ROLES])


def resolve_roles(
    agent: Choices, options: Choices, registry: ModelRegistry, fallback: Fallback = "fail"
) -> Roles:
    """Return the models: the agent's fields, then the options, then by name in *registry*.

    The loop's own model, where nobody names it, is the smart model, else the default smart model.
    Raises :exc:`~sunwell.errors.UnknownModelError` for a name that resolves to nothing, and
    :exc:`~sunwell.errors.MissingKeyError`. With *fallback* ``"parent"`` a delegation model that cannot
    be used is no error: the loop's own takes the part.
    """
    reason = ""
    warnings: list[str] = []
    found: dict[str, ModelProtocol | None] = dict.fromkeys(MODEL_ROLES)
    for role in MODEL_ROLES:
        first, second = getattr(agent, role), getattr(options, role)
        chosen = first if first is not None else second
        if chosen is None:
            continue
        try:
            found[role] = resolve_model(chosen, registry)
        except (UnknownModelError, MissingKeyError, ConfigurationError) as error:
            if role != "delegation_model" or fallback != "parent":
                raise
            reason = str(error)
        if first is not None and second is not None and _name(first) != _name(second):
            warnings.append(f"{role}: the agent's {_name(first)} is used, not the options' {_name(second)}")
        warnings += _retirement_warning(chosen)
    own = found["model"] or found["smart_model"] or resolve_model(DEFAULT_SMART_MODEL, registry)
    wanted = options.delegation_model if agent.delegation_model is None else agent.delegation_model
    fell_back = None
    if reason and wanted is not None:
        fell_back = ModelFellBack("delegation_model", _name(wanted), own.name, reason)
    return Roles(
        own,
        found["smart_model"],
        found["delegation_model"],
        tuple(warnings),
        fell_back,
        found["second_model"],
        found["judge_model"],
    )


def dearer_worker(worker: ModelProtocol, smart: ModelProtocol, prices: PriceBook) -> str:
    """Return the warning that *worker* costs more than *smart*; empty where it does not, or nobody knows."""
    dear, cheap = prices.price(worker), prices.price(smart)
    if dear is None or cheap is None or not dear.is_above(cheap):
        return ""
    return (
        f"the delegation model {worker.name} is dearer than {smart.name}: delegating costs more than it saves"
    )


def _name(reference: ModelReference) -> str:
    return reference if isinstance(reference, str) else reference.name


def _retirement_warning(reference: ModelReference) -> list[str]:
    retirement = retirement_of(_name(reference).rpartition("/")[2])
    return [retirement.sentence] if retirement else []
