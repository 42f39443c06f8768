"""Bars as SVG: one below the other, each of parts that follow on one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

COLOURS = ("#2f6f9f", "#e08a3c", "#7a9a4b", "#9a6fb0")
WIDTH, LABELS, NUMBERS = 760, 300, 70
ROW, BAR, HEAD = 26, 16, 34


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What one bar shows: its parts in order, and the number at its end."""

    label: str
    parts: Sequence[float]
    number: str


def bars(title: str, parts: Sequence[str], rows: Sequence[Bar]) -> str:
    """Return a picture.

    :param parts: what each part of a bar is; told where there are several.
    """
    height = HEAD + ROW * len(rows) + 10 + (20 if len(parts) > 1 else 0)
    most = max((sum(row.parts) for row in rows), default=0) or 1
    scale = (WIDTH - LABELS - NUMBERS) / most
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="21" font-weight="bold">{escape(title)}</text>',
    ]
    for place, row in enumerate(rows):
        lines += _bar(row, top=HEAD + ROW * place, scale=scale)
    if len(parts) > 1:
        lines += _legend(parts, top=height - 20)
    return "\n".join([*lines, "</svg>", ""])


def _bar(row: Bar, *, top: int, scale: float) -> list[str]:
    baseline = top + BAR - 3
    lines = [f'<text x="{LABELS - 8}" y="{baseline}" text-anchor="end">{escape(row.label)}</text>']
    left = float(LABELS)
    for part, colour in zip(row.parts, COLOURS, strict=False):
        width = part * scale
        lines.append(f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
        left += width
    return [*lines, f'<text x="{left + 6:.1f}" y="{baseline}">{escape(row.number)}</text>']


def _legend(parts: Sequence[str], *, top: int) -> list[str]:
    lines, left = [], LABELS
    for part, colour in zip(parts, COLOURS, strict=False):
        lines.append(f'<rect x="{left}" y="{top}" width="10" height="10" fill="{colour}"/>')
        lines.append(f'<text x="{left + 14}" y="{top + 10}">{escape(part)}</text>')
        left += 24 + 8 * len(part)
    return lines
