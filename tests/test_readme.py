import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def settings_in_the_code() -> set[str]:
    """Return every variable `settings.py` reads: the first argument of `env.x(...)`."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / "webhooks_project" / "settings.py").read_text())):
        if isinstance(node, ast.Call) and re.match(r"env\.\w+$", ast.unparse(node.func)):
            first = node.args[0]
            if isinstance(first, ast.Constant):
                names.add(str(first.value))
    return names


def settings_in_the_readme() -> set[str]:
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("## Settings")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


class TestReadme:
    def test_names_every_setting_and_no_other(self) -> None:
        assert settings_in_the_readme() == settings_in_the_code()

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
