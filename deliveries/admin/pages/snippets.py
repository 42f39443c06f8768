"""How receivers verify a signature, in their languages: the files of docs/verifying, as they are."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from django.conf import settings

# By the name of the file; what the page calls it.
LANGUAGES = {
    "verify.py": "Python",
    "verify.mjs": "Node.js",
    "verify.php": "PHP",
    "verify.go": "Go",
    "verify.rb": "Ruby",
}


class Snippet(NamedTuple):
    """A file to copy."""

    language: str
    file: str
    text: str


@cache
def snippets() -> Sequence[Snippet]:
    """Return the files, read once."""
    folder = settings.BASE_DIR / "docs" / "verifying"
    return [
        Snippet(language, file, (folder / file).read_text(encoding="utf-8"))
        for file, language in LANGUAGES.items()
    ]
