"""The parts of `make e2e-cluster`: real processes on free loopback ports, each started as docker/ starts it.

Every configuration is the shipped file with its addresses replaced, so that what runs here is what is deployed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gazal.models import Model, gazal_home, resolve
from server.engine import ENVIRONMENT, command
from server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ROUTER_HOME = gazal_home() / "e2e-router"
KEY = "a-key-of-the-cluster-that-nobody-else-uses"
NAME = "tiny-qwen3"


@dataclass
class Part:
    """One process and where it listens."""

    name: str
    words: list[str]
    port: int
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a group of its own."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.words,
                cwd=ROOT,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """To the whole group, as a machine that loses power or hangs."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self.process is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        self.signal(signal.SIGKILL)
        self.process.wait()

    def core(self) -> int:
        """The process of vLLM that computes, which hangs on its own in the worst failures."""
        assert self.process
        listing = subprocess.run(["ps", "-eo", "pid=,pgid=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in listing.splitlines()]
        cores = [int(pid) for pid, group, words in rows if int(group) == self.process.pid and "EngineCore" in words]
        if not cores:
            raise SystemExit(f"no EngineCore process in {self.name}")
        return cores[0]

    def wait(self, path: str, seconds: float, scheme: str = "http") -> float:
        """Return the seconds until it answers 200 there."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.process and self.process.poll() is not None:
                break
            if answers(f"{scheme}://127.0.0.1:{self.port}{path}"):
                return time.monotonic() - began
            time.sleep(0.2)
        raise SystemExit(f"{self.name} is not ready; the end of its log:\n{self.log.read_text()[-3000:]}")


def answers(url: str) -> bool:
    """Whether a GET gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def value(part: Part, series: str, key: str = "none") -> float:
    """The sum of a metric's series, as a part exports them."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{part.port}/metrics", headers={"authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{series}[{{ ]", line))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(parts: list[Part]) -> Iterator[None]:
    """Stop all parts afterwards, the last started first."""
    try:
        yield
    finally:
        for part in reversed(parts):
            part.stop()


def install_router() -> Path:
    """vllm-router in an environment of its own, from the lock of its image, once; returns its command."""
    program = ROUTER_HOME / "bin" / "vllm-router"
    if not program.exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, ROUTER_HOME], check=True)
        lock = ROOT / "requirements" / "router.txt"
        python = ROUTER_HOME / "bin" / "python"
        install = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", python, "-r", lock]
        subprocess.run(install, check=True)
    return program


def engine(number: int, model: Model, scratch: Path) -> Part:
    """A vLLM replica with the flags that `python -m server` gives its own, on a port in place of a socket."""
    port = free_port()
    settings = Settings(engine_kv_cache_bytes=1 << 28, engine_context_tokens=2048)
    words = command(model, settings, Path("unused"))
    place = words.index("--uds")
    words[place : place + 2] = ["--host", "127.0.0.1", "--port", str(port)]
    return Part(f"engine-{number}", words, port, scratch / f"engine-{number}.log", ENVIRONMENT)


def router(engines: list[Part], scratch: Path) -> Part:
    """vllm-router with the flags of docker/k8s/router, its engines named in place of found."""
    port = free_port()
    manifests = yaml.safe_load_all((ROOT / "docker" / "k8s" / "router" / "router.yaml").read_text())
    deployment = next(manifest for manifest in manifests if manifest["kind"] == "Deployment")
    words = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    kept = without(words, {"--service-discovery": 0, "--selector": 1, "--service-discovery-port": 1})
    kept = without(kept, {"--service-discovery-namespace": 1, "--host": 1, "--port": 1, "--prometheus-host": 1})
    own = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    urls = [f"http://127.0.0.1:{part.port}" for part in engines]
    return Part("router", [str(install_router()), *kept, *own, "--worker-urls", *urls], port, scratch / "router.log")


def without(words: list[str], options: dict[str, int]) -> list[str]:
    """The words less these options and so many values of each."""
    kept, skip = [], 0
    for word in words:
        if skip:
            skip -= 1
        elif word in options:
            skip = options[word]
        else:
            kept.append(word)
    return kept


def gateway(upstream: Part, scratch: Path) -> Part:
    """Our gateway with keys and audit, as the image runs it."""
    port = free_port()
    environment = {
        "GAZAL_LOG_LEVEL": "info",
        "GAZAL_SECRET_FILE": str(scratch / "secret"),
        "GAZAL_API_KEYS": json.dumps([KEY]),
        "GAZAL_KEYS_FILE": str(scratch / "keys.json"),
        "GAZAL_AUDIT_FILE": str(scratch / "audit.jsonl"),
    }
    words = [sys.executable, "-m", "server", "--upstream", f"http://127.0.0.1:{upstream.port}", "--port", str(port)]
    return Part("gateway", words, port, scratch / "gateway.log", environment)


def prometheus(gateway_part: Part, engines: list[Part], scratch: Path) -> Part:
    """Prometheus with our rules; windows and waits are shortened, since nobody waits for minutes here."""
    port = free_port()
    rules = (ROOT / "docker" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    rules = re.sub(r"for: \d+[sm]", "for: 2s", rules)
    rules = rules.replace("[2m]", "[10s]").replace("[5m]", "[20s]")
    (scratch / "rules.yml").write_text(rules, encoding="utf-8")
    shipped: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())
    (scratch / "metrics_key").write_text(KEY, encoding="utf-8")
    shipped["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    gateway_job, engine_job = shipped["scrape_configs"]
    gateway_job["authorization"]["credentials_file"] = str(scratch / "metrics_key")
    gateway_job["static_configs"] = [{"targets": [f"127.0.0.1:{gateway_part.port}"]}]
    replicas = [{"targets": [f"127.0.0.1:{part.port}"], "labels": {"replica": part.name}} for part in engines]
    shipped["scrape_configs"][1] = {"job_name": engine_job["job_name"], "static_configs": replicas}
    (scratch / "prometheus.yml").write_text(yaml.safe_dump(shipped), encoding="utf-8")
    words = ["prometheus", f"--config.file={scratch / 'prometheus.yml'}", f"--storage.tsdb.path={scratch / 'tsdb'}"]
    return Part("prometheus", [*words, f"--web.listen-address=127.0.0.1:{port}"], port, scratch / "prometheus.log")


def nginx(gateway_part: Part, scratch: Path) -> Part:
    """nginx with our example, its ports and paths replaced, and a certificate made for the run."""
    port = free_port()
    certificate(scratch)
    shipped = (ROOT / "docker" / "nginx" / "gazal.conf").read_text(encoding="utf-8")
    site = (
        shipped.replace("listen 443", f"listen 127.0.0.1:{port}")
        .replace("server 127.0.0.1:8000", f"server 127.0.0.1:{gateway_part.port}")
        .replace("server_name gazal.example.org", "server_name localhost")
        .replace("/etc/nginx/tls", str(scratch))
        .replace("/var/log/nginx", str(scratch))
    )
    main = f"daemon off; worker_processes 1; pid {scratch}/nginx.pid; error_log {scratch}/nginx-error.log;\n"
    paths = "".join(
        f"{name}_temp_path {scratch}/nginx-{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (scratch / "nginx.conf").write_text(main + "events {}\nhttp {" + paths + site + "}\n", encoding="utf-8")
    words = ["nginx", "-e", str(scratch / "nginx-error.log"), "-c", str(scratch / "nginx.conf")]
    return Part("nginx", words, port, scratch / "nginx.log")


def certificate(scratch: Path) -> None:
    """A self-signed certificate for localhost."""
    command_line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command_line += ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command_line += ["-keyout", str(scratch / "gazal.key"), "-out", str(scratch / "gazal.crt")]
    subprocess.run(command_line, check=True, capture_output=True)


def tiny_model(scratch: Path) -> Model:
    """The tiny Qwen3, made afresh."""
    from tests.e2e import tiny_qwen3

    directory = scratch / "model"
    directory.mkdir()
    tiny_qwen3.make(directory, ["What is it?", "hello", "A 64-year-old man with chest pain."])
    return resolve(str(directory))
