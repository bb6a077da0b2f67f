"""V-30 to V-38 by the hundred: named classes of bad requests over raw sockets, each with the answer that docs/http.md
promises. test_raw_sockets.py tells the stories; this is the rest of the corpus.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.http.test_raw_sockets import chunk, reset, rest
from tests.http.world import BODY, PATH, answer, request, running, signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.http.world import Answered, World

CRLF = b"\r\n"
END = b"0\r\n\r\n"
HELLO = b"5\r\nhello\r\n"
POST = f"POST {PATH} HTTP/1.1"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: pay.example\r\n\r\n"
WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhl", "Sec-WebSocket-Version: 13")
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")

# Status -> the body that it always has.
WORDS = {
    400: b'{"error":"bad_request"}',
    401: b'{"error":"unauthorized"}',
    404: b'{"error":"not_found"}',
    405: b'{"error":"method_not_allowed"}',
    408: b'{"error":"request_timeout"}',
    413: b'{"error":"payload_too_large"}',
    415: b'{"error":"unsupported_content_encoding"}',
    417: b'{"error":"expectation_failed"}',
}
CLOSING = {400, 405, 408, 413, 415, 417}


def line(first: str, *lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([first, "Host: pay.example", *lines, "", ""]).encode("latin-1") + body


def post(*lines: str, body: bytes = b"") -> bytes:
    return line(POST, *lines, body=body)


def to(target: str, *lines: str) -> bytes:
    return line(f"POST {target} HTTP/1.1", "Content-Length: 0", *lines)


def by(method: str, *lines: str, body: bytes = b"") -> bytes:
    return line(f"{method} {PATH} HTTP/1.1", *lines, body=body)


def with_length(text: str) -> bytes:
    return post(f"Content-Length: {text}", body=b"hello")


def with_encoding(*values: str, lines: tuple[str, ...] = ()) -> bytes:
    return post(*(f"Transfer-Encoding: {value}" for value in values), *lines, body=HELLO + END)


def chunked(raw: bytes, *lines: str) -> bytes:
    return post("Transfer-Encoding: chunked", *lines, body=raw)


def with_header(text: str) -> bytes:
    return post(text, "Content-Length: 0")


LENGTHS = {
    "inner blank": "5 5",
    "underscore": "5_0",
    "decimal": "5.0",
    "exponent": "1e1",
    "binary": "0b101",
    "octal": "0o5",
    "empty": "",
    "minus zero": "-0",
    "word": "five",
    "quoted": '"5"',
    "with a parameter": "5;a=b",
    "NUL after it": "5\x00",
    "full-width digit": "\xef\xbc\x95",
    "Arabic digit": "\xd9\xa5",
    "comma": "5,",
    "comma first": ",5",
    "vertical tab": "5\x0b",
    "no-break space": "5\xa0",
    "2^64 and five": "18446744073709551621",
    "currency": "$5",
}
ENCODINGS = {
    "length of zero too": with_encoding("chunked", lines=("Content-Length: 0",)),
    "length first": post("Content-Length: 15", "Transfer-Encoding: chunked", body=HELLO + END),
    "comma after": with_encoding("chunked,"),
    "comma before": with_encoding(",chunked"),
    "identity after": with_encoding("chunked, identity"),
    "identity": with_encoding("identity"),
    "identity and a length": post("Transfer-Encoding: identity", "Content-Length: 5", body=b"hello"),
    "empty": with_encoding(""),
    "empty and a length": post("Transfer-Encoding: ", "Content-Length: 5", body=b"hello"),
    "quoted": with_encoding('"chunked"'),
    "parameter": with_encoding("chunked;q=1"),
    "form feed": with_encoding("chunked\x0c"),
    "no-break space": with_encoding("\xa0chunked"),
    "compress": with_encoding("compress, chunked"),
    "cow": with_encoding("cow"),
    "cow, then chunked": with_encoding("cow", "chunked"),
    "chunked, then cow": with_encoding("chunked", "cow"),
    "blank before the colon": post("Transfer-Encoding : chunked", body=HELLO + END),
    "underscore in the name": post("Transfer_Encoding: chunked", body=b"hello"),
    "hidden by a folded line": post("X: y\r\n Transfer-Encoding: chunked", "Content-Length: 5", body=b"hello"),
    "hidden by a bare CR": post("X: y\rTransfer-Encoding: chunked", "Content-Length: 5", body=b"hello"),
    "hidden by a bare LF": post("X: y\nTransfer-Encoding: chunked", "Content-Length: 5", body=b"hello"),
}
CHUNKS = {
    "hex prefix": b"0x5\r\nhello\r\n" + END,
    "minus": b"-5\r\nhello\r\n" + END,
    "plus": b"+5\r\nhello\r\n" + END,
    "blank before": b" 5\r\nhello\r\n" + END,
    "blank after": b"5 \r\nhello\r\n" + END,
    "tab after": b"5\t\r\nhello\r\n" + END,
    "underscore": b"0_5\r\nhello\r\n" + END,
    "no size": b"\r\nhello\r\n" + END,
    "no hex": b"g\r\nhello\r\n" + END,
    "beyond 64 bits": b"f" * 18 + b"\r\nhello\r\n" + END,
    "2^64 and five": b"10000000000000005\r\nhello\r\n" + END,
    "bare line feeds": b"5\nhello\n0\n\n",
    "bare carriage return": b"5\rhello\r\n" + END,
    "longer than announced": b"3\r\nhello\r\n" + END,
    "no end of the chunk": b"5\r\nhello0\r\n\r\n",
    "NUL in an extension": b"5;a=\x00\r\nhello\r\n" + END,
    "line feed in an extension": b"5;a=\nb\r\nhello\r\n" + END,
    "length in the trailer": HELLO + b"0\r\nContent-Length: 99\r\n\r\n",
    "encoding in the trailer": HELLO + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no colon in the trailer": HELLO + b"0\r\nno colon\r\n\r\n",
    "a thousand trailers": HELLO + b"0\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(1000)) + CRLF,
    "a trailer of 9 kB": HELLO + b"0\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
}
HEADERS = {
    "no colon": with_header("Nocolon"),
    "no name": with_header(": value"),
    "byte beyond ASCII in the name": with_header("X-\xe9: v"),
    "bracket in the name": with_header("X(a): v"),
    "tab before the colon": with_header("X\t: v"),
    "NUL in the name": with_header("X\x00Y: v"),
    "blank before the first": f"{POST}\r\n Host: a\r\nContent-Length: 0\r\n\r\n".encode(),
    "fold after the first": f"{POST}\r\nHost: a\r\n\tb: c\r\nContent-Length: 0\r\n\r\n".encode(),
    "bare CR in a value": with_header("X: a\rb"),
    "bare LF ends a line": with_header("X: a\nY: b"),
    "bare LFs end the headers": with_header("X: a\n\nPOST / HTTP/1.1"),
    "bell": with_header("X: a\x07b"),
    "escape": with_header("X: a\x1b[31m"),
    "delete": with_header("X: a\x7fb"),
    "vertical tab": with_header("X: a\x0bb"),
    "only CRs": f"{POST}\rHost: a\rContent-Length: 0\r\r".encode(),
    "CR CR LF": f"{POST}\r\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode(),
    "no Host": f"{POST}\r\nContent-Length: 0\r\n\r\n".encode(),
    "three lengths": post(*["Content-Length: 5"] * 3, body=b"hello"),
    "lengths in two spellings": post("Content-Length: 5", "CONTENT-LENGTH: 6", body=b"hello"),
    "101 of them": post(*(f"X-{n}: 1" for n in range(99)), "Content-Length: 0"),
    "a name of 9 kB": with_header(f"X{'a' * 9000}: 1"),
    "a cookie of 9 kB": with_header("Cookie: " + "a=1; " * 1800),
    "blank before the request": b" " + post("Content-Length: 0"),
}
METHODS = {
    "GET": by("GET"),
    "PUT": by("PUT", "Content-Length: 5", body=b"hello"),
    "PATCH": by("PATCH", "Content-Length: 5", body=b"hello"),
    "DELETE": by("DELETE"),
    "TRACE": by("TRACE", "Max-Forwards: 5"),
    "CONNECT": by("CONNECT"),
    "OPTIONS before a cross-origin request": by("OPTIONS", "Origin: https://a.example", "Access-Control-Request-Method: POST"),
    "PROPFIND": by("PROPFIND"),
}  # fmt: skip
NO_METHODS = {
    "lower case": by("post", "Content-Length: 0"),
    "made up": by("BREW", "Content-Length: 0"),
    "9 kB": by("A" * 9000, "Content-Length: 0"),
    "NUL in it": by("PO\x00ST", "Content-Length: 0"),
    "none": f" {PATH} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "quoted": by('"POST"', "Content-Length: 0"),
}
ELSEWHERE = {
    "absolute form": to(f"http://pay.example{PATH}"),
    "absolute form of another host": to(f"http://169.254.169.254{PATH}"),
    "encoded slashes": to("/webhooks%2fstripe%2facme"),
    "slashes encoded twice": to("/webhooks%252fstripe%252facme"),
    "dot segment": to("/webhooks/./stripe/acme"),
    "dot segments": to("/webhooks/x/../stripe/acme"),
    "dot segments at the end": to(f"{PATH}/.."),
    "encoded dot segments": to("/webhooks/x/%2e%2e/stripe/acme"),
    "dot segments encoded twice": to("/webhooks/x/%252e%252e/stripe/acme"),
    "out of the root": to(f"/../../..{PATH}"),
    "slashes doubled": to("/webhooks//stripe//acme"),
    "slash at the end": to(f"{PATH}/"),
    "more segments": to(f"{PATH}/a/b/c"),
    "an encoded letter": to("/webhooks/stripe/%61cme"),
    "other case": to("/Webhooks/Stripe/ACME"),
    "semicolon parameter": to(f"{PATH};jsessionid=1"),
    "fragment": to(f"{PATH}#top"),
    "backslash": to("/webhooks/stripe\\acme"),
    "NUL encoded": to(f"{PATH}%00"),
    "overlong UTF-8": to("/webhooks/stripe/acme%c0%af"),
    "percent without digits": to(f"{PATH}%zz"),
    "CRLF encoded": to(f"{PATH}%0d%0aX-Odd:%20yes"),
    "SQL": to("/webhooks/stripe/acme'--"),
    "a template": to("/webhooks/${jndi:ldap://a}/{{7*7}}"),
    "8 kB": to("/webhooks/stripe/" + "a" * 8000),
    "rewritten by a header": to("/nowhere", f"X-Original-URL: {PATH}", f"X-Rewrite-URL: {PATH}"),
    "a private route": to("/api/v1/rejections", "Authorization: Bearer admin"),
    "metrics": line("GET /metrics HTTP/1.1"),
    "CONNECT to a host": line("CONNECT pay.example:443 HTTP/1.1"),
    "OPTIONS of everything": line("OPTIONS * HTTP/1.1"),
}
NO_TARGETS = {
    "none": line("POST  HTTP/1.1"),
    "asterisk": to("*"),
    "a host": to("pay.example:443"),
    "no slash": to("webhooks/stripe/acme"),
    "only backslashes": to("\\webhooks\\stripe\\acme"),
    "a tab": to(f"{PATH}\tx"),
    "a bare CR": to(f"{PATH}\rx"),
    "delete": to(f"{PATH}\x7f"),
    "a port that is none": to(f"https://u:p@pay.example:99999{PATH}"),
    "an address that is none": to(f"http://[::1{PATH}"),
    "a query of 9 kB": to(f"{PATH}?{'a' * 9000}"),
    "a path of 100 kB": to("/" + "a/" * 50_000),
}
VERSIONS = {
    "HTTP/2.0": line(f"POST {PATH} HTTP/2.0", "Content-Length: 0"),
    "HTTP/0.9": line(f"POST {PATH} HTTP/0.9", "Content-Length: 0"),
    "chunked in HTTP/1.0": line(
        f"POST {PATH} HTTP/1.0", "Connection: keep-alive", "Transfer-Encoding: chunked", body=HELLO + END
    ),
    "HTTP/1.2": line(f"POST {PATH} HTTP/1.2", "Content-Length: 0"),
    "HTTP/3": line(f"POST {PATH} HTTP/3", "Content-Length: 0"),
    "HTTP/11": line(f"POST {PATH} HTTP/11", "Content-Length: 0"),
    "HTTP/1.10": line(f"POST {PATH} HTTP/1.10", "Content-Length: 0"),
    "HTTP/-1.1": line(f"POST {PATH} HTTP/-1.1", "Content-Length: 0"),
    "lower case": line(f"POST {PATH} http/1.1", "Content-Length: 0"),
    "ICE": line(f"POST {PATH} ICE/1.0", "Content-Length: 0"),
    "more after it": line(f"POST {PATH} HTTP/1.1 x", "Content-Length: 0"),
}
STRANGERS = {
    "SMTP": b"EHLO mail.example\r\n",
    "SOCKS 5": b"\x05\x01\x00",
    "SOCKS 4": b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "PROXY protocol": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + post("Content-Length: 0"),
    "PROXY protocol 2": bytes.fromhex("0d0a0d0a000d0a515549540a2111000c") + b"\x7f" * 12 + post("Content-Length: 0"),
    "an HTTP answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "NULs": b"\x00" * 1000,
    "bare JSON": BODY,
    "a Kafka request": b"\x00\x00\x00\x14\x00\x12\x00\x00\x00\x00\x00\x01\x00\x04test",
}
EXPECTATIONS = {"two in one": "100-continue, x", "empty": "", "another": "200-ok", "quoted": '"100-continue"'}
COMPRESSED = {
    "after identity": ("Content-Encoding: identity, gzip",),
    "in a second header": ("Content-Encoding: identity", "Content-Encoding: gzip"),
    "identity with a weight": ("Content-Encoding: identity;q=1",),
    "of the transfer's own": ("Content-Encoding: chunked",),
    "any": ("Content-Encoding: *",),
}
# What is HTTP as it should be, and not proven: nothing in it is believed, and what follows is read in step.
UNPROVEN = {
    "a method to override": post("X-HTTP-Method-Override: GET", "X-Method: DELETE", "Content-Length: 0"),
    "upgrade to websocket": post(*WEBSOCKET, "Content-Length: 5", body=b"hello"),
    "upgrade to HTTP/2": post(*H2C, "Content-Length: 5", body=b"hello"),
    "upgrade to TLS": post("Connection: Upgrade", "Upgrade: TLS/1.2", "Content-Length: 0"),
    "the length as a connection's own": post("Connection: Content-Length", "Content-Length: 5", body=b"hello"),
    "forwarded for nine hundred": post("X-Forwarded-For: " + "192.0.2.1," * 800, "Content-Length: 0"),
    "a range": post("Range: bytes=0-1", "If-Match: *", "If-None-Match: *", "Content-Length: 0"),
    "cookies": post("Cookie: " + "; ".join(f"a{n}=1" for n in range(900)), "Content-Length: 0"),
    "a multipart form": post(
        "Content-Type: multipart/form-data; boundary=x", "Content-Length: 60",
        body=b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'.ljust(60),
    ),
    "a multipart form without boundary": post("Content-Type: multipart/form-data", "Content-Length: 5", body=b"--x--"),
    "a form": post("Content-Type: application/x-www-form-urlencoded", "Content-Length: 5", body=b"a=%zz"),
    "UTF-7": post("Content-Type: application/json; charset=utf-7", "Content-Length: 5", body=b"+AHs-"),
    "a charset that is none": post("Content-Type: application/json; charset=../../x", "Content-Length: 5", body=b"hello"),
    "XML with an entity": post(
        "Content-Type: application/xml", "Content-Length: 60",
        body=b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a/>'.ljust(60),
    ),
    "a chunk extension of 100 kB": chunked(b"5;a=" + b"b" * 100_000 + b"\r\nhello\r\n" + END),
    "a hundred extensions of 8 kB": chunked((b"1;" + b"a" * 8000 + b"\r\nx\r\n") * 100 + END),
    "a signature in the trailer": chunked(HELLO + f"0\r\nStripe-Signature: {signature(b'hello')}\r\n\r\n".encode()),
    "a Host that is none": f"{POST}\r\nHost: a b/<x>@:99999\r\nContent-Length: 0\r\n\r\n".encode(),
    "an empty Host": f"{POST}\r\nHost: \r\nContent-Length: 0\r\n\r\n".encode(),
    "a basic authorization": post("Authorization: Basic YWRtaW46YWRtaW4=", "Content-Length: 0"),
    "a query of 8 kB": to(f"{PATH}?{'a' * 8000}"),
    "a query that looks like a path": to(f"{PATH}??a=/../&b=%00"),
    "the signature in the query": to(f"{PATH}?Stripe-Signature={signature(b'')}"),
    "the signature in a cookie": post(f"Cookie: Stripe-Signature={signature(b'')}", "Content-Length: 0"),
    "an underscore for the dash": post(f"Stripe_Signature: {signature(b'')}", "Content-Length: 0"),
}  # fmt: skip


def _named(group: str, status: int, requests: Mapping[str, bytes]) -> dict[str, tuple[int, bytes]]:
    return {f"{group}: {name}": (status, sent) for name, sent in requests.items()}


CLASSES: dict[str, tuple[int, bytes]] = {
    **_named("length", 400, {name: with_length(text) for name, text in LENGTHS.items()}),
    **_named("length", 413, {name: with_length(str(size)) for name, size in (("2^63", 2**63 - 1), ("2^64", 2**64 - 1))}),
    **_named("length", 400, {"too short": post("Content-Length: 2", body=b"hello"), "none": post(body=b"hello")}),
    **_named("transfer encoding", 400, ENCODINGS),
    **_named("chunks", 400, {name: chunked(raw) for name, raw in CHUNKS.items()}),
    **_named("chunks", 408, {"of 2^63 bytes": chunked(b"7fffffffffffffff\r\nhello\r\n" + END)}),
    **_named("headers", 400, HEADERS),
    **_named("headers", 400, {"95 of 8 kB": post(*(f"X-{n}: {'a' * 8000}" for n in range(95)), "Content-Length: 0")}),
    **_named("method", 405, METHODS),
    **_named("method", 400, NO_METHODS),
    **_named("target", 404, ELSEWHERE),
    **_named("target", 400, NO_TARGETS),
    **_named("version", 400, VERSIONS),
    **_named("another protocol", 400, STRANGERS),
    **_named("expectation", 417, {
        name: post(f"Expect: {text}", "Content-Length: 5", body=b"hello") for name, text in EXPECTATIONS.items()
    }),
    **_named("expectation", 417, {
        "in a second header": post("Expect: 100-continue", "Expect: miracles", "Content-Length: 5", body=b"hello"),
    }),
    **_named("compression", 415, {
        name: post(*lines, "Content-Length: 5", body=b"hello") for name, lines in COMPRESSED.items()
    }),
    **_named("compression", 415, {"chunked": chunked(HELLO + END, "Content-Encoding: gzip")}),
    **_named("unproven", 401, UNPROVEN),
}  # fmt: skip


def test_there_are_many_classes():
    """The issue asks for forty."""
    assert len(CLASSES) > 200


@pytest.mark.parametrize("name", CLASSES)
async def test_a_bad_request_has_its_answer(name):
    """The promised status and body; then the connection ends, or the next request is read in step. Nothing is kept, and
    the listener goes on.
    """
    status, sent = CLASSES[name]
    async with running(body_timeout=0.3, unverified_rate=100_000.0) as world:
        answers = await _conversation(world, sent)
        assert (await world.deliver()).status == 200
        assert world.kept == 1, "only the genuine one"
        assert "paymux_internal_errors_total{" not in world.metrics.render().decode()
    assert answers[0].status == status
    assert answers[0].body == WORDS[status]
    closes = answers[0].headers.get("connection") == "close"
    assert closes == (status in CLOSING)
    assert [later.status for later in answers[1:]] == ([] if closes else [200])


async def _conversation(world: World, sent: bytes) -> list[Answered]:
    """The answers to a bad request and, where the connection lives on, to a good one after it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    try:
        writer.write(sent)
        answers = [await answer(reader)]
        if answers[0].headers.get("connection") == "close":
            writer.write_eof()  # nobody has to wait for the rest of it
            assert await rest(reader) == b""
        else:
            writer.write(HEALTH)
            answers.append(await answer(reader))
        return answers
    finally:
        writer.close()


