"""The Python client of the vendor's quickstart, statement for statement; only its base URL is set from outside."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# ruff: noqa: ANN001, ANN003, ANN201, ANN204, S113, T201

import time

import anyio.to_thread
import pytest
import requests

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running

pytestmark = pytest.mark.anyio


class Sora2API:
    def __init__(self, api_key):
        self.api_key = api_key
        self.base_url = "https://api.sora2api.ai/api/v1/sora2"
        self.headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def generate_video(self, **options):
        response = requests.post(f"{self.base_url}/generate", headers=self.headers, json=options)
        result = response.json()
        if not response.ok or result.get("code") != 200:
            raise Exception(f"Generation failed: {result.get('msg', 'Unknown error')}")
        return result["data"]["taskId"]

    def wait_for_completion(self, task_id, max_wait_time=600):
        start_time = time.time()
        while time.time() - start_time < max_wait_time:
            status = self.get_task_status(task_id)
            success_flag = status["successFlag"]
            if success_flag == 0:
                print("Task generating, waiting...")
            elif success_flag == 1:
                print("Generation completed successfully!")
                return status["response"]
            elif success_flag == 2:
                task_error = status.get("errorMessage", "Task creation failed")
                print(f"Task creation failed: {task_error}")
                if status.get("errorCode"):
                    print(f"Error code: {status['errorCode']}")
                raise Exception(task_error)
            elif success_flag == 3:
                generate_error = status.get("errorMessage", "Task generation failed")
                print(f"Generation failed: {generate_error}")
                if status.get("errorCode"):
                    print(f"Error code: {status['errorCode']}")
                raise Exception(generate_error)
            else:
                print(f"Unknown status: {success_flag}")
                if status.get("errorMessage"):
                    print(f"Error message: {status['errorMessage']}")
            time.sleep(30)  # Wait 30 seconds
        raise Exception("Generation timeout")

    def get_task_status(self, task_id):
        response = requests.get(
            f"{self.base_url}/record-info?taskId={task_id}", headers={"Authorization": f"Bearer {self.api_key}"}
        )
        result = response.json()
        if not response.ok or result.get("code") != 200:
            raise Exception(f"Status check failed: {result.get('msg', 'Unknown error')}")
        return result["data"]


def order_and_wait(base_url: str, **options: str) -> dict[str, str]:
    api = Sora2API("YOUR_API_KEY")
    api.base_url = base_url
    result: dict[str, str] = api.wait_for_completion(api.generate_video(**options))
    return result


async def test_the_client_of_the_quickstart_gets_a_video_that_can_be_loaded() -> None:
    def workflow(base_url: str) -> requests.Response:
        result = order_and_wait(
            base_url,
            prompt="A cute kitten playing in a garden on a bright spring day, camera slowly zooming in",
            aspectRatio="landscape",
            quality="hd",
            watermark="My Video",
        )
        return requests.get(result["imageUrl"], timeout=30)

    async with running(Simulator(seconds_per_task=0)) as api:
        with anyio.fail_after(30):
            video = await anyio.to_thread.run_sync(workflow, api)

    assert (video.status_code, video.headers["Content-Type"], video.content[4:8]) == (200, "video/mp4", b"ftyp")


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("creation-failure", "^The task could not be created$"),
        ("generation-failure", "^The video could not be generated$"),
        ("order-402", "^Generation failed: Insufficient credits$"),
        ("look-455", "^Status check failed: The service is under maintenance$"),
    ],
)
async def test_the_client_of_the_quickstart_reads_every_kind_of_failure(word: str, complaint: str) -> None:
    def workflow(base_url: str) -> None:
        order_and_wait(base_url, prompt=f"A cute kitten [sim:{word}]")

    async with running(Simulator(seconds_per_task=0)) as api:
        with anyio.fail_after(30), pytest.raises(Exception, match=complaint):
            await anyio.to_thread.run_sync(workflow, api)
