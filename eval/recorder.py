"""The LM that lm-eval drives: asks an endpoint, keeps everything that comes back, and resumes where a run was stopped.

lm-eval's own API models drop reasoning, finish reason, usage and latency, send every repeat with one seed, and end the
whole run at the first request that fails. This one stores each reply the moment it is complete; a failed request is
repeated only where that can help, and then becomes a row of its own. What the store already has is not asked again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from lm_eval.api.model import LM

from eval.constrained import applied, unwrapped
from eval.endpoint import EndpointError, RequestError
from eval.store import Key, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from lm_eval.api.instance import Instance

    from eval.concurrency import ConcurrencyFinder
    from eval.endpoint import Endpoint, Served
    from eval.store import Store

MAX_ATTEMPTS = 5
MAX_RATE_LIMITED = 40
"""Being told to wait is no failure, but it must end."""
MAX_TIMEOUTS = 2
"""A reply that twice took longer than the whole time-out will not come the third time."""
FIRST_BACKOFF_S = 1.0
_TICK_S = 0.5


class ErrorBudgetError(RuntimeError):
    """More requests failed than the run may have; the message says which and what to do."""


class Watcher(Protocol):
    """Told about every reply, from the store or from the server."""

    def replied(self, key: Key, reply: Reply, *, from_store: bool) -> None:
        """A reply is there."""

    def tick(self, tokens: int, in_flight: int, limit: int) -> None:
        """Time has passed."""


@dataclass(frozen=True)
class Request:
    """One question, one repeat, ready to send."""

    key: Key
    prompt: str
    sampling: dict[str, Any]
    max_tokens: int
    seed: int
    history: tuple[dict[str, str], ...] = ()
    """Turns before the prompt."""


@dataclass
class Recording:
    """Sends requests to `endpoint` and stores the replies; one per run."""

    endpoint: Endpoint
    store: Store
    finder: ConcurrencyFinder
    watcher: Watcher
    model: str
    max_errors: float = 0.005
    """Share of the requests that may fail for good; at least one always may."""
    first_backoff_s: float = FIRST_BACKOFF_S
    tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    _in_flight: int = 0

    async def ask_all(self, requests: list[Request]) -> dict[Key, Reply]:
        """Ask what the store does not have; returns every reply.

        Raises ErrorBudgetError, EndpointError for what no request can survive, StoreError when nothing can be written.
        """
        stored = self.store.replies()
        replies: dict[Key, Reply] = {}
        queue: deque[Request] = deque()
        for request in requests:
            known = stored.get(request.key)
            if known is None or (known.status == "error" and known.retryable):
                queue.append(request)
            else:
                replies[request.key] = known
                self.watcher.replied(request.key, known, from_store=True)
                if known.status == "error":
                    self._count_error(known)
        self.endpoint.on_tokens = self._count_tokens
        budget = max(1, int(self.max_errors * len(requests)))
        await self._drain(queue, replies, budget)
        if self.errors.total() > budget:
            raise ErrorBudgetError(self._over_budget(budget))
        return replies

    async def _drain(self, queue: deque[Request], replies: dict[Key, Reply], budget: int) -> None:
        workers: set[asyncio.Task[None]] = set()

        async def work() -> None:
            while queue and len(workers) <= self.finder.limit:
                request = queue.popleft()
                reply = await self._ask(request)
                self.store.add(request.key, reply)
                replies[request.key] = reply
                self.watcher.replied(request.key, reply, from_store=False)
                if reply.status == "error":
                    self._count_error(reply)
                    if self.errors.total() > budget:
                        raise ErrorBudgetError(self._over_budget(budget))

        try:
            while queue or workers:
                while queue and len(workers) < self.finder.limit:
                    workers.add(asyncio.create_task(work()))
                done, _ = await asyncio.wait(workers, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
                workers -= done
                failures = [error for worker in done if (error := worker.exception())]
                if failures:
                    raise failures[0]
                self.finder.observe(time.monotonic(), self.tokens, self._in_flight)
                self.watcher.tick(self.tokens, self._in_flight, self.finder.limit)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _ask(self, request: Request) -> Reply:
        """Ask until there is a reply or no hope; the reply says how often. Raises EndpointError."""
        body = request.sampling | {
            "model": self.model,
            "messages": [*request.history, {"role": "user", "content": request.prompt}],
            "seed": request.seed,
        }
        allowed = {"rate_limit": MAX_RATE_LIMITED, "timeout": MAX_TIMEOUTS}
        failures: Counter[str] = Counter()
        while True:
            self._in_flight += 1
            try:
                reply = await self.endpoint.ask(body, request.max_tokens)
                if "response_format" in body:
                    reply = replace(reply, content=unwrapped(reply.content))
                return replace(reply, attempts=failures.total() + 1, seed=request.seed, finished_at=time.time())
            except RequestError as error:
                if error.fatal:
                    raise EndpointError(error.message) from error
                failure = error
            finally:
                self._in_flight -= 1
            failures[failure.kind] += 1
            if not failure.retryable or failures[failure.kind] == allowed.get(failure.kind, MAX_ATTEMPTS):
                break
            if failure.kind == "rate_limit":
                self.finder.refused(time.monotonic())
            backoff_s = self.first_backoff_s * 2 ** min(failures[failure.kind] - 1, 4)
            await asyncio.sleep(failure.retry_after_s or backoff_s)
        return Reply(
            "error",
            error_kind=failure.kind,
            error=failure.message,
            retryable=failure.retryable,
            attempts=failures.total(),
            seed=request.seed,
            finished_at=time.time(),
        )

    def _count_tokens(self, count: int) -> None:
        self.tokens += count

    def _count_error(self, reply: Reply) -> None:
        self.errors[reply.error_kind or "error"] += 1
        self.last_error = reply.error or ""

    def _over_budget(self, budget: int) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.errors.most_common())
        return (
            f"{self.errors.total()} requests failed for good, {budget} may ({kinds}); the last one: {self.last_error}. "
            "Correct that and run the same command again: it goes on where it stopped. --max-errors raises the budget"
        )


class Recorder(LM):  # type: ignore[misc]
    """lm-eval's view of a recording. Works for `generate_until` only; there is no log-likelihood over a chat API."""

    def __init__(self, served: Served, run_seed: int, ask_all: Callable[[list[Request]], dict[Key, Reply]]) -> None:
        super().__init__()
        self._served = served
        self._run_seed = run_seed
        self._ask_all = ask_all

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """The content of each reply, in order; empty where a request failed.

        lm-eval hands each repeat of a question over as the same object again; they are told apart by counting.
        """
        repeats: Counter[int] = Counter()
        asked = []
        for instance in requests:
            asked.append(to_request(instance, repeats[id(instance)], self._served.artifact, self._run_seed))
            repeats[id(instance)] += 1
        replies = self._ask_all(asked)
        return [replies[request.key].content for request in asked]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not possible over a chat API."""
        raise NotImplementedError("a chat API gives no log-likelihoods; use the gazal_* tasks, which generate")

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not possible over a chat API."""
        raise NotImplementedError("a chat API gives no log-likelihoods; use the gazal_* tasks, which generate")