# --- what only looks bad

SIZED = f"Content-Length: {len(BODY)}"


def signed(*lines: str, first: str = POST, body: bytes = BODY) -> bytes:
    """Signed when the test runs, so that it is not too old by then."""
    return line(first, "Stripe-Signature: {signature}", *lines, body=body)


ODD_BUT_GOOD = {
    "blanks around the length": signed(f"Content-Length: \t {len(BODY)} \t "),
    "a length with zeros before": signed(f"Content-Length: 000000000{len(BODY)}"),
    "blanks around the encoding": signed("Transfer-Encoding:   chunked   ", body=chunk(BODY) + END),
    "a chunk size with zeros before": signed("Transfer-Encoding: chunked", body=b"0" * 100 + chunk(BODY) + END),
    "a chunk extension": signed("Transfer-Encoding: chunked", body=chunk(BODY).replace(CRLF, b';a="b"' + CRLF, 1) + END),
    "chunk sizes in capitals": signed("Transfer-Encoding: chunked", body=b"%X\r\n%b\r\n" % (len(BODY), BODY) + END),
    "empty lines before": CRLF * 3 + signed(SIZED),
    "two query marks": signed(SIZED, first=f"POST {PATH}??a=b?c HTTP/1.1"),
    "a multipart type": signed(SIZED, "Content-Type: multipart/form-data; boundary=x"),
    "a charset that is none": signed(SIZED, "Content-Type: application/json; charset=no-such"),
    "an empty encoding": signed(SIZED, "Content-Encoding: "),
    "identity in capitals": signed(SIZED, "Content-Encoding: IDENTITY"),
    "upgrade to websocket": signed(SIZED, *WEBSOCKET),
    "upgrade to HTTP/2": signed(SIZED, *H2C),
    "a connection's own signature": signed(SIZED, "Connection: Stripe-Signature, Content-Length"),
    "a method to override": signed(SIZED, "X-HTTP-Method-Override: DELETE"),
    "a range": signed(SIZED, "Range: bytes=0-1"),
    "expecting in capitals": signed(SIZED, "Expect: 100-CONTINUE"),
    "a hundred headers": signed(SIZED, *(f"X-{n}: 1" for n in range(97))),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_BUT_GOOD)
