"""`paymux providers`: what each provider's file says, from the values that the gateway itself runs on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from paymux.cli import offline, skeleton
from paymux.cli.offline import Unusable, provider_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paymux.provider import Provider, Redelivery


class _ByName(click.Group):
    """What is no command of its own is a provider to show."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = [show.name or "", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ByName, invoke_without_command=True, subcommand_metavar="[NAME] [--json] | new NAME [--path DIR]")
def providers() -> None:
    """Coverage and vocabulary: of all providers, or of NAME in full. `new` begins a provider of your own."""


@providers.command(hidden=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.argument("name", required=False)
def show(name: str | None, as_json: bool) -> None:  # noqa: FBT001  # a flag of the command line
    """Coverage and vocabulary: of all providers, or of NAME in full."""
    chosen = [provider_named(name)] if name else [provider_named(one) for one in sorted(offline.providers())]
    if as_json:
        told = {provider.name: describe(provider) for provider in chosen}
        click.echo(orjson.dumps(told[name] if name else told, option=orjson.OPT_INDENT_2))
    elif name:
        click.echo("\n".join(_page(describe(chosen[0]))))
    else:
        click.echo("\n".join(_overview([describe(provider) for provider in chosen])))


@providers.command()
@click.option("--path", type=click.Path(path_type=Path), metavar="DIR", help="Where to; paymux-NAME, if absent.")
@click.argument("name")
def new(name: str, path: Path | None) -> None:
    """Write a package that brings a provider called NAME: a provider that does not exist, tested, to be made yours."""
    if not skeleton.NAME.fullmatch(name):
        raise Unusable("a provider's name is of small letters, digits and single hyphens: it stands in URLs")
    if name in offline.providers():
        raise Unusable(f"there is a provider {name} already")
    target = path or Path(f"paymux-{name}")
    try:
        written = skeleton.write(name, target)
    except FileExistsError as error:
        raise Unusable(str(error)) from None
    click.echo("\n".join(map(str, written)))
    click.echo(f"\nNow, in {target}:\n  pip install -e '.[test]'\n  pytest\nand then each line that says FILL IN.")


def describe(provider: Provider) -> dict[str, Any]:
    scheme, api = provider.scheme({}), provider.api
    return {
        "name": provider.name,
        "docs": provider.docs,
        "mapping": f"{provider.name}/{provider.mapping}",
        "proof": {"kind": scheme.proof.value, "scheme": type(scheme).__name__},
        "translated": sorted(provider.events),
        "ignored": sorted(provider.ignored),
        "statuses": {
            title: {word: str(status) for word, status in table.items()} for title, table in provider.statuses.items()
        },
        "orders_by": provider.transitions.orders_by,
        "leaves_final": {
            entity.value: {str(old): sorted(map(str, new)) for old, new in moves.items()}
            for entity, moves in provider.transitions.moves.items()
        },
        "options": {
            option.name: {"help": option.help, "choices": list(option.choices), "required": option.required}
            for option in provider.options
        },
        "ack": provider.ack.status,
        "refusal": provider.refusal,
        "handshake": _handshake(provider),
        "redelivery": _redelivery(provider.redelivery),
        "api": None
        if api is None
        else {
            "url": api.url,
            "get": sorted(api.objects),
            "list": sorted(api.payments.filters) if api.payments else None,
        },
    }


def _handshake(provider: Provider) -> str | None:
    """What the function that answers says of itself, in its first line."""
    if provider.handshake is None:
        return None
    return (provider.handshake.__doc__ or "a GET of the provider's is answered").partition("\n")[0]


def _redelivery(told: Redelivery) -> dict[str, Any]:
    """`timeout` and `window` in seconds; None is not known."""
    window = None if told.window is None else int(told.window.total_seconds())
    return {"timeout": told.timeout, "attempts": told.attempts, "window": window, "note": told.note}


def answers(one: Mapping[str, Any]) -> dict[str, str]:
    """How deliveries are answered, and what the provider does without a good answer; for people."""
    again = one["redelivery"]
    waits = "not known" if again["timeout"] is None else f"{again['timeout']:g} s"
    return {
        "acknowledged with": str(one["ack"]),
        "refused with": str(one["refusal"]),
        "handshake": one["handshake"] or "none",
        "waits for an answer": waits,
        "comes again": "; ".join(_again(again)) or "not known",
    }


def _again(told: Mapping[str, Any]) -> Iterator[str]:
    if told["attempts"] is not None:
        yield f"{told['attempts']} times in all"
    if told["window"] is not None:
        yield f"for {_span(told['window'])}"
    if told["note"]:
        yield told["note"]


def _span(seconds: int) -> str:
    """In the largest unit that is exact, up from two days."""
    units = ((86_400, "days"), (3600, "hours"), (60, "minutes"))
    size, name = next(((size, name) for size, name in units if seconds >= 2 * size and not seconds % size), (1, "s"))
    return f"{seconds // size} {name}"


def _overview(told: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'provider':<12} {'proof':<10} {'translated':>10} {'ignored':>8}  documentation"
    for one in told:
        counts = f"{len(one['translated']):>10} {len(one['ignored']):>8}"
        yield f"{one['name']:<12} {one['proof']['kind']:<10} {counts}  {one['docs']}"
    yield ""
    yield "Every other event type is quarantined as unknown_event_type. `paymux providers NAME` shows one in full."


def _page(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"{one['name']}  {one['docs']}"
    yield f"  mapping {one['mapping']}, proof {one['proof']['kind']} ({one['proof']['scheme']})"
    yield from _api(one["api"])
    yield from (f"  {what}: {told}" for what, told in answers(one).items())
    yield from _words("translated", one["translated"])
    yield from _words("ignored by decision", one["ignored"])
    for title, table in one["statuses"].items():
        yield from _table(title, table)
    for entity, moves in one["leaves_final"].items():
        yield from _table(f"{entity}: ways out of final statuses", {old: ", ".join(new) for old, new in moves.items()})
    yield from _table("options", {name: _option(told) for name, told in one["options"].items()})


def _api(api: Mapping[str, Any] | None) -> Iterator[str]:
    if api is not None:
        yield f"  API {api['url']}: get {', '.join(api['get'])}" + (
            "; list payments" if api["list"] is not None else ""
        )


def _words(title: str, words: list[str]) -> Iterator[str]:
    yield f"\n{title} ({len(words)})"
    yield from (f"  {word}" for word in words)


def _table(title: str, table: Mapping[str, str]) -> Iterator[str]:
    if table:
        width = max(map(len, table))
        yield f"\n{title}"
        yield from (f"  {left:<{width}}  {right}" for left, right in table.items())


def _option(told: Mapping[str, Any]) -> str:
    choices = f" ({' | '.join(told['choices'])})" if told["choices"] else ""
    return f"{told['help']}{choices}{' required' if told['required'] else ''}"
