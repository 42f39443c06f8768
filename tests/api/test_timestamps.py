from datetime import UTC, datetime

import pytest

from deliveries.api import timestamps


class TestParse:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-03-15T10:00:00Z", datetime(2026, 3, 15, 10, tzinfo=UTC)),
            ("2026-03-15t10:00:00z", datetime(2026, 3, 15, 10, tzinfo=UTC)),
            ("2026-03-15T12:00:00+02:00", datetime(2026, 3, 15, 10, tzinfo=UTC)),
            ("2026-03-15T12:00+0200", datetime(2026, 3, 15, 10, tzinfo=UTC)),
            ("2026-03-15T10:00:00.123456Z", datetime(2026, 3, 15, 10, 0, 0, 123456, tzinfo=UTC)),
            ("2026-03-15T10:00:00.123456789Z", datetime(2026, 3, 15, 10, 0, 0, 123456, tzinfo=UTC)),
            ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
            ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ],
    )
    def test_reads_a_moment_with_its_zone(self, text: str, moment: datetime) -> None:
        assert timestamps.parse(text) == moment

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "yesterday",
            "1773568800",
            "2026-03-15",
            "2026-03-15T10:00:00",
            "2026-03-15 10:00:00Z",
            " 2026-03-15T10:00:00Z",
            "2026-03-15T10:00:00Z\n",
            "2026-02-30T10:00:00Z",
            "2026-03-15T25:00:00Z",
            "2026-03-15T10:00:00+25:00",
            "2026-W11-7T10:00:00Z",
            "0000-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "٢٠٢٦-03-15T10:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ],
    )
    def test_refuses_anything_else(self, text: str) -> None:
        with pytest.raises(timestamps.NotATimestamp):
            timestamps.parse(text)


class TestFormats:
    @pytest.mark.parametrize("year", [1, 519, 2026, 9999])
    def test_write_what_is_read_again(self, year: int) -> None:
        moment = datetime(year, 3, 15, 10, 0, 0, 123456, tzinfo=UTC)

        assert timestamps.parse(moment.strftime(timestamps.MICROSECONDS)) == moment
        assert timestamps.parse(moment.strftime(timestamps.SECONDS)) == moment.replace(microsecond=0)
