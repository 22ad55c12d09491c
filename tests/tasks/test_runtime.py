"""What opens and closes the core."""

import asyncio
import errno
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sora2_mcp.errors import ArgumentError, MissingKeyError, StoreError
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.network import NETWORK
from tests.stores import file_in
from tests.tasks.core import CAT, listed, opened, orders, settings_for

pytestmark = pytest.mark.anyio


async def test_entering_opens_nothing(tmp_path: Path) -> None:
    async with Runtime(settings_for(tmp_path, "http://127.0.0.1:9/v1", database_url=file_in(tmp_path).url)):
        pass

    assert list(tmp_path.glob("tasks.db*")) == []


async def test_without_a_key_the_variable_is_named_and_nothing_is_opened(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "http://127.0.0.1:9/v1", api_key="", database_url=file_in(tmp_path).url)
    async with Runtime(settings) as runtime:
        with pytest.raises(MissingKeyError, match="SORA2_API_KEY"):
            await runtime.tasks()

    assert list(tmp_path.glob("tasks.db*")) == []


async def test_all_who_ask_get_the_same_service(runtime: Runtime) -> None:
    runtime.begin()
    runtime.begin()

    assert await runtime.tasks() is await runtime.tasks()


async def test_a_store_that_cannot_be_opened_is_tried_again_by_the_next_call(tmp_path: Path, base_url: str) -> None:
    (tmp_path / "place").write_text("in the way")
    settings = settings_for(tmp_path, base_url, database_url=f"sqlite:///{tmp_path}/place/t.db")
    async with Runtime(settings) as runtime:
        for _ in range(2):
            with pytest.raises(StoreError, match="SORA2_DATABASE_URL"):
                await runtime.tasks()
        (tmp_path / "place").unlink()

        service = await runtime.tasks()

        assert await listed(service) == []


async def test_a_simulator_that_cannot_listen_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    class Unopenable:
        async def __aenter__(self) -> str:
            raise OSError(errno.EADDRINUSE, "address already in use")

        async def __aexit__(self, *_: object) -> None: ...

    async with Runtime(settings_for(tmp_path, "http://unused.example"), endpoint=Unopenable) as runtime:
        with pytest.raises(StoreError, match="address already in use"):
            await runtime.tasks()


async def test_a_store_that_takes_too_long_is_told_and_still_opens(tmp_path: Path, base_url: str) -> None:
    async with Runtime(settings_for(tmp_path, base_url)) as runtime:
        with pytest.raises(StoreError, match="still being opened"):
            await runtime.tasks(patience_seconds=0)

        assert await listed(await runtime.tasks()) == []


async def test_begin_belongs_inside_the_runtime(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="outside"):
        Runtime(settings_for(tmp_path, "http://127.0.0.1:9/v1", database_url=file_in(tmp_path).url)).begin()


async def test_an_error_of_the_body_comes_out_as_itself(settings: Settings) -> None:
    with pytest.raises(ArgumentError):
        async with opened(settings):
            raise ArgumentError("prompt", "is empty")


@pytest.mark.parametrize("turns", [0, 1, 5, 50, 500])
async def test_the_end_leaves_nothing_running_however_early_it_comes(
    settings: Settings, clock: FakeClock, turns: int
) -> None:
    before = asyncio.all_tasks()
    with anyio.fail_after(30):
        async with Runtime(settings, clock=clock, transport=NETWORK) as runtime:
            runtime.begin()
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()

    assert asyncio.all_tasks() == before


async def test_the_end_in_the_midst_of_work_leaves_nothing_running(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    for number in range(5):
        before = asyncio.all_tasks()
        with anyio.fail_after(30):
            async with opened(settings, clock) as service:
                await service.submit(CAT, "local", key=str(number))
                await clock.advance(61)
        assert asyncio.all_tasks() == before

    assert len(orders(simulator)) == 5


async def test_work_in_the_background_ends_by_itself_or_with_the_runtime(settings: Settings) -> None:
    done = list[str]()

    async def short() -> None:
        done.append("short")

    async def endless() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            done.append("endless")

    runtime = Runtime(settings)
    with pytest.raises(RuntimeError, match="async with"):
        runtime.in_background(short)
    with anyio.fail_after(5):
        async with runtime:
            runtime.in_background(endless)
            runtime.in_background(short)
            await anyio.lowlevel.checkpoint()

    assert done == ["short", "endless"]
