"""Somebody at the console: how they log in, and what they do on its pages."""

from tests.clients.browser import Visit

NAME, PASSWORD = "ada", "correct-horse-battery-14"


def log_in(visit: Visit, *, password: str = PASSWORD) -> None:
    """Fill in the login form of the page, and send it."""
    visit.page.get_by_label("Username").fill(NAME)
    visit.page.get_by_label("Password").fill(password)
    visit.press("Log in")


def act(visit: Visit, action: str) -> None:
    """Choose all rows of a list, and run an action on them."""
    visit.page.locator("#action-toggle").check()
    visit.page.locator("[name=action]").select_option(label=action)
    visit.press("Go")
