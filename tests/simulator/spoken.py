"""Speaks each dialect of the simulator, so that one test can prove a fault in all of them."""

from typing import Any, ClassVar

import httpx2


class Talk:
    """A client in one dialect. `codes` are those the dialect spells otherwise than Sora2API."""

    codes: ClassVar[dict[int, int]] = {}
    words: ClassVar[dict[str, Any]] = {}
    """What its record says: for `generating` (after half of the time), `succeeded`, `failed` …"""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def order(self, prompt: str) -> httpx2.Response:
        raise NotImplementedError

    async def look(self, task_id: str | None) -> httpx2.Response:
        raise NotImplementedError

    def task_id(self, answer: httpx2.Response) -> str | None:
        """The id in the answer to an order."""
        raise NotImplementedError

    def code(self, answer: httpx2.Response) -> int:
        """The code of an error, whose shape is checked; 0 for a success."""
        raise NotImplementedError

    def status(self, answer: httpx2.Response) -> Any:
        """The word for how a task stands."""
        raise NotImplementedError

    async def ordered(self, prompt: str) -> str:
        task_id = self.task_id(await self.order(prompt))
        assert task_id
        return task_id

    async def is_task(self, task_id: str | None) -> bool:
        return task_id is not None and self.code(await self.look(task_id)) == 0

    def spelled(self, code: int) -> int:
        """One of Sora2API's codes, as this dialect has it."""
        return self.codes.get(code, code)


class Sora2APITalk(Talk):
    words: ClassVar = {"generating": 0, "succeeded": 1, "failed": 3, "expired": 3, "cancelled": 3}

    async def order(self, prompt: str) -> httpx2.Response:
        return await self.client.post("generate", json={"prompt": prompt})

    async def look(self, task_id: str | None) -> httpx2.Response:
        return await self.client.get("record-info", params={"taskId": task_id})

    def task_id(self, answer: httpx2.Response) -> str | None:
        return (answer.json()["data"] or {}).get("taskId")

    def code(self, answer: httpx2.Response) -> int:
        body = answer.json()
        assert set(body) == {"code", "msg", "data"}
        assert answer.status_code == body["code"]
        return 0 if body["code"] == 200 else int(body["code"])

    def status(self, answer: httpx2.Response) -> Any:
        return answer.json()["data"]["successFlag"]


class KieTalk(Talk):
    words: ClassVar = {"generating": "generating", "succeeded": "success", "failed": "fail", "cancelled": "fail"}

    async def order(self, prompt: str) -> httpx2.Response:
        return await self.client.post("jobs/createTask", json={"model": "some/model", "input": {"prompt": prompt}})

    async def look(self, task_id: str | None) -> httpx2.Response:
        return await self.client.get("jobs/recordInfo", params={"taskId": task_id})

    def task_id(self, answer: httpx2.Response) -> str | None:
        return (answer.json()["data"] or {}).get("taskId")

    def code(self, answer: httpx2.Response) -> int:
        body = answer.json()
        assert set(body) == {"code", "msg", "data"}
        assert answer.status_code == 200
        return 0 if body["code"] == 200 else int(body["code"])

    def status(self, answer: httpx2.Response) -> Any:
        return answer.json()["data"]["state"]


class OpenAITalk(Talk):
    codes: ClassVar = {422: 400, 433: 429, 451: 400, 455: 503, 501: 500, 505: 403}
    words: ClassVar = {
        "generating": "in_progress",
        "succeeded": "completed",
        "failed": "failed",
        "expired": "expired",
        "cancelled": "cancelled",
    }

    async def order(self, prompt: str) -> httpx2.Response:
        return await self.client.post("videos", files={"prompt": (None, prompt), "model": (None, "sora-2")})

    async def look(self, task_id: str | None) -> httpx2.Response:
        return await self.client.get(f"videos/{task_id}")

    def task_id(self, answer: httpx2.Response) -> str | None:
        body: dict[str, str] = answer.json()
        return body.get("id")

    def code(self, answer: httpx2.Response) -> int:
        body = answer.json()
        if answer.is_success:
            return 0
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "code", "param"}
        return answer.status_code

    def status(self, answer: httpx2.Response) -> Any:
        return answer.json()["status"]


class OpenRouterTalk(OpenAITalk):
    codes: ClassVar = {422: 400, 433: 402, 451: 400, 455: 503, 501: 500, 505: 400}

    async def order(self, prompt: str) -> httpx2.Response:
        return await self.client.post("videos", json={"model": "some/model", "prompt": prompt})

    def code(self, answer: httpx2.Response) -> int:
        body = answer.json()
        if answer.is_success:
            return 0
        assert body == {"error": {"code": answer.status_code, "message": body["error"]["message"]}}
        return answer.status_code


TALKS: dict[str, type[Talk]] = {
    "sora2api": Sora2APITalk,
    "kie": KieTalk,
    "openai": OpenAITalk,
    "openrouter": OpenRouterTalk,
}
