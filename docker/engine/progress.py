"""Probe of a vLLM container: exit 0 while the engine makes progress, 1 with the reason when it does not.

vLLM's /health stays 200 while its core hangs, so an engine with work must move one of its own counters within the
patience given, and an engine without work must give one token. Standard library only: it is mounted into the official
image, where nothing of ours is installed. compose and Kubernetes run it as health check and liveness probe:

    python3 progress.py http://127.0.0.1:8000 20
"""

import json
import sys
import time
import urllib.error
import urllib.request

WORK = ("vllm:num_requests_running", "vllm:num_requests_waiting{", "vllm:num_requests_waiting ")


def main() -> None:
    """Probe once."""
    base, patience_s = sys.argv[1].rstrip("/"), float(sys.argv[2])
    try:
        deadline = time.monotonic() + patience_s
        before = counters(base, patience_s)
        if not works(before):
            ask_for_a_token(base, patience_s)
            return
        while time.monotonic() < deadline:
            time.sleep(min(0.5, patience_s / 4))
            now = counters(base, patience_s)
            if now != before or not works(now):
                return
    except (OSError, ValueError) as error:
        sys.exit(f"the engine does not answer: {error}")
    sys.exit(f"the engine has work and has made no progress for {patience_s:g} s")


def counters(base: str, timeout_s: float) -> list[str]:
    """The engine's own lines of its metrics."""
    with urllib.request.urlopen(base + "/metrics", timeout=timeout_s) as reply:  # noqa: S310
        return [line for line in reply.read().decode().splitlines() if line.startswith("vllm:")]


def works(lines: list[str]) -> bool:
    """Whether requests run or wait."""
    return any(line.startswith(WORK) and float(line.rpartition(" ")[2]) for line in lines)


def ask_for_a_token(base: str, timeout_s: float) -> None:
    """One token, for nobody."""
    with urllib.request.urlopen(base + "/v1/models", timeout=timeout_s) as reply:  # noqa: S310
        model = json.load(reply)["data"][0]["id"]
    body = json.dumps({"model": model, "prompt": "a", "max_tokens": 1}).encode()
    request = urllib.request.Request(base + "/v1/completions", body, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:  # noqa: S310
        reply.read()


if __name__ == "__main__":
    main()
