"""`paymux verify`: both forms, as other programs rely on them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
import stripe
from click.testing import CliRunner

from paymux.cli import main
from tests.paypal_signing import WEBHOOK_ID, Authority

VECTORS = Path(__file__).parents[2] / "../shared/reference/vectors.json"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHORT = "webhook_secret"


def run(*arguments, stdin=None):
    return CliRunner().invoke(main, ["verify", *arguments], input=stdin)


def requests(*told):
    result = run(
        "--requests", "-", stdin="".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in told)
    )
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def stripe_header(body: str, secret: str = SECRET, at: int | None = None) -> str:
    at = at or int(time.time())
    return f"t={at},v1={stripe.WebhookSignature._compute_signature(f'{at}.{body}', secret)}"


def a_request(**changes):
    body = '{"id": "evt_1"}'
    told = {
        "provider": "stripe",
        "secrets": [SECRET],
        "headers": {"Stripe-Signature": stripe_header(body)},
        "body": body,
    }
    return {name: value for name, value in {**told, **changes}.items() if value is not ...}


def a_paypal_request() -> dict:
    now = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)
    authority = Authority(now)
    signer = authority.issue()
    return {
        "provider": "paypal",
        "secrets": [],
        "headers": {name.decode(): value.decode() for name, value in signer.headers(b"{}", now)},
        "body": "{}",
        "options": {"webhook_id": WEBHOOK_ID, "cert_pem": signer.pem, "ca_pem": authority.pem},
        "received_at": "2026-05-04T12:30:20Z",
    }


class TestOneRequest:
    def test_a_genuine_one(self, tmp_path):
        """Says which secret matched, as one JSON line, and exits 0."""
        file = tmp_path / "body"
        file.write_bytes(b'{"a": 1}')
        result = run(
            *("--provider", "stripe", "--secret", SHORT, "--secret", SECRET),
            *("--header", f"Stripe-Signature: {stripe_header(file.read_text())}"),
            str(file),
        )
        assert (result.exit_code, result.stdout) == (0, '{"verified":true,"secret":1}\n')

    def test_a_forged_one(self):
        """Says why not, and exits 1."""
        result = run(
            *("--provider", "stripe", "--secret", "whsec_of_somebody_else", "--header"),
            *(f"stripe-signature: {stripe_header('x')}", "-"),
            stdin="x",
        )
        assert (result.exit_code, json.loads(result.stdout)) == (1, {"verified": False, "reason": "signature_mismatch"})

    def test_an_old_one(self):
        """Its age counts from --at, in either form, and not at all with tolerance 0."""
        header = f"stripe-signature: {stripe_header('x', at=1700000000)}"
        at = lambda *more: run("--provider", "stripe", "--secret", SECRET, "--header", header, *more, "-", stdin="x")  # noqa: E731
        assert json.loads(at().stdout)["reason"] == "too_old"
        assert at("--at", "1700000300").exit_code == 0
        assert at("--at", "1700000300.0").exit_code == 0
        assert json.loads(at("--at", "1700000301.5").stdout)["reason"] == "too_old"
        assert at("--at", "2023-11-14T22:18:20Z").exit_code == 0
        assert json.loads(at("--at", "2023-11-14T22:18:21Z").stdout)["reason"] == "too_old"
        assert json.loads(at("--at", "1699999000").stdout)["reason"] == "too_new"
        assert at("--option", "tolerance=0").exit_code == 0

    def test_the_same_header_twice(self):
        """Two --header of one name are two values, which a provider never sends."""
        header = f"stripe-signature: {stripe_header('x')}"
        result = run("--provider", "stripe", "--secret", SECRET, "--header", header, "--header", header, "-", stdin="x")
        assert json.loads(result.stdout) == {"verified": False, "reason": "signature_duplicated"}

    def test_a_header_that_is_no_utf8(self, tmp_path):
        """Its bytes are looked at as they are: a verdict, not a crash."""
        (tmp_path / "body").write_bytes(b"{}")
        command = [sys.executable, "-m", "paymux", "verify", "--provider", "stripe", "--secret", SECRET]
        for header in (b"stripe-signature: t=1,v1=\xff", b"stripe-signature\xff: \xff"):
            ended = subprocess.run(
                [*command, "--url", b"https://x.example/\xff?\xff", "--header", header, "body"],
                cwd=tmp_path, capture_output=True, check=False,
            )  # fmt: skip
            assert (ended.returncode, ended.stderr) == (1, b"")
            assert json.loads(ended.stdout)["verified"] is False

    def test_options_choose_the_scheme(self):
        """Flowlix's secret may be base64, as the account's option says."""
        body, at = "{}", int(time.time())
        import hashlib
        import hmac

        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        header = f"Flowlix-Signature: t={at},v1={hmac.new(key, f'{at}.{body}'.encode(), hashlib.sha256).hexdigest()}"
        common = ("--provider", "flowlix", "--secret", SECRET, "--header", header)
        assert run(*common, "-", stdin=body).exit_code == 1
        assert run(*common, "--option", "secret_encoding=base64", "-", stdin=body).exit_code == 0

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--provider", "strpe", "--secret", SECRET, "-"), "did you mean 'stripe'?"),
            (("--provider", "stripe", "--option", "toleranc=1", "-"), "did you mean 'tolerance'?"),
            (("--provider", "stripe", "--option", "tolerance=-1", "-"), "tolerance must be whole seconds"),
            (("--provider", "stripe", "--header", "no colon", "-"), "expected NAME:VALUE"),
            (("--provider", "stripe", "--option", f"tolerance={'9' * 5000}", "-"), "tolerance must be whole seconds"),
            (("--provider", "stripe", "--secret", "\udcff" * 20, "-"), "a secret is not UTF-8"),
            (("--provider", "\udcff", "-"), "no such provider"),
            (("--provider", "flexportal", "--option", "hmac_prefix=\udcff", "-"), "hmac_prefix is not UTF-8"),
            (("--provider", "stripe", "--option", "\udcff=1", "-"), "no such option"),
            (("--provider", "stripe", "--at", "\udcff", "-"), "neither RFC 3339 nor unix seconds"),
            (("--provider", "stripe", "--at", "9" * 5000, "-"), "neither RFC 3339 nor unix seconds"),
            (("--provider", "stripe", "--at", "yesterday", "-"), "neither RFC 3339 nor unix seconds"),
            (("--provider", "stripe"), "Give --provider and FILE"),
            (("--provider", "stripe", "/no/such/file"), "No such file"),
            (("--requests", "-", "--provider", "stripe"), "--requests goes without"),
        ],
    )
    def test_what_cannot_be_judged(self, arguments, says):
        """A sentence on stderr, nothing on stdout, exit 2."""
        result = run(*arguments, stdin="{}")
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr


class TestRequests:
    def test_each_line_has_its_result_in_its_place(self):
        """Good, bad and unusable lines are answered in order; the exit code is the worst one's."""
        code, results = requests(
            a_request(),
            a_request(body="{}"),
            "not json",
            a_request(secrets=["whsec_of_somebody_else", SECRET]),
        )
        assert code == 2
        assert results[0] == {"verified": True, "secret": 0}
        assert results[1] == {"verified": False, "reason": "signature_mismatch"}
        assert list(results[2]) == ["error"]
        assert results[3] == {"verified": True, "secret": 1}

    def test_the_exit_code_is_1_if_any_is_false(self):
        """And 0 where all are true."""
        assert requests(a_request(), a_request())[0] == 0
        assert requests(a_request(), a_request(secrets=["whsec_of_somebody_else"]))[0] == 1

    def test_a_header_may_have_a_list_of_values(self):
        """One value in a list is that value; two are too many."""
        header = stripe_header('{"id": "evt_1"}')
        code, results = requests(
            a_request(headers={"Stripe-Signature": [header]}),
            a_request(headers={"Stripe-Signature": [header, header]}),
        )
        assert code == 1
        assert results == [{"verified": True, "secret": 0}, {"verified": False, "reason": "signature_duplicated"}]

    def test_a_body_that_is_no_text_comes_as_base64(self):
        """The bytes are what is signed."""
        body, at = b"\xff\x00", int(time.time())
        import hashlib
        import hmac

        digest = hmac.new(SECRET.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
        told = a_request(
            body=..., body_base64=base64.b64encode(body).decode(), headers={"stripe-signature": f"t={at},v1={digest}"}
        )
        assert requests(told) == (0, [{"verified": True, "secret": 0}])

    @pytest.mark.parametrize("empty", ["", "whsec_", "   "])
    def test_an_empty_secret_verifies_nothing(self, empty):
        """Also where the request was signed with the empty key, and with others the list goes on."""
        for provider in ("stripe", "flowlix", "flexprice", "standard-webhooks", "svix"):
            code, [result] = requests(a_request(provider=provider, secrets=[empty]))
            assert (code, result["verified"]) == (1, False)
        signed_with_it = a_request(
            secrets=[empty], headers={"Stripe-Signature": stripe_header('{"id": "evt_1"}', secret=empty)}
        )
        assert requests(signed_with_it)[1][0]["verified"] is False
        assert requests(a_request(secrets=[empty, SECRET])) == (0, [{"verified": True, "secret": 1}])

    def test_a_secret_too_short_to_be_configured_verifies(self):
        """The least length is a rule of configurations: by hand one also checks published examples."""
        told = a_request(secrets=[SHORT], headers={"Stripe-Signature": stripe_header('{"id": "evt_1"}', SHORT)})
        assert requests(told) == (0, [{"verified": True, "secret": 0}])

    def test_a_hint_proves_nothing(self):
        """FlexPortal signs nothing, so nothing of it can be verified without an option."""
        code, results = requests(a_request(provider="flexportal"))
        assert (code, results) == (1, [{"verified": False, "reason": "proves_nothing"}])

    def test_bare_schemes_answer_by_their_names(self):
        """Signed by the standardwebhooks package, under both families of header names."""
        from datetime import UTC, datetime

        now = datetime.now(UTC)
        signature = standardwebhooks.Webhook(SECRET).sign("msg_1", now, "{}")
        for name in ("standard-webhooks", "svix"):
            for family in ("webhook", "svix"):
                headers = {
                    f"{family}-id": "msg_1",
                    f"{family}-timestamp": str(int(now.timestamp())),
                    f"{family}-signature": signature,
                }
                told = a_request(
                    provider=name, headers=headers, body="{}", url="https://x.example/a?b=c", method="POST"
                )
                assert requests(told) == (0, [{"verified": True, "secret": 0}])

    @pytest.mark.parametrize(
        "told",
        [
            "[]",
            '"text"',
            "{",
            a_request(provider=...),
            a_request(provider="teleport"),
            a_request(secrets=...),
            a_request(secrets="whsec"),
            a_request(secrets=[1]),
            a_request(body=...),
            a_request(body_base64="e30="),
            a_request(body=..., body_base64="%%%"),
            a_request(body=1),
            a_request(headers=[]),
            a_request(headers={"a": 1}),
            a_request(headers={"a": [None]}),
            a_request(options=[]),
            a_request(options={"colour": "red"}),
            a_request(options={"tolerance": "soon"}),
            a_request(options={"tolerance": "9" * 5000}),
            a_request(received_at="9" * 5000),
            a_request(received_at="1719792042."),
            a_request(received_at="1e9"),
            a_request(provider="flowlix", options={"secret_encoding": "base46"}),
            a_request(provider="flexportal", options={"static_header": "X", "hmac_header": "Y"}),
            a_request(provider="flexportal", options={"hmac_header": "X", "hmac_algorithm": "md5"}),
            a_request(received_at="soon"),
            a_request(received_at=True),
            a_request(received_at=1e300),
            a_request(received_at=[1]),
            a_request(url=7),
            a_request(url="http://[::1"),
            a_request(method=7),
            a_request(recieved_at=1),
            a_request(header={}),
            '{"provider": "\\ud800"}',
        ],
    )
    def test_an_unusable_line(self, told):
        """One error in its place, and the next line is still answered."""
        code, results = requests(told, a_request())
        assert code == 2
        assert list(results[0]) == ["error"]
        assert isinstance(results[0]["error"], str)
        assert results[1] == {"verified": True, "secret": 0}

    def test_blank_lines_are_skipped(self):
        """They are no requests, so they have no result."""
        code, results = requests("", a_request(), "  \t", a_request(), "")
        assert (code, results) == (0, [{"verified": True, "secret": 0}] * 2)

    def test_keys_of_the_callers_own_and_nulls(self):
        """A name for the line or a null do not matter."""
        told = a_request(
            name="first", url=None, method=None, received_at=None, body_base64=None, options={"tolerance": None}
        )
        assert requests(told) == (0, [{"verified": True, "secret": 0}])

    def test_paypal_by_its_webhook_id_or_a_secret(self):
        """The id may come as the option or in the secrets' place; an empty secret verifies nothing."""
        told = a_paypal_request()
        given = {"cert_pem": told["options"]["cert_pem"], "ca_pem": told["options"]["ca_pem"]}
        lines = (
            told,
            told | {"options": given, "secrets": ["another", WEBHOOK_ID]},
            told | {"secrets": [""]},
            told | {"options": given},
            told | {"options": told["options"] | {"webhook_id": "another"}},
            told | {"options": told["options"] | {"tolerance": 1}, "received_at": "2026-05-04T12:40:00Z"},
        )
        code, results = requests(*map(json.dumps, lines))
        assert (code, results) == (
            1,
            [
                {"verified": True, "secret": None},
                {"verified": True, "secret": 1},
                {"verified": False, "reason": "secret_unusable"},
                {"verified": False, "reason": "secret_unusable"},
                {"verified": False, "reason": "signature_mismatch"},
                {"verified": False, "reason": "too_old"},
            ],
        )

    def test_paypal_without_its_certificate_cannot_be_judged(self):
        """Nothing is fetched here; what can be told without it is told."""
        told = a_paypal_request()
        told["options"] = {"webhook_id": WEBHOOK_ID}
        lie = told | {"headers": told["headers"] | {"PAYPAL-CERT-URL": "https://evil.example/CERT-1"}}
        code, (first, second) = requests(json.dumps(told), json.dumps(lie))
        assert code == 2
        assert "cert_pem and ca_pem" in first["error"]
        assert second == {"verified": False, "reason": "certificate_url"}

    def test_no_secret_is_ever_printed(self):
        """Neither a result nor an error holds one."""
        canary = "whsec_canary_canary_canary"
        result = run(
            "--requests",
            "-",
            stdin="\n".join(map(json.dumps, (a_request(secrets=[canary]), a_request(secrets=canary)))),
        )
        assert canary not in result.output

    @pytest.mark.skipif(not VECTORS.is_file(), reason="the reference vectors are not beside the repository")
    def test_every_published_vector(self):
        """Each vector for Stripe, Svix and Standard Webhooks gives what its publisher says."""
        vectors = [
            one for one in json.loads(VECTORS.read_text()) if one["provider"] in ("stripe", "svix", "standard-webhooks")
        ]
        assert len(vectors) >= 29
        _, results = requests(*map(_told, vectors))
        wrong = [
            (vector["name"], result)
            for vector, result in zip(vectors, results, strict=True)
            if result.get("verified") is not (vector["expect"] == "ok")
        ]
        assert wrong == []


def _told(vector):
    told = {"provider": vector["provider"], "secrets": [vector["secret"]], "headers": vector["headers"]}
    told["body"] = vector["body"]
    if "tolerance" in vector:
        told["options"] = {"tolerance": vector["tolerance"]}
    if "now" in vector:
        told["received_at"] = vector["now"]
    return told
