"""The clinical request and its reasoned answer: what the endpoint takes, what it returns, how one becomes the other.

`reason` is an async generator of typed events, so that the JSON and the streaming form of the endpoint are the same
computation: `Step` when a reasoning step is complete, `AnswerDelta` while the answer is written, and one
`ReasonResponse` at the end with everything parsed again from the whole reply.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gazal.abstention import Abstention, abstained
from gazal.artifact import NOT_FOR_CLINICAL_USE
from gazal.case import MAX_TEXT_CHARS, ClinicalCase
from gazal.grammar import answer_regex
from gazal.prompting import Mode, Prompt, PromptError, render
from gazal.trace import CLOSE_TAG, Piece, ReasonedAnswer, Splitter, Step, StepParser, assemble
from server.agreement import Agreement, vote
from server.emergencies import RedFlag
from server.errors import ApiError
from server.schemas import Probability, Seed, Temperature

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from server.exchange import Exchange
    from server.gateway import Gateway
    from server.upstream import EngineStream

VignetteText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
OptionText = Annotated[str, Field(min_length=1, max_length=2_000)]


class _Documented(BaseModel):
    """The strings under the fields become their descriptions in the API's documentation."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ReasonRequest(_Documented):
    """Body of POST /v1/clinical/reason: a case or a vignette, what to do with it, and how to sample."""

    mode: Mode = "diagnosis"
    case: ClinicalCase | None = None
    vignette: VignetteText | None = None
    """Free text instead of a structured case; the abstract in mode `research`."""
    question: Annotated[str, Field(max_length=4_000)] = ""
    options: dict[str, OptionText] | None = None
    """Mode `mcq`: letters A, B, C ... to option texts."""
    model: Annotated[str | None, Field(max_length=200)] = None
    stream: bool = False

    temperature: Temperature = 0.7
    """The sampling defaults are those of the published model card."""
    top_p: Probability = 0.8
    top_k: Annotated[int, Field(ge=-1, le=10_000)] = 20
    seed: Seed | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 2048
    samples: Annotated[int, Field(ge=1, le=8)] = 1
    """Ask so many times and report how far the answers agree; needs a temperature above 0."""
    thinking_budget: Annotated[int | None, Field(ge=0, le=1 << 20)] = None
    """Tokens that the reasoning may take; needs an engine with a reasoning parser."""
    constrained: bool | None = None
    """Hold the reply to the grammar of a reasoned answer; by default only for a base model not trained on it."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.case is None) == (self.vignette is None):
            raise ValueError("give exactly one of 'case' (structured) and 'vignette' (free text)")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples: at temperature 0 all samples are the same; raise the temperature or ask for 1")
        return self

    def prompt(self) -> Prompt:
        """The rendered prompt. Raises ApiError naming the field that does not fit the mode."""
        case = self.case if self.case is not None else (self.vignette or "")
        try:
            return render(self.mode, case, question=self.question, options=self.options)
        except PromptError as error:
            raise ApiError(400, "invalid_value", f"{error.field}: {error}", error.field) from error


class ReasoningStep(_Documented):
    """One reasoning step."""

    number: int
    text: str


class Reasoning(_Documented):
    """The model's written reasoning; a text it produced, not a proof of how it decided."""

    text: str
    steps: list[ReasoningStep]
    complete: bool
    """False when the token budget ended inside the reasoning."""


class FinalAnswer(_Documented):
    """The answer in modes with a closed set: a label, or why none could be read."""

    value: str | None
    text: str | None
    """The option's text, in mode `mcq`."""
    failure: Literal["truncated", "no_answer", "ambiguous", "out_of_range", "empty", "error"] | None
    method: Literal["boxed", "line"] | None


class Usage(_Documented):
    """Token counts of the engine."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Of all samples together."""
    total_tokens: int = 0


class Timings(_Documented):
    """Measured in the gateway, from the arrival of the request."""

    first_token_ms: float | None
    total_ms: float


class Provenance(_Documented):
    """Where this answer came from, so that it can be asked for again."""

    model: str
    artifact_digest: str
    mode: Mode
    template_version: int
    template_sha256: str
    prompt_sha256: str
    sampling: dict[str, float | int | None]
    constrained: bool


class Sample(_Documented):
    """One of several answers to the same question."""

    answer: str
    """Markdown."""
    final_answer: FinalAnswer | None
    steps: int
    reasoning_complete: bool
    finish_reason: str | None


