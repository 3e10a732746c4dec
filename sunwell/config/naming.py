"""What a model is called once its provider is known."""

from sunwell.config.connecting import unknown_provider
from sunwell.config.schema import Configuration
from sunwell.models.catalog import ALIASES, preset


def reference_of(values: Configuration, model: str, provider: str | None) -> str:
    """Return *model* as ``provider/id`` where *provider* is named, else as it stands.

    A provider goes by the name of its entry or preset, so ``grok`` is ``xai``. Raises
    :exc:`~sunwell.errors.ConfigurationError` where nobody knows *provider*.
    """
    if provider is None:
        return model
    name = provider
    if provider not in values.providers:
        known = preset(provider)
        if known is None:
            raise unknown_provider(provider, tuple(values.providers))
        name = known.name
    if model.startswith(f"{name}/"):
        return model
    target = ALIASES.get(model, "")
    return target if target.startswith(f"{name}/") else f"{name}/{model}"
