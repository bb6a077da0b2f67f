"""`paymux schemas`."""

from __future__ import annotations

import json

from click.testing import CliRunner

from paymux import contracts
from paymux.cli import main


def run(*arguments):
    return CliRunner().invoke(main, ["schemas", *map(str, arguments)])


def test_names_and_documents():
    """Without arguments the names, with a name its document, with --json all of them."""
    made = contracts.documents()
    assert run().stdout.split() == list(made)
    assert run(contracts.EVENT_FILE).stdout.encode() == made[contracts.EVENT_FILE]
    assert json.loads(run("--json").stdout).keys() == made.keys()
    assert run("teleport.json").exit_code == 2


def test_written_and_checked(tmp_path):
    """What was just written is right; a changed or missing file is named, with what to do, and exits 1."""
    target = tmp_path / "schemas"
    assert run("--check", tmp_path).exit_code == 1
    assert run("--write", target).exit_code == 0
    assert run("--check", target).exit_code == 0
    (target / contracts.EVENT_FILE).write_text("{}")
    (target / contracts.ASYNCAPI_FILE).unlink()
    result = run("--check", target)
    assert result.exit_code == 1
    assert contracts.EVENT_FILE in result.stderr
    assert contracts.ASYNCAPI_FILE in result.stderr
    assert contracts.QUARANTINE_FILE not in result.stderr
