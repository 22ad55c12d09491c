"""These tests need the packages of the programs they run: ``make referees`` installs them apart and runs them there."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.e2e.processes import simulator
from tests.hosts.loopback import nothing_outside, stay
from tests.hosts.served import Served, Service
from tests.referees.proxy import MODEL, PROXY_KEY, SERVICE_KEY, Proxy, running_proxy

collect_ignore_glob = [] if find_spec("litellm") and find_spec("openai") else ["test_*.py"]

if not collect_ignore_glob:
    stay()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a simulator process speaks OpenAI's dialect; its tasks take a second unless the prompt says otherwise."""
    with simulator(tmp_path_factory.mktemp("service"), "--seconds", "1", "--api-key", SERVICE_KEY) as base_url:
        yield urljoin(base_url, "/openai/v1")


@pytest.fixture(autouse=True)
def _nothing_but_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with nothing_outside(monkeypatch):
        yield


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory, simulated: str) -> Iterator[Proxy]:
    """A LiteLLM proxy in front of that simulator."""
    with running_proxy(tmp_path_factory.mktemp("proxy"), simulated) as proxy:
        yield proxy


@pytest.fixture
def server(tmp_path: Path, simulated: str, proxy: Proxy) -> Served:
    """A place for a server that orders through the proxy, and a service that has received nothing."""
    settings = {
        "SORA2_SERVICE": "openai",
        "SORA2_API_BASE_URL": proxy.base_url,
        "SORA2_API_KEY": PROXY_KEY,
        "SORA2_MODEL": MODEL,
    }
    return Served(folder=tmp_path, service=Service(simulated), settings=settings)
