"""LiteLLM's proxy as its users run it: a process in front of the service, with a key of its own."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.processes import environment

MODEL = "sora-2"
SERVICE_KEY = "service-0123456789abcdef"
"""The only key the simulator takes."""
PROXY_KEY = "sk-proxy-0123"
"""The only key the proxy takes."""

PATIENCE_SECONDS = 180
"""It imports for five seconds where nothing else runs."""

_PROGRAM = str(Path(sys.executable).with_name("litellm"))
_READY = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")
_NOWHERE = "http://127.0.0.1:9"
_ALONE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would load a list of prices
    "HTTP_PROXY": _NOWHERE,
    "HTTPS_PROXY": _NOWHERE,  # of a video it does not know it asks api.openai.com
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A running proxy; ``output`` holds all that it writes."""

    base_url: str
    output: Path


@contextmanager
def running_proxy(folder: Path, service_url: str) -> Iterator[Proxy]:
    """A proxy process in front of the service there, on a free port; ended by its own id."""
    config = folder / "config.yaml"
    config.write_text(json.dumps(_configuration(service_url)))  # JSON is YAML
    arguments = ["--config", str(config), "--host", "127.0.0.1", "--port", "0"]
    output = folder / "output.txt"
    with (
        output.open("wb") as written,
        subprocess.Popen(
            [_PROGRAM, *arguments],
            env=environment(folder, **_ALONE),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield Proxy(base_url=f"{_address(process, output)}/v1", output=output)
        finally:
            process.kill()


def _configuration(service_url: str) -> dict[str, object]:
    upstream = {"model": f"openai/{MODEL}", "api_base": service_url, "api_key": SERVICE_KEY}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": upstream}],
        "general_settings": {"master_key": PROXY_KEY},
        # By itself it repeats an order twice that may have been accepted, which is paid three times.
        "router_settings": {"num_retries": 0},
    }


def _address(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := _READY.search(output.read_text()):
            return found[1]
        assert process.poll() is None, output.read_text()
        time.sleep(0.1)
    raise AssertionError(f"the proxy was never ready\n{output.read_text()}")
