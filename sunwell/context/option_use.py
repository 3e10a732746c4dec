"""Which options have no effect together with the others that hold."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from sunwell.context.options import RunOptions


@attrs.frozen
class Use:
    """What a run with its final options makes use of."""

    options: RunOptions
    is_batch: bool = False
    is_question: bool = False
    has_lens: bool = False
    """Whether an existing lens is used."""
    has_task_checks: bool = False
    """Whether tasks of a batch have checks of their own."""

    @property
    def lens(self) -> bool:
        """Whether a lens may be written."""
        return self.options.enable_delegation and not self.options.orchestrate and not self.has_lens

    @property
    def hands_out(self) -> bool:
        """Whether a model may start workers."""
        return self.options.orchestrate or self.options.delegation_tools is not None

    @property
    def batch(self) -> bool:
        """Whether several tasks may run under one lens."""
        return self.is_batch or (self.lens and self.options.split)

    @property
    def scratchpad(self) -> bool:
        """Whether a model has the tools that read the scratchpad."""
        return self.options.orchestrate or self.options.delegation_tools == "delegate"

    @property
    def smart(self) -> bool:
        """Whether the smart model may be asked."""
        works = self.is_batch or self.has_lens
        named = self.options.model or (self.options.delegation_model if works else None)
        return self.lens or self.options.orchestrate or named is None

    @property
    def main(self) -> bool:
        """Whether the main model may be asked."""
        has_smart = self.options.smart_model is not None
        if self.is_batch or (self.has_lens and not self.options.orchestrate):
            return self.options.delegation_model is None or (self.lens and not has_smart)
        return not (self.options.orchestrate and has_smart)

    @property
    def check_commands(self) -> bool:
        """Whether commands run as checks."""
        return bool(self.options.check_commands) or self.has_task_checks

    def has_tool(self, name: str) -> bool:
        """Whether the tool *name* may be called if it is allowed."""
        names = self.options.tool_names
        return self.is_question or names is None or name in names


Rule = tuple[tuple[str, ...], Callable[[Use], bool], str]
_RULES: tuple[Rule, ...] = (
    (
        (
            "delegation_threshold_tokens", "on_lens_failure", "max_lens_tokens", "split",
            "scout", "scout_turns", "lens_store",
        ),
        lambda use: use.lens or use.is_question,  # a question refuses them in its own words
        "no lens is written; add --enable-delegation, without --lens or --orchestrate",
    ),
    (
        ("decide",),
        lambda use: (use.lens and not use.is_batch and not use.options.escalate) or use.is_question,
        "nothing is decided; add --enable-delegation, without --lens, --orchestrate or --escalate",
    ),
    (
        ("max_explore", "max_commit_cycles", "answer_memory", "cache_dir"),
        lambda use: use.is_question,
        "nothing is asked about a context; use sunwell ask, or add --query",
    ),
    (
        ("enable_delegation",),
        lambda use: not use.options.orchestrate and not (use.is_batch and use.has_lens),
        "a batch with --lens and a run with --orchestrate need no other lens",
    ),
    (
        ("delegation_model",),
        lambda use: use.lens or use.has_lens or use.hands_out or use.is_batch or use.is_question,
        "delegation is off; add --enable-delegation, or name the model that works with --model",
    ),
    (
        ("fallback",),
        lambda use: use.options.delegation_model is not None,
        "it is about the delegation model, and none is named; add --delegation-model",
    ),
    (
        ("smart_model",),
        lambda use: use.smart or use.is_question,
        "only the model that works is asked; leave one of the two out, or add --enable-delegation",
    ),
    (("model",), lambda use: use.main or use.is_question, "the other models that are named do all the work"),
    (
        ("max_concurrent", "worker_timeout_seconds"),
        lambda use: use.batch or use.hands_out,
        "no workers run beside each other; add --split, --delegation-tools or --orchestrate",
    ),
    (
        ("fail_fast", "cache_choice", "pad_prefix", "lens_gate"),
        lambda use: use.batch,
        "it is about several tasks under one lens; add --split, or use sunwell batch",
    ),
    (
        ("max_depth", "worker_share"),
        lambda use: use.hands_out,
        "no model may start workers; add --delegation-tools or --orchestrate",
    ),
    (
        ("delegation_tools",),
        lambda use: use.options.max_depth > 0 or use.is_question,
        "--max-depth 0 allows no worker",
    ),
    (
        (
            "orchestrator_max_turns",
            "orchestrator_max_seconds",
            "orchestrator_confidence_threshold",
        ),
        lambda use: use.options.orchestrate,
        "there is no orchestrator; add --orchestrate",
    ),
    (
        ("earlier_runs", "scratchpad_max_entries", "scratchpad_persist_decisions"),
        lambda use: use.scratchpad,
        "no model reads a scratchpad; add --orchestrate or --delegation-tools delegate",
    ),
    (
        (
            "sub_calls_max_depth",
            "sub_calls_max_per_turn",
            "sub_calls_max_total_tokens",
            "sub_calls_max_cost_per_session",
            "sub_calls_budget_inheritance",
        ),
        lambda use: use.options.delegation_tools == "rlm",
        "there are no sub-calls; add --sub-calls",
    ),
    (
        ("auto_context",),
        lambda use: use.options.delegation_tools == "rlm" and bool(use.options.context_sources),
        "it is about sub-calls and what is looked up for them; add --sub-calls and --context-source",
    ),
    (
        ("sub_calls_enabled",),
        lambda use: use.options.delegation_tools == "rlm",
        "--delegation-tools chooses other tools; leave one of the two out",
    ),
    (("allow_shell",), lambda use: use.has_tool("run_command"), "--tools does not name run_command"),
    (("allow_python",), lambda use: use.has_tool("execute_python"), "--tools does not name execute_python"),
    (
        ("sandbox",),
        lambda use: (
            (use.options.allow_shell and use.has_tool("run_command"))
            or use.check_commands
        ),
        "no commands run; add --allow-shell or --check",
    ),
    (
        ("allow_network",),
        lambda use: (
            use.options.sandbox == "required"
            and ((use.options.allow_shell and use.has_tool("run_command")) or use.check_commands)
        ),
        "no commands run in a sandbox; add --allow-shell or --check, without --sandbox off",
    ),
    (
        ("ladder", "worth_usd", "passes_wrong", "fresh"),
        lambda use: use.options.escalate,
        "nothing climbs; add --escalate",
    ),
    (
        ("second_model",),
        lambda use: use.options.escalate or use.options.judge is not None,
        "nothing climbs, and nobody judges; add --escalate or --judge",
    ),
    (
        ("check_timeout_seconds",),
        # A model that starts workers may name commands as their checks.
        lambda use: use.check_commands or (use.scratchpad and use.options.allow_shell),
        "no check is a command; add --check",
    ),
    (
        ("judge_model",),
        lambda use: use.options.judge is not None,
        "nobody judges; add --judge with a rubric",
    ),
    (
        ("approve",),
        lambda use: not use.options.dry_run,
        "--dry-run makes no change that could be approved",
    ),
    (
        ("approve", "dry_run", "allow_write"),
        lambda use: not use.is_question or use.options.allow_shell or use.options.allow_python,
        "a question has no tools that change anything; add --allow-shell or --allow-python, or leave it out",
    ),
)  # fmt: skip


def unused(chosen: Mapping[str, Any], use: Use) -> Iterator[tuple[str, str]]:
    """Yield each option of *chosen*, by name, that *use* has no use for, and why.

    What is ``None``, false or empty is let pass: it is what holds anyway.
    """
    for names, is_used, reason in _RULES:
        for name in names:
            if chosen.get(name) not in (None, (), False) and not is_used(use):
                yield name, reason
