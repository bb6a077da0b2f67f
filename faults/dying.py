"""`paymux serve` that dies, or stands still, at a named step of the line or of the relay.

Paymux knows nothing of it: its ports are wrapped from outside. The relay's own process is started by `sys.executable`,
so that is a script here which comes back to this module.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer

from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.journal.sqlite.store import SqliteStore
from paymux.publish.kafka import KafkaPublisher

if TYPE_CHECKING:
    from collections.abc import Callable

RELAY = ["-P", "-m", "paymux.relay_process"]
ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`when`: before or after a call of a port, or inside it, up to `within` seconds after it began."""

    owner: type[Any]
    call: str
    when: str
    within: float = 0.0


def _before(owner: type[Any], call: str) -> Step:
    return Step(owner=owner, call=call, when="before")


def _after(owner: type[Any], call: str) -> Step:
    return Step(owner=owner, call=call, when="after")


def _inside(owner: type[Any], call: str, within: float) -> Step:
    return Step(owner=owner, call=call, when="inside", within=within)


LINE = {
    "before_append": _before(SqliteJournal, "append"),
    "before_commit": _before(SqliteStore, "commit"),
    "inside_commit": _inside(SqliteStore, "commit", 0.002),
    "after_commit": _after(SqliteStore, "commit"),
    "before_answer": _after(SqliteJournal, "append"),
}
RECOVERY = {
    "before_recovery": _before(KafkaPublisher, "start"),
    "inside_recovery": _inside(KafkaPublisher, "start", 0.1),
    "fenced_before_checkpoint_is_read": _after(KafkaPublisher, "_start_producer"),
    "after_recovery": _after(KafkaPublisher, "start"),
}
RELAYING = {
    "before_send": _before(KafkaPublisher, "publish"),
    "between_send_and_commit": _before(AIOKafkaProducer, "commit_transaction"),
    "inside_transactions_commit": _inside(AIOKafkaProducer, "commit_transaction", 0.01),
    "after_transaction": _after(AIOKafkaProducer, "commit_transaction"),
    "before_mark": _before(SqliteOutbox, "advance"),
    "after_mark": _after(SqliteOutbox, "advance"),
}
STEPS = LINE | RECOVERY | RELAYING


def command(step: str, nth: int, action: str, share: float) -> tuple[str, ...]:
    """The `serve` that meets its fate when it comes to `step` for the `nth` time; `share` of Step.within later."""
    return (sys.executable, "-m", "faults.dying", step, str(nth), action, str(share), "serve")


def main() -> None:
    step, nth, action, share, *rest = sys.argv[1:]
    real = sys.executable
    if rest[: len(RELAY)] == RELAY:
        _arm(step, int(nth), action, float(share))
        sys.argv = ["paymux.relay_process"]
        runpy.run_module("paymux.relay_process", run_name="__main__", alter_sys=True)
        return
    if rest[0] != "serve":
        os.execv(real, [real, *rest])  # another process of paymux's, which has none of these steps
    _arm(step, int(nth), action, float(share))
    sys.executable = str(_script(real, [step, nth, action, share]))
    sys.argv = ["paymux", *rest]
    runpy.run_module("paymux", run_name="__main__", alter_sys=True)


def _script(real: str, fate: list[str]) -> Path:
    script = Path("python-that-dies").absolute()
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={os.environ["PYTHONPATH"]} exec {real} -m faults.dying {" ".join(fate)} "$@"\n'
    )
    script.chmod(0o700)
    return script


def _arm(name: str, nth: int, action: str, share: float) -> None:
    step, left = STEPS[name], [nth]

    def meet(fate: Callable[[], None]) -> None:
        left[0] -= 1
        if left[0] == 0:
            fate()

    def strike() -> None:
        os.kill(os.getpid(), ACTIONS[action])

    def strike_soon() -> None:
        threading.Timer(step.within * share, strike).start()

    original = getattr(step.owner, step.call)
    fate = strike_soon if step.when == "inside" else strike

    async def wrapped(*arguments: Any, **named: Any) -> Any:
        if step.when != "after":
            meet(fate)
        result = await original(*arguments, **named)
        if step.when == "after":
            meet(fate)
        return result

    setattr(step.owner, step.call, wrapped)


if __name__ == "__main__":
    main()
