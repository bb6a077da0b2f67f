"""Up to where a copy of a lost journal is published. Pure: what the copy holds, and what was found on Kafka.

A row is out if a committed record of it is there; rows are published in order, so those that are out come first.
Wherever that is not so, the copy is not the beginning of what was published, and its rows would be lost or doubled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paymux.errors import CopyRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from paymux.journal.sqlite.restored import Name, Waiting
    from paymux.publish import Checkpoint


def published_up_to(
    *,
    mark: int,
    end: int,
    waiting: Sequence[Waiting],
    found: Collection[Name],
    checkpoint: Checkpoint | None,
    chain: Callable[[int], str],
) -> int:
    """`waiting` are the copy's rows after its `mark`, in order, up to `end`; `checkpoint` is the parent's last one.

    Raises CopyRefused(copy_of_another), or `kafka_incomplete` where Kafka cannot tell.
    """
    position = found_up_to(mark, waiting, found)
    if checkpoint is not None and checkpoint.seq <= end:
        _check_chain(checkpoint, chain(checkpoint.seq), mark)
        position = max(position, checkpoint.seq)
    if checkpoint is None and mark:
        raise CopyRefused(
            f"the copy was published up to {mark}, but Kafka has no checkpoint of its journal: is this the right "
            "cluster, and are [kafka] checkpoints_topic and transactional_id_prefix those of that time?",
            reason="kafka_incomplete",
        )
    if checkpoint is not None and position < min(checkpoint.seq, end):
        raise CopyRefused(
            f"row {position + 1} of the copy is not on Kafka, though its journal published up to {checkpoint.seq}: "
            "it is no copy of that journal, or the topic lost records",
            reason="copy_of_another",
        )
    if any(each.seq > position and each.name in found for each in waiting):
        raise CopyRefused(
            f"row {position + 1} of the copy is not on Kafka, but rows after it are: it is no copy of what was "
            "published",
            reason="copy_of_another",
        )
    return position


def found_up_to(mark: int, waiting: Sequence[Waiting], found: Collection[Name]) -> int:
    """As far as Kafka alone can tell."""
    position = mark
    for each in waiting:
        if each.name not in found:
            break
        position = each.seq
    return position


def check_numbers(waiting: Sequence[Waiting], position: int, sequences: Mapping[str, int]) -> None:
    """What is still to be published has numbers of its own. Raises CopyRefused(copy_of_another)."""
    for each in waiting:
        if each.seq <= position or each.sequence is None or each.name.replay is not None:
            continue
        if each.sequence <= sequences.get(each.key, 0):
            raise CopyRefused(
                f"row {each.seq} of the copy has number {each.sequence} of {each.key}, and so has another event on "
                "Kafka: it is no copy of what was published",
                reason="copy_of_another",
            )


def _check_chain(checkpoint: Checkpoint, here: str, mark: int) -> None:
    """What is known to be published may have been let go of."""
    if here != checkpoint.chain and (here or checkpoint.seq > mark):
        raise CopyRefused(
            f"up to row {checkpoint.seq} Kafka has other events than the copy: it is no copy of that journal",
            reason="copy_of_another",
        )
