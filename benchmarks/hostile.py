"""What a hostile body costs, compared with ordinary ones of its length, for each provider.

Each provider's samples are filled up to a length with what they hold anyway (a batch with more items): the median of
these is what a body of that length costs to verify and to translate. Then its longest sample is filled up to the same
length with what is meant to cost more: nesting, repeated keys, numbers without end, digits that look like cards,
elements by the thousand; alone, under a key that nobody reads, and in place of every value; with a good signature and
with a stranger's. Each runs once, and twice more where it is dear; the dearest is then measured in turns with the
ordinary ones. The run fails where it costs more than 10 times the median.
"""

from __future__ import annotations

import contextlib
import gc
import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import orjson

from benchmarks.report import Cell, Report, arguments, progress, show
from benchmarks.translate import Endpoint
from paymux import signatures
from paymux.cli.serve import GARBAGE_THRESHOLDS
from paymux.errors import Rejected
from paymux.providers import BY_NAME
from paymux.sandbox import samples
from paymux.testing import junk
from paymux.translate import translate
from paymux.wild import DENSEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from paymux.delivery import Delivery
    from paymux.provider import Provider

MOST: Final = 10.0
EVERYWHERE: Final = 64  # KiB up to which every place of a sample is filled with everything; above, with the dearest
ROUNDS: Final = 7
COLUMNS: Final = {
    "provider": "",
    "KiB": "d",
    "median us": ",.0f",
    "dearest": "",
    "us": ",.0f",
    "of the median": ".1f",
    "refused, dearest": "",
    "its us": ",.0f",
    "of it": ".1f",
}