async def test_what_only_looks_bad_is_taken(name):
    """Genuine, and written as HTTP allows: kept byte for byte, and the next request is read in step."""
    sent = ODD_BUT_GOOD[name].replace(b"{signature}", signature(BODY).encode())
    async with running() as world:
        answers = await _conversation(world, sent)
        assert [one.status for one in answers] == [200, 200]
        assert world.journal.store.deliveries[1].delivery.body == BODY


# --- conversations


async def test_garbage_after_a_good_request_does_not_undo_it():
    """The good one is taken, the garbage is 400, and what hides behind it is never read."""
    good = request(BODY, stripe_signature=signature(BODY))
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(good)
        assert (await answer(reader)).status == 200
        writer.write(b"\x00garbage\r\n\r\n" + good)
        assert (await answer(reader)).status == 400
        assert await rest(reader) == b""
        writer.close()
        assert world.kept == 1
        assert "duplicate" not in world.metrics.render().decode()


@pytest.mark.parametrize("size", [1, 40, -1])
async def test_a_sender_that_only_closes_its_half_in_the_middle_leaves_nothing(size):
    """In the request line, in the headers, one byte before the end: the connection ends, no row, no answer."""
    sent = request(BODY, stripe_signature=signature(BODY))[:size]
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(sent)
        writer.write_eof()
        assert await rest(reader) == b""
        writer.close()
        assert (world.kept, world.webhooks.in_flight) == (0, 0)
        assert (await world.deliver()).status == 200


