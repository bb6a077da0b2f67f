"""`paymux schemas`: the published contracts, generated from the code that fills them."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import orjson

DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--write", "target", type=DIRECTORY, metavar="DIR", help="Write them there.")
@click.option("--check", "checked", type=DIRECTORY, metavar="DIR", help="Compare; exit 1 where one differs.")
@click.option("--json", "as_json", is_flag=True, help="All of them as one object: name -> document.")
@click.argument("name", required=False)
def schemas(target: Path | None, checked: Path | None, as_json: bool, name: str | None) -> None:  # noqa: FBT001  # a flag of the command line
    """Print, write or compare the JSON Schemas of the records, the AsyncAPI document of the topics and the OpenAPI
    document of the private API.

    Without an option: the names, or the document called NAME.
    """
    from paymux.contracts import documents

    made = documents()
    if target is not None:
        _write(target, made)
    elif checked is not None:
        sys.exit(_check(checked, made))
    elif as_json:
        click.echo(orjson.dumps({one: orjson.Fragment(document) for one, document in made.items()}))
    elif name is None:
        click.echo("\n".join(made))
    elif name in made:
        click.echo(made[name], nl=False)
    else:
        raise click.UsageError(f"No such document: {name}. There are {', '.join(made)}.")


def _write(target: Path, made: dict[str, bytes]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name, document in made.items():
        (target / name).write_bytes(document)
        click.echo(target / name)


def _check(checked: Path, made: dict[str, bytes]) -> int:
    wrong = [name for name, document in made.items() if not _equal(checked / name, document)]
    for name in wrong:
        click.echo(f"{checked / name} is not what the code says: run paymux schemas --write {checked}", err=True)
    return 1 if wrong else 0


def _equal(path: Path, document: bytes) -> bool:
    return path.is_file() and path.read_bytes() == document
