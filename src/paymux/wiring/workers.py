"""Work that goes on beside the requests, watched: what fails is told and started again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from paymux.telemetry import log_failure, logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paymux.telemetry import Metrics

RESTART_SECONDS: Final = 1.0
ENDING_SECONDS: Final = 5.0


class Worker:
    """`run` goes on until it is cancelled; one that returns has stopped on purpose, and says elsewhere why."""

    def __init__(
        self, name: str, run: Callable[[], Awaitable[None]], metrics: Metrics, *, pause: float = RESTART_SECONDS
    ) -> None:
        self.name = name
        self.up = False
        self._run = run
        self._metrics = metrics
        self._pause = pause
        self._restarts = 0
        self._error: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """For the pages of the private listener."""
        return {"up": self.up, "restarts": self._restarts, "last_error": self._error}

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_up(), name=self.name)

    async def end(self) -> None:
        """Never raises, and does not wait for ever."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=ENDING_SECONDS)
        if not self._task.done():
            logger().error("worker_does_not_end", worker=self.name)
        elif not self._task.cancelled() and (error := self._task.exception()) is not None:
            log_failure("worker_failed", error, worker=self.name)

    async def _keep_up(self) -> None:
        while not await self._live():
            await asyncio.sleep(self._pause)
            self._restarts += 1
            self._metrics.count("paymux_worker_restarts", self.name)

    async def _live(self) -> bool:
        """One life; whether it was the last one."""
        self.up = True
        try:
            await self._run()
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            self._failed(error)  # a cancellation from inside, which nobody asked for
        except Exception as error:  # noqa: BLE001  # whatever it is, webhooks are taken meanwhile
            self._failed(error)
        else:
            return True
        finally:
            self.up = False
        return _is_cancelled()

    def _failed(self, error: BaseException) -> None:
        self._error = type(error).__name__
        self._metrics.count("paymux_internal_errors", self.name)
        log_failure("worker_failed", error, worker=self.name)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
