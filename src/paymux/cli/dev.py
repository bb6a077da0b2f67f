"""`paymux dev`: everything on a laptop, talking to itself, and a view of what comes out of Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import click
import uvloop

from paymux import __version__
from paymux.cli.lines import Lines
from paymux.cli.view import View, expected
from paymux.errors import BrokerUnavailable
from paymux.providers import BY_NAME, installed
from paymux.publish.kafka import consume
from paymux.relay import Phase
from paymux.sandbox import samples
from paymux.sandbox.accounts import NAME, configuration, demo_accounts
from paymux.sandbox.apis import Sandbox
from paymux.sandbox.brokers import EmbeddedBroker, RealBroker
from paymux.sandbox.fresh import Fresh
from paymux.sandbox.sender import Sender, new_message
from paymux.sandbox.shapes import SHAPES
from paymux.sandbox.stories import STORIES, every_sample
from paymux.sandbox.telling import Teller
from paymux.settings import load
from paymux.telemetry import SILENT, configure
from paymux.wiring import Gateway
from paymux.wiring.parts import kafka_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping

    from paymux.cli.view import Seen
    from paymux.publish.kafka import Consumed, KafkaSettings
    from paymux.sandbox.accounts import DemoAccount
    from paymux.sandbox.stories import Story
    from paymux.settings import Settings

STORIES_AT_ONCE: Final = 2
PATIENCE: Final = 60.0  # seconds for the last events of --once to come out
SETTLING: Final = 1.0  # seconds for what would be too much to show
POLL: Final = 0.25

_TOPICS: Final = {"payments.events.v1": 12, "payments.quarantine.v1": 1, "paymux.checkpoints": 1}
# Their webhooks may say no more than an id, and `paymux send` makes a new one each time.
_NAMING: Final = ("flexportal", "flowglad", "gocardless", "klarna", "mollie")
_EMBEDDED: Final = (
    "The broker is librdkafka's mock cluster, in this process and in memory. It has transactions in name only, so\n"
    "exactly-once needs a real broker: `paymux dev --kafka` starts Apache Kafka."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`wanted` is what has to come out of stories that end; None where they go on for ever."""

    stories: Iterator[Story]
    wanted: Seen | None
    pace: float
    listen: tuple[int, int]
    real: bool


