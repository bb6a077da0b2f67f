"""The whole line on a virtual clock: one seed decides who runs next, what breaks and when, and can be told again.

`loop` runs coroutines of several processes, any of which may die or freeze between two steps; `disk`, `broker` and
`outside` stand behind paymux's ports and break as real ones do; `world` lets the traffic through and hands what is left
to the checker. Everything above the ports is paymux as it is.
"""
