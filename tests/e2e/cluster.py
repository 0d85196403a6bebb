"""The `replicas` topology for real, on one machine: what is lost when engines die and hang under load.

    make e2e-cluster            # about five minutes and 4 GB; not part of `make test`

client -TLS-> nginx -> gateway -> vllm-router -> two vLLM replicas of the tiny model, and Prometheus with our rules.
Under steady load one replica is killed (SIGKILL to all its processes) and started again, then the computing process of
the other is frozen (SIGSTOP, so that its API and /health go on answering) and thawed. Asserted: no request is lost of
which nothing had been streamed, probe and alerts tell and go out again, and both replicas work at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.e2e import cluster_parts as parts
from tests.e2e.cluster_load import Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.cluster_load import Outcome

START_S = 900
"""vLLM starts in a minute on two quiet cores, and in many on busy ones."""

console = Console(stderr=True, width=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--think-s", type=float, default=1.0, help="pause of a client between two requests")
    parser.add_argument("--frozen-s", type=float, default=20.0)
    parser.add_argument("--keep", type=Path, help="keep all logs in this directory")
    options = parser.parse_args()
    for program in ("prometheus", "nginx", "openssl"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing; .ci/run installs Debian's packages")
    with tempfile.TemporaryDirectory() as temporary:
        scratch = options.keep or Path(temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        console.print("making the tiny model")
        model = parts.tiny_model(scratch)
        engines = [parts.engine(number, model, scratch) for number in (1, 2)]
        router = parts.router(engines, scratch)
        gateway = parts.gateway(router, scratch)
        prometheus = parts.prometheus(gateway, engines, scratch)
        nginx = parts.nginx(gateway, scratch)
        with parts.running([*engines, router, gateway, prometheus, nginx]):
            for part, path in [*((engine, "/health") for engine in engines), (router, "/health"), (gateway, "/readyz")]:
                part.start()
                console.print(f"{part.name} ready after {part.wait(path, START_S):.1f} s")
            prometheus.start()
            nginx.start()
            prometheus.wait("/-/ready", 60)
            trust = ssl.create_default_context(cafile=str(scratch / "gazal.crt"))
            load = Load(f"https://127.0.0.1:{nginx.port}", parts.KEY, trust, options.clients, options.think_s)
            cluster = Cluster(engines, gateway, prometheus, load, options.frozen_s)
            asyncio.run(cluster.play())
            for series in ("gazal_engine_retries_total", "gazal_audit_chain_sound"):
                console.print(f"{series} {parts.value(gateway, series, parts.KEY):g}")
    return cluster.report()


_SERVING = ("both replicas", "one killed", "started again", "thawed")
"""Phases in which replies must end. While a replica is frozen they need not: it takes requests and answers /health, so
the router keeps sending it work, until the probe that finds it has it started again (which nobody does here)."""


class Cluster:
    """The story, step by step."""

    def __init__(
        self, engines: list[parts.Part], gateway: parts.Part, prometheus: parts.Part, load: Load, frozen_s: float
    ) -> None:
        self.engines = engines
        self.gateway = gateway
        self.prometheus = prometheus
        self.load = load
        self.frozen_s = frozen_s
        self.phases: dict[str, list[Outcome]] = {}
        self.failures: list[str] = []
        self.seen: dict[str, float] = {}
        self.well: dict[str, bool] = {}
        self.unready_s = 0.0

    async def play(self) -> None:
        """Everything that happens to the cluster."""
        running = asyncio.create_task(self.load.run())
        probing = [asyncio.create_task(self.probe(engine)) for engine in self.engines]
        probing.append(asyncio.create_task(self.watch_gateway()))
        await self.phase("both replicas", self.pause(10))
        await self.phase("one killed", self.killed())
        await self.phase("started again", self.started_again())
        await self.phase("other frozen", self.frozen())
        await self.phase("thawed", self.thawed())
        self.load.stop()
        await running
        for task in probing:
            task.cancel()
        self.phases["after the last step"] = self.load.outcomes[sum(map(len, self.phases.values())) :]

    async def phase(self, name: str, step: object) -> None:
        """One step, and the requests that ended in it."""
        console.print(f"{name} ...")
        before = len(self.load.outcomes)
        await step  # type: ignore[misc]
        self.phases[name] = self.load.outcomes[before:]

    async def probe(self, engine: parts.Part) -> None:
        """What the kubelet does: the shipped probe now and then; its last verdict is kept."""
        script = str(parts.ROOT / "docker" / "engine" / "progress.py")
        while True:
            words = [sys.executable, script, f"http://127.0.0.1:{engine.port}", "5"]
            finished = await asyncio.to_thread(subprocess.run, words, capture_output=True, check=False)
            self.well[engine.name] = finished.returncode == 0
            await asyncio.sleep(3)

    async def watch_gateway(self) -> None:
        """What a load balancer does; one replica is enough for the gateway to be ready."""
        while True:
            if not await asyncio.to_thread(parts.answers, f"http://127.0.0.1:{self.gateway.port}/readyz"):
                self.unready_s += 0.5
            await asyncio.sleep(0.5)

    async def pause(self, seconds: float) -> None:
        """Let the load run."""
        await asyncio.sleep(seconds)

    async def killed(self) -> None:
        """SIGKILL to all of the first replica."""
        self.engines[0].signal(signal.SIGKILL)
        await self.until("GazalReplicaDown fires", lambda: self.firing("GazalReplicaDown"), 60)
        await self.pause(8)

    async def started_again(self) -> None:
        """As Kubernetes would."""
        self.engines[0].start()
        await self.until("the replica answers", lambda: healthy(self.engines[0]), START_S)
        before = tokens(self.engines[0])
        await self.until("the replica gets work", lambda: tokens(self.engines[0]) > before, 60)
        await self.until("GazalReplicaDown is over", lambda: not self.firing("GazalReplicaDown"), 60)
        await self.pause(5)

    async def frozen(self) -> None:
        """SIGSTOP to the computing process of the second replica."""
        core = self.engines[1].core()
        began_s = time.monotonic()
        os.kill(core, signal.SIGSTOP)
        if not await asyncio.to_thread(healthy, self.engines[1]):
            self.failures.append("a frozen replica was expected to go on answering /health")
        await self.until("the probe finds the frozen replica", lambda: not self.well["engine-2"], 60)
        await self.until("GazalEngineStalled fires", lambda: self.firing("GazalEngineStalled"), 60)
        done = len(self.load.outcomes)
        await self.pause(max(3.0, self.frozen_s - (time.monotonic() - began_s)))
        if len(self.load.outcomes) == done:
            console.print("no request ended while the replica was frozen", style="yellow")

    async def thawed(self) -> None:
        """SIGCONT."""
        os.kill(self.engines[1].core(), signal.SIGCONT)
        before = tokens(self.engines[1])
        await self.until("the thawed replica works", lambda: tokens(self.engines[1]) > before, 60)
        await self.until("the probe finds it well", lambda: self.well["engine-2"], 60)
        await self.until("GazalEngineStalled is over", lambda: not self.firing("GazalEngineStalled"), 60)
        await self.pause(5)

    async def until(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for something that must come, and note how long it took."""
        began_s = time.monotonic()
        while not await asyncio.to_thread(condition):
            if time.monotonic() - began_s > seconds:
                self.failures.append(f"not within {seconds:g} s: {what}")
                return
            await asyncio.sleep(0.3)
        self.seen[what] = time.monotonic() - began_s

    def firing(self, alert: str) -> bool:
        """Whether Prometheus fires it now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.prometheus.port}/api/v1/alerts", timeout=5) as reply:
            alerts = json.load(reply)["data"]["alerts"]
        return any(each["labels"]["alertname"] == alert and each["state"] == "firing" for each in alerts)

    def report(self) -> int:
        """Print what happened; 0 when everything held."""
        table = Table(title=f"{self.load.clients} clients, half of them streaming")
        for column in ("phase", "complete", "interrupted", "lost", "median s", "longest s"):
            table.add_column(column, justify="left" if column == "phase" else "right")
        for name, outcomes in self.phases.items():
            endings = Counter(outcome.ending for outcome in outcomes)
            times = [outcome.total_s for outcome in outcomes] or [0.0]
            counts = [str(endings[ending]) for ending in ("complete", "interrupted", "lost")]
            table.add_row(name, *counts, f"{statistics.median(times):.2f}", f"{max(times):.2f}")
        console.print(table)
        for what, seconds in self.seen.items():
            console.print(f"{what} after {seconds:.1f} s")
        ended = [outcome for outcomes in self.phases.values() for outcome in outcomes]
        why = Counter(
            f"{'stream' if each.streamed else 'whole'} {each.ending}: {each.why}"
            for each in ended
            if each.ending != "complete"
        )
        for reason, count in why.most_common():
            console.print(f"  {count} x {reason}")
        lost = sum(outcome.ending == "lost" for outcome in ended)
        if lost:
            self.failures.append(f"{lost} requests were lost of which nothing had been streamed")
        console.print(f"the gateway was not ready for {self.unready_s:g} s")
        if self.unready_s > 2:
            self.failures.append("the gateway was not ready while a replica served")
        if sum(outcome.ending == "interrupted" for outcome in ended) > self.load.clients:
            self.failures.append("more streams were interrupted than can have been running when the replica was killed")
        for name in _SERVING:
            if not any(outcome.ending == "complete" for outcome in self.phases[name]):
                self.failures.append(f"no reply was completed while: {name}")
        for failure in self.failures:
            console.print(f"FAILED: {failure}", style="red", highlight=False)
        console.print("all held" if not self.failures else f"{len(self.failures)} failures")
        return 1 if self.failures else 0


def healthy(engine: parts.Part) -> bool:
    """Whether vLLM's own /health says so."""
    return parts.answers(f"http://127.0.0.1:{engine.port}/health")


def tokens(engine: parts.Part) -> float:
    """Tokens that a replica has generated; 0 while it does not answer."""
    try:
        return parts.value(engine, "vllm:generation_tokens_total")
    except OSError:
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
