"""The bench: real processes, faults with one interface, and what the analysis makes of them.

Imports `gateway`, never back: no code under `gateway/` ever sees what was injected.
"""
