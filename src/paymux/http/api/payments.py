"""A payment's whole story in one view."""

from __future__ import annotations

from typing import Final

from paymux.explain.payments import PaymentStory, story
from paymux.http.api.routes import Call, Nothing, Route
from paymux.settings.tokens import Role


async def _show(call: Call[Nothing, None]) -> PaymentStory:
    key = "/".join(call.path[name] for name in ("provider", "account", "id"))
    return await story(call.inside.history, key, call.inside.knowledge.providers)


ROUTES: Final = (
    Route(
        method="GET",
        path="payments/{provider}/{account}/{id}",
        role=Role.VIEWER,
        name="getPayment",
        summary="A payment's story: each delivery that spoke of it, what was published, how it stands, what is "
        "missing. The id may be another name of the payment, like a charge's.",
        call=_show,
        answers={200: PaymentStory},
        problems=("not_stored",),
    ),
)
