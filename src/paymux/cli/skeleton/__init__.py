"""The package of a provider that does not exist yet: files to begin with, whose tests pass as they are."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

# Where each file goes -> which one it is. They are written for a provider called acmepay.
_FILES: Final[Mapping[str, str]] = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "src/paymux_acmepay/__init__.py": "provider.py.txt",
    "src/paymux_acmepay/samples/acmepay/webhooks/payment.succeeded.json": "succeeded.json.txt",
    "src/paymux_acmepay/samples/acmepay/webhooks/payment.failed.json": "failed.json.txt",
    "tests/test_acmepay.py": "test_provider.py.txt",
}


def package(name: str) -> dict[str, str]:
    """Paths and texts. `name` matches NAME."""
    room = files("paymux.cli") / "skeleton"
    return {_called(path, name): _called((room / file).read_text("utf-8"), name) for path, file in _FILES.items()}


def write(name: str, target: Path) -> list[Path]:
    """Raises FileExistsError for a target that holds something."""
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty")
    written = []
    for path, text in package(name).items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        written.append(file)
    return written


def _called(text: str, name: str) -> str:
    """With the name in place of acmepay's, in the form that each place wants."""
    word = name.replace("-", "_")
    forms = {
        "paymux_acmepay": f"paymux_{word}",
        "test_acmepay": f"test_{word}",
        "ACMEPAY": word.upper(),
        "Acmepay": name.title(),
        "acmepay": name,
    }
    return re.sub("|".join(forms), lambda found: forms[found[0]], text)
