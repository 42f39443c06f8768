"""The pictures of the README can be taken again."""

from pathlib import Path

import pytest

from tests.gallery.__main__ import PAGES, THEMES, main

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


def test_takes_every_page_in_light_and_in_dark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path)])

    pictures = {path.stem for path in tmp_path.iterdir()}
    assert pictures == {f"{name}-{theme}" for name in PAGES for theme in THEMES}
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == len(pictures)
    assert capsys.readouterr().out.count("\n") == len(pictures)
