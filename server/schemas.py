"""What the OpenAI-compatible endpoints accept: an allow-list of fields with bounds.

A field that is not here is refused by name rather than passed on: vLLM has private ones (chat templates, regular
expressions, prompt embeddings, bad words) through which a request could harm the engine or other users.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError


def _whole_characters(text: str) -> str:
    """Refuse half a surrogate pair: JSON can spell it, but it is no character and cannot be sent on."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair, which is no character; correct its encoding") from None
    return text


MAX_SCHEMA_BYTES = 32 * 1024
MAX_SCHEMA_DEPTH = 12

Text = Annotated[str, AfterValidator(_whole_characters)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
TokenCount = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
StopString = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    """No unknown fields, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(Strict):
    """A text part of a message; other kinds (images, audio, files) are not accepted."""

    type: Literal["text"]
    text: Text


class FunctionCall(Strict):
    """What an assistant turn called."""

    name: Annotated[str, Field(max_length=64)]
    arguments: Text


class ToolCall(Strict):
    """A call in an assistant turn of the conversation so far."""

    id: Annotated[str, Field(max_length=128)]
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Strict):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[TextPart] | None = None
    name: Annotated[str | None, Field(max_length=64)] = None
    tool_calls: Annotated[list[ToolCall] | None, Field(max_length=32)] = None
    tool_call_id: Annotated[str | None, Field(max_length=128)] = None
    refusal: None = None
    """Part of OpenAI's assistant turns; always null here."""
    reasoning: Text | None = None
    reasoning_content: Text | None = None
    """Reasoning of an earlier turn; accepted, since clients send turns back as they got them, and not passed on."""
    type: Literal["text"] = "text"
    """Sent by lm-eval beside the content; means nothing."""

    @field_validator("content", mode="before")
    @classmethod
    def _text_only(cls, value: object) -> object:
        if isinstance(value, list) and any(isinstance(part, dict) and part.get("type") != "text" for part in value):
            raise ValueError("only parts of type 'text' are accepted; this model reads no images, audio or files")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        calls = self.role == "assistant" and self.tool_calls
        if not self.content and not calls and not (self.role == "tool" and self.content is not None):
            raise PydanticCustomError("empty", "is empty", {"field": "content"})
        if self.role == "tool" and not self.tool_call_id:
            raise PydanticCustomError("missing_id", "is required in a turn of role 'tool'", {"field": "tool_call_id"})
        if self.tool_calls and self.role != "assistant":
            raise PydanticCustomError("misplaced", "belong to turns of role 'assistant'", {"field": "tool_calls"})
        return self

    def to_engine(self) -> dict[str, Any]:
        """The message with plain string content."""
        content = "".join(part.text for part in self.content) if isinstance(self.content, list) else self.content
        message: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": content}
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id:
            message["tool_call_id"] = self.tool_call_id
        return message


def _bounded_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuse a JSON schema that could cost the engine dearly: too long, too deep, or with regular expressions."""
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        raise ValueError(f"the schema is longer than {MAX_SCHEMA_BYTES} bytes")
    _check_schema(schema, 0)
    return schema


def _check_schema(node: object, depth: int) -> None:
    if depth > MAX_SCHEMA_DEPTH:
        raise ValueError(f"the schema is nested deeper than {MAX_SCHEMA_DEPTH} levels")
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str) or "patternProperties" in node:
            raise ValueError("the schema holds a regular expression, which is not accepted")
        if isinstance(node.get("$ref"), str) and not node["$ref"].startswith("#"):
            raise ValueError("the schema refers to something outside itself")
        for value in node.values():
            _check_schema(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            _check_schema(value, depth + 1)
    elif isinstance(node, int) and not -(2**63) <= node < 2**64:
        raise ValueError("the schema holds a whole number of more than 64 bits, which cannot be passed on")


JsonSchema = Annotated[dict[str, Any], AfterValidator(_bounded_schema)]


class FunctionDefinition(Strict):
    """A function that the model may call."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[Text | None, Field(max_length=4_000)] = None
    parameters: JsonSchema | None = None
    strict: bool | None = None


class Tool(Strict):
    """A tool; only functions exist."""

    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(Strict):
    """The name of a function."""

    name: Annotated[str, Field(max_length=64)]


class NamedTool(Strict):
    """The one tool to call."""

    type: Literal["function"]
    function: NamedFunction


class SchemaOfReply(Strict):
    """A named JSON schema."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[str | None, Field(max_length=1_000)] = None
    schema_: Annotated[JsonSchema, Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(Strict):
    """The form of the answer: free text, any JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaOfReply | None = None

    @model_validator(mode="after")
    def _schema_where_needed(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to type 'json_schema', and only there")
        return self


class TemplateOptions(Strict):
    """What may be told to the chat template."""

    enable_thinking: bool


class StreamOptions(Strict):
    """OpenAI's stream options."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None
    """Part of OpenAI's interface; there is none here."""


class _Generation(Strict):
    model: Annotated[str, Field(min_length=1, max_length=200)]
    max_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int | None, Field(ge=-1, le=10_000)] = None
    min_p: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)] = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    n: Annotated[int | None, Field(ge=1, le=8)] = None
    seed: Seed | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=8)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str | None, Field(max_length=256)] = None
    """Accepted and ignored; it may identify a person."""
    store: Literal[False] | None = None
    """Nothing is ever stored."""

    def sampling(self) -> dict[str, Any]:
        """The sampling fields that were set, in the engine's names."""
        names = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "n", "seed", "stop")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class ChatRequest(_Generation):
    """Body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=256)]
    max_completion_tokens: TokenCount | None = None
    """OpenAI's newer name of max_tokens; wins over it."""
    logprobs: bool | None = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    tools: Annotated[list[Tool] | None, Field(max_length=64)] = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    thinking_budget: Annotated[int | None, Field(ge=0, le=1 << 20)] = None
    """Tokens that the reasoning may take; the engine then ends it. Needs an engine with a reasoning parser."""
    chat_template_kwargs: TemplateOptions | None = None

    def to_engine(self) -> dict[str, Any]:
        """The engine's request, without token limit and streaming."""
        body = self.sampling() | {"messages": [message.to_engine() for message in self.messages]}
        if self.logprobs:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs or 0}
        if self.tools:
            body["tools"] = [tool.model_dump(exclude_none=True) for tool in self.tools]
            body["tool_choice"] = (
                self.tool_choice.model_dump() if isinstance(self.tool_choice, NamedTool) else self.tool_choice or "auto"
            )
            if self.parallel_tool_calls is not None:
                body["parallel_tool_calls"] = self.parallel_tool_calls
        if self.response_format and self.response_format.type != "text":
            body["response_format"] = self.response_format.model_dump(by_alias=True, exclude_none=True)
        if self.thinking_budget is not None:
            body["thinking_token_budget"] = self.thinking_budget
        if self.chat_template_kwargs:
            body["chat_template_kwargs"] = self.chat_template_kwargs.model_dump()
        return body

    def chars(self) -> int:
        """Length of the conversation, for the estimate of its tokens."""
        return sum(len(message.content or "") if isinstance(message.content, str) else 200 for message in self.messages)


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

    def chars(self) -> int:
        """Length of the prompts, for the estimate of their tokens."""
        return len(self.prompt) if isinstance(self.prompt, str) else sum(map(len, self.prompt))
