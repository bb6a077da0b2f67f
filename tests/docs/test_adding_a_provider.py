"""docs/adding-a-provider.md as somebody follows it: the package to begin with, its blocks, the package that it leads to."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from paymux.cli import main
from tests.docs.pages import ROOT, fenced, read

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = read("docs/adding-a-provider.md")
EXAMPLE = ROOT / "examples" / "paymux-acmepay"
FILES = ("pyproject.toml", "src/paymux_acmepay/__init__.py", "tests/test_acmepay.py")
# Nothing of this repository's settings and plugins: as in somebody else's folder.
PYTEST = (
    "-m", "pytest", "-q", "-x", "-W", "error", "-c", "pyproject.toml",
    "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:aiohttp", "-p", "no:xdist",
)  # fmt: skip
PAYMUX = ("-c", "from paymux.cli import main; main()")


def run(*command, cwd, path):
    """Python with `path` in front of what it finds."""
    environ = os.environ | {"PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd, env=environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def install(project: Path, target: Path) -> Path:
    """As pip does it, with nothing from an index."""
    done = run(
        "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps",
        "--no-build-isolation", "--target", target, project, cwd=project, path="",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


def passed(done) -> int:
    """How many tests of the package did."""
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return int(done.stdout.rpartition(" passed")[0].split()[-1])


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return install(EXAMPLE, tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """What `paymux providers new` writes, for a name that has to be changed in every way."""
    project = tmp_path_factory.mktemp("begun") / "project"
    done = CliRunner().invoke(main, ["providers", "new", "new-pay2", "--path", str(project)])
    assert done.exit_code == 0, done.output
    return project


@pytest.fixture(scope="module")
def new_pay2(begun, tmp_path_factory):
    """The same, installed."""
    return install(begun, tmp_path_factory.mktemp("new_pay2"))


@contextmanager
def changed(file: Path, old: str, new: str):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    try:
        yield
    finally:
        file.write_text(text)


# --- the package to begin with


def test_a_new_package_passes_at_once(begun, new_pay2):
    """Installed as it was written, its tests pass, it is found, and every line to change is marked."""
    assert passed(run(*PYTEST, cwd=begun, path=new_pay2)) > 50
    told = json.loads(run(*PAYMUX, "providers", "new-pay2", "--json", cwd=begun, path=new_pay2).stdout)
    assert told["translated"] == ["payment.failed", "payment.succeeded"]
    texts = [file.read_text() for file in begun.rglob("*") if file.is_file()]
    assert not any("acmepay" in text.lower() for text in texts)
    assert "".join(texts).count("FILL IN") > 10


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"payment.failed": payment}', '"payment.failed": payment, "payment.held": payment}', "{'payment.held'} == set()"),
        ('"succeeded": PaymentStatus', '"settled": PaymentStatus', "reason='unknown_status', path='/data/status'"),
        ('header=b"new-pay2-signature"', 'header=b"other-signature"', "there is no other-signature header"),
        ('name="new-pay2"', 'name="newpay"', "no sample of newpay is sent this way"),
    ],
    ids=["an event without a sample", "a word without a status", "another header", "another name"],
)  # fmt: skip
def test_what_is_missing_is_said(begun, new_pay2, old, new, says):
    """Its tests fail, and in their words stands what to do."""
    with changed(new_pay2 / "paymux_new_pay2/__init__.py", old, new):
        done = run(*PYTEST, cwd=begun, path=new_pay2)
    assert done.returncode == 1
    assert says in done.stdout, done.stdout[-2000:]


def test_a_package_that_is_not_installed(begun):
    """Its samples cannot be found, and that is what its tests say."""
    done = run(*PYTEST, cwd=begun, path=begun / "src")
    assert done.returncode == 1
    assert "pip install -e ." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Acme"], "small letters"),
        (["../x"], "small letters"),
        (["acme--pay"], "small letters"),
        (["stripe"], "there is a provider stripe already"),
        (["acme", "--path", "."], "is not empty"),
        ([], "Missing argument 'NAME'"),
    ],
)
def test_a_package_that_cannot_be_begun(tmp_path, monkeypatch, arguments, said):
    """Exit 2 with a sentence, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.txt").touch()
    done = CliRunner().invoke(main, ["providers", "new", *arguments])
    assert (done.exit_code, [file.name for file in tmp_path.iterdir()]) == (2, ["there.txt"])
    assert said in done.stderr


