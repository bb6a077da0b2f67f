"""The commands that read what is stored, on the journal of a gateway that took real samples."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from paymux.cli import main
from paymux.delivery import Delivery
from paymux.journal import Entry, Rejection
from paymux.journal.sqlite import SqliteJournal
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.sandbox import samples
from paymux.signatures import trusted
from paymux.translate import translate

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STORY = ("payment_intent.created", "payment_intent.succeeded", "charge.refunded")


async def take(journal, number, body, **more):
    provider = BY_NAME["stripe"]
    account = Account(provider=provider, name="acme", checks=())
    delivery = Delivery(
        id=f"01936f0e-0000-4000-8000-{number:012d}",
        provider="stripe",
        account="acme",
        received_at=NOON + timedelta(minutes=number),
        body=body,
        path="/webhooks/stripe/acme",
        headers=((b"Content-Type", b"application/json"), (b"X-Quote", b"it's")),
    )
    verified = trusted(delivery)
    await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """Three deliveries about one payment, and two of a type that nobody knows. Its path."""
    path = tmp_path_factory.mktemp("journal") / "paymux.db"
    asyncio.run(fill(path))
    return path


async def fill(path):
    opened = await SqliteJournal.open(path)
    for number, name in enumerate(STORY):
        await take(opened, number, samples.webhook("stripe", name).body)
    for number in (3, 4):
        unknown = json.loads(samples.webhook("stripe", STORY[0]).body) | {"type": "payment_intent.teleported"}
        await take(opened, number, json.dumps(unknown | {"id": f"evt_{number}"}).encode())
    await opened.advance(0, 2)
    for number, reason in enumerate(["too_old"] * 5 + ["body_timeout"]):
        at, address = NOON + timedelta(seconds=number), f"192.0.2.{number}"
        opened.reject(
            Rejection(
                at=at,
                provider="stripe",
                account="acme",
                reason=reason,
                address=address,
                size=number,
                sha256="",
                age=400 + number if reason == "too_old" else None,
            )
        )
    await opened.close()


def paymux(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def payment():
    return json.loads(samples.webhook("stripe", STORY[0]).body)["data"]["object"]["id"]


def test_deliveries_newest_first(journal):
    """One line each, with what it became; the next page is named."""
    done = paymux("deliveries", "list", "--journal", journal)
    assert done.exit_code == 0
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["quarantined"] * 2 + ["events"] * 3
    first = paymux("deliveries", "list", "--journal", journal, "--limit", "2", "--json")
    assert first.stderr.strip() == "more: --before 4"
    rest = paymux("deliveries", "list", "--journal", journal, "--before", "4", "--json")
    assert [each["id"][-1] for each in lines(first) + lines(rest)] == ["4", "3", "2", "1", "0"]
    assert rest.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--outcome", "quarantined"], ["4", "3"]),
        (["--event-type", "charge.refunded"], ["2"]),
        (["--since", "2026-11-20T12:03:00Z"], ["4", "3"]),
        (["--until", "2026-11-20T12:01:00Z"], ["0"]),
        (["--since", "1h"], []),
        (["--account", "nobody"], []),
        (["evt_4"], ["4"]),
        (["01936f0e-0000-4000-8000-000000000002"], ["2"]),
    ],
)
def test_what_is_sought(journal, arguments, found):
    """Filters, or the beginning of an id."""
    done = paymux("deliveries", "list", "--journal", journal, "--json", *arguments)
    assert (done.exit_code, [each["id"][-1] for each in lines(done)]) == (0, found)
    assert ("nothing was found" in done.stderr) == (not found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--since", "yesterday"], "is neither RFC 3339, unix seconds nor a time ago"),
        (["--since", "999999d"], "is neither RFC 3339"),
        (["evt_4", "--outcome", "events"], "is sought alone"),
        (["--limit", "0"], "0 is not in the range"),
        (["--outcome", "eventz"], "'eventz' is not one of"),
        (["--journal", "/nowhere.db"], "does not exist"),
    ],
)
def test_what_cannot_be_sought(arguments, words):
    """Exit 2, and a sentence."""
    done = paymux("deliveries", "list", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr


def test_one_delivery_step_by_step(journal):
    """How it was proven, what it became, where it went, and whether it is known to be there."""
    done = paymux("deliveries", "show", "01936f0e-0000-4000-8000-000000000001", "--journal", journal)
    assert done.exit_code == 0
    assert "2026-11-20 12:01:00.000 UTC, via import" in done.stdout
    assert "proof      trusted" in done.stdout
    assert "payment.succeeded" in done.stdout
    assert "an operator vouched for it" in done.stdout
    assert "'succeeded' is succeeded, by the table of PaymentIntent.status" in done.stdout
    assert "advanced after pending (sequence 2)" in done.stdout
    assert f"key stripe/acme/{payment()}, seq 2: on Kafka" in done.stdout
    later = paymux("deliveries", "show", "01936f0e-0000-4000-8000-000000000003", "--journal", journal)
    assert "unknown_event_type" in later.stdout
    assert "not known to be on Kafka yet" in later.stdout
    (facts,) = lines(
        paymux("deliveries", "show", "01936f0e-0000-4000-8000-000000000001", "--journal", journal, "--json")
    )
    assert facts["records"][0]["event"]["type"] == "payment.succeeded"


def test_a_request_to_repeat(journal):
    """A curl command, quoted for a shell."""
    done = paymux("deliveries", "show", "01936f0e-0000-4000-8000-000000000000", "--journal", journal, "--curl")
    assert done.stdout.startswith("curl -X POST http://localhost:8080/webhooks/stripe/acme -H 'Content-Type: ")
    assert "'X-Quote: it'\"'\"'s'" in done.stdout
    assert "--data-binary '{" in done.stdout


def test_a_delivery_that_is_not_there(journal):
    """Exit 1, with the nearest."""
    done = paymux("deliveries", "show", "01936f0e-0000-4000-8000-00000000", "--journal", journal)
    assert done.exit_code == 1
    assert "the nearest are 01936f0e-0000-4000-8000-000000000004" in done.stderr
    assert paymux("deliveries", "show", "zzz", "--journal", journal).exit_code == 1


def test_a_payments_story(journal):
    """Every delivery in order with its events, and how it stands; also by another name of it."""
    done = paymux("payments", "show", f"stripe/acme/{payment()}", "--journal", journal)
    assert done.exit_code == 0
    text = done.stdout
    assert text.index("#1 payment.pending first") < text.index("#2 payment.succeeded advanced")
    assert "payment succeeded" in text
    (facts,) = lines(paymux("payments", "show", f"stripe/acme/{payment()}", "--journal", journal, "--json"))
    assert [each["event"]["data"]["lifecycle"]["sequence"] for each in facts["events"]] == [1, 2, 3]
    assert [each["published"] for each in facts["events"]] == [True, True, False]
    (link, *_) = facts["links"]
    assert paymux("payments", "show", f"stripe/acme/{link}", "--journal", journal).stdout == text


def test_a_payment_that_nobody_heard_of(journal):
    """Exit 1, with the nearest, also where the account is wrong."""
    done = paymux("payments", "show", f"stripe/other/{payment()[:9]}", "--journal", journal)
    assert done.exit_code == 1
    assert f"the nearest are stripe/acme/{payment()}" in done.stderr
    assert "nothing is known of" in paymux("payments", "show", "nonsense", "--journal", journal).stderr


def test_quarantine_in_groups(journal):
    """One line for all that are alike."""
    done = paymux("quarantine", "list", "--journal", journal)
    assert "2  stripe/acme" in done.stdout
    assert "payment_intent.teleported: unknown_event_type" in done.stdout
    (group,) = lines(paymux("quarantine", "list", "--journal", journal, "--json"))
    assert (group["count"], group["delivery"][-1]) == (2, "4")


def test_rejections_in_groups(journal):
    """How often, from where, and where to look first."""
    done = paymux("rejections", "--journal", journal)
    assert done.exit_code == 0
    assert "5  stripe/acme           too_old" in done.stdout
    assert "signed 404 seconds before it came: this machine's clock is ahead" in done.stdout
    assert "and 2 more" in done.stdout
    first, second = lines(paymux("rejections", "--journal", journal, "--json"))
    assert (first["reason"], first["count"], len(first["addresses"])) == ("too_old", 5, 5)
    assert (second["reason"], second["hint"], second["first"]) == ("body_timeout", None, second["last"])


def test_without_a_journal(tmp_path, monkeypatch):
    """Exit 2, naming the setting."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "paymux.toml"
    config.write_text('[journal]\nurl = "memory://"\n')
    for command in (["deliveries", "list"], ["payments", "show", "a/b/c"], ["quarantine", "list"]):
        done = paymux(*command, "--config", config)
        assert (done.exit_code, "journal.url: memory:// keeps nothing" in done.stderr) == (2, True)
    config.write_text("")
    done = paymux("quarantine", "list", "--config", config)
    assert (done.exit_code, "there is no file paymux.db yet" in done.stderr) == (2, True)


def test_a_file_that_is_no_journal(tmp_path):
    """Exit 1, a sentence."""
    path = tmp_path / "x.db"
    path.write_bytes(b"certainly no database, but long enough to be taken for one" * 100)
    done = paymux("quarantine", "list", "--journal", path)
    assert (done.exit_code, "cannot be read: file is not a database" in done.stderr) == (1, True)
