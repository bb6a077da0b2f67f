"""`paymux providers`: what each provider's file says, from the values that the gateway itself runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import orjson

from paymux.cli import offline
from paymux.cli.offline import provider_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paymux.provider import Provider


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.argument("name", required=False)
def providers(name: str | None, as_json: bool) -> None:  # noqa: FBT001  # a flag of the command line
    """Coverage and vocabulary: of all providers, or of NAME in full."""
    chosen = [provider_named(name)] if name else [provider_named(one) for one in sorted(offline.providers())]
    if as_json:
        told = {provider.name: describe(provider) for provider in chosen}
        click.echo(orjson.dumps(told[name] if name else told, option=orjson.OPT_INDENT_2))
    elif name:
        click.echo("\n".join(_page(describe(chosen[0]))))
    else:
        click.echo("\n".join(_overview([describe(provider) for provider in chosen])))


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
        "api": None
        if api is None
        else {
            "url": api.url,
            "get": sorted(api.objects),
            "list": sorted(api.payments.filters) if api.payments else None,
        },
    }


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
