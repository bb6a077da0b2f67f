"""Up to where a copy is published, by what was found on Kafka."""

from __future__ import annotations

import pytest

from paymux.errors import CopyRefused
from paymux.journal.sqlite.restored import Name, Waiting
from paymux.keeping.lineage import check_numbers, published_up_to
from paymux.publish import Checkpoint


def row(seq, *, sequence=None, replay=None):
    name = Name(topic="events", event_id=f"id-{seq}", replay=replay)
    return Waiting(seq=seq, name=name, key="tiny/acme/p1", sequence=sequence)


def found(*seqs):
    return {row(seq).name for seq in seqs}


def checkpoint(seq, chain=None):
    return Checkpoint(journal="parent", shard=0, seq=seq, event_id=f"id-{seq}", chain=chain or f"chain-{seq}")


def decided(*, mark, end, out=(), last=None, kept=0):
    """`kept`: the first row that the copy still has."""
    waiting = [row(seq) for seq in range(mark + 1, end + 1)]
    return published_up_to(
        mark=mark,
        end=end,
        waiting=waiting,
        found=found(*out),
        checkpoint=last,
        chain=lambda seq: f"chain-{seq}" if kept <= seq <= end else "",
    )


def test_a_copy_that_nothing_was_published_after():
    """The checkpoint is within it: what came after that goes out."""
    assert decided(mark=5, end=9, last=checkpoint(7), out=(6, 7)) == 7
    assert decided(mark=7, end=9, last=checkpoint(7)) == 7


def test_a_copy_that_is_older_than_what_was_published():
    """All of it is out."""
    assert decided(mark=5, end=9, last=checkpoint(20), out=(6, 7, 8, 9)) == 9
    assert decided(mark=9, end=9, last=checkpoint(20)) == 9


def test_a_journal_that_never_published():
    """There is no checkpoint, and none is missed."""
    assert decided(mark=0, end=3) == 0


def test_what_a_journal_restored_before_published():
    """Its rows are out by their ids, whoever published them: the parent's own checkpoint is older."""
    assert decided(mark=3, end=9, last=checkpoint(5), out=(4, 5, 6, 7)) == 7


def test_a_mark_beyond_the_checkpoint_kept_on_kafka():
    """Rows that were let go of cannot be compared; those that are known to be published need not."""
    assert decided(mark=9, end=9, last=checkpoint(4), kept=9) == 9


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        ({"mark": 5, "end": 9, "last": checkpoint(7, "another")}, "copy_of_another"),  # other rows up to there
        ({"mark": 5, "end": 9, "last": checkpoint(20), "out": (6, 7)}, "copy_of_another"),  # rows 8 and 9 are others
        ({"mark": 5, "end": 9, "last": checkpoint(5), "out": (7,)}, "copy_of_another"),  # a hole
        ({"mark": 5, "end": 9}, "kafka_incomplete"),  # another cluster, or an emptied topic
    ],
)
def test_no_copy_of_what_was_published(situation, reason):
    """Refused: its rows would be lost or doubled."""
    with pytest.raises(CopyRefused) as refused:
        decided(**situation)
    assert refused.value.reason == reason


def test_numbers_that_are_taken():
    """A row that is still to go out has a number that Kafka does not have yet; a republished one may have any."""
    check_numbers([row(1, sequence=1), row(2, sequence=4), row(3)], 1, {"tiny/acme/p1": 3})
    check_numbers([row(4, sequence=2, replay=b"job")], 1, {"tiny/acme/p1": 3})
    with pytest.raises(CopyRefused, match="row 2 of the copy has number 3"):
        check_numbers([row(2, sequence=3)], 1, {"tiny/acme/p1": 3})
