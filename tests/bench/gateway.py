"""What the gateway costs, beside what people use now: one run, one load generator, one bare engine, one table.

    make bench-gateway                       # everything; makes the peers' environment the first time
    python tests/bench/gateway.py --arms engine,gateway --rounds 3 --no-memory

Arms: the bare engine alone, this gateway with every feature on (keys, limits, admission, heartbeats, progress watch,
audit, metrics), a bare FastAPI + aiohttp pass-through, `vllm-router` (Rust) and LiteLLM. Rounds are interleaved and
medians reported, because a machine's speed drifts; on a machine that does other work too, compare only within a run.
The peers live in an environment of their own under GAZAL_HOME, since LiteLLM's pins do not fit ours.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = Path(os.environ.get("GAZAL_HOME") or Path.home() / ".cache" / "gazal") / "bench-peers"
PEER_PACKAGES = (
    "litellm[proxy]==1.106.0",
    "vllm-router==0.1.17",
    "fastapi",
    "aiohttp",
    "uvicorn",
    "uvloop",
    "httptools",
)
ARMS = ("engine", "gateway", "pass-through", "vllm-router", "litellm")
CLIENTS = 16
KEY = "a-key-of-the-bench-that-nobody-else-uses"
PACE_S = 0.02

console = Console(stderr=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--memory-requests", type=int, default=200_000)
    parser.add_argument("--no-memory", action="store_true", help="skip the long run that watches the memory")
    parser.add_argument("--json", type=Path, help="write all figures here too")
    options = parser.parse_args()
    arms = options.arms.split(",")
    if set(arms) - {"engine", "gateway"}:
        install_peers()
    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        ports = {}
        for pace in ("fast", "paced"):
            engine_port = free_port()
            pause = ["--pace-s", str(PACE_S if pace == "paced" else 0)]
            stack.enter_context(process([sys.executable, HERE / "gateway_engine.py", "--port", engine_port, *pause]))
            wait_for(engine_port, "/health")
            ports[pace] = {"engine": engine_port}
            for arm in arms:
                if arm != "engine":
                    ports[pace][arm] = stack.enter_context(started(arm, engine_port, Path(scratch) / f"{arm}-{pace}"))[
                        0
                    ]
        figures = measure(arms, ports, options)
        print_table(arms, figures)
        if "gateway" in arms:
            figures["start_up_s"] = [start_up_s(ports["fast"]["engine"], Path(scratch) / "start") for _ in range(3)]
            console.print(f"start-up of the gateway without engine: {statistics.median(figures['start_up_s']):.2f} s")
            if not options.no_memory:
                with started("gateway", ports["fast"]["engine"], Path(scratch) / "memory") as (port, pid):
                    figures["memory"] = memory(port, pid, options.memory_requests)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


def measure(arms: list[str], ports: dict[str, dict[str, int]], options: argparse.Namespace) -> dict:
    """All rounds, interleaved; `figures[arm][measure]` are the values of the rounds."""
    figures: dict = {arm: {} for arm in arms}
    cases = {
        "requests": ("fast", ["--seconds", options.seconds]),
        "streams": ("fast", ["--seconds", options.seconds, "--stream"]),
        # Started one after the other: all streams last alike, so clients that begin together would stay together.
        "paced": ("paced", ["--requests", CLIENTS * 3, "--stream", "--stagger-s", 0.083]),
    }
    for arm in arms:  # warm up
        load(ports["fast"][arm], ["--requests", 64])
    for number in range(options.rounds):
        for name, (pace, words) in cases.items():
            for arm in arms:
                console.print(f"round {number + 1}, {name}, {arm}", style="dim")
                figures[arm].setdefault(name, []).append(load(ports[pace][arm], words))
    return figures


def print_table(arms: list[str], figures: dict) -> None:
    """One row an arm: medians over the rounds, and the first-token time added to the engine's own."""
    table = Table(title=f"{CLIENTS} clients, 64 chunks a stream, medians of {len(figures[arms[0]]['requests'])} rounds")
    for column in ("arm", "requests/s", "streams/s", "first token p50 ms", "p99 ms", "added p50", "added p99"):
        table.add_column(column, justify="left" if column == "arm" else "right")

    def median(arm: str, case: str, name: str) -> float:
        return statistics.median(each[name] for each in figures[arm][case])

    for arm in arms:
        first = [median(arm, "paced", f"first_p{share}_ms") for share in (50, 99)]
        base = [median("engine", "paced", f"first_p{share}_ms") for share in (50, 99)] if "engine" in arms else [0, 0]
        table.add_row(
            arm,
            f"{median(arm, 'requests', 'per_second'):,.0f}",
            f"{median(arm, 'streams', 'per_second'):,.0f}",
            *(f"{value:.1f}" for value in first),
            *(f"{value - own:.1f}" for value, own in zip(first, base, strict=True)),
        )
    Console(width=110).print(table)


