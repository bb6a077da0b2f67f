"""The command line: one file per command, imported when it is asked for.

Exit codes: 0 done, 1 found something wrong, 2 unusable input.
"""

from __future__ import annotations

import os
import signal
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from paymux import __version__
from paymux.errors import PaymuxError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Command -> the module that holds it under its own name, and its line in the overview.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "dev": ("paymux.cli.dev", "Everything on a laptop: broker, journal, sample traffic, a live view."),
    "serve": ("paymux.cli.serve", "Take webhooks, publish events."),
    "check": ("paymux.cli.check", "Explain a configuration, and what is wrong with it."),
    "send": ("paymux.cli.send", "Post correctly signed samples."),
    "verify": ("paymux.cli.verify", "Check a signature, offline."),
    "translate": ("paymux.cli.translate", "Translate files, offline."),
    "deliveries": ("paymux.cli.deliveries", "What came in, and why each became what it became."),
    "payments": ("paymux.cli.payments", "A payment's whole story in one view."),
    "quarantine": ("paymux.cli.quarantine", "What was proven and not understood, grouped."),
    "rejections": ("paymux.cli.rejections", "What was not accepted, why, how often and from where."),
    "replay": ("paymux.cli.replay", "Publish again, translate anew, compare and correct what is stored."),
    "reconcile": ("paymux.cli.reconcile", "What webhooks missed: compare with the provider's list of payments."),
    "doctor": ("paymux.cli.doctor", "What is wrong with an installation, and what to do."),
    "token": ("paymux.cli.token", "Make a token for the private API."),
    "export": ("paymux.cli.export", "Write what is stored as JSON Lines or Parquet."),
    "backup": ("paymux.cli.backup", "Copy the journal beside a running paymux, checked."),
    "restore": ("paymux.cli.restore", "Bring back a copy of the journal, publishing nothing twice."),
    "erase": ("paymux.cli.erase", "Take a payment's or a customer's data out of the journal."),
    "retention": ("paymux.cli.retention", "What is kept how long, and how much is old enough to go."),
    "audit": ("paymux.cli.audit", "Who did what, and whether the trail is whole."),
    "tail": ("paymux.cli.tail", "Follow the events topic."),
    "providers": ("paymux.cli.providers", "What is known of each provider."),
    "schemas": ("paymux.cli.schemas", "The published contracts: JSON Schema and AsyncAPI."),
}
# For them SIGHUP is no reason to end, from the first moment on: importing one takes most of a second.
SERVING: Final = ("serve",)


class _Failed(click.ClickException):
    """Something is wrong: exit 1."""


class _Unusable(_Failed):
    exit_code = 2


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Errors of ours as one sentence, Ctrl-C without noise; click keeps a broken pipe quiet."""
        try:
            return super().invoke(ctx)
        except PaymuxError as error:
            raise (_Unusable if isinstance(error, SettingsError) else _Failed)(_listed(str(error))) from error
        except OSError as error:
            if error.filename is None:
                raise
            raise _Failed(f"{error.filename}: {os.strerror(error.errno or 0)}") from error
        except KeyboardInterrupt:
            ctx.exit(130)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in SERVING:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it asks to read the settings, which is still to come
        if name not in COMMANDS and (near := get_close_matches(name, COMMANDS, 1)):
            ctx.fail(f"No such command {name!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The overview from the table: no command is imported to list it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _listed(text: str) -> str:
    """Several mistakes below one another."""
    lines = text.splitlines()
    return text if len(lines) < 2 else "\n".join(["several mistakes:", *(f"  {line}" for line in lines)])  # noqa: PLR2004


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="paymux")
def main() -> None:
    """Payment webhooks in, canonical payment events on Kafka out."""
    _fill_closed_streams()


def _fill_closed_streams() -> None:
    """Where a supervisor closed stdin, stdout or stderr, the next files and sockets would get their numbers, and
    libuv aborts on such a one.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  # for as long as the process lives
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
