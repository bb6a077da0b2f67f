"""The page of the private API: its roles and problems are the code's."""

from __future__ import annotations

from paymux.http.api import ROUTES
from paymux.http.api.problems import KINDS
from paymux.settings.tokens import Role
from tests.docs.pages import coded, read, rows, section

HTTP = read("docs/http.md")


def test_every_route_tells_its_role():
    """In the row that has its method and path."""
    told = {(row[0], coded(row[1])[0]): row[3] for row in rows(section(HTTP, "Private"))}
    assert {name: role for name, role in told.items() if role} == {
        (route.method, route.url): route.role.value for route in ROUTES
    }


def test_every_problem_has_its_row():
    """With its status."""
    told = [(coded(row[0])[0], int(row[1])) for row in rows(section(HTTP, "Problems"))]
    assert sorted(told) == sorted((slug, kind.status) for slug, kind in KINDS.items())
    assert [status for _, status in told] == sorted(status for _, status in told)


def test_every_role_has_its_row():
    """And no row is of another one."""
    told = [coded(row[0])[0] for row in rows(section(read("docs/security.md"), "Roles"))]
    assert told == list(Role)
