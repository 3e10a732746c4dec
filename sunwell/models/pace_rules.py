"""What each vendor counts against its rate limits, as data for the table of providers."""

from typing import Literal

import attrs

OutputCount = Literal["asked", "produced"]
"""``asked``: the requested maximum counts when a request arrives. ``produced``: tokens count as they come."""


@attrs.frozen
class PaceRule:
    """What a request counts against a limit of tokens. The default is careful, for unknown servers."""

    output: OutputCount = "asked"
    is_larger_only: bool = False
    """Whether only the larger of input and requested output counts, and not their sum."""
    are_reads_counted: bool = True
    """Whether input that is read from the cache counts."""
    is_corrected: bool = True
    """Whether the real usage replaces the estimate when the answer is complete."""

    def tokens(self, input_tokens: float, output_tokens: float) -> float:
        """Return what a limit of all tokens counts for a request."""
        if self.is_larger_only:
            return max(input_tokens, output_tokens)
        return input_tokens + output_tokens


ANY_PACE = PaceRule()
"""For servers whose rule is unknown: too much is counted at first, and corrected by usage and headers."""
ANTHROPIC_PACE = PaceRule(output="produced", are_reads_counted=False)
"""https://platform.claude.com/docs/en/api/rate-limits, known state of 2026: input and output have limits of
their own, refilled continuously; reads from the cache do not count; output counts as it is produced. Older
texts say that output is first estimated from ``max_tokens``: headers correct that, too."""
OPENAI_PACE = PaceRule(is_larger_only=True, is_corrected=False)
"""https://platform.openai.com/docs/guides/rate-limits, known state of 2026: the larger of the requested
maximum and the tokens estimated from the size of the request counts on arrival."""
AZURE_PACE = PaceRule(is_corrected=False)
"""https://learn.microsoft.com/azure/ai-services/openai/how-to/quota, known state of 2026: prompt and
requested maximum count on arrival, and are not corrected afterwards."""
GROQ_PACE = PaceRule(are_reads_counted=False)
"""https://console.groq.com/docs/rate-limits, read on 2026-11-29: reads from the cache do not count. The
limit of requests in its headers is one for a day, that of tokens one for a minute."""
