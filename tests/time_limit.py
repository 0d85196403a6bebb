"""`pytest --begin-within-s N`: tests that have not begun after N seconds are skipped, each with that as its reason.

CI has half an hour, and hosts differ twofold in speed. On a slow one the last tests are left out and counted as
skipped, where otherwise all would be lost. So that these are few, files with slow tests, and those of whole systems,
come last. Without the option every test runs, in the usual order.
"""

from __future__ import annotations

import time

import pytest

_BEGAN_S = pytest.StashKey[float]()
OPTION = "--begin-within-s"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of this module."""
    parser.addoption(OPTION, type=float, default=None, help="skip what has not begun after so many seconds")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the clock."""
    session.config.stash[_BEGAN_S] = time.monotonic()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under a limit, quick files first; a file stays whole, because its tests share what they start."""
    if config.getoption(OPTION) is None:
        return
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.path.parent.name == "e2e"}
    items.sort(key=lambda item: item.path in slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test is made."""
    limit_s = item.config.getoption(OPTION)
    if limit_s is not None and time.monotonic() - item.config.stash[_BEGAN_S] > limit_s:
        pytest.skip(f"not begun within {limit_s:g} s on this host; `make test` without TIME_S runs all")
