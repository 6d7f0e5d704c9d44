"""Where Zarr writes to: files that are whole, and only while the slide's lease is held."""

import asyncio
from pathlib import Path

from typing_extensions import override
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from wsi_tools.store.files import write_atomically
from wsi_tools.store.leases import Lease

__all__ = ["LeasedFiles"]


class LeasedFiles(LocalStore):
    """A folder to which Zarr writes files that are whole, and only while the lease is held."""

    def __init__(self, root: Path, lease: Lease) -> None:
        super().__init__(root)
        self.lease = lease

    @override
    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.to_thread(self.set_sync, key, value)

    @override
    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not await self.exists(key):  # a store has one writer
            await self.set(key, value)

    @override
    def set_sync(self, key: str, value: Buffer) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        content = value.as_buffer_like()
        write_atomically(path, content, token=self.lease.token, check=self.lease.check)
