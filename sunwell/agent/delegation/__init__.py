"""Work that a model hands out itself: the tools for it, the desk behind them, the orchestrator's part."""