@click.command()
@click.option("--kafka", "real", is_flag=True, help="Start a real Apache Kafka (downloads it the first time).")
@click.option("--once", is_flag=True, help="Tell every story once; exit 1 unless exactly that comes out of Kafka.")
@click.option("--count", type=click.IntRange(1), help="Stop after that many events.")
@click.option("--quiet", is_flag=True, help="No traffic of its own: only what you send.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Webhooks; 0: a free one.")
@click.option("--admin-port", type=click.IntRange(0, 65535), default=8081, show_default=True, help="Metrics, health.")
@click.option("--pace", type=click.FloatRange(0), default=0.6, show_default=True, help="Seconds between two webhooks.")
@click.option("--json", "as_json", is_flag=True, help="The events on stdout, one JSON line each; all else on stderr.")
def dev(
    real: bool,  # noqa: FBT001  # flags of the command line
    once: bool,  # noqa: FBT001
    count: int | None,
    quiet: bool,  # noqa: FBT001
    port: int,
    admin_port: int,
    pace: float,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Run it all on this machine: a broker, a journal, an account for each provider, their APIs, and signed
    traffic that tells whole payment stories. The events are shown as a consumer reads them back from Kafka.

    Everything is temporary. Ctrl-C ends it.
    """
    wanted = expected(STORIES) if once and not quiet else None
    stories = iter(()) if quiet else iter(STORIES) if once else cycle((*STORIES, *_others_stories()))
    view = View(lines=None if as_json else Lines(colour=sys.stdout.isatty(), clock="%H:%M:%S"), limit=count)
    plan = Plan(stories=stories, wanted=wanted, pace=pace, listen=(port, admin_port), real=real)
    uvloop.run(_run(view, plan))
    view.say(f"\n{view.summary()}")
    sys.exit(int(wanted is not None and count is None and view.seen != wanted))


def _others_stories() -> Iterator[Story]:
    """Of the providers of other packages, as far as they have a demo account."""
    return (every_sample(account.provider) for account in demo_accounts() if account.provider not in BY_NAME)


async def _run(view: View, plan: Plan) -> None:
    """Until Ctrl-C, or as much as wanted; then everything is let go of, the newest first."""
    configure(level="error")
    # What fails comes to us as an error of ours; aiokafka, stopped while it starts, complains beside that.
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, view.ended.set)
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paymux-dev-")))
        sandbox, accounts = Sandbox(), demo_accounts()
        await stack.enter_async_context(sandbox.running())
        servers = await _broker(stack, real=plan.real)
        settings = _settings(home, accounts, sandbox, servers, plan)
        gateway = await Gateway.start(settings, deliveries=SILENT)
        stack.push_async_callback(gateway.stop)
        senders = _senders(f"http://{gateway.address}", accounts)
        view.say(_welcome(gateway, senders, home, servers, real=plan.real))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        teller = Teller(session=session, senders=senders, sandbox=sandbox, pace=plan.pace)
        await _until_ended(
            view,
            _show_records(view, kafka_settings(settings.kafka)),
            _show_rejections(view, gateway),
            _tell(view, teller, plan, gateway),
        )


async def _until_ended(view: View, *work: Coroutine[Any, Any, None]) -> None:
    """The work goes on until then; its first error ends everything."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            await view.ended.wait()
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


# --- what is needed


async def _broker(stack: AsyncExitStack, *, real: bool) -> str:
    if not real:
        return stack.enter_context(EmbeddedBroker(_TOPICS)).bootstrap_servers
    broker = await RealBroker.started(progress=lambda text: click.echo(text, err=True))
    stack.push_async_callback(broker.closed)
    return broker.bootstrap_servers


def _settings(home: Path, accounts: Iterable[DemoAccount], sandbox: Sandbox, servers: str, plan: Plan) -> Settings:
    """As a file, so that `paymux send` can use it too; the environment of whoever tries this has no say."""
    for provider in _NAMING:
        for sample in samples.answers(provider):
            if sample.label in SHAPES[provider].objects:
                sandbox.pretend(provider, Fresh().body(sample.body, datetime.now(UTC)))
    file = home / "paymux.toml"
    file.touch(mode=0o600)
    port, admin_port = plan.listen
    file.write_text(
        configuration(
            accounts,
            sandbox,
            server={"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{admin_port}"},
            journal={"url": f"sqlite:///{home / 'paymux.db'}"},
            kafka={"bootstrap_servers": servers, "positions": "checkpoint" if plan.real else "journal"},
        )
    )
    return load(file, environ={})


def _senders(base: str, accounts: Iterable[DemoAccount]) -> dict[str, Sender]:
    known = installed()
    return {
        account.provider: Sender(
            base=base,
            provider=known[account.provider],
            account=NAME,
            secret=account.secret,
            options=account.options,
            public_url=account.public_url,
        )
        for account in accounts
    }


# --- what happens


async def _tell(view: View, teller: Teller, plan: Plan, gateway: Gateway) -> None:
    """Where the stories end everything ends, once Kafka has them and what would be too much had the time to show."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while gateway.relay.state.phase is not Phase.RUNNING:  # noqa: ASYNC110  # else one sees nothing at first
                await asyncio.sleep(POLL)
    await teller.tell_all(plan.stories, at_once=STORIES_AT_ONCE)
    if plan.wanted is None:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not view.seen.reaches(plan.wanted):  # noqa: ASYNC110  # rejections are polled for
                await asyncio.sleep(POLL)
            await asyncio.sleep(SETTLING)
    view.ended.set()


async def _show_records(view: View, kafka: KafkaSettings) -> None:
    """What a consumer reads, from both topics."""
    shows = {kafka.events_topic: view.event, kafka.quarantine_topic: view.quarantine}
    async for record in _records(kafka, list(shows)):
        shows[record.topic](record.value or b"")


async def _records(kafka: KafkaSettings, topics: list[str]) -> AsyncIterator[Consumed]:
    """On a new broker the topics come a moment after the gateway."""
    while True:
        try:
            async with aclosing(consume(kafka, topics, from_beginning=True)) as records:
                async for record in records:
                    yield record
        except BrokerUnavailable as error:
            if error.reason != "topic_missing":
                raise
        await asyncio.sleep(POLL)


async def _show_rejections(view: View, gateway: Gateway) -> None:
    shown = set()
    while True:
        for rejection in reversed(await gateway.journal.rejections(100)):
            if rejection not in shown:
                shown.add(rejection)
                view.rejection(rejection)
        await asyncio.sleep(POLL)


# --- what is said first


def _welcome(gateway: Gateway, senders: Mapping[str, Sender], home: Path, servers: str, *, real: bool) -> str:
    base, config = f"http://{gateway.address}", home / "paymux.toml"
    send = f"paymux send --provider stripe --account {NAME} --url {base} --config {config}"
    proofs = (f"{name}/{NAME}  {sender.provider.scheme(sender.options).proof}" for name, sender in senders.items())
    return "\n".join(
        (
            f"paymux {__version__}",
            "",
            f"  webhooks  {base}/webhooks/{{provider}}/{NAME}",
            f"  metrics   http://{gateway.admin_address}/metrics",
            f"  kafka     {servers}",
            f"  config    {config} (secrets too)",
            "  accounts  " + "\n            ".join(proofs),
            "",
            "Post one yourself:",
            f"  {send}",
            "or by hand, within five minutes, since the signature has a time:",
            f"  {_curl(senders['flowlix'], home)}",
            "",
            "Apache Kafka, started for this: exactly-once holds." if real else _EMBEDDED,
            "",
        )
    )


def _curl(sender: Sender, home: Path) -> str:
    now = datetime.now(UTC)
    body = Fresh().body(samples.webhook(sender.provider.name, "payment.succeeded").body, now)
    sent = sender.signed(body, new_message(), now)
    file = home / "webhook.json"
    file.write_bytes(sent.body)
    headers = {"Content-Type": "application/json", **sent.headers}
    told = " ".join(f"-H '{name}: {value}'" for name, value in headers.items())
    return f"curl {sender.url} {told} --data-binary @{file}"
