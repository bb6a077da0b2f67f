"""`paymux translate`: files offline, in the form that other programs rely on."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from paymux import canonical
from paymux.cli import main
from paymux.cli.translate import _summary

SAMPLES = Path(str(files("paymux.sandbox") / "samples"))
KEYS = ["file", "outcome", "events", "lookups", "reason", "path"]


def run(*arguments, stdin=None):
    return CliRunner().invoke(main, ["translate", *map(str, arguments)], input=stdin)


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_webhook_that_says_everything():
    """Its canonical events, with what offline means: no lifecycle, trusted, imported."""
    file = SAMPLES / "flowlix/webhooks/payment.succeeded.json"
    result = run("--provider", "flowlix", "--account", "acme", file)
    assert result.exit_code == 0
    [line] = lines(result)
    assert list(line) == KEYS
    assert (line["file"], line["outcome"], line["lookups"], line["reason"], line["path"]) == (
        str(file),
        "events",
        [],
        None,
        None,
    )
    [event] = line["events"]
    canonical.parse_event(json.dumps(event).encode())
    assert (event["type"], event["source"]) == ("payment.succeeded", "/paymux/flowlix/acme")
    assert event["data"]["lifecycle"] is None
    assert (event["data"]["origin"]["via"], event["data"]["origin"]["proof"]) == ("import", "trusted")


def test_a_webhook_that_only_names_an_object():
    """The lookups that it asks for."""
    [line] = lines(run("--provider", "flowglad", SAMPLES / "flowglad/webhooks/payment.json"))
    assert (line["outcome"], line["events"]) == ("lookup", [])
    assert line["lookups"] == [{"object": "payment", "id": "pym_hT4mWq8ZrK2vXn6BdY1Jc"}]


def test_one_line_for_each_file_in_order():
    """Ignored, quarantined and understood beside each other; any quarantined one makes it exit 1."""
    webhooks = SAMPLES / "flowlix/webhooks"
    result = run(
        "--provider", "flowlix", webhooks / "payment.failed.json", "-", webhooks / "refund.failed.json", stdin="{"
    )
    assert result.exit_code == 1
    assert [line["outcome"] for line in lines(result)] == ["events", "quarantined", "events"]
    assert [line["file"] for line in lines(result)][1] == "-"
    [ignored] = lines(run("--provider", "flexportal", SAMPLES / "flexportal/webhooks/order.created.json"))
    assert (ignored["outcome"], ignored["events"], ignored["reason"]) == ("ignored", [], None)


def test_a_file_that_cannot_be_read_is_told_in_its_place(tmp_path):
    """The others are answered; the exit code is 2, also where one of them is quarantined."""
    good = SAMPLES / "flowlix/webhooks/payment.failed.json"
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run("--provider", "flowlix", good, "/no/such/file", empty, "-", good, stdin="{")
    told = lines(result)
    assert result.exit_code == 2
    assert [line.get("outcome") for line in told] == ["events", None, None, "quarantined", "events"]
    assert told[1] == {"file": "/no/such/file", "error": "No such file or directory"}
    assert told[2] == {"file": str(empty), "error": "holds no file"}


def test_a_file_whose_name_is_no_utf8(tmp_path):
    """It is read; the line has a replacement sign in its name."""
    file = os.fsencode(tmp_path) + b"/\xff.json"
    Path(os.fsdecode(file)).write_bytes((SAMPLES / "flowlix/webhooks/payment.failed.json").read_bytes())
    result = run("--provider", "flowlix", os.fsdecode(file))
    assert (result.exit_code, lines(result)[0]["file"]) == (0, f"{tmp_path}/\ufffd.json")


def test_an_unknown_status_says_where(tmp_path):
    """Reason and JSON pointer."""
    body = json.loads((SAMPLES / "flowlix/webhooks/payment.succeeded.json").read_bytes())
    body["data"]["payment"]["status"] = "TELEPORTED"
    file = tmp_path / "x.json"
    file.write_text(json.dumps(body))
    result = run("--provider", "flowlix", file)
    assert result.exit_code == 1
    [line] = lines(result)
    assert (line["reason"], line["path"]) == ("unknown_status", "/data/payment/status")


def test_an_api_answer():
    """With --object the file is what the API answered; a list gives one item for each payment."""
    [line] = lines(
        run(
            "--provider",
            "flexportal",
            "--object",
            "payment",
            "--option",
            "tenant_id=bu_harbour_lease",
            SAMPLES / "flexportal/api/payment--failed.json",
        )
    )
    assert [event["type"] for event in line["events"]] == ["payment.failed"]
    result = run("--provider", "flowglad", "--object", "list", SAMPLES / "flowglad/api/list--page1.json")
    [listed] = lines(result)
    assert list(listed) == [*KEYS, "items"]
    assert [item["index"] for item in listed["items"]] == list(range(len(listed["items"])))
    assert listed["events"] == [event for item in listed["items"] for event in item["events"]]
    assert len(listed["items"]) > 1


def test_an_api_answer_that_is_none():
    """A file that holds no such object is quarantined, not a crash."""
    for body in ("[]", "{}", '{"payment": 1}', '{"payment": {"id": 7}}', "nonsense", ""):
        result = run("--provider", "flowglad", "--object", "payment", "-", stdin=body)
        assert (result.exit_code, lines(result)[0]["outcome"]) == (1, "quarantined"), body


def test_the_same_file_at_the_same_time_gives_the_same_line():
    """So that two mappings can be compared with diff."""
    arguments = (
        "--provider",
        "stripe",
        "--at",
        "2026-01-01T00:00:00Z",
        SAMPLES / "stripe/webhooks/charge.refunded.json",
    )
    assert run(*arguments).stdout == run(*arguments).stdout
    [line] = lines(run(*arguments))
    assert line["events"][0]["data"]["origin"]["received_at"] == "2026-01-01T00:00:00Z"
    delivery = line["events"][0]["data"]["origin"]["delivery_id"]
    assert (delivery[14], delivery[19] in "89ab") == ("7", True)


def test_a_batch_is_called_by_its_worst_item():
    """Quarantined before lookup before events before ignored; everything that its items give stands above, too."""

    def item(outcome, **more):
        return {"outcome": outcome, "events": [], "lookups": [], "reason": None, "path": None, **more}

    made = _summary([item("ignored"), item("quarantined", reason="shape", path="/1"), item("events", events=["e"])])
    assert made == {"outcome": "quarantined", "events": ["e"], "lookups": [], "reason": "shape", "path": "/1"}
    assert _summary([item("events"), item("ignored")])["outcome"] == "events"
    assert _summary([item("events"), item("lookup")])["outcome"] == "lookup"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--provider", "flowlx", "-"), "did you mean 'flowlix'?"),
        (("--provider", "flowlix", "--object", "refund", "-"), "no such object of flowlix"),
        (("--provider", "flowlix", "--at", "soon", "-"), "neither RFC 3339"),
        (("--provider", "flowlix", "--account", "\udcff", "-"), "--account is not UTF-8"),
        (("--provider", "flowlix"), "Missing argument"),
        (("-",), "Missing option"),
    ],
)
def test_unusable_input(arguments, says):
    """A sentence, nothing on stdout, exit 2."""
    result = run(*arguments, stdin="{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
