"""The command line tells OpenTelemetry of its runs where the process has an SDK, and flushes at its end."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sunwell.simulator import Simulator, echo, running_simulator

PROGRAM = """
import json, sys
from pathlib import Path
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

exported = Path(sys.argv[1])

class Lines(SpanExporter):
    def export(self, spans):
        with exported.open("a") as file:
            for span in spans:
                above = span.parent and format(span.parent.span_id, "016x")
                file.write(json.dumps([span.name, above, dict(span.attributes)]) + "\\n")
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Lines()))
trace.set_tracer_provider(provider)
from sunwell.cli.main import main
sys.argv[:] = ["sunwell", *sys.argv[2:]]
main()
"""
MODEL = "claude-haiku-5-5"


def ran(folder: Path, program: list[Any], **variables: str) -> "subprocess.CompletedProcess[str]":
    """Return how a run of the command line ended that was started by *program*."""
    with running_simulator(Simulator({MODEL: echo})) as sim:
        keys = {"ANTHROPIC_BASE_URL": sim.url, "ANTHROPIC_API_KEY": "a-key"}
        line = [*program, "run", "Say hello", "-m", f"anthropic/{MODEL}", "-w", folder]
        environ = {**os.environ, **keys, **variables}
        return subprocess.run(line, env=environ, capture_output=True, text=True, timeout=60, check=False)


def spans_of(tmp_path: Path, **variables: str) -> list[Any]:
    """Return the spans of a command in a process with an SDK: name, parent and attributes of each."""
    program, exported = tmp_path / "program.py", tmp_path / "spans.jsonl"
    program.write_text(PROGRAM)
    folder = tmp_path / "workspace"
    folder.mkdir()
    done = ran(folder, [sys.executable, program, exported], **variables)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in exported.read_text().splitlines()] if exported.exists() else []


def test_a_process_with_an_sdk_needs_no_switch(tmp_path: Path) -> None:
    """The last spans are flushed before the process ends; a trace of the environment goes on."""
    parent = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    spans = spans_of(tmp_path, TRACEPARENT=parent)
    assert [name for name, _, _ in spans] == [f"chat {MODEL}", "invoke_agent sunwell"]
    assert spans[-1][1] == "2" * 16
    assert "gen_ai.input.messages" not in spans[0][2]


def test_content_is_recorded_if_the_variable_says_so(tmp_path: Path) -> None:
    """It is no setting of a project's file, so that a project cannot have texts sent away."""
    [(_, _, attributes), _] = spans_of(tmp_path, SUNWELL_OTEL="content")
    assert "Say hello" in attributes["gen_ai.input.messages"]


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    """Also where the process has an SDK for something else."""
    assert spans_of(tmp_path, SUNWELL_OTEL="off") == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param("on", "no OpenTelemetry SDK is set up in this process: start the command", id="no-sdk"),
        pytest.param("maybe", "SUNWELL_OTEL cannot be 'maybe': it takes the words on, off", id="no-word"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(tmp_path: Path, value: str, said: str) -> None:
    """Before anything is asked."""
    done = ran(tmp_path, [sys.executable, "-m", "sunwell"], SUNWELL_OTEL=value)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_an_sdk_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    """The commands of everybody else are as fast as before."""
    code = (
        "import sys; from sunwell.cli.telemetry import start_telemetry; start_telemetry();"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
