"""What counts as verified although nobody signed it: an answer that paymux fetched, a file that an operator gave."""

from __future__ import annotations

from dataclasses import replace

import pytest
from signed_requests import request

from paymux.delivery import Proof, Via
from paymux.signatures import confirmed, trusted

FETCHED = (Via.LOOKUP, Via.RECONCILE)


@pytest.mark.parametrize("via", FETCHED)
def test_an_answer_of_the_providers_api_confirms_itself(via):
    """It is the same delivery, proven by the API and by no secret."""
    delivery = replace(request(), via=via)
    verified = confirmed(delivery)
    assert (verified.delivery, verified.proof, verified.secret) == (delivery, Proof.API, None)


@pytest.mark.parametrize("via", [via for via in Via if via not in FETCHED])
def test_what_came_from_outside_never_confirms_itself(via):
    """A webhook or a file passed off as an answer is an error of ours, said by name."""
    with pytest.raises(ValueError) as caught:
        confirmed(replace(request(), via=via))
    assert str(caught.value) == "only an answer of the provider's API confirms itself"


@pytest.mark.parametrize("via", Via)
def test_a_file_of_an_operators_is_trusted_and_called_an_import(via):
    """Whatever it was before: the same body and headers, proven by trust alone."""
    delivery = replace(request(), via=via)
    verified = trusted(delivery)
    assert verified.delivery == replace(delivery, via=Via.IMPORT)
    assert (verified.proof, verified.secret) == (Proof.TRUSTED, None)
