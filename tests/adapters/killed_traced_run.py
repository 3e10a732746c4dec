"""Carries out a delegated run whose spans are written to a file one by one, until it is killed.

Started as a program by ``test_otel_money.py``: the address of the simulator, the workspace and the file.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from sunwell import Agent, RunOptions, SessionContext
from sunwell.adapters.otel import instrument
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection


class Lines(SpanExporter):
    """Appends the attributes of each span to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.path.open("a") as file:
            for span in spans:
                file.write(json.dumps(dict(span.attributes or {})) + "\n")
        return SpanExportResult.SUCCESS


async def main(url: str, workspace: str, exported: Path) -> None:
    """Carry the run out."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Lines(exported)))
    smart, cheap = (
        AnthropicModel(name, Connection("anthropic", url, "a-key"))
        for name in ("claude-opus-5-5", "claude-haiku-5-5")
    )
    session = SessionContext.build(
        workspace,
        "Generate CRUD endpoints for 5 entities",
        options=RunOptions(enable_delegation=True),
    )
    with instrument(tracer_provider=provider):
        await Agent(smart_model=smart, delegation_model=cheap).run(session)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
