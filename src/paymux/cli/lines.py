"""One readable line for each event, quarantined item and rejection: the live view of `tail` and `dev`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

# The last word of an event's type -> colour.
_COLOURS: Final[Mapping[str, str]] = {
    "succeeded": "green",
    "paid": "green",
    "won": "green",
    "settled": "green",
    "authorized": "green",
    "failed": "red",
    "attempt_failed": "red",
    "lost": "red",
    "returned": "red",
    "expired": "red",
    "canceled": "yellow",
    "requires_action": "yellow",
    "needs_response": "yellow",
    "partially_refunded": "magenta",
    "refunded": "magenta",
    "updated": "bright_black",
}
_REFUNDED: Final = frozenset({"payment.refunded", "payment.partially_refunded"})
_QUIET: Final = frozenset({"first", "advanced"})


def money(amount: Mapping[str, Any] | None) -> str:
    """`49.99 EUR`, from minor units and exponent alone; empty for None."""
    if amount is None:
        return ""
    minor, exponent = amount["minor"], amount["exponent"]
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    whole, cents = (digits[:-exponent], f".{digits[-exponent:]}") if exponent else (digits, "")
    return f"{'-' if minor < 0 else ''}{whole}{cents} {amount['currency']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """`clock` is the strftime form of the time column, which is in UTC."""

    colour: bool
    clock: str = "%Y-%m-%d %H:%M:%S"

    def event(self, event: Mapping[str, Any]) -> str:
        data = event["data"]
        columns = (
            self._time(event["time"]),
            self._type(event["type"]),
            _place(data).ljust(20),
            (data["payment_id"] or event["subject"]).ljust(30),
            money(_amount(event)).rjust(16),
            self._lifecycle(data["lifecycle"]),
        )
        return "  ".join(columns).rstrip()

    def quarantined(self, event: Mapping[str, Any]) -> str:
        data = event["data"]
        why = " ".join(word for word in (data["reason"], data["path"], data["detail"]) if word)
        told = f"{data['event_type'] or '-'}: {why}"
        return "  ".join(
            (self._time(event["time"]), self._style("quarantined".ljust(26), "magenta"), _place(data).ljust(20), told)
        )

    def rejected(self, *, at: datetime, provider: str, account: str, reason: str) -> str:
        place = f"{provider}/{account}"
        return "  ".join(
            (self._time(at.isoformat()), self._style("rejected (401)".ljust(26), "red"), place.ljust(20), reason)
        )

    # ---

    def _time(self, text: str) -> str:
        return self._style(datetime.fromisoformat(text).strftime(self.clock), "bright_black")

    def _type(self, name: str) -> str:
        return self._style(name.ljust(26), _COLOURS.get(name.rpartition(".")[2], "cyan"))

    def _lifecycle(self, lifecycle: Mapping[str, Any] | None) -> str:
        if lifecycle is None:
            return ""
        transition = lifecycle["transition"] or "-"
        told = transition if transition in _QUIET else self._style(transition, "bright_yellow")
        return f"#{lifecycle['sequence']:<3} {told}"

    def _style(self, text: str, colour: str) -> str:
        return click.style(text, fg=colour) if self.colour else text


def _place(data: Mapping[str, Any]) -> str:
    return f"{data['provider']}/{data['account']}"


def _amount(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the event is about: what was refunded, as far as it is known, or the entity's amount."""
    data = event["data"]
    found: Mapping[str, Any] | None
    if event["type"] in _REFUNDED:
        state = (data["lifecycle"] or {}).get("state") or {}
        found = data["payment"]["amount_refunded"] or state.get("refunded")
    else:
        found = data[data["entity"]]["amount"]
    return found
