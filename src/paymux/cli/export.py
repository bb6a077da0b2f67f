"""`paymux export`: what is stored, for analysts and for an import elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Self

import click

from paymux.cli.jobs import filters, sought, token
from paymux.cli.operate import operator
from paymux.cli.stored import config
from paymux.errors import PaymuxError, SettingsError

if TYPE_CHECKING:
    from paymux.journal.history import Sought

ROWS: Final = 10_000  # of a row group


@click.command()
@click.argument("what", type=click.Choice(["deliveries", "events"]))
@filters
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Default: standard output.")
@click.option("--format", "form", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True)
@token
@config
def export(
    what: Literal["deliveries", "events"],
    to: Path | None,
    form: str,
    token: str | None,
    config: Path | None,
    **told: Any,
) -> None:
    """Write what fits as JSON Lines or Parquet.

    `deliveries` are whole requests with the exact bytes of their bodies (`paymux replay --from-file` takes them back),
    secrets aside; `events` are the canonical events as they were published. Both are written into the audit trail.
    """
    if form == "parquet" and to is None:
        raise click.UsageError("Parquet needs --to FILE.")
    if to is not None and to.exists():
        raise SettingsError(f"{to} is there already; name another file")
    count = asyncio.run(_export(what, sought(told), to, form, config, token))
    click.echo(f"{count:,} {what}", err=True)
    sys.exit(0 if count else 1)


async def _export(
    what: Literal["deliveries", "events"],
    wanted: Sought,
    to: Path | None,
    form: str,
    config: Path | None,
    token: str | None,
) -> int:
    """A file that was not written to its end is not left behind."""
    partial = to and to.with_name(f".{to.name}.part")
    count, rest = 0, b""
    try:
        with _writer(form, partial) as out:
            async with operator(config, token) as found:
                async for piece in found.export(what, wanted):
                    lines = (rest + piece).split(b"\n")
                    rest = lines.pop()
                    for line in lines:
                        out.write(line)
                        count += 1
            _ended(rest)
        if partial is not None and to is not None:
            partial.rename(to)
    except BaseException:
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise
    return count


def _ended(rest: bytes) -> None:
    if rest:
        raise PaymuxError("the export broke off in the middle of a line; make it again")


class _Lines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.flush()
        if self._file is not sys.stdout.buffer:
            self._file.close()

    def write(self, line: bytes) -> None:
        self._file.write(line + b"\n")


class _Parquet:
    """One column for each of a line's parts at the top; what is nested stays JSON."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            import pyarrow  # noqa: F401, ICN001
        except ImportError:
            raise SettingsError("Parquet needs pyarrow: pip install 'paymux[parquet]'") from None
        self._file = file
        self._rows: list[dict[str, Any]] = []
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            if self._writer is not None:
                self._writer.close()
        self._file.close()

    def write(self, line: bytes) -> None:
        import orjson

        self._rows.append({name: _cell(value) for name, value in orjson.loads(line).items()})
        if len(self._rows) >= ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._rows:
            return
        schema = pa.schema([(name, pa.string()) for name in self._rows[0]])
        table = pa.Table.from_pylist(self._rows, schema=schema)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, schema)
        self._writer.write_table(table)
        self._rows.clear()


def _cell(value: Any) -> str | None:
    import orjson

    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _writer(form: str, file: Path | None) -> _Lines | _Parquet:
    if file is None:
        return _Lines(sys.stdout.buffer)
    opened = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    return _Parquet(opened) if form == "parquet" else _Lines(opened)
