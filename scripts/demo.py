"""The demonstration behind `make demo`: serve the small model, reason through a case, run a benchmark, show the page.

It is a client like any other: it starts `python -m server` and `python -m ui` and talks to the server over HTTP only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.panel import Panel

sys.path.insert(0, str(Path(__file__).parents[1]))

from gazal.case import ClinicalCase

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = json.loads((Path(__file__).parent / "demo_cases.json").read_text(encoding="utf-8"))
EVAL_QUESTIONS = 16
EVAL_MAX_TOKENS = 256

console = Console(highlight=False)


def main() -> int:
    """Run the demonstration; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--ui-port", type=int, default=7860)
    parser.add_argument("--case", type=int, default=1, choices=range(1, len(CASES) + 1))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--oneshot", action="store_true", help="stop at the end instead of staying up")
    options = parser.parse_args()
    started = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):  # whatever was inherited: both end the server in order
        signal.signal(number, signal.default_int_handler)
    server = subprocess.Popen(
        [sys.executable, "-m", "server", "--model", options.model, "--port", str(options.port)],
        env=os.environ | {"GAZAL_LOG_LEVEL": "warning"},
        start_new_session=True,  # Ctrl-C reaches this script, which then stops the server in order
    )
    page: subprocess.Popen[bytes] | None = None
    try:
        base = f"http://127.0.0.1:{options.port}"
        if not wait_ready(base, server):
            return server.wait() or 1
        show_case(base, CASES[options.case - 1], options.seed, started)
        status = run_benchmark(base)
        show_next_steps(base)
        if not options.oneshot:
            page = start_page(base, options.ui_port)
            console.print("\nServing until Ctrl-C.")
            server.wait()
    except KeyboardInterrupt:
        console.print("\nstopping")
        status = 0
    finally:
        if page is not None:
            stop(page)
        stop(server)
    return status


def wait_ready(base: str, server: subprocess.Popen[bytes]) -> bool:
    """Wait for the server, which shows its own progress; False when it ended instead."""
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False


def show_case(base: str, case: dict[str, Any], seed: int, started: float) -> None:
    """Stream one case to the terminal: the steps, then the answer, then where it came from."""
    request = case["request"]
    told = ClinicalCase.model_validate(request["case"]).to_text()
    options = [f"{label}. {text}" for label, text in request["options"].items()]
    console.print(Panel("\n".join([told, "", request["question"], *options]), title=case["title"], width=100))
    answering = False
    for name, data in stream(f"{base}/v1/clinical/reason", request | {"stream": True, "temperature": 0, "seed": seed}):
        if name == "step":
            if data["number"] == 1:
                console.print(f"[dim]first step {time.monotonic() - started:.1f} s after the command[/]")
            console.print(Padding(f"[bold cyan]Step {data['number']}[/] {plain(data['text'])}", (0, 0, 0, 2)))
        elif name == "answer":
            if not answering:
                console.print()
            answering = True
            console.print(data["delta"], end="", markup=False)
        elif name == "error":
            raise SystemExit(f"the server reported: {data['error']['message']}")
        elif name == "done":
            show_outcome(data, case)


def show_outcome(response: dict[str, Any], case: dict[str, Any]) -> None:
    """Final answer, cost and provenance of a finished response."""
    final, usage = response["final_answer"], response["usage"]
    timings, provenance = response["timings"], response["provenance"]
    seconds = max(1e-3, (timings["total_ms"] - (timings["first_token_ms"] or 0)) / 1000)
    console.print("\n")
    if final["value"] is None:
        console.print(f"[yellow]No final answer could be read: {final['failure']}[/]")
    else:
        verdict = "right" if final["value"] == case["answer"] else f"wrong, the key is {case['answer']}"
        console.print(f"Final answer: [bold]{final['value']}. {plain(final['text'])}[/] ({verdict})")
    console.print(
        f"[dim]{usage['completion_tokens']} tokens, first after {timings['first_token_ms'] or 0:.0f} ms, "
        f"{usage['completion_tokens'] / seconds:.0f} tokens/s\n"
        f"model {provenance['model']}, artifact {provenance['artifact_digest'][:16]}, "
        f"prompt {provenance['prompt_sha256'][:16]}[/]"
    )
    if provenance["constrained"]:
        console.print(
            "[dim]This is an untrained base model: the server held it to the form of a reasoned answer. "
            "The form is real, the medicine is not.[/]"
        )
    console.print(f"[bold red]{response['disclaimer']}[/]\n")


def run_benchmark(base: str) -> int:
    """A short lm-eval run against the live server."""
    console.print(f"[bold]{EVAL_QUESTIONS} questions of the embedded set, through lm-eval against this server[/]")
    command = [sys.executable, "-m", "eval", "run", "--suite", "smoke", "--base-url", f"{base}/v1"]
    command += ["--limit", str(EVAL_QUESTIONS), "--max-tokens", str(EVAL_MAX_TOKENS)]
    status = subprocess.run(command, check=False).returncode
    console.print(
        "[dim]`unread` and `cut` are the replies without a readable final answer; here nothing holds the model to the "
        "form, so a base model that was never trained on it answers little or nothing.[/]"
    )
    return status


def start_page(base: str, port: int) -> subprocess.Popen[bytes]:
    """Start the clinician demo over the running server; it prints its address itself."""
    return subprocess.Popen(
        [sys.executable, "-m", "ui", "--server-url", base, "--port", str(port)], start_new_session=True
    )


def show_next_steps(base: str) -> None:
    """Where to go from here."""
    console.print(
        Markdown(
            f"**Next**\n\n- API and its description: {base}/docs\n"
            "- the page for clinicians follows below; recorded answers without a server: `make ui REPLAY=1`\n"
            "- another case: `make demo CASE=2`; your own weights: `make serve MODEL=DIR|org/repo`\n"
            "- real benchmarks: `GAZAL_DATA_DIR=... make eval`\n- README.md and docs/"
        )
    )


def stream(url: str, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """POST and yield (event name, data) of the server-sent events."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    name = ""
    try:
        with urllib.request.urlopen(request, timeout=600) as response:
            for line in response:
                text = line.decode().rstrip("\n")
                if text.startswith("event: "):
                    name = text.removeprefix("event: ")
                elif text.startswith("data: "):
                    yield name, json.loads(text.removeprefix("data: "))
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the server refused: {json.load(error)['error']['message']}") from error


def plain(text: str) -> str:
    """Model text without console markup."""
    return text.replace("[", r"\[")


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server in order, by force only when it does not."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
