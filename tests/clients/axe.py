"""axe, which looks at a page for what shuts people out of it."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# WCAG 2.0, 2.1 and 2.2, levels A and AA, and what axe advises beside them.
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
# Style sheets that others import would be asked for a second time, and relative to the page.
OPTIONS = {"resultTypes": ["violations"], "runOnly": RULES, "preload": False}


def violations(page: Page) -> list[str]:
    """Return what axe finds on a page: the rule, where, and what is wrong with it.

    The script is evaluated from outside, where no policy of the page's counts.
    """
    page.evaluate(AXE_SCRIPT)
    found: dict[str, Any] = page.evaluate("options => axe.run(options)", OPTIONS)
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
