"""Reasoning apart from the answer in chat replies, the same whatever the engine did.

Either the engine's own parser has split the text, then its field is doubled under the second common name; or the text
still holds the tags, then our grammar splits it. Clients find `reasoning` and `reasoning_content`, `content` that is
never null, and `reasoning_complete: false` where the budget ended inside the reasoning. Engine-private fields are left
out by building the reply from an allow-list.
"""

from __future__ import annotations

from typing import Any

from gazal.trace import Splitter

_PASSED = ("id", "object", "created", "model", "system_fingerprint")


def normalise_chat(reply: dict[str, Any], *, opened: bool) -> dict[str, Any]:
    """A finished chat completion. `opened`: the chat template ends with the opening tag."""
    return _envelope(reply) | {
        "choices": [_message_choice(choice, opened) for choice in reply["choices"]],
        "usage": _usage(reply),
    }


def normalise_completion(reply: dict[str, Any]) -> dict[str, Any]:
    """A text completion or one chunk of it: raw text, tags and all."""
    choices = [
        {name: choice.get(name) for name in ("index", "text", "logprobs", "finish_reason")}
        for choice in reply["choices"]
    ]
    usage = {"usage": _usage(reply)} if reply.get("usage") else {}
    return _envelope(reply) | {"choices": choices} | usage


class ChatStream:
    """Normalises the chunks of one streamed chat completion; has a splitter for each choice."""

    def __init__(self, *, opened: bool) -> None:
        self._opened = opened
        self._splitters: dict[int, Splitter] = {}
        self._engine_splits: set[int] = set()
        self._answer_began: set[int] = set()

    def chunk(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The chunks to send for one chunk of the engine; a chunk carries reasoning or content, never both."""
        out: list[dict[str, Any]] = []
        for choice in event.get("choices", ()):
            out += [_envelope(event) | {"choices": [part]} for part in self._choice(choice)]
        if event.get("usage"):
            out.append(_envelope(event) | {"choices": [], "usage": _usage(event)})
        return out

    def _choice(self, choice: dict[str, Any]) -> list[dict[str, Any]]:
        index, delta, finish = choice["index"], choice["delta"], choice.get("finish_reason")
        splitter = self._splitters.setdefault(index, Splitter(self._opened))
        deltas: list[dict[str, Any]] = []
        if delta.get("role"):
            deltas.append({"role": delta["role"], "content": ""})
        given = delta.get("reasoning") or delta.get("reasoning_content")
        if given:
            self._engine_splits.add(index)
            deltas.append(_reasoning(given))
        text = delta.get("content") or ""
        if index in self._engine_splits:
            if text:
                self._answer_began.add(index)
                deltas.append({"content": text})
        else:
            pieces = splitter.feed(text)
            if finish:
                pieces += splitter.finish()
            for piece in pieces:
                if piece.kind == "reasoning":
                    deltas.append(_reasoning(piece.text))
                elif piece.kind == "answer" and (content := self._answer(index, piece.text)):
                    deltas.append({"content": content})
        parts: list[dict[str, Any]] = [
            {"index": index, "delta": each, "logprobs": None, "finish_reason": None} for each in deltas
        ]
        if choice.get("logprobs") and parts:
            parts[-1]["logprobs"] = choice["logprobs"]
        if finish:
            complete = index in self._answer_began if index in self._engine_splits else not splitter.in_reasoning
            parts.append({"index": index, "delta": {}, "finish_reason": finish, "reasoning_complete": complete})
        return parts

    def _answer(self, index: int, text: str) -> str:
        """The answer without the blank lines that separate it from the reasoning."""
        if index not in self._answer_began:
            text = text.lstrip()
            if text:
                self._answer_began.add(index)
        return text


def _message_choice(choice: dict[str, Any], opened: bool) -> dict[str, Any]:
    message = choice["message"]
    content = message.get("content") or ""
    reasoning = message.get("reasoning") or message.get("reasoning_content")
    if reasoning:
        complete = bool(content)
    else:
        splitter = Splitter(opened)
        splitter.feed(content)
        splitter.finish()
        reasoning, complete = splitter.side("reasoning"), not splitter.in_reasoning
        content = splitter.side("answer").lstrip()
    shaped: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning:
        shaped |= _reasoning(reasoning)
    return {
        "index": choice["index"],
        "message": shaped,
        "logprobs": choice.get("logprobs"),
        "finish_reason": choice.get("finish_reason"),
        "reasoning_complete": complete,
    }


def _reasoning(text: str) -> dict[str, Any]:
    return {"reasoning": text, "reasoning_content": text}


def _envelope(reply: dict[str, Any]) -> dict[str, Any]:
    return {name: reply[name] for name in _PASSED if reply.get(name) is not None}


def _usage(reply: dict[str, Any]) -> dict[str, int]:
    usage = reply.get("usage") or {}
    return {name: usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
