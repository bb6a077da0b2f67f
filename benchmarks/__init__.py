"""What paymux costs, measured against what it cannot do without; `python -m benchmarks` lists them.

Machines differ and are shared, so every benchmark runs its yardstick and paymux in turns (A B A B) and reports the
ratios of one run: median and min..max of the rounds. docs/performance.md keeps what was found.
"""
