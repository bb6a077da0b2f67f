"""Payments to be told from the beginning, with everything that was told together with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paymux.journal.archive import Story

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paymux.journal.archive import Archive


async def whole(archive: Archive, keys: Iterable[str], bonds: Sequence[frozenset[str]] = ()) -> list[Story]:
    """The stories that these keys are part of. Those that one item spoke of, or that `bonds` says belong together, are
    one: half of them could not be told. Raises JournalUnavailable.
    """
    found: dict[str, Story] = {}
    wanted, asked = {*keys}.union(*bonds), set[str]()
    while fresh := wanted - asked:
        stories = await archive.about(sorted(fresh))
        found |= {story.key: story for story in stories}
        asked |= fresh.union(*(story.keys for story in stories))
        wanted |= {key for story in stories for told in story.heard for key in told.keys}
    return _joined(list(found.values()), bonds)


def _joined(stories: list[Story], bonds: Sequence[frozenset[str]]) -> list[Story]:
    if not bonds and all(_reach(story) == story.keys for story in stories):
        return stories
    groups: list[tuple[frozenset[str], list[Story]]] = []
    for reach, parts in [*((_reach(story), [story]) for story in stories), *((bond, []) for bond in bonds)]:
        touching = [group for group in groups if not reach.isdisjoint(group[0])]
        groups = [group for group in groups if group not in touching]
        groups.append((reach.union(*(each for each, _ in touching)), sum((each for _, each in touching), parts)))
    return [_one(parts) for _, parts in groups if parts]


def _reach(story: Story) -> frozenset[str]:
    return story.keys.union(*(told.keys for told in story.heard))


def _one(parts: list[Story]) -> Story:
    if len(parts) == 1:
        return parts[0]
    heard = {told for story in parts for told in story.heard}
    records = {record.seq: record for story in parts for record in story.records}
    return Story(
        key=min(story.key for story in parts),
        keys=frozenset().union(*(story.keys for story in parts)),
        heard=tuple(sorted(heard, key=lambda told: told.place)),
        records=tuple(record for _, record in sorted(records.items())),
    )
