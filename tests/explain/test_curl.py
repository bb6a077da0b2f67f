"""A command that repeats a request: a shell that runs it sends the same bytes."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from paymux.explain.deliveries import curl
from paymux.journal.history import StoredRequest

# Stands for curl: says what it was told to do.
TELLS = f"""#!{sys.executable}
import json, sys
words = sys.argv[1:]
at = words.index("--data-binary")
data = words[at + 1]
body = sys.stdin.buffer.read() if data == "@-" else data.encode()
print(json.dumps({{"words": words[:at], "body": body.hex()}}))
"""


def request(body=b"{}", headers=(), **more):
    given = {"method": "POST", "path": "/webhooks/stripe/acme", "query": "", "url": None, **more}
    return StoredRequest(headers=tuple(headers), body=body, **given)


async def run(command, folder):
    program = folder / "curl"
    program.write_text(TELLS)
    program.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command, stdout=asyncio.subprocess.PIPE, env={"PATH": f"{folder}:/usr/bin:/bin"}
    )
    told, _ = await process.communicate()
    found = json.loads(told)
    return found["words"], bytes.fromhex(found["body"])


@pytest.mark.parametrize(
    "body",
    [
        b'{"it\'s": "$HOME `id` \\\\ \\""}',
        '{"é": "💸"}\n'.encode(),
        b"@/etc/hostname",
        b"a\0b",
        bytes(range(256)),
        b"",
        b"-d",
    ],
)
async def test_the_same_bytes(tmp_path, body):
    """Quotes, other alphabets, bytes that are no text, and what curl would take for a file's name."""
    _, sent = await run(curl(request(body)), tmp_path)
    assert sent == body


async def test_the_same_request(tmp_path):
    """Method, address and headers, but for those of the connection; an empty header stays."""
    headers = [
        (b"Content-Type", b"application/json"),
        (b"X-Quote", b"it's"),
        (b"X-Empty", b""),
        (b"Authorization", b"[redacted]"),
        (b"Host", b"pay.example"),
        (b"Content-Length", b"2"),
        (b"Transfer-Encoding", b"chunked"),
    ]
    words, _ = await run(curl(request(headers=headers, query="a=1&b=2", method="PUT")), tmp_path)
    assert words == [
        *("-X", "PUT", "http://localhost:8080/webhooks/stripe/acme?a=1&b=2"),
        *("-H", "Content-Type: application/json", "-H", "X-Quote: it's", "-H", "X-Empty;"),
        *("-H", "Authorization: [redacted]"),
    ]


async def test_an_address_of_its_own(tmp_path):
    """Where the account's scheme signs one."""
    words, _ = await run(curl(request(url="https://pay.example/webhooks/square/acme")), tmp_path)
    assert words[2] == "https://pay.example/webhooks/square/acme"
