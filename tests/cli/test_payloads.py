"""Folders and archives of stored payloads: all of them, in place, and no more than the bounds admit."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from paymux.cli import payloads as module
from paymux.cli.payloads import Payload, payloads

BODIES = {"webhooks/a.json": b'{"a":1}', "b.form": b"id=tr_1", "webhooks/c/d.json": b'{"d":4}'}


def zipped(file, members, **more):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("empty")
        for name, body in members.items():
            archive.writestr(name, body, **more)
    return str(file)


def tarred(file, members, mode="w"):
    with tarfile.open(file, mode) as archive:
        archive.addfile(directory("empty"))
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return str(file)


def directory(name):
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


ARCHIVES = {
    "x.zip": zipped,
    "X.ZIP": zipped,
    "x.tar": tarred,
    "x.tar.gz": lambda file, members: tarred(file, members, "w:gz"),
    "x.tgz": lambda file, members: tarred(file, members, "w:gz"),
}
every_archive = pytest.mark.parametrize("kind", ARCHIVES)


@every_archive
def test_an_archive(tmp_path, kind):
    """Each member by its name within, in the archive's order, byte for byte; folders are no members."""
    file = ARCHIVES[kind](tmp_path / kind, BODIES)
    assert list(payloads([file])) == [Payload(name=f"{file}:{name}", body=body) for name, body in BODIES.items()]


def test_a_folder(tmp_path):
    """Every file below it by name, archives opened; hidden ones, pipes and links to folders are passed over."""
    for name, body in BODIES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)
    zipped(tmp_path / "e.zip", {"f.json": b"{}"})
    (tmp_path / ".hidden.json").write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_bytes(b"x")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    found = {payload.name.removeprefix(f"{tmp_path}/"): payload.body for payload in payloads([str(tmp_path)])}
    assert found == BODIES | {"e.zip:f.json": b"{}"}
    assert list(found) == ["b.form", "e.zip:f.json", "webhooks/a.json", "webhooks/c/d.json"]


@pytest.mark.parametrize("kind", ["x.jsonl", "x.ndjson"])
def test_one_payload_a_line(tmp_path, kind):
    """Each by its number, however the lines end; blank ones are none."""
    (tmp_path / kind).write_bytes(b'{"a":1}\r\n\n  \n{"b":2}\n\xff{"c":3}')
    told = [(payload.name.rpartition(":")[2], payload.body) for payload in payloads([str(tmp_path / kind)])]
    assert told == [("1", b'{"a":1}'), ("4", b'{"b":2}'), ("5", b'\xff{"c":3}')]


@every_archive
def test_lines_in_an_archive(tmp_path, kind):
    """They are taken apart there, too."""
    file = ARCHIVES[kind](tmp_path / kind, {"y.jsonl": b"{}\n[]\n"})
    assert [payload.name for payload in payloads([file])] == [f"{file}:y.jsonl:1", f"{file}:y.jsonl:2"]


@every_archive
def test_names_that_lead_out(tmp_path, kind):
    """They are shown, and nothing is written: neither there nor anywhere."""
    hostile = {"../../out.json": b"{}", "/etc/out.json": b"{}", "C:\\out.json": b"{}", "a\nb.json": b"{}"}
    file = ARCHIVES[kind](tmp_path / kind, hostile)
    assert [payload.body for payload in payloads([file])] == [b"{}"] * len(hostile)
    assert [found.name for found in tmp_path.rglob("*")] == [kind]
    assert not (tmp_path / "../../out.json").exists()


@every_archive
def test_an_archive_in_an_archive(tmp_path, kind):
    """It is not opened: nobody can hide a bomb in one. The others are read."""
    inner = ARCHIVES[kind](tmp_path / f"inner-{kind}", BODIES)
    file = ARCHIVES[kind](tmp_path / kind, {kind: Path(inner).read_bytes(), "a.json": b"{}"})
    told = list(payloads([file]))
    assert [(payload.error, payload.body) for payload in told] == [("is an archive in an archive", b""), (None, b"{}")]


# --- bounds


