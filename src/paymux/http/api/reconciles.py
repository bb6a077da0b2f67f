"""An account's payments at its provider, compared with what was heard of them."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from paymux.explain.jobs import JobFacts, job_facts
from paymux.http.api.fields import Text, Time
from paymux.http.api.routes import API, Answer, Call, Given, Nothing, Route
from paymux.reconcile.orders import Order
from paymux.settings.models import Rate
from paymux.settings.tokens import Role


class ReconcileOrder(Given):
    """Payments of one account between two times."""

    provider: Text
    account: Text
    since: Time
    until: Time | None = Field(default=None, description="Now, if it is left out.")
    fix: bool = Field(default=False, description="Let what differs go down the line, as a delivery.")
    rate: Rate | None = Field(default=None, description="The most payments a second.")


async def _create(call: Call[Nothing, ReconcileOrder]) -> Answer:
    given = call.body
    order = Order(
        provider=given.provider,
        account=given.account,
        since=given.since,
        until=given.until or call.inside.now(),
        fixes=given.fix,
        rate=given.rate,
    )
    job = await call.inside.reconciles.create(order, call.who.name)
    return Answer(value=job_facts(job), status=201, headers={"Location": f"{API}jobs/{job.id}"})


ROUTES: Final = (
    Route(
        method="POST",
        path="reconciles",
        role=Role.OPERATOR,
        name="createReconcile",
        summary="Page through a provider's list of payments and compare: what differs are the job's changes, of the "
        "kinds `missed`, `behind`, `status`, `amount`, `unknown` and `unreadable`.",
        call=_create,
        body=ReconcileOrder,
        answers={201: JobFacts},
        problems=("job_impossible",),
    ),
)
