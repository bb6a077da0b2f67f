"""`paymux replay`: jobs over what is stored."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import click

from paymux.cli.jobs import detach, filters, line, sought, tell, token, watch
from paymux.cli.operate import operator
from paymux.cli.stored import as_json, ask, config, dump, journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from paymux.journal.history import History
    from paymux.journal.jobs import Change, ChangeGroup
    from paymux.replay import Action
    from paymux.replay.imports import Payload
    from paymux.replay.orders import Kind, Order

SHOWN: Final = 50
PAGE: Final = 1000
AT_ONCE: Final = 1_000_000  # bytes of a request to the private API
MOST: Final = 500  # payloads of one


@click.group(invoke_without_command=True)
@click.option("--from-file", "files", multiple=True, metavar="PATH", help="Import: a file, folder or archive, or -.")
@click.option("--provider", metavar="NAME", help="Whose payloads these are; an export says it itself.")
@click.option("--account", metavar="NAME")
@click.option("--trust", is_flag=True, help="No signature can be checked: say that you vouch for them.")
@token
@config
@as_json
@click.pass_context
def replay(
    ctx: click.Context,
    files: tuple[str, ...],
    provider: str | None,
    account: str | None,
    trust: bool,  # noqa: FBT001  # flags
    token: str | None,
    config: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Publish stored events again, translate stored deliveries anew, compare, correct; or import payloads.

    A job goes on where it was when paymux is restarted; what it publishes goes through the outbox like everything
    else. While `serve` runs, it does the work; otherwise this command does, and the next `serve` publishes.

    With --from-file, payloads that were exported elsewhere (an API's list of events, a folder of JSON, our own export)
    go down the line as deliveries; importing them again changes nothing.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not files:
        click.echo(ctx.get_help())
        ctx.exit(2)
    if not trust:
        raise click.UsageError("No signature of a file can be checked: give --trust if you vouch for what it holds.")
    if (provider is None) is not (account is None):
        raise click.UsageError("--provider and --account go together.")
    name = (provider, account) if provider is not None and account is not None else None
    sys.exit(asyncio.run(_import(files, name, config, token, as_json=as_json)))


def _ordering(command: Callable[..., None]) -> Callable[..., None]:
    """The options of what makes a job."""
    for option in (
        as_json,
        detach,
        click.option("--dry-run", is_flag=True, help="Only count what it would be about."),
        click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many a second."),
        token,
        config,
        filters,
    ):
        command = option(command)
    return command


@replay.command()
@click.option("--topic", help="Instead of the events topic; it must exist.")
@_ordering
def republish(topic: str | None, **told: Any) -> None:
    """The stored events again: the same ids, with a header `paymux_replay`."""
    order("republish", told, topic)


@replay.command()
@_ordering
def retranslate(**told: Any) -> None:
    """Today's mapping over the stored bodies; publishes only events that never were."""
    order("retranslate", told)


@replay.command()
@_ordering
def diff(**told: Any) -> None:
    """Today's mapping against what was published. Nothing goes out before the diff is accepted."""
    order("diff", told)


