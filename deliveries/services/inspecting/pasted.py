"""Headers, out of whatever somebody pasted."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

_REQUEST_LINE = re.compile(r"[>\s]*[A-Z]{3,10} \S+ HTTP/[0-9]")
# `-H 'Name: value'` of a command for curl.
_OPTION = re.compile(r"""(?<!\S)(?:-H|--header)[=\s]*(?:'([^']*)'|"((?:[^"\\]|\\.)*)")""", re.DOTALL)
# With what stands around names in a listing of curl, in JSON, in Python and in PHP.
_LINE = re.compile(r"""[\s>"'\[{]*([!#$%&*+.^_`|~0-9A-Za-z-]{1,100})["'\]]*\s*(?::|=>|=|\t)(.*)""", re.DOTALL)
_QUOTES = "\"'"
_ENDS = re.compile(r"\r\n|\r|\n")
# Where one pair ends in a listing of Python's, which is one line.
_ENDS_IN_BRACES = re.compile(r"""\r\n|\r|\n|(?<=["']),\s*(?=["'])""")
# What curl says of itself, and what it shows of the answer.
_NOT_SENT = ("<", "*")


def read(text: str) -> Mapping[str, Sequence[str]]:
    """Return the values of each header by its name, which is in lower case and with hyphens.

    Takes lines `Name: value`, a raw request, what curl shows and what it is called with, JSON, and the
    variables of CGI. Whatever looks like no header is passed over.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in _from_json(text) or _from_lines(_lines(text)):
        plain = name.lower().replace("_", "-").removeprefix("http-")
        found[plain].append(value.strip())
    return found


def _from_json(text: str) -> list[tuple[str, str]]:
    """Return the pairs of an object; none where the text is anything else."""
    if not text.lstrip().startswith("{"):
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    pairs = [(name, each) for name, values in value.items() for each in _listed(values)]
    return [(name, str(each)) for name, each in pairs if isinstance(each, str | int | float)]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _lines(text: str) -> Iterator[str]:
    options = [single or double.replace('\\"', '"') for single, double in _OPTION.findall(text)]
    if options:
        yield from options
        return
    begun = is_request = False
    ends = _ENDS_IN_BRACES if text.lstrip().startswith("{") else _ENDS
    for line in ends.split(text):
        if _REQUEST_LINE.match(line):
            is_request = True
        elif line.strip(" \t>"):
            begun = True
            yield line
        elif is_request and begun:
            return  # behind it comes the body


def _from_lines(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if not line.lstrip().startswith(_NOT_SENT) and (parts := _LINE.match(line)):
            yield parts[1], _unquoted(parts[2].strip())


def _unquoted(value: str) -> str:
    """Return a value without the quotation marks of a listing, and what stands behind them."""
    if value[:1] and value[0] in _QUOTES:
        value = value.rstrip(",}")
        if len(value) > 1 and value[-1] == value[0]:
            return value[1:-1]
    return value