def memory(port: int, pid: int, requests: int) -> dict:
    """Resident memory over `requests` requests in 20 parts: the first part warms up, the slope is over the others."""
    sizes = []
    for part in range(20):
        load(port, ["--requests", requests // 20, *(["--stream"] if part % 4 == 3 else [])])
        sizes.append(resident_mib(pid))
        console.print(f"memory after {(part + 1) * requests // 20:,} requests: {sizes[-1]:.1f} MiB", style="dim")
    steady = sizes[len(sizes) // 4 :]
    slope = statistics.linear_regression(range(len(steady)), steady).slope * 20
    spread = statistics.stdev(b - a for a, b in itertools.pairwise(steady)) if len(steady) > 2 else 0.0
    console.print(
        f"RSS at most {max(sizes):.0f} MiB; slope {slope:+.2f} MiB per {requests:,} requests (steps ±{spread:.2f})"
    )
    return {"sizes_mib": sizes, "slope_mib": slope}


def start_up_s(engine_port: int, scratch: Path) -> float:
    """Seconds from the command to the first 200 of /readyz."""
    began = time.perf_counter()
    with started("gateway", engine_port, scratch):
        return time.perf_counter() - began


@contextmanager
def started(arm: str, engine_port: int, scratch: Path) -> Iterator[tuple[int, int]]:
    """Run one arm in front of the engine; yields its port and its process id."""
    scratch.mkdir(exist_ok=True)
    port = free_port()
    engine = f"http://127.0.0.1:{engine_port}"
    peer = PEERS / ".venv" / "bin"
    environment, health = dict(os.environ), "/health"
    if arm == "gateway":
        words = [sys.executable, "-m", "server", "--upstream", engine, "--port", port]
        environment |= gateway_environment(scratch)
        health = "/readyz"
    elif arm == "pass-through":
        words = [peer / "python", HERE / "gateway_passthrough.py", "--port", port, "--engine-port", engine_port]
        health = "/docs"
    elif arm.startswith("vllm-router"):
        words = [peer / "vllm-router", "--worker-urls", engine, "--host", "127.0.0.1", "--port", port]
        words += ["--prometheus-port", free_port(), *(["--policy", "round_robin"] if arm.endswith("rr") else [])]
    else:
        config = scratch / "litellm.yaml"
        config.write_text(
            "model_list:\n  - model_name: fake\n    litellm_params:\n"
            f"      model: openai/fake\n      api_base: {engine}/v1\n      api_key: none\n",
            encoding="utf-8",
        )
        words = [peer / "litellm", "--config", config, "--host", "127.0.0.1", "--port", port, "--num_workers", 1]
        environment |= {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        environment["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
        health = "/health/liveliness"
    with process(words, environment) as child:
        wait_for(port, health, 90)
        yield port, child.pid


def gateway_environment(scratch: Path) -> dict[str, str]:
    """The gateway's settings: everything that can be switched on is."""
    settings = {
        "GAZAL_LOG_LEVEL": "warning",
        "GAZAL_SECRET_FILE": scratch / "secret",
        "GAZAL_API_KEYS": json.dumps([KEY]),
        "GAZAL_KEYS_FILE": scratch / "keys.json",
        "GAZAL_AUDIT_FILE": scratch / "audit.jsonl",
        "GAZAL_REQUESTS_PER_MINUTE": 10**9,
        "GAZAL_TOKENS_PER_MINUTE": 10**12,
        "GAZAL_CONCURRENT_STREAMS": 10**6,
    }
    return {name: str(value) for name, value in settings.items()}


def install_peers() -> None:
    """Make the peers' environment, once."""
    if (PEERS / ".venv" / "bin" / "litellm").exists():
        return
    console.print(f"installing the peers into {PEERS}")
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "--python", sys.executable, PEERS / ".venv"], check=True)
    subprocess.run([uv, "pip", "install", "--python", PEERS / ".venv" / "bin" / "python", *PEER_PACKAGES], check=True)


def load(port: int, words: list) -> dict[str, float]:
    """One run of the load generator."""
    command = [sys.executable, HERE / "gateway_load.py", "--port", port, "--clients", CLIENTS, *words]
    command += ["--key", KEY]
    finished = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"the load failed: {finished.stderr[-1500:]}")
    figures: dict[str, float] = json.loads(finished.stdout)
    return figures


@contextmanager
def process(words: list, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """A child that is gone afterwards; what it wrote is shown when it ends by itself."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            list(map(str, words)), cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield child
        finally:
            ended = child.poll()
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if ended is not None:
                output.seek(0)
                console.print(f"{words[0]} ended by itself:\n{output.read().decode(errors='replace')[-2000:]}")


def wait_for(port: int, path: str, seconds: float = 20) -> None:
    """Return when the path answers 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nothing answers on port {port}{path}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def resident_mib(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
