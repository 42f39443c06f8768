"""manage.py make_days."""

from datetime import timedelta
from typing import Any

import pytest

from tests.commands.conftest import Run


class TestMakeDays:
    @pytest.mark.postgresql
    def test_makes_those_of_the_whole_retention(self, run: Run, settings: Any) -> None:
        settings.WEBHOOKS_RETENTION = timedelta(days=20)

        said = run("make_days").stdout

        # The first of them, up to a week, belong to the table of before the migration.
        assert said in {f"Made {number} days; the others are there.\n" for number in range(13, 16)}
        assert run("make_days").stdout == "Made 0 days; the others are there.\n"

    @pytest.mark.sqlite
    def test_has_nothing_to_do_on_sqlite(self, run: Run) -> None:
        assert run("make_days").stdout == "Made 0 days; the others are there.\n"
