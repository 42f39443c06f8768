"""What a debug page shows of the settings and of a request's surroundings."""

import re

from django.views.debug import SafeExceptionReporterFilter


class ReporterFilter(SafeExceptionReporterFilter):
    """Django's, and hides URLs that carry a password too."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|COOKIE|CREDENTIAL|DATABASE_URL|REDIS|BROKER|PROXY",
        re.IGNORECASE,
    )