@replay.command("list")
@config
@journal
@as_json
def list_(config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """The newest jobs."""
    from paymux.explain import dump as told
    from paymux.explain.jobs import job_facts

    for job in ask(config, journal, lambda history: history.jobs(limit=SHOWN)):
        facts = told(job_facts(job))
        click.echo(facts if as_json else line(_read(facts)))


@replay.command()
@click.argument("job")
@config
@journal
@as_json
def show(job: str, config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """How far a job is, and what it did."""
    from paymux.explain import dump as told
    from paymux.explain.jobs import job_facts
    from paymux.journal.jobs import stored_job

    found = ask(config, journal, lambda history: stored_job(history, job))
    sys.exit(tell(_read(told(job_facts(found))), as_json=as_json))


@replay.command()
@click.argument("job")
@click.option("--all", "every", is_flag=True, help="Each change, not only groups with an example.")
@config
@journal
@as_json
def changes(
    job: str,
    every: bool,  # noqa: FBT001  # flags
    config: Path | None,
    journal: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """What a diff found."""
    if every:
        for each in ask(config, journal, lambda history: _changes(history, job)):
            click.echo(dump(each) if as_json else f"{each.kind}  {each.type}  {each.event_id}  {' '.join(each.paths)}")
        return
    groups = ask(config, journal, lambda history: _groups(history, job))
    for group in groups:
        if as_json:
            click.echo(dump(group))
            continue
        paths = " ".join(group.paths) or "-"
        click.echo(f"{group.count:>8,}  {group.kind:<8}{group.provider}/{group.account}  {group.type}  {paths}")
        if group.example.old is not None:
            click.echo(f"{'':>10}{group.example.old}\n{'':>10}{group.example.new}")
    if not groups:
        click.echo("no change was found", err=True)


async def _changes(history: History, job_id: str) -> list[Change]:
    from paymux.journal.jobs import stored_job

    job = await stored_job(history, job_id)
    found: list[Change] = []
    while page := await history.changes(job.id, after=found[-1].event_id if found else "", limit=PAGE):
        found += page
    return found


async def _groups(history: History, job_id: str) -> Sequence[ChangeGroup]:
    from paymux.journal.jobs import stored_job

    job = await stored_job(history, job_id)
    return await history.change_groups(job.id)


def _steering(action: Action, about: str) -> click.Command:
    @click.argument("job")
    @detach
    @token
    @config
    @as_json
    def steer(job: str, detach: bool, token: str | None, config: Path | None, as_json: bool) -> None:  # noqa: FBT001
        async def work() -> Mapping[str, Any]:
            async with operator(config, token) as found:
                facts = await found.steer(job, action)
                return facts if detach or action in ("pause", "cancel") else await watch(found, facts)

        sys.exit(tell(asyncio.run(work()), as_json=as_json))

    return click.command(action, help=about)(steer)


replay.add_command(_steering("pause", "Let a job rest."))
replay.add_command(_steering("resume", "Let a job that rests, or failed, go on."))
replay.add_command(_steering("cancel", "End a job; what it published stays."))
replay.add_command(_steering("accept", "Publish what a diff found, as corrections."))


def order(kind: Kind, told: Mapping[str, Any], topic: str | None = None) -> None:
    """Make a job and watch it, or only tell what it would do."""
    from paymux.replay.orders import Order, checked

    wanted = checked(Order(kind=kind, sought=sought(told), topic=topic, rate=told["rate"]))
    if told["dry_run"]:
        click.echo(dump(asyncio.run(_preview(wanted, told))))
        return
    sys.exit(tell(asyncio.run(_made(wanted, told)), as_json=told["as_json"]))


async def _made(order: Order, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Watched, unless it is let go of."""
    async with operator(told["config"], told["token"]) as found:
        job = await found.create(order)
        return job if told["detach"] else await watch(found, job)


async def _preview(order: Order, told: Mapping[str, Any]) -> Mapping[str, Any]:
    async with operator(told["config"], told["token"]) as found:
        return await found.preview(order)


async def _import(
    files: tuple[str, ...], name: tuple[str, str] | None, config: Path | None, token: str | None, *, as_json: bool
) -> int:
    """What cannot be read is said and passed over; the exit code tells of it."""
    from paymux.cli.foreign import foreign
    from paymux.errors import JobRefused

    counts: Counter[str] = Counter()
    waiting: dict[tuple[str, str], list[Payload]] = {}
    async with operator(config, token) as found:

        async def send(whose: tuple[str, str]) -> None:
            payloads = waiting.pop(whose)
            try:
                counts.update(await found.take(whose, payloads))
            except JobRefused as error:  # those of other accounts are taken all the same
                counts["unreadable"] += len(payloads)
                click.echo(f"{'/'.join(whose)}: {error}", err=True)

        for each in foreign(files):
            whose = name or each.name
            if each.payload is None or whose is None:
                counts["unreadable"] += 1
                told = each.error or "does not say whose it is: give --provider and --account"
                click.echo(f"{each.place}: {told}", err=True)
                continue
            waiting.setdefault(whose, []).append(each.payload)
            if sum(len(payload.body) for payload in waiting[whose]) > AT_ONCE or len(waiting[whose]) >= MOST:
                await send(whose)
        for whose in list(waiting):
            await send(whose)
    shown = ", ".join(f"{count:,} {word}" for word, count in sorted(counts.items()))
    click.echo(dump(dict(counts)) if as_json else shown or "nothing was found")
    return 1 if counts["unreadable"] or not counts else 0


def _read(facts: bytes) -> Mapping[str, Any]:
    import orjson

    found: Mapping[str, Any] = orjson.loads(facts)
    return found
