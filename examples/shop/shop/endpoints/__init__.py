"""One module per entity; each has a ``register(router)``."""
