"""The lease under which a video's file is saved, and where the file is."""

from datetime import timedelta

from sqlalchemy import case, or_

from sora2_mcp.domain.task import SavedFile, Task
from sora2_mcp.tasks.store.part import Part
from sora2_mcp.tasks.store.queries import is_free
from sora2_mcp.tasks.store.rows import task_from
from sora2_mcp.tasks.store.schema import tasks

_NO_LEASE = {"download_owner": None, "download_lease_until": None}


class Files(Part):
    """An attempt is counted before it is made: one that brings its process down counts, too."""

    async def claim_download(self, id: str, lease: timedelta) -> Task | None:
        now, mine = self._clock.now(), tasks.c.download_owner == self._owner
        claimed = {
            "download_owner": self._owner,
            "download_lease_until": now + lease,
            "download_attempts": tasks.c.download_attempts + case((mine, 0), else_=1),
        }
        free = is_free(tasks.c.download_lease_until, now, lease)
        row = await self._note(id, claimed, or_(free, mine))
        return task_from(row) if row is not None else None

    async def settle_download(self, id: str, file: SavedFile, replaces: SavedFile | None) -> Task:
        # Another process may have the lease by now, and is to find the file when it is done.
        others = tasks.c.download_owner != self._owner
        saved = {
            "file_path": file.path,
            "file_size_bytes": file.size_bytes,
            "file_sha256": file.sha256,
            "download_attempts": 0,
            **{name: case((others, tasks.c[name])) for name in _NO_LEASE},
        }
        known = tasks.c.file_path
        task = await self._change(id, saved, known == replaces.path if replaces else known.is_(None))
        if task is None:
            # Another file was saved since: that one stays.
            await self.release_download(id)
        return task or await self._loaded(id)

    async def release_download(self, id: str, *, was_attempt: bool = True) -> None:
        attempts = tasks.c.download_attempts - (0 if was_attempt else 1)
        await self._note(id, {**_NO_LEASE, "download_attempts": attempts}, tasks.c.download_owner == self._owner)