async def test_a_sender_that_closes_its_half_after_a_whole_request_leaves_one_row():
    """Whether it still reads an answer or not, it is kept once; its retry is a duplicate."""
    whole = request(BODY, stripe_signature=signature(BODY))
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(whole)
        writer.write_eof()
        assert (await rest(reader))[:12] in (b"", b"HTTP/1.1 200")
        writer.close()
        assert (await world.send(whole)).status == 200
        assert world.kept == 1


DRIPS = {
    "empty lines": (b"", CRLF),
    "a request line": (b"", b"P"),
    "a header": (f"{POST}\r\nX: ".encode(), b"a"),
    "headers": (f"{POST}\r\n".encode(), b"X: a\r\n"),
    "empty lines after an answer": (HEALTH, CRLF),
    "a header after an answer": (HEALTH + f"{POST}\r\nX: ".encode(), b"a"),
}


@pytest.mark.parametrize("name", DRIPS)
async def test_v31_a_drip_does_not_keep_a_connection(name):
    """V-31: a byte now and then before the headers' end buys no time beyond keepalive_timeout."""
    first, drop = DRIPS[name]
    async with running(keepalive_timeout=0.4) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(first)
        reading = asyncio.create_task(rest(reader, 5.0))
        while not reading.done() and not writer.is_closing():
            writer.write(drop)
            await asyncio.wait([reading], timeout=0.05)
        with suppress(ConnectionResetError):  # a drop that crossed the end of the connection
            assert (await reading)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 200")
        writer.close()
        assert len(world.listener.connections) == 0