# What stands again and again in a text.
TEXTS: Final[Mapping[str, bytes]] = {
    "one text": b"x",
    "letters as escapes": rb"\u0041",
    "quotes as escapes": rb"\u0022",
    "backslashes": rb"\\",
    "letters beyond ASCII": "ü".encode(),
    "brackets": b"[{",
    "commas": b",",
    "digits": b"4",
    "digits and blanks": b"4242 ",
    "digits, one too few": b"424242424242x",
    "digits beyond ASCII, one too few": "424242424242ü".encode(),
    "digits apart, one too few": b"4 2 4 2 4 2 4 2 4 2 4 2 x",
    "lone digits": b"4x",
    "card numbers": b"4242424242424242 ",
    "almost card numbers": b"4242-4242-4242-424",
    "long groups": b"4242424242424 ",
    "UUIDs": b"42424242-4242-4242-4242-424242424242 ",
    "almost UUIDs": b"42424242-4242-4242-4242-42424242424g ",
    "fractions": b",-4.2",
}
# What stands again and again in a list: as often as it fits, and as densely as is allowed, a text beside.
LISTS: Final[Mapping[str, bytes]] = {
    "small numbers": b"1",
    "fractions": b"1.1",
    "exponents": b"1e300",
    "fractions like cards": b"4242424.424242",
    "long fractions": b"0." + b"4" * 999,
    "long integers": b"9" * 300,
    "integers beyond 64 bits": b"18446744073709551616",
    "empty texts": b'""',
    "short texts": b'"4242424242424242"',
    "empty objects": b"{}",
    "small objects": b'{"a":1}',
    "empty lists": b"[]",
    "nested as deep as allowed": b"[" * 50 + b"]" * 50,
}
# What fills `size` bytes otherwise, as the text of one value.
FILLINGS: Final[Mapping[str, Callable[[int], bytes]]] = {
    "one integer without end": lambda size: b"9" * size,
    "one fraction without end": lambda size: b"0." + b"4" * size,
    "keys": lambda size: b"{" + b",".join(b'"%07d":1' % number for number in range(size // 12)) + b"}",
    "short keys": lambda size: b"{" + b",".join(b'"%x":1' % number for number in range(size // 9)) + b"}",
    "one key again and again": lambda size: b"{" + b'"a":1,' * (size // 6) + b'"a":1}',
    "a key twice behind objects": lambda size: b"[" + b'{"abcdefghi":0},' * (size // 16) + b'{"a":1,"a":1}]',
    "nested too deep": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "open brackets": lambda size: b"[" * size,
}
DEAREST: Final = ("fractions", "fractions like cards", "empty objects", "digits apart, one too few", "card numbers")


def fillings(size: int) -> Iterator[tuple[str, bytes]]:
    """(what it is, the text of a value of about `size` bytes)."""
    for what, piece in TEXTS.items():
        inner = piece * (size // len(piece))
        yield what, b'"%b"' % inner
        yield f"{what}, and a card number", b'["%b","4242424242424242",1.1]' % inner
    for what, piece in LISTS.items():
        yield f"{what}, packed", b"[%b1]" % ((piece + b",") * (size // (len(piece) + 1)))
        yield what, _spread(piece + b",", size)
    for what, filling in FILLINGS.items():
        yield what, filling(size)


def _spread(piece: bytes, size: int) -> bytes:
    values = sum(map(piece.count, (b",", b"[", b"{")))
    many = piece * (size // max(len(piece), values * DENSEST))
    return b'[%b"4242424242424242%b"]' % (many, b"x" * (size - len(many)))


UNREAD: Final = "paymux_filling"


def ordinary(body: bytes, size: int, *, is_batch: bool) -> bytes:
    """A sample with more of what it holds: a batch's items, else copies of itself under a key that nobody reads."""
    times = round(size / len(body))
    match body.lstrip()[:1]:
        case _ if times < 2:
            return body
        case b"{":
            return orjson.dumps(_more(orjson.loads(body), times, is_batch=is_batch))
        case b"<":
            return _filled_xml(body, b"<item>" + _inner(body) + b"</item>", times - 1)
        case _:
            return body + b"&filling=" + b"x" * (size - len(body))


def _more(document: dict[str, Any], times: int, *, is_batch: bool) -> dict[str, Any]:
    batch = next((key for key, value in document.items() if isinstance(value, list) and _is_objects(value)), None)
    if batch is None or not is_batch:
        return {**document, UNREAD: [document] * (times - 1)}
    return {**document, batch: document[batch] * times}


def _is_objects(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, dict) for item in value)


def hostile(body: bytes, size: int, *, everywhere: bool) -> Iterator[tuple[str, bytes]]:
    """(what it is, the body)."""
    match body.lstrip()[:1]:
        case b"{":
            yield from _hostile_json(body, size, everywhere=everywhere)
        case b"<":
            yield from _hostile_xml(body, size)
        case _:
            yield from _hostile_form(body, size)


def _hostile_json(body: bytes, size: int, *, everywhere: bool) -> Iterator[tuple[str, bytes]]:
    document = orjson.loads(body)
    for what, text in fillings(size):
        yield f"{what}, alone", text
        yield f"{what}, unread", b'{"%b":%b,' % (UNREAD.encode(), text) + body.lstrip()[1:]
        for path in junk.paths(document) if everywhere or what in DEAREST else ():
            yield f"{what} at {junk.pointer(path)}", junk.replaced(body, path, text)
    for path in junk.paths(document):
        if isinstance(found := junk.leaf(document, path), list) and found:
            item = orjson.dumps(found[0])
            text = b"[" + b",".join([item] * (size // (len(item) + 1) + 1)) + b"]"
            yield f"many of {junk.pointer(path)}", junk.replaced(body, path, text)


def _hostile_xml(body: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    for what, piece in XML.items():
        yield what, _filled_xml(body, piece, size // len(piece))
    depth = size // 7
    yield "elements within one another", _filled_xml(body, b"<a>" * depth + b"</a>" * depth, 1)
    entities = b"".join(b'<!ENTITY e%d "%b">' % (n + 1, b"&e%d;" % n * 10) for n in range(9))
    yield "entities of entities", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "x">' + entities + b"]><x>&e9;</x>"
    yield "brackets", b"<" * size
    yield "zeros", bytes(size)


def _hostile_form(body: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    for what, piece in FORMS.items():
        yield what, body + piece * (size // len(piece))
        yield f"{what}, alone", piece * (size // len(piece))


# What stands again and again before the end of the document.
XML: Final[Mapping[str, bytes]] = {
    "empty elements": b"<a/>",
    "elements of one name": b"<a>1</a>",
    "nothing": b'<a nil="true"/>',
    "empty arrays": b'<a type="array"/>',
    "integers": b'<a type="integer">1</a>',
    "long integers": b'<a type="integer">' + b"9" * 900 + b"</a>",
    "attributes": b"<a " + b" ".join(b'b%d="c"' % number for number in range(99)) + b"/>",
    "references": b"&#65;",
    "comments": b"<!-- -->",
    "texts": b"<a>" + b"x" * 4000 + b"</a>",
    "card numbers": b"<a>4242 4242 4242 4242</a>",
    "unprinted data": b"<![CDATA[x]]>",
}
FORMS: Final[Mapping[str, bytes]] = {
    "fields": b"&a=1",
    "empty fields": b"&",
    "equal signs": b"=",
    "escapes": b"%41",
    "half escapes": b"%4",
    "pluses": b"+",
    "one text": b"x",
    "digits": b"4",
}


def _filled_xml(body: bytes, piece: bytes, times: int) -> bytes:
    before, end, name = body.rstrip().rpartition(b"</")
    return before + b"<filling>" + piece * times + b"</filling>" + end + name


def _inner(body: bytes) -> bytes:
    """The children of the document's element."""
    start = body.index(b">", body.index(b"<notification")) + 1
    return body[start : body.rstrip().rindex(b"</")]


# --- what it costs


class Dearest:
    """Of many: each is run once, and twice more where it is dear."""

    def __init__(self, once: Callable[[Delivery], None]) -> None:
        self.once = once
        self.what = "-"
        self.sent: Delivery | None = None
        self._seconds = 0.0

    def run(self, what: str, sent: Delivery) -> None:
        seconds = _seconds(self.once, sent)
        if seconds > self._seconds:
            seconds = min(seconds, _seconds(self.once, sent), _seconds(self.once, sent))
        if seconds > self._seconds:
            self.what, self.sent, self._seconds = what, sent, seconds

    def again(self) -> float:
        return _seconds(self.once, self.sent) if self.sent else 0.0


def _seconds(once: Callable[[Delivery], None], sent: Delivery) -> float:
    began = time.process_time()
    once(sent)
    return time.process_time() - began


class Subject:
    """One provider's endpoint, and a stranger who does not have its secrets."""

    def __init__(self, provider: Provider) -> None:
        self.name = provider.name
        self.is_batch = provider.split is not None
        self.endpoint, self.stranger = Endpoint.of(provider), Endpoint.of(provider)
        self.samples = [sample.body for sample in samples.webhooks(provider.name)]

    def row(self, size: int, *, everywhere: bool) -> dict[str, Cell]:
        progress(f"{self.name}, {size // 1024} KiB")
        longest = max(self.samples, key=len)
        wanted = len(longest) + size
        usual = [self.endpoint.delivery(ordinary(body, wanted, is_batch=self.is_batch)) for body in self.samples]
        taken, refused = Dearest(self._take), Dearest(self._refuse)
        for what, body in hostile(longest, size, everywhere=everywhere):
            if (sent := _signed(self.endpoint, body)) is not None:
                taken.run(what, sent)
            refused.run(what, _signed(self.stranger, body) or self._unsigned(body))
        rounds = [
            (median(_seconds(self._take, sent) for sent in usual), taken.again(), refused.again())
            for _ in range(ROUNDS)
        ]
        return {
            "provider": self.name,
            "KiB": size // 1024,
            "median us": median(one for one, _, _ in rounds) * 1e6,
            "dearest": taken.what[:60],
            "us": median(dear for _, dear, _ in rounds) * 1e6,
            "of the median": median(dear / one for one, dear, _ in rounds),
            "refused, dearest": refused.what[:60],
            "its us": median(dear for _, _, dear in rounds) * 1e6,
            "of it": median(dear / one for one, _, dear in rounds),
        }

    def _take(self, sent: Delivery) -> None:
        account = self.endpoint.account
        with contextlib.suppress(Rejected):  # some can be signed and are refused all the same
            translate(account, signatures.verify(sent, account.checks))

    def _refuse(self, sent: Delivery) -> None:
        """What proves nothing by itself has nothing to refuse."""
        with contextlib.suppress(Rejected):
            signatures.verify(sent, self.endpoint.account.checks)

    def _unsigned(self, body: bytes) -> Delivery:
        return replace(self.endpoint.delivery(self.samples[0]), body=body)


def _signed(endpoint: Endpoint, body: bytes) -> Delivery | None:
    """None for what cannot even be signed, like no JSON where the signature stands in it."""
    try:
        return endpoint.delivery(body)
    except Exception:  # noqa: BLE001  # the sender's half is not what is measured
        return None


def main() -> None:
    parser = arguments(__doc__, rounds=1)
    parser.add_argument(
        "--kib", type=int, nargs="+", default=[1, 16, 64, 1000], help="sizes in KiB (default %(default)s)"
    )
    parser.add_argument("--provider", choices=list(BY_NAME), action="append", help="only this one, or these")
    options = parser.parse_args()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)  # as `serve` does
    chosen = options.provider or list(BY_NAME)
    rows = [
        Subject(BY_NAME[name]).row(kib * 1024, everywhere=kib <= EVERYWHERE) for kib in options.kib for name in chosen
    ]
    dear = [row for row in rows if max(row["of the median"], row["of it"]) > MOST]
    failed = [f"{row['provider']} at {row['KiB']} KiB costs more than {MOST:g} times the median" for row in dear]
    show(
        Report(name="hostile", columns=COLUMNS, rows=rows, arguments=vars(options), failed=failed), as_json=options.json
    )


if __name__ == "__main__":
    main()
