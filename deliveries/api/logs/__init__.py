"""The logs API: the webhooks of an agent, and a log of every attempt."""