# --- the example


def test_the_example_passes(example):
    """Installed offline, held to the suite, with a test of its own."""
    assert passed(run(*PYTEST, cwd=EXAMPLE, path=example)) > 100


def test_the_example_is_small():
    """What is not a sample has fewer than 150 lines in all."""
    assert sum(len((EXAMPLE / file).read_text().splitlines()) for file in FILES) < 150


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("payment_id=block.payment_id", "payment_id=block.id"),
        ('from_major(found.decimal("total")', 'from_major(found.decimal("total") * 2'),
    ],
)
def test_the_example_is_wrong_somewhere(example, old, new):
    """Its tests fail then: a refund that belongs to no payment, an amount that nobody sent."""
    with changed(example / "paymux_acmepay/__init__.py", old, new):
        assert run(*PYTEST, cwd=EXAMPLE, path=example).returncode == 1


# --- the guide


def test_every_block_of_python_is_of_the_example():
    """As it stands there, and nothing of the provider's file but imports and one small function is left out."""
    sources = [(EXAMPLE / file).read_text() for file in FILES]
    blocks = fenced(GUIDE, "python")
    for block in blocks:
        assert any(block in source for source in sources), block
    shown = {name for block in blocks for name in _defined(block)}
    assert _defined(sources[1]) - shown == {"_failure"}


def _defined(source: str) -> set[str]:
    names = set()
    for node in ast.parse(source).body:
        names |= {node.name} if isinstance(node, ast.FunctionDef) else set()
        names |= {node.target.id} if isinstance(node, ast.AnnAssign) else set()
    return names


def test_the_quoted_payload_is_translated(example, tmp_path):
    """What the made-up documentation shows is what the provider understands."""
    [payload] = [block for block in fenced(GUIDE.replace("\n> ", "\n"), "json") if "event_id" in block]
    (tmp_path / "payload.json").write_text(payload)
    done = run(*PAYMUX, "translate", "--provider", "acmepay", "payload.json", cwd=tmp_path, path=example)
    [event] = json.loads(done.stdout)["events"]
    assert (event["type"], event["data"]["payment"]["amount"]["minor"]) == ("payment.succeeded", 4990)


def commands():
    """What a terminal is told, without what takes the network or goes on for ever."""
    lines = [line for block in fenced(GUIDE, "sh") for line in block.splitlines()]
    return [line.split()[1:] for line in lines if line.startswith("paymux ") and line.split()[1] not in {"dev", "send"}]


def test_every_command_of_the_guide(example, tmp_path):
    """Each ends well, in the folder of the example or, the first, in an empty one."""
    new, *others = commands()
    assert new == ["providers", "new", "acmepay"]
    done = run(*PAYMUX, *new, cwd=tmp_path, path="")
    assert done.returncode == 0, done.stderr
    assert {str(file.relative_to(tmp_path / "paymux-acmepay")) for file in tmp_path.rglob("*.*") if file.is_file()} > {
        *FILES
    }
    assert len(others) == 3
    for command in others:
        done = run(*PAYMUX, *command, cwd=EXAMPLE, path=example)
        assert done.returncode == 0, (command, done.stderr)


def test_it_is_sent_and_shown_like_any_other(example, tmp_path):
    """`paymux dev` has an account of it, and `paymux send` posts its samples: signed, and new each time."""
    code = (
        "from paymux.sandbox.accounts import demo_accounts\n"
        "from paymux.cli.dev import _others_stories\n"
        "print([a.provider for a in demo_accounts() if a.provider == 'acmepay'], [len(s.steps) for s in _others_stories()])"
    )
    done = run("-c", code, cwd=tmp_path, path=example)
    assert done.stdout.strip() == "['acmepay'] [7]", done.stderr
    arguments = ("--provider", "acmepay", "--account", "demo", "--url", "http://127.0.0.1:1", "--secret", "x" * 20)
    done = run(*PAYMUX, "send", *arguments, "--event", "payment.paid", cwd=tmp_path, path=example)
    assert "payment.paid" in done.stdout, done.stderr
