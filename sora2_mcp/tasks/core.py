"""What every part of this room works with."""

from dataclasses import dataclass

from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.services.service import Service, ServiceClient
from sora2_mcp.settings import Settings
from sora2_mcp.tasks.events import EventBus
from sora2_mcp.tasks.schedule import Schedule
from sora2_mcp.tasks.store.interface import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """An open store and client, and the task group of everything that runs in the background."""

    settings: Settings
    service: Service
    client: ServiceClient
    store: Store
    bus: EventBus
    clock: Clock
    schedule: Schedule
    group: TaskGroup
