"""What the OpenAI-compatible endpoints accept: an allow-list of fields with bounds.

A field that is not here is refused by name rather than passed on: vLLM has private ones (chat templates, regular
expressions, prompt embeddings, bad words) through which a request could harm the engine or other users.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator


def _whole_characters(text: str) -> str:
    """Refuse half a surrogate pair: JSON can spell it, but it is no character and cannot be sent on."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair, which is no character; correct its encoding") from None
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
TokenCount = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
StopString = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(_Strict):
    """A text part of a message; other kinds (images, audio, files) are not accepted."""

    type: Literal["text"]
    text: Text


class Message(_Strict):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]
    name: Annotated[str | None, Field(max_length=64)] = None
    type: Literal["text"] = "text"
    """Sent by lm-eval beside the content; means nothing."""

    @field_validator("content", mode="before")
    @classmethod
    def _text_only(cls, value: object) -> object:
        if isinstance(value, list) and any(isinstance(part, dict) and part.get("type") != "text" for part in value):
            raise ValueError("only parts of type 'text' are accepted; this model reads no images, audio or files")
        return value

    @field_validator("content")
    @classmethod
    def _not_empty(cls, value: str | list[TextPart]) -> str | list[TextPart]:
        if not value:
            raise ValueError("is empty")
        return value

    def to_engine(self) -> dict[str, str]:
        """The message with plain string content."""
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class StreamOptions(_Strict):
    """OpenAI's stream options."""

    include_usage: bool = False


class _Generation(_Strict):
    model: Annotated[str, Field(min_length=1, max_length=200)]
    max_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int | None, Field(ge=-1, le=10_000)] = None
    min_p: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)] = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    n: Annotated[int, Field(ge=1, le=8)] = 1
    seed: Seed | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=8)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: Annotated[str | None, Field(max_length=256)] = None
    """Accepted and ignored; it may identify a person."""

    def sampling(self) -> dict[str, Any]:
        """The sampling fields that were set, in the engine's names."""
        names = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "n", "seed", "stop")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class ChatRequest(_Generation):
    """Body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=256)]
    max_completion_tokens: TokenCount | None = None
    """OpenAI's newer name of max_tokens; wins over it."""
    logprobs: bool = False
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None

    def to_engine(self) -> dict[str, Any]:
        """The engine's request, without token limit and streaming."""
        body = self.sampling() | {"messages": [message.to_engine() for message in self.messages]}
        if self.logprobs:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs or 0}
        return body


class CompletionRequest(_Generation):
    """Body of POST /v1/completions."""

    prompt: (
        Annotated[Text, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=8)]
    )
    echo: bool = False
    logprobs: Annotated[int | None, Field(ge=0, le=20)] = None

    def to_engine(self) -> dict[str, Any]:
        """The engine's request, without token limit and streaming."""
        body = self.sampling() | {"prompt": self.prompt, "echo": self.echo}
        if self.logprobs is not None:
            body["logprobs"] = self.logprobs
        return body
