"""The real stack: `python -m server` with vLLM and the small model, started once for the session.

And the training chain, which takes minutes of one core: where its tests are selected it starts with the session, at a
low priority, and they come last.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_S = 240
CHAIN_TESTS = "test_training_chain.py"
CHAIN_RECIPE = "training/recipes/tiny.yaml"


@dataclass(frozen=True)
class Chain:
    """A training run under way beside the tests."""

    process: subprocess.Popen[bytes]
    directory: Path


_CHAIN = pytest.StashKey[Chain]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the training chain last, and all others in their order."""
    items.sort(key=lambda item: item.path.name == CHAIN_TESTS)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the training chain where it is tested; one thread, so that its figures are the same on the same CPU."""
    tested = any(item.path.name == CHAIN_TESTS for item in session.items)
    if session.config.option.collectonly or not tested:
        return
    directory = Path(tempfile.mkdtemp(prefix="chain-"))
    words = [sys.executable, "-m", "training", "run", CHAIN_RECIPE, "--output", str(directory / "tiny")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["nice", "-n", "10", *words], stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    session.config.stash[_CHAIN] = Chain(process, directory)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave no training run behind."""
    chain = session.config.stash.get(_CHAIN, None)
    if chain:
        chain.process.terminate()
        chain.process.wait(30)
        shutil.rmtree(chain.directory)


@pytest.fixture(scope="session")
def trained(pytestconfig: pytest.Config) -> Path:
    """The run directory of the training chain, which has ended well."""
    chain = pytestconfig.stash[_CHAIN]
    code = chain.process.wait(1300)
    assert code == 0, (chain.directory / "log").read_text()[-5000:]
    return chain.directory / "tiny"


@dataclass
class Stack:
    """A running server process."""

    base: str
    process: subprocess.Popen[bytes]
    log: Path

    def engine_pids(self) -> list[int]:
        """The leader of the engine's process group and everything it started."""
        leader = int(re.findall(r'"pid": (\d+), "model"', self.log.read_text())[-1])
        return [leader, *(pid for pid, group in living() if group == leader and pid != leader)]

    def engine_socket(self) -> str:
        """The engine's private socket."""
        words = Path(f"/proc/{self.engine_pids()[0]}/cmdline").read_bytes().split(b"\0")
        return words[words.index(b"--uds") + 1].decode()


def living() -> list[tuple[int, int]]:
    """(pid, group) of all processes but zombies."""
    listing = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return [(int(row[0]), int(row[1])) for row in rows if not row[2].startswith("Z")]


def descendants(pid: int) -> list[int]:
    """Children, grandchildren and so on."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listing.splitlines())}
    found, frontier = [], {pid}
    while frontier := {child for child, parent in parents.items() if parent in frontier}:
        found += sorted(frontier)
    return found


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def start(port: int, log: Path, *words: str, **settings: str) -> Stack:
    """Start the server and wait until it is ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "server", "--port", str(port), *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"GAZAL_ENGINE_LOG_DIR": str(log.parent)} | settings,
            start_new_session=True,
        )
    stack = Stack(f"http://127.0.0.1:{port}", process, log)
    wait_until(lambda: process.poll() is not None or ready(stack.base), START_S, "the server is ready")
    assert process.poll() is None, log.read_text()
    return stack


def ready(base: str) -> bool:
    """Whether /readyz answers 200."""
    try:
        with urllib.request.urlopen(f"{base}/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def assert_gone(pids: list[int], seconds: float = 20) -> None:
    """No process of `pids` is left."""
    wait_until(lambda: not {pid for pid, _ in living()} & set(pids), seconds, f"processes {pids} are gone")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The real stack; ended by Ctrl-C, after which no process may be left."""
    from tests.conftest import unused_port

    running = start(unused_port(), tmp_path_factory.mktemp("stack") / "server.log")
    pids = running.engine_pids()
    yield running
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(timeout=30) == 0
    assert_gone(pids)
