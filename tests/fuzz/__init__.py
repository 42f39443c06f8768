"""Requests nobody would think of. `make test` sends 1,500, always the same; `make fuzz` 20,000 new ones.

A case that fails is printed as small as Hypothesis could make it, with the seed; `make fuzz SEED=...` sends
the same again.
"""
