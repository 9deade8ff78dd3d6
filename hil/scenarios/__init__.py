"""One page each: what is broken, and what must be known of it afterwards.

A module here has ``run(bench: Bench) -> None`` and a docstring of one sentence; `gateway` fails it
with an AssertionError. `python -m hil run NAME`.
"""
