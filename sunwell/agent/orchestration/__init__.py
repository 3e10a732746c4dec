"""Work that a model hands out itself: its tools, the spawner behind them, and the orchestrator."""