class ReasonResponse(_Documented):
    """A reasoned answer with everything needed to check it."""

    id: str
    object: Literal["clinical.reasoning"] = "clinical.reasoning"
    created: int
    reasoning: Reasoning
    answer: str
    """Markdown."""
    final_answer: FinalAnswer | None
    """null in the open modes."""
    abstained: bool | None
    """Whether "insufficient information" is the outcome; null when the reply was cut or is empty."""
    abstention: Abstention | None
    """said: the answer says so. option: the chosen option says so. disagreement: too few samples agree."""
    finish_reason: str | None
    agreement: Agreement | None
    """The vote of the samples; null with one sample, and in the open modes, whose answers cannot be counted."""
    samples: list[Sample] | None
    """All answers where several were asked for; the one shown above is the first that the majority agrees with."""
    red_flags: list[RedFlag] | None
    """Emergencies that fixed rules found in what was sent; null in mode `research`, where there is no patient."""
    usage: Usage
    timings: Timings
    provenance: Provenance
    disclaimer: str = NOT_FOR_CLINICAL_USE


@dataclass(frozen=True)
class AnswerDelta:
    """The next part of the answer's Markdown."""

    text: str


def engine_body(request: ReasonRequest, prompt: Prompt, gateway: Gateway) -> dict[str, Any]:
    """The engine's chat request for a clinical one."""
    body: dict[str, Any] = {
        "model": gateway.served.name,
        "messages": prompt.messages,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.samples > 1:
        body["n"] = request.samples
    if request.thinking_budget is not None:
        body["thinking_token_budget"] = request.thinking_budget
    if request.seed is not None:
        body["seed"] = request.seed
    if is_constrained(request, gateway):
        body["structured_outputs"] = {"regex": answer_regex(prompt.mode, prompt.choices)}
    return body


def is_constrained(request: ReasonRequest, gateway: Gateway) -> bool:
    """Whether the engine must hold the reply to the grammar."""
    return request.constrained if request.constrained is not None else not gateway.served.knows_grammar


async def reason(
    request: ReasonRequest,
    prompt: Prompt,
    stream: EngineStream,
    gateway: Gateway,
    exchange: Exchange,
    red_flags: list[RedFlag] | None,
) -> AsyncGenerator[tuple[int, Step | AnswerDelta] | ReasonResponse | None]:
    """Turn the engine's stream into steps and answer text, each with its sample's number, and last the whole response.

    None stands for a silence. Raises ApiError.
    """
    opened = gateway.served.opens_reasoning and not is_constrained(request, gateway)
    replies = [_Reply(opened) for _ in range(request.samples)]
    usage: dict[str, Any] = {}
    async for group in stream.events():
        if not group:
            yield None
        for event in group:
            usage = event["usage"] or usage
            for choice in event["choices"]:
                index = choice["index"]
                if not 0 <= index < len(replies):
                    raise ApiError(502, "engine_error", "the engine sent more samples than were asked for")
                parts = replies[index].feed(choice)
                if replies[index].began:
                    exchange.first_token()
                for part in parts:
                    yield index, part
    for index, reply in enumerate(replies):
        for part in reply.finish():
            yield index, part
    exchange.usage = usage
    answers = [reply.assemble(prompt) for reply in replies]
    exchange.truncated = any(answer.finish_reason == "length" for answer in answers)
    yield _response(request, prompt, answers, gateway, exchange, red_flags)


class _Reply:
    """Collects the deltas of one reply, whether the engine separates the reasoning or our splitter must."""

    def __init__(self, opened: bool) -> None:
        self.began = False
        self._splitter = Splitter(opened)
        self._steps = StepParser()
        self._answer_began = False
        self._engine_reasoning: list[str] = []
        self._engine_answer: list[str] = []
        self._finish_reason: str | None = None

    def feed(self, choice: dict[str, Any]) -> list[Step | AnswerDelta]:
        """Take one delta of the engine; return the steps and answer text that it completed."""
        delta = choice["delta"]
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        reasoning = delta.get("reasoning") or delta.get("reasoning_content") or ""
        content = delta.get("content") or ""
        self.began = self.began or bool(reasoning or content)
        out: list[Step | AnswerDelta] = []
        if reasoning:
            self._engine_reasoning.append(reasoning)
            out += self._steps.feed(reasoning)
        if content and self._engine_reasoning:
            if not self._engine_answer:
                out += self._steps.finish()
            self._engine_answer.append(content)
            out += self._answer(content)
        elif content:
            out += self._pieces(self._splitter.feed(content))
        return out

    def finish(self) -> list[Step | AnswerDelta]:
        """End of the reply: the last step, where the reasoning was cut off, and text that was held back."""
        return [*self._pieces(self._splitter.finish()), *self._steps.finish()]

    def assemble(self, prompt: Prompt) -> ReasonedAnswer:
        """The whole reply taken apart; in the rare reply that closes its reasoning twice, this is the truth."""
        by_engine = bool(self._engine_reasoning)
        answer = "".join(self._engine_answer)
        return assemble(
            "".join(self._engine_reasoning) if by_engine else self._splitter.reasoning,
            answer if by_engine else self._splitter.answer,
            reasoning_complete=bool(answer) if by_engine else not self._splitter.in_reasoning,
            finish_reason=self._finish_reason,
            choices=prompt.choices,
            options=prompt.options,
        )

    def _pieces(self, pieces: list[Piece]) -> list[Step | AnswerDelta]:
        out: list[Step | AnswerDelta] = []
        for piece in pieces:
            if piece.kind == "reasoning":
                out += self._steps.feed(piece.text)
            elif piece.kind == "answer":
                out += self._answer(piece.text)
            elif piece.text == CLOSE_TAG:
                out += self._steps.finish()
        return out

    def _answer(self, text: str) -> list[AnswerDelta]:
        """Answer text, without the blank lines that separate it from the reasoning."""
        text = text if self._answer_began else text.lstrip()
        self._answer_began = self._answer_began or bool(text)
        return [AnswerDelta(text)] if text else []


def _response(
    request: ReasonRequest,
    prompt: Prompt,
    answers: list[ReasonedAnswer],
    gateway: Gateway,
    exchange: Exchange,
    red_flags: list[RedFlag] | None,
) -> ReasonResponse:
    finals = [answer.final for answer in answers if answer.final is not None]
    chosen, agreement = 0, None
    if len(answers) > 1 and len(finals) == len(answers):
        chosen, agreement = vote(finals, gateway.calibration, gateway.served.digest, prompt.mode)
    answer = answers[chosen]
    abstention = abstained(
        answer.answer,
        answer.final,
        prompt.options,
        agreeing=agreement.agreeing if agreement else None,
        abstain_below=agreement.abstain_below if agreement else None,
    )
    outcome = "open" if answer.final is None else answer.final.failure or "answered"
    gateway.metrics.final_answers.labels(outcome).inc()
    first_s = exchange.first_token_s
    usage = exchange.usage or {}
    return ReasonResponse(
        id=f"reason-{uuid.uuid4().hex}",
        created=int(time.time()),
        reasoning=Reasoning(
            text=answer.reasoning,
            steps=[ReasoningStep(number=step.number, text=step.text) for step in answer.steps],
            complete=answer.reasoning_complete,
        ),
        answer=answer.answer,
        final_answer=_final(answer, prompt),
        abstained=abstention is not None if abstention or _is_whole(answer) else None,
        abstention=abstention,
        finish_reason=answer.finish_reason,
        agreement=agreement,
        samples=[_sample(each, prompt) for each in answers] if len(answers) > 1 else None,
        red_flags=red_flags,
        usage=Usage(**{name: usage.get(name, 0) for name in Usage.model_fields}),
        timings=Timings(
            first_token_ms=None if first_s is None else round(1000 * first_s, 1),
            total_ms=round(1000 * (time.perf_counter() - exchange.started), 1),
        ),
        provenance=Provenance(
            model=gateway.served.name,
            artifact_digest=gateway.served.digest,
            mode=prompt.mode,
            template_version=prompt.template_version,
            template_sha256=prompt.template_sha256,
            prompt_sha256=prompt.sha256,
            sampling={
                name: getattr(request, name)
                for name in ("temperature", "top_p", "top_k", "seed", "max_tokens", "samples", "thinking_budget")
            },
            constrained=is_constrained(request, gateway),
        ),
    )


def _is_whole(answer: ReasonedAnswer) -> bool:
    """Whether there is an answer of which one can say that it abstains or not."""
    cut = answer.finish_reason == "length" or not answer.reasoning_complete
    return bool(answer.answer.strip()) and not cut


def _final(answer: ReasonedAnswer, prompt: Prompt) -> FinalAnswer | None:
    final = answer.final
    if final is None:
        return None
    text = prompt.options.get(final.value) if final.value else None
    return FinalAnswer(value=final.value, text=text, failure=final.failure, method=final.method)


def _sample(answer: ReasonedAnswer, prompt: Prompt) -> Sample:
    return Sample(
        answer=answer.answer,
        final_answer=_final(answer, prompt),
        steps=len(answer.steps),
        reasoning_complete=answer.reasoning_complete,
        finish_reason=answer.finish_reason,
    )
