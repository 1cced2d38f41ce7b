"""Those who listen for long, and may go at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Message, Receive


async def while_there(work: Coroutine[Any, Any, None], receive: Receive) -> asyncio.Task[None]:
    """Do something for whoever asked until it ends or they are gone; the work, done."""
    done, gone = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        done.cancel()
        gone.cancel()
        await asyncio.gather(done, gone, return_exceptions=True)
    return done


async def _gone(receive: Receive) -> None:
    """Wait until whoever asked is gone; what else they say on a socket is not wanted."""
    message: Message = {"type": ""}
    while not message["type"].endswith("disconnect"):
        message = await receive()
