"""Power loss, as a model: what a disk may hold when the current goes away, and whether the journal keeps its word.

1. `workload` appends to a real SQLite journal under strace and says what was sent, acknowledged and read.
2. `recording` turns the trace into calls; `disk` follows them and makes the states that a disk may be left in.
3. `verdict` opens such a state with paymux and looks for what was promised.
"""

from __future__ import annotations
