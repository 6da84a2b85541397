"""Asks the service in a few threads, each with its own way to the metastore: nothing here blocks the event loop.

So many questions wait for a thread; one more is refused at once, rather than kept until nobody wants its reply.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import TypeVar

from tailrace.errors import EnvironmentBroken
from tailrace.service.stores import Stores
from tailrace.web.problems import Refusal

T = TypeVar("T")

THREADS = 4
MOST_WAITING = 200


class Asking:
    """The threads of one server. ``apart`` is one more, for what must not wait behind other people's questions."""

    def __init__(self, stores: Stores, threads: int = THREADS, most_waiting: int = MOST_WAITING) -> None:
        self._stores = stores
        self._threads = ThreadPoolExecutor(threads, "asking")
        self._apart = ThreadPoolExecutor(1, "apart")
        self._most_waiting = most_waiting
        self._waiting = 0

    @property
    def stores(self) -> Stores:
        """What the questions are put to."""
        return self._stores

    async def ask(self, question: Callable[[Stores], T]) -> T:
        """What the service replies; raises what it raises, and Refusal where too many wait already."""
        if self._waiting >= self._most_waiting:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "busy", "too many requests wait already; try again", retry_after="1"
            )
        self._waiting += 1
        future = self._threads.submit(self._do, question)
        future.add_done_callback(self._count_down(asyncio.get_running_loop()))
        return await asyncio.wrap_future(future)

    async def ask_apart(self, question: Callable[[Stores], T]) -> T:
        """The same, in the thread apart."""
        return await asyncio.wrap_future(self._apart.submit(self._do, question))

    def close(self) -> None:
        """Begin nothing more. What a thread is doing is not waited for."""
        for threads in (self._threads, self._apart):
            threads.shutdown(wait=False, cancel_futures=True)

    def _count_down(self, loop: asyncio.AbstractEventLoop) -> Callable[[Future[T]], None]:
        """It counts until it is done, whether anybody still waits for it or not."""

        def count(_: object) -> None:
            self._waiting -= 1

        def done(future: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(count, future)

        return done

    def _do(self, question: Callable[[Stores], T]) -> T:
        try:
            return question(self._stores)
        except EnvironmentBroken:
            self._stores.close()  # the next question finds what is there by then
            raise
