"""Django's PostgreSQL backend, with an end to its patience: see `base`."""
