"""The Django application of the baseline."""

from django.apps import AppConfig


class BaselineConfig(AppConfig):
    """Four tables and a task."""

    name = "benchmarks.baseline"
    label = "baseline"
