"""Untrusted JSON, forms and XML that know their path; every leaf is tamed explicitly.

`parse_json`, `parse_form` and `parse_xml` give the same `Wild`, so that a provider's file reads all of them alike.
"""

from __future__ import annotations

from paymux.wild.from_form import MOST_FIELDS, parse_form
from paymux.wild.from_json import DEEPEST, DENSEST, MOST_DENSE, parse_json
from paymux.wild.from_xml import MOST_ELEMENTS, parse_xml
from paymux.wild.value import LONGEST_TEXT, Wild

__all__ = [
    "DEEPEST",
    "DENSEST",
    "LONGEST_TEXT",
    "MOST_DENSE",
    "MOST_ELEMENTS",
    "MOST_FIELDS",
    "Wild",
    "parse_form",
    "parse_json",
    "parse_xml",
]
