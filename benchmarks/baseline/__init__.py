"""What people would otherwise run: one Celery task for each delivery, `requests`, and the ORM.

Written as a good Django developer would, and tuned: connections to the database and to receivers are kept.
Decision record 46 says what that means. Nothing of the service imports it, and it imports nothing of it.
"""

from benchmarks.baseline.celery import app

__all__ = ["app"]
