"""Every scenario by name. Each breaks something under traffic, repairs it, and leaves the judging to the checker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from faults.scenarios import broker, clocks, journals, kills, lookups, topics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from faults.lab import Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`cycles` is how often it breaks what it breaks: usually, and in the long form."""

    run: Callable[[Lab], Awaitable[None]]
    cycles: int
    long: int

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def about(self) -> str:
        return " ".join((self.run.__doc__ or "").split())


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(run=kills.killed_at_random, cycles=40, long=1000),
    Scenario(run=kills.killed_at_each_step, cycles=30, long=1300),
    Scenario(run=kills.a_zombie_comes_back, cycles=2, long=20),
    Scenario(run=kills.frozen, cycles=3, long=30),
    Scenario(run=kills.children_killed, cycles=10, long=300),
    Scenario(run=kills.told_to_end, cycles=10, long=100),
    Scenario(run=broker.broker_killed, cycles=3, long=40),
    Scenario(run=broker.long_outage, cycles=2, long=100),
    Scenario(run=broker.brokers_disk_full, cycles=1, long=10),
    Scenario(run=broker.leaders_move, cycles=3, long=30),
    Scenario(run=broker.behind_a_proxy, cycles=10, long=200),
    Scenario(run=broker.errors_of_the_broker, cycles=26, long=416),
    Scenario(run=topics.checkpoints_emptied, cycles=2, long=20),
    Scenario(run=topics.checkpoints_compacted, cycles=3, long=20),
    Scenario(run=topics.checkpoints_held_back, cycles=2, long=20),
    Scenario(run=topics.events_deleted, cycles=1, long=10),
    Scenario(run=topics.rights_taken_away, cycles=3, long=30),
    Scenario(run=topics.records_too_large, cycles=2, long=20),
    Scenario(run=topics.partitions_added, cycles=2, long=10),
    Scenario(run=topics.two_installations, cycles=4, long=100),
    Scenario(run=journals.journal_is_another, cycles=3, long=30),
    Scenario(run=journals.journal_is_old_and_fills_up, cycles=1, long=3),
    Scenario(run=journals.journal_is_lost, cycles=3, long=30),
    Scenario(run=journals.journal_locked, cycles=4, long=50),
    Scenario(run=journals.journal_read_for_long, cycles=2, long=20),
    Scenario(run=journals.disk_full, cycles=3, long=50),
    Scenario(run=journals.journal_slow, cycles=3, long=30),
    Scenario(run=journals.journal_read_only, cycles=3, long=30),
    Scenario(run=journals.out_of_descriptors, cycles=3, long=30),
    Scenario(run=journals.out_of_memory, cycles=3, long=30),
    Scenario(run=lookups.apis_fail, cycles=24, long=500),
    Scenario(run=clocks.clock_jumps, cycles=6, long=100),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