@pytest.mark.parametrize("kind", ["x.zip", "x.tar.gz"])
def test_a_bomb(tmp_path, monkeypatch, kind):
    """A member that unpacks to more than a payload may have is an error of its own, and no more than that is unpacked."""
    monkeypatch.setattr(module, "LARGEST", 2**20)
    file = ARCHIVES[kind](tmp_path / kind, {"bomb.json": bytes(64 * 2**20), "a.json": b"{}"})
    assert Path(file).stat().st_size < 2**17
    tracemalloc.start()
    try:
        told = list(payloads([file]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [payload.error for payload in told] == ["has more than 1048576 bytes", None]
    assert peak < 16 * 2**20


@every_archive
def test_too_much_in_all(tmp_path, monkeypatch, kind):
    """Where all members together exceed the bound the archive is given up, and what came before is told."""
    monkeypatch.setattr(module, "MOST_BYTES", 3 * 10_240)
    file = ARCHIVES[kind](tmp_path / kind, {f"{number}.json": bytes(4_000) for number in range(100)})
    *told, last = payloads([file])
    assert (last.name, last.error) == (file, "holds more than 30720 bytes")
    assert 3 <= len(told) <= 8


@every_archive
def test_too_many_payloads(tmp_path, monkeypatch, kind):
    """So it is where there are too many."""
    monkeypatch.setattr(module, "MOST_PAYLOADS", 10)
    file = ARCHIVES[kind](tmp_path / kind, {f"{number}.json": b"" for number in range(20)})
    *told, last = payloads([file])
    assert (len(told), last.error) == (10, "holds more than 10 payloads")


def test_a_line_without_end(tmp_path, monkeypatch):
    """The file is given up there."""
    monkeypatch.setattr(module, "LARGEST", 100)
    (tmp_path / "x.jsonl").write_bytes(b"{}\n" + b"x" * 1000)
    assert [payload.error for payload in payloads([str(tmp_path / "x.jsonl")])] == [
        None,
        "line 2 has more than 100 bytes",
    ]


def test_a_tar_header_that_promises_much(tmp_path, monkeypatch):
    """A name of gigabytes is not read into memory: what is there ends it."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33 - 512
    file = tmp_path / "x.tar.gz"
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    with gzip.open(file, "wb") as opened:
        opened.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(8):
            opened.write(bytes(2**20))
    [told] = payloads([str(file)])
    assert told.error == "holds more than 1048576 bytes"


# --- what is broken


def _flipped(body, place):
    return body[:place] + bytes([body[place] ^ 0x55]) + body[place + 1 :]


@every_archive
def test_broken_anywhere(tmp_path, kind):
    """Cut or flipped at any place: payloads and errors come out, nothing is raised."""
    whole = Path(ARCHIVES[kind](tmp_path / f"whole-{kind}", BODIES)).read_bytes()
    file = tmp_path / kind
    places = range(0, len(whole), max(1, len(whole) // 150))
    for broken in (*(whole[:place] for place in places), *(_flipped(whole, place) for place in places)):
        file.write_bytes(broken)
        told = list(payloads([str(file)]))
        assert all((payload.error is None) or not payload.body for payload in told)


@pytest.mark.parametrize("kind", ["x.zip", "x.tgz", "x.tar"])
@pytest.mark.parametrize("body", [b"", b"{}", b"PK\x03\x04", b"\x1f\x8b\x08", b"\xff" * 2000], ids=repr)
def test_no_archive(tmp_path, kind, body):
    """A file that is only called so is an error, or holds nothing."""
    (tmp_path / kind).write_bytes(body)
    assert all(payload.error for payload in payloads([str(tmp_path / kind)]))


def test_an_encrypted_member(tmp_path):
    """It cannot be read; the others can."""
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.json", b"{}")
        archive.writestr("b.json", b"[]")
    body = bytearray(file.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(header) + flags] |= 1
    file.write_bytes(body)
    told = list(payloads([str(file)]))
    assert "encrypted" in told[0].error
    assert told[1].body == b"[]"


def test_links_and_devices_in_a_tar(tmp_path):
    """They are told as what they are: nothing of this machine is read through them."""
    file = tmp_path / "x.tar"
    with tarfile.open(file, "w") as archive:
        for name, kind in (("l.json", tarfile.SYMTYPE), ("h.json", tarfile.LNKTYPE), ("d.json", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert {payload.error for payload in payloads([str(file)])} == {"is a link or a device"}
    assert len(list(payloads([str(file)]))) == 3


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    """It is named, and the others are read."""
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.json").write_bytes(b"{}")

    def scandir(path, real=os.scandir):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert list(payloads([str(tmp_path)])) == [
        Payload(name=str(tmp_path / "shut"), error="Permission denied"),
        Payload(name=str(tmp_path / "a.json"), body=b"{}"),
    ]
