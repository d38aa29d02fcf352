"""Is the client of this request still there, and what can be done for it until it leaves?

Comes in: ASGI's `receive` and `send` of one request whose body has arrived whole. Goes out: waits that end early, and
messages that reach nobody, once it is gone; both say so. Knows nothing of replies.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mock_openai.instants import Instants

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Client:
    """Who waits for one reply.

    Args:
        receive: ASGI's. A client that has sent its whole request has nothing more to say than that it is gone.
        send: ASGI's.
    """

    __slots__ = ("_is_gone", "_receive", "_send", "_sleeper", "_watcher")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_gone = False
        self._sleeper: asyncio.Future[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Notice from now on when it leaves, whatever is done for it meanwhile; ends with the reply."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._until_gone())

    async def leaves(self) -> None:
        """Wait until it is gone."""
        self.watch()
        self._sleeper = asyncio.get_running_loop().create_future()
        await self._sleeper

    async def stays_until(self, instants: Instants, at_mono_s: float) -> bool:
        """Wait for an instant of CLOCK_MONOTONIC; False as soon as it is gone."""
        if not self._is_gone and at_mono_s > time.monotonic():
            self.watch()
            self._sleeper = asyncio.get_running_loop().create_future()
            instants.call_at(math.ceil(at_mono_s * 1e9), self._wake)
            await self._sleeper
        return not self._is_gone

    async def gets(self, *messages: Message) -> bool:
        """Hand messages to its connection, in this order; False when it left before the last of them."""
        try:
            for message in messages:
                await self._send(message)
        except RuntimeError as error:
            # The connection is closed, and uvloop says so before uvicorn has been told, or where it never will be.
            if "the handler is closed" not in str(error):
                raise
            self._is_gone = True
            if self._watcher is not None:
                self._watcher.cancel()
        # The end of a reply looks like a leaving client to the watcher, but only at the event loop's next turn.
        return not self._is_gone

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._wake()
