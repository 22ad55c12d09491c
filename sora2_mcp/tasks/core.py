"""What every part of this room works with."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.domain.request import Quality
from sora2_mcp.services.service import Service, ServiceClient
from sora2_mcp.settings import Settings
from sora2_mcp.tasks.events import EventBus
from sora2_mcp.tasks.schedule import Schedule
from sora2_mcp.tasks.store.interface import Budget, Store


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

    @property
    def budget(self) -> Budget:
        """The limits on orders."""
        settings = self.settings
        return Budget(
            max_active_tasks=settings.max_active_tasks,
            daily_limit=settings.daily_limit,
            daily_cost=settings.daily_cost,
            duplicate_window=timedelta(seconds=settings.duplicate_window_seconds),
        )

    def terms(self, quality: Quality) -> dict[str, Any]:
        """What is true of a task because of its service: ``{"retention": 15 days, "price_unit": "credits"}``."""
        capabilities = self.service.capabilities(quality)
        return {"retention": capabilities.retention, "price_unit": capabilities.price_unit}