def to_request(instance: Instance, repeat: int, artifact: str, run_seed: int) -> Request:
    """The request for one repeat of an lm-eval instance. Raises ValueError for a stop string in the task."""
    prompt, generation = instance.args
    options = dict(generation)
    until, max_tokens = options.pop("until", []), int(options.pop("max_gen_toks"))
    options.pop("do_sample", None)
    if until:
        raise ValueError(f"{instance.task_name}: stop strings {until} could fire inside the reasoning; use until: []")
    sampling = json.dumps(options | {"max_tokens": max_tokens, "run_seed": run_seed}, sort_keys=True)
    row, prompt_sha256 = instance.doc["row_sha256"], instance.doc["prompt_sha256"]
    key = Key(artifact, str(instance.task_name), row, prompt_sha256, sampling, repeat)
    sent = applied(options, instance.doc["choices"])
    seed = seed_of(run_seed, str(instance.task_name), row, repeat)
    return Request(key, prompt, sent, max_tokens, seed, tuple(json.loads(instance.doc.get("history", "[]"))))


def seed_of(run_seed: int, task: str, row_sha256: str, repeat: int) -> int:
    """A seed for one repeat of one question: equal seeds would make vLLM's samples of a question near copies."""
    text = f"{run_seed}/{task}/{row_sha256}/{repeat}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
