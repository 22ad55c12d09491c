"""What every client can see of notifications, whatever its transport and era."""

from mcp.client import Client

from tests.clocks import eventually
from tests.ears import LIST, Ear

TASKS = "sora2://tasks"


async def hears_of_its_own_task(client: Client, ear: Ear) -> None:
    """Fails unless a client hears once of the change that its own look brings to light."""
    ordered = await client.call_tool("generate_video", {"prompt": f"A kitten of {id(client)} [sim:seconds=0]"})
    task_id = (ordered.structured_content or {})["task_id"]
    uri = f"{TASKS}/{task_id}"
    async with ear.listening(client, uri):
        ear.heard.clear()
        await client.call_tool("get_task_status", {"task_id": task_id})
        await eventually(lambda: {LIST, uri} <= set(ear.heard))
    assert ear.heard.count(uri) == 1
