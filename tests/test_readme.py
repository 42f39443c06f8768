import ast
import re
from pathlib import Path

from tests.gallery.__main__ import PAGES, THEMES

ROOT = Path(__file__).resolve().parent.parent


def settings_in_the_code() -> dict[str, str | None]:
    """Return every variable `settings.py` reads, with its default; None where that depends on the folder."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / "webhooks_project" / "settings.py").read_text())):
        if isinstance(node, ast.Call) and node.args and re.match(r"env\.\w+$", ast.unparse(node.func)):
            name, *more = node.args
            found[str(ast.literal_eval(name))] = _default(more)
    return found


def _default(arguments: list[ast.expr]) -> str | None:
    """Return the last argument as the README writes it: a choice's default stands behind its choices."""
    try:
        value = ast.literal_eval(arguments[-1]) if arguments else ""
    except ValueError:
        return None
    return (",".join(map(str, value)) if isinstance(value, list) else str(value)) or "none"


def settings_in_the_readme() -> dict[str, str]:
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("## Settings")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", table, re.MULTILINE))


class TestReadme:
    def test_names_every_setting_and_no_other(self) -> None:
        assert settings_in_the_readme().keys() == settings_in_the_code().keys()

    def test_gives_the_defaults_of_the_code(self) -> None:
        told = settings_in_the_readme()

        wrong = {
            name: (told[name], default)
            for name, default in settings_in_the_code().items()
            if default is not None and told[name] != default
        }
        assert wrong == {}

    def test_names_files_and_commands_that_exist(self) -> None:
        readme = (ROOT / "README.md").read_text()
        commands = re.findall(r"^\| `manage\.py (\w+)` \|", readme, re.MULTILINE)
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)
        targets = set(re.findall(r"(?:^|`)make (\w+)", readme, re.MULTILINE))

        assert commands
        for command in commands:
            assert (ROOT / "deliveries" / "management" / "commands" / f"{command}.py").is_file()
        for link in links:
            assert (ROOT / link).exists()
        makefile = (ROOT / "Makefile").read_text()
        assert targets <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))

    def test_prints_the_commands_of_the_procfile(self) -> None:
        readme = (ROOT / "README.md").read_text()
        for line in (ROOT / "Procfile").read_text().splitlines():
            command = re.sub(r" --bind \S+", "", line.partition(": exec ")[2])
            assert command in readme

    def test_shows_every_picture_in_light_and_in_dark(self) -> None:
        readme = (ROOT / "README.md").read_text()

        shown = re.findall(r"docs/images/(\w+)-(light|dark)\.png", readme)

        assert sorted(shown) == sorted((name, theme) for name in PAGES for theme in THEMES)
        for name, theme in shown:
            picture = (ROOT / "docs" / "images" / f"{name}-{theme}.png").read_bytes()
            assert picture.startswith(b"\x89PNG")
