"""How Python looks for reference cycles in processes that run for long.

Its collector goes through everything that lives again and again, and what an application of this size loads
at the start, some 120,000 objects, stays for ever.
"""

import gc

# New objects between two looks at the youngest, and such looks between two at all: by default 700, 10 and 10,
# where one batch of events or of results already makes some thousands.
_THRESHOLDS = 5000, 20, 20


def spare_what_stays() -> None:
    """Never look again at what lives now. To be called when a process has loaded what it needs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
