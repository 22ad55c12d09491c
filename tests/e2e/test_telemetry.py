"""Real processes: with an OpenTelemetry SDK that is set up from outside, and with none."""

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.processes import Process, StdioHost, environment

SETUP = """
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import set_tracer_provider

spans = ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\\n")
tracers = TracerProvider()
tracers.add_span_processor(BatchSpanProcessor(spans))
set_tracer_provider(tracers)
exporter = ConsoleMetricExporter(formatter=lambda data: data.to_json(indent=None) + "\\n")
set_meter_provider(MeterProvider([PeriodicExportingMetricReader(exporter)]))
"""
"""What ``opentelemetry-instrument`` does with its console exporters, which print to stdout."""

WITHOUT_SDK = """
import sys

sys.modules["opentelemetry.sdk"] = None
from sora2_mcp.__main__ import main

main()
"""
LIGHT = """
import sys

import sora2_mcp.server.stdio

print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.metrics"))])
"""


def python(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_what_an_exporter_prints_reaches_stderr_and_stdout_stays_the_protocols(tmp_path: Path) -> None:
    (tmp_path / "setup").mkdir()
    (tmp_path / "setup" / "sitecustomize.py").write_text(SETUP)
    with Process(tmp_path, "serve", "--simulate", PYTHONPATH=str(tmp_path / "setup")) as process:
        host = StdioHost(process)
        host.ready()
        task_id = host.call("generate_video", prompt="A private kitten [sim:seconds=0]")["structuredContent"]["task_id"]
        host.call("wait_for_video", task_id=task_id)
        process.ended()
        assert process.popen.stdout is not None
        assert process.popen.stdout.read() == b""

    exported = [json.loads(line) for line in process.stderr.splitlines() if line.startswith("{")]
    names = {span["name"] for span in exported if "name" in span}
    assert {"tools/call generate_video", "sora2.order", "sora2.look"} <= names
    assert any("resource_metrics" in data for data in exported)
    assert "private kitten" not in process.stderr


def test_without_an_sdk_everything_works_as_ever(tmp_path: Path) -> None:
    run = python(tmp_path, WITHOUT_SDK, "generate", "A kitten [sim:seconds=0]", "--simulate")

    assert (run.returncode, run.stderr) == (0, "")
    assert "Ordered: sora2_task_" in run.stdout


def test_no_sdk_and_no_metric_is_loaded_before_the_handshake_is_answered(tmp_path: Path) -> None:
    run = python(tmp_path, LIGHT)

    assert (run.stdout, run.stderr) == ("[]\n", "")