async def test_v32_chunk_extensions_without_end_are_408():
    """V-32: what is no body does not count as one, but its time does."""
    async with running(body_timeout=0.4) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(post("Transfer-Encoding: chunked", body=b"5;a="))
        answering = asyncio.create_task(answer(reader))
        while not answering.done():
            writer.write(b"x" * 4096)
            await asyncio.wait([answering], timeout=0.01)
        writer.close()
        assert await world.reasons() == ["body_timeout"]
    assert answering.result().status == 408


async def test_a_thousand_pipelined_strangers_are_answered_in_order():
    """One connection, a thousand requests at once: each its answer, then the connection still works."""
    async with running(unverified_rate=100_000.0) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(request(BODY) * 1000)
        for _ in range(1000):
            assert (await answer(reader)).status == 401
        writer.write(request(BODY, stripe_signature=signature(BODY)))
        assert (await answer(reader)).status == 200
        writer.close()


async def test_connections_that_come_and_go_leave_nothing_behind():
    """Three hundred that are reset before, in the middle of, and after their request."""
    whole = request(BODY)
    async with running(max_connections=1000) as world:
        for turn in range(300):
            _, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(whole[: turn % 3 * len(whole) // 2])
            reset(writer)
        async with asyncio.timeout(5):
            while world.listener.connections:
                await asyncio.sleep(0.01)
        assert (world.kept, world.webhooks.in_flight, world.listener._held.total()) == (0, 0, 0)
        assert (await world.deliver()).status == 200
