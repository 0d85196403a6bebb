"""Tests that have not begun in time are skipped with a reason, and without the option none is."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("options", "said"),
    [([], "2 passed"), (["--begin-within-s", "600"], "2 passed"), (["--begin-within-s", "0.5"], "1 passed, 1 skipped")],
)
def test_what_has_not_begun_in_time_is_skipped(tmp_path: Path, options: list[str], said: str) -> None:
    file = tmp_path / "test_two.py"
    file.write_text("import time\ndef test_one(): time.sleep(0.6)\ndef test_two(): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.time_limit", "-rs", "--rootdir", str(tmp_path), str(file)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert said in done.stdout
    assert ("not begun within 0.5 s on this host" in done.stdout) == ("skipped" in said)


def test_under_a_limit_files_with_slow_tests_come_last_and_whole(tmp_path: Path) -> None:
    slow = "import pytest\ndef test_one(): pass\n@pytest.mark.slow\ndef test_two(): pass\n"
    (tmp_path / "test_a.py").write_text(slow)
    (tmp_path / "test_b.py").write_text("def test_three(): pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.time_limit",
        "-v",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    for options, order in (([], [1, 2, 3]), (["--begin-within-s", "600"], [3, 1, 2])):
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
        names = {"one": 1, "two": 2, "three": 3}
        assert [names[each] for each in re.findall(r"test_(\w+) PASSED", done.stdout)] == order
