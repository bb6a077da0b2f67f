"""What a listener on the internet meets: requests that no client library would send."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from ipaddress import ip_network

import pytest

from tests.http.world import BODY, PATH, STRIPE, answer, request, running, signature

CRLF = b"\r\n"


def head(*lines: str, path: str = PATH) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: pay.example", *lines, "", ""]).encode("latin-1")


def signed(*lines: str, body: bytes = BODY) -> bytes:
    return head(f"Stripe-Signature: {signature(body)}", *lines)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def rest(reader: asyncio.StreamReader, seconds: float = 5.0) -> bytes:
    """Everything until the listener closes."""
    async with asyncio.timeout(seconds):
        return await reader.read(-1)


# --- V-30: smuggling


AMBIGUOUS = {
    "two_lengths": head("Content-Length: 5", "Content-Length: 6"),
    "two_equal_lengths": head("Content-Length: 5", "Content-Length: 5"),
    "length_and_chunked": head("Content-Length: 5", "Transfer-Encoding: chunked"),
    "length_with_a_sign": head("Content-Length: +5"),
    "negative_length": head("Content-Length: -5"),
    "length_in_hex": head("Content-Length: 0x5"),
    "length_beyond_64_bits": head("Content-Length: 99999999999999999999999"),
    "two_lengths_in_one": head("Content-Length: 5, 5"),
    "identity_chunked": head("Transfer-Encoding: identity, chunked"),
    "chunked_twice": head("Transfer-Encoding: chunked, chunked"),
    "chunked_in_two_headers": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "gzip_chunked": head("Transfer-Encoding: gzip, chunked"),
    "unknown_encoding": head("Transfer-Encoding: xchunked"),
    "encoding_with_a_tab": head("Transfer-Encoding: \tchunked\x0b"),
    "name_with_a_blank": head("Content-Length : 5"),
    "folded_header": head("X-Folded: one\r\n two", "Content-Length: 5"),
    "bare_line_feeds": head("Content-Length: 5").replace(CRLF, b"\n"),
    "two_hosts": head("Host: other.example", "Content-Length: 5"),
    "nul_in_a_value": head("X-Odd: a\x00b", "Content-Length: 5"),
    "nul_in_the_path": head("Content-Length: 5", path=f"{PATH}\x00"),
    "blank_in_the_path": head("Content-Length: 5", path=f"{PATH} /x"),
    "no_version": f"POST {PATH}\r\nHost: a\r\n\r\n".encode(),
    "old_version": f"POST {PATH} HTTP/0.9\r\n\r\n".encode(),
    "preface_of_http_2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls_hello": bytes.fromhex("16030100a5010000a1030300112233445566778899aabbccddeeff") + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_v30_an_ambiguous_request_is_400_and_ends_the_connection(name):
    """V-30: a proxy might read it in another way; what follows is never taken for a second request."""
    hidden = b"hello" + request(BODY, stripe_signature=signature(BODY))
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(AMBIGUOUS[name] + hidden)
        got = await answer(reader)
        after = await rest(reader)
        writer.close()
        assert world.kept == 0
    assert (got.status, got.body, got.headers["connection"]) == (400, b'{"error":"bad_request"}', "close")
    assert after == b""


@pytest.mark.parametrize("pause", [0.0, 0.1])
async def test_v30_a_bad_chunk_size_ends_the_connection(pause):
    """V-30: at once with the headers it is 400; later the parser stops in the middle of the body, which then is late."""
    async with running(body_timeout=0.3) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(signed("Transfer-Encoding: chunked"))
        await asyncio.sleep(pause)
        writer.write(b"zz\r\nhello\r\n0\r\n\r\n" + request(BODY, stripe_signature=signature(BODY)))
        got = await answer(reader)
        await rest(reader)
        writer.close()
        assert world.kept == 0
    assert (got.status, got.headers["connection"]) in ((400, "close"), (408, "close"))


async def test_v30_chunked_is_written_in_one_way_only():
    """V-30: a proxy may not know another one, and would read the body as a request."""
    body = chunk(BODY) + b"0\r\n\r\n"
    async with running() as world:
        assert (await world.send(signed("Transfer-Encoding: CHUNKED") + body)).status == 400
        assert (await world.send(signed("Transfer-Encoding: chunked") + body)).status == 200


# --- V-31: slowness


async def test_v31_a_stalled_body_is_408_and_closed():
    """V-31: the body has its time, then the connection ends."""
    async with running(body_timeout=0.3) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(signed("Content-Length: 500") + b"half of it")
        got = await answer(reader)
        assert await rest(reader) == b""
        writer.close()
        assert await world.reasons() == ["body_timeout"]
    assert (got.status, got.headers["connection"]) == (408, "close")


async def test_v31_a_dripping_body_is_408():
    """V-31: a byte now and then does not buy more time."""
    async with running(body_timeout=0.4) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(signed("Content-Length: 500"))
        answering = asyncio.create_task(answer(reader))
        while not answering.done():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        writer.close()
    assert answering.result().status == 408


@pytest.mark.parametrize("sent", [b"", b"POST /webhooks/stripe/acme HTTP/1.1\r\nHost: pay.ex"])
async def test_v31_a_silent_connection_is_closed(sent):
    """V-31: nothing, or half of the headers, and then silence."""
    async with running(keepalive_timeout=0.3) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(sent)
        assert await rest(reader, 3.0) == b""
        writer.close()


async def test_v31_slow_senders_leave_the_others_alone():
    """V-31: two hundred drip, the genuine ones are answered as ever, and all of the slow ones are gone in the end."""
    async with running(body_timeout=1.0, max_connections=1000) as world:
        slow = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(200)]
        for _, writer in slow:
            writer.write(signed("Content-Length: 500") + b"x")
        assert {(await world.deliver()).status for _ in range(20)} == {200}
        ends = await asyncio.gather(*(rest(reader, 8.0) for reader, _ in slow))
        for _, writer in slow:
            writer.close()
    assert all(end.startswith(b"HTTP/1.1 408 ") for end in ends)


async def test_v31_connections_beyond_the_limit_are_turned_away():
    """V-31: 503 at once, counted, and room again when one has gone."""
    async with running(max_connections=3) as world:
        held = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(3)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        got = await answer(reader)
        assert await rest(reader) == b""
        writer.close()
        for _, other in held:
            other.close()
        await asyncio.sleep(0.1)
        assert (await world.deliver()).status == 200
        assert "paymux_refused_connections_total 1.0" in world.metrics.render().decode()
    assert (got.status, got.headers["retry-after"]) == (503, "5")


async def test_v31_one_address_cannot_hold_all_connections():
    """V-31: beyond its share it is turned away, another address is let in, and its own place comes back."""
    async with running(max_connections=8, most_of_one=2) as world:
        held = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert (await world.deliver()).status == 503
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port, local_addr=("127.0.0.2", 0))
        writer.write(request(BODY, stripe_signature=signature(BODY)))
        assert (await answer(reader)).status == 200
        for _, other in (*held, (reader, writer)):
            other.close()
        await asyncio.sleep(0.1)
        assert (await world.deliver()).status == 200
        assert world.listener._held.total() == len(world.listener.connections)


async def test_v31_a_trusted_proxy_may_hold_all_connections():
    """It speaks for everybody."""
    async with running(max_connections=8, most_of_one=1, trusted_proxies=(ip_network("127.0.0.0/8"),)) as world:
        held = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(4)]
        await asyncio.sleep(0.05)
        assert (await world.deliver()).status == 200
        for _, writer in held:
            writer.close()


# --- V-32: size


async def test_v32_an_announced_body_beyond_the_limit_is_413_before_it_is_read():
    """V-32: the answer comes while nothing of the body was sent."""
    async with running() as world:
        got = await world.send(signed("Content-Length: 1048577"))
        assert await world.reasons() == ["too_large"]
    assert (got.status, got.headers["connection"]) == (413, "close")


async def test_v32_a_body_of_exactly_the_limit_is_taken():
    """V-32: the limit is the account's, to the byte."""
    body = b" " * (4096 - len(b"{}")) + b"{}"
    async with running(STRIPE | {"max_body": 4096}) as world:
        assert (await world.deliver(body)).status == 200
        assert (await world.deliver(b" " + body)).status == 413


