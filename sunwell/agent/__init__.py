"""Policy, lens, loop, workers, and the agent that ties them to a workspace and a journal."""

from sunwell.agent.agent import Agent

__all__ = ["Agent"]