@pytest.mark.parametrize("size", [65_536, 1])
async def test_v32_a_chunked_body_without_end_is_413(size):
    """V-32: counted while it comes, in large chunks and in chunks of one byte."""
    async with running(STRIPE | {"max_body": 8192}, body_timeout=20.0) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(signed("Transfer-Encoding: chunked"))
        answering = asyncio.create_task(answer(reader, 10.0))
        while not answering.done():
            writer.write(chunk(b"x" * size) * max(1, 1000 // size))
            await asyncio.wait([answering], timeout=0.01)
        writer.close()
        assert (await world.reasons(), world.kept) == (["too_large"], 0)
    assert answering.result().status == 413


async def test_v32_a_chunked_body_is_taken_whole():
    """In pieces of any size, with a chunk extension and a trailer."""
    pieces = [BODY[:7], BODY[7:8], BODY[8:1000], BODY[1000:]]
    chunked = b"".join(map(chunk, pieces)).replace(CRLF, b";a=b\r\n", 1) + b"0\r\nX-Trailer: one\r\n\r\n"
    async with running() as world:
        got = await world.send(
            signed("Transfer-Encoding: chunked"), *[chunked[n : n + 100] for n in range(0, 3000, 100)]
        )
        assert world.journal.store.deliveries[1].delivery.body == BODY
    assert got.status == 200


# --- V-33: compression


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP", "x-made-up"])
async def test_v33_a_compressed_body_is_415(encoding):
    """V-33: a signature is of the bytes as sent, and nothing is unpacked."""
    async with running() as world:
        got = await world.deliver(gzip.compress(BODY), content_encoding=encoding)
        assert (await world.reasons(), world.kept) == (["content_encoding"], 0)
    assert got.status == 415


async def test_v33_identity_is_no_compression():
    """V-33: it is what is sent without the header."""
    async with running() as world:
        assert (await world.deliver(content_encoding="identity")).status == 200


# --- V-34, V-35: senders that go away


def reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


@pytest.mark.parametrize("leave", [reset, asyncio.StreamWriter.close])
async def test_v35_half_a_body_and_then_nothing_leaves_no_row(leave, capsys):
    """V-35: neither a row nor an error line."""
    async with running() as world:
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(signed(f"Content-Length: {len(BODY)}") + BODY[:-1])
        await asyncio.sleep(0.1)
        leave(writer)
        await asyncio.sleep(0.2)
        assert (world.kept, world.webhooks.in_flight) == (0, 0)
    assert "error" not in capsys.readouterr().err


async def test_v34_a_sender_that_leaves_before_the_answer_leaves_one_row():
    """V-34: the commit is not undone by it, and the retry is a duplicate."""
    whole = request(BODY, stripe_signature=signature(BODY))
    async with running() as world:
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(whole)
        await writer.drain()
        reset(writer)
        await asyncio.sleep(0.2)
        kept = world.kept
        assert (await world.send(whole)).status == 200
        assert (world.kept, await world.journal.end(0)) == (1, 1)
    assert kept in (0, 1)


# --- V-36, V-37: odd words


async def test_v36_a_hostile_event_id_stays_one_log_line(capsys):
    """V-36: line feeds, escape sequences and line separators in what was sent cannot forge a line."""
    nasty = '\\n{\\"level\\":\\"fake\\"}\\u001b[31m\\u2028'
    body = BODY.replace(b'"payment_intent.succeeded"', f'"{nasty}"'.encode())
    async with running() as world:
        assert (await world.deliver(body)).status == 200
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = [line for line in lines if line["event"] == "delivery"]
    assert line["event_type"] is None or line["event_type"].isprintable()


PATHS = [
    "/webhooks/../../etc/passwd",
    "/webhooks/%2e%2e/acme",
    "/webhooks/stripe/acme%00",
    "/webhooks/stripe/" + "a" * 5000,
    "/webhooks/stripe%2facme",
    "//webhooks/stripe/acme",
]


@pytest.mark.parametrize("path", PATHS)
async def test_v37_odd_paths_are_404(path):
    """V-37: names are looked up, never decoded, joined or opened."""
    async with running() as world:
        got = await world.deliver(path=path)
        assert world.kept == 0
    assert got.status == 404


async def test_v37_a_path_of_10_kb_is_refused():
    """V-37: the request line is bounded."""
    async with running() as world:
        assert (await world.deliver(path="/webhooks/stripe/" + "a" * 10_000)).status == 400


async def test_v37_bytes_beyond_ascii_in_the_target_are_400():
    """V-37: in the path and in the query; percent-encoded they are text, and kept."""
    async with running() as world:
        assert (await world.deliver(path=f"{PATH}\xff\xfe")).status == 400
        assert (await world.deliver(path=f"{PATH}?a=\xff")).status == 400
        assert (await world.deliver(path=f"{PATH}?a=%ff%20")).status == 200
        assert world.journal.store.deliveries[1].delivery.query == "a=%ff%20"


async def test_v38_a_form_of_100_000_fields_is_a_body_like_any_other():
    """V-38: nothing is parsed before it is proven."""
    form = b"&".join(b"a%d=1" % n for n in range(100_000))
    async with running() as world:
        got = await world.post(form[:1_000_000], content_type="application/x-www-form-urlencoded")
    assert got.status == 401


# --- headers


@pytest.mark.parametrize("lines", [[f"X-{n}: 1" for n in range(200)], ["X-Long: " + "a" * 9000]])
async def test_a_flood_of_headers_is_400(lines):
    """Too many, or one too long."""
    async with running() as world:
        assert (await world.send(signed("Content-Length: 0", *lines))).status == 400


async def test_header_bytes_are_kept_as_sent():
    """In their order and case, repetitions and bytes beyond ASCII included."""
    async with running() as world:
        await world.send(signed("X-Two: one", "x-two: \xff", f"Content-Length: {len(BODY)}") + BODY)
        headers = world.journal.store.deliveries[1].delivery.headers
    assert [(name, value) for name, value in headers if name.lower() == b"x-two"] == [
        (b"X-Two", b"one"),
        (b"x-two", b"\xff"),
    ]


async def test_expect_100_continue_is_answered_after_the_headers_were_judged():
    """100 for what will be read, 413 without a 100 for what will not."""
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(signed("Expect: 100-continue", f"Content-Length: {len(BODY)}"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await answer(reader)).status == 200
        writer.close()
        assert (await world.send(signed("Expect: 100-continue", "Content-Length: 9999999"))).status == 413
        assert (await world.send(signed("Expect: miracles", "Content-Length: 5"))).status == 417


# --- connections


async def test_pipelined_requests_are_answered_in_their_order():
    """Ten at once on one connection."""
    good, bad = request(BODY, stripe_signature=signature(BODY)), request(BODY)
    async with running() as world:
        got = await world.answers((good + bad) * 5, count=10)
    assert [one.status for one in got] == [200, 401] * 5


async def test_a_connection_is_kept_between_requests():
    """And its length is right for HEAD, which has no body."""
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        for _ in range(3):
            writer.write(request(BODY, stripe_signature=signature(BODY)))
            assert (await answer(reader)).status == 200
        writer.write(request(path="/healthz", method="HEAD"))
        assert b"Content-Length: 15" in await reader.readuntil(b"\r\n\r\n")
        writer.write(request(BODY, stripe_signature=signature(BODY)))
        assert (await answer(reader)).status == 200
        writer.close()


@pytest.mark.parametrize("line", ["Connection: close", None])
async def test_a_sender_that_closes_is_closed_on(line):
    """Connection: close, and HTTP/1.0 as it was."""
    whole = signed(*([line] if line else []), f"Content-Length: {len(BODY)}") + BODY
    whole = whole if line else whole.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(whole)
        got = await answer(reader)
        assert await rest(reader) == b""
        writer.close()
    assert (got.status, got.headers["connection"]) == (200, "close")


async def test_junk_bytes_never_raise(capsys):
    """Whatever comes: an answer or a closed connection, and no line that quotes it."""
    async with running() as world:
        for seed in range(60):
            junk = bytes((seed * 31 + n * n * 7) % 256 for n in range(200)) + b"canary-in-junk\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(junk)
            assert (await rest(reader))[:12] in (b"", b"HTTP/1.1 400")
            writer.close()
        assert (await world.deliver()).status == 200
    assert "canary-in-junk" not in capsys.readouterr().err
