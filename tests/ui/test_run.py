"""A run from its events: what is shown when, and that stopping it closes the source."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from tests.ui.answers import response
from ui.client import Event, Failure, ModelInfo
from ui.run import Run, follow
from ui.session import Session, Stops

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Scripted:
    """A source that plays a script: events, pauses in seconds, failures."""

    def __init__(self, *script: Any) -> None:
        self.script = script
        self.closed = False

    async def model(self) -> ModelInfo:
        return ModelInfo("x", None)

    async def stream(self, request: dict[str, Any]) -> AsyncGenerator[Event]:
        try:
            for item in self.script:
                if isinstance(item, Event):
                    yield item
                elif isinstance(item, Failure):
                    raise item
                else:
                    await asyncio.sleep(item)
        finally:
            self.closed = True


def step(number: int, **more: Any) -> Event:
    return Event("step", {"number": number, "text": f"text {number}"} | more)


def answer(text: str, **more: Any) -> Event:
    return Event("answer", {"delta": text} | more)


async def states(source: Scripted, stop: asyncio.Event | None = None) -> tuple[Run, list[tuple[int, str, str]]]:
    run = Run({}, "", "")
    seen = []
    async for now in follow(run, source, stop or asyncio.Event()):
        seen.append((len(now.steps), now.answer, now.state))
    return run, seen


async def test_each_step_is_shown_at_once_and_the_last_state_is_the_end() -> None:
    run, seen = await states(Scripted(step(1), step(2), Event("done", response())))
    assert [steps for steps, _, _ in seen[:2]] == [1, 2]
    assert seen[-1][2] == "done"
    assert run.model == "gazal-r1-nano"


async def test_answer_text_is_gathered_but_never_held_back_for_long() -> None:
    _, seen = await states(Scripted(step(1), *[answer("a") for _ in range(50)], 0.4, Event("done", response())))
    texts = [text for _, text, _ in seen]
    assert len(seen) < 20
    assert "a" * 50 in texts


async def test_a_response_that_differs_from_the_stream_is_the_truth() -> None:
    run, _ = await states(Scripted(step(5), answer("wrong"), Event("done", response())))
    assert [(each.number, each.text) for each in run.steps] == [(1, "Look."), (2, "Think.")]
    assert run.answer.startswith("## Clinical Assessment")


async def test_other_samples_are_counted_and_kept_apart() -> None:
    run, _ = await states(Scripted(step(1, sample=0), step(1, sample=2), step(2, sample=2), answer("b", sample=1), 0.2))
    assert len(run.steps) == 1
    assert run.answer == ""
    assert run.other_samples == {2: 2}


async def test_stopping_closes_the_source_and_keeps_what_came() -> None:
    source, stop = Scripted(step(1), 30), asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stop.set)
    run, _ = await asyncio.wait_for(states(source, stop), 2)
    assert source.closed
    assert (run.state, len(run.steps)) == ("stopped", 1)


async def test_leaving_closes_the_source() -> None:
    source = Scripted(step(1), 30)
    async with contextlib.aclosing(follow(Run({}, "", ""), source, asyncio.Event())) as updates:
        async for _ in updates:
            break
    assert source.closed


async def test_a_failure_and_an_event_that_is_none_end_the_run() -> None:
    run, _ = await states(Scripted(step(1), Failure("silent")))
    assert run.state == "failed"
    assert run.failure is not None
    assert run.failure.kind == "silent"
    broken, _ = await states(Scripted(Event("step", {"text": "no number"})))
    assert broken.state == "failed"


def test_flags_in_the_response_win_and_null_does_not_erase_those_that_came_first() -> None:
    run = Run({}, "", "")
    run.take(Event("red_flags", {"red_flags": [{"title": "first"}]}))
    run.take(Event("done", response()))
    assert run.red_flags == [{"title": "first"}]
    run.take(Event("done", response(red_flags=[])))
    assert run.red_flags == []


def test_a_new_run_of_a_page_ends_the_old_one_and_only_that_pages() -> None:
    stops = Stops()
    mine, yours = stops.begin("me"), stops.begin("you")
    again = stops.begin("me")
    assert (mine.is_set(), yours.is_set(), again.is_set()) == (True, False, False)
    stops.end("me", mine)
    stops.stop("me")
    assert again.is_set()


def test_identifiers_are_pointed_out_once_for_each_text() -> None:
    session = Session()
    assert session.must_warn("Jane Doe")
    assert not session.must_warn("Jane Doe")
    assert session.must_warn("Jane Doe, again")


def test_clearing_forgets_everything() -> None:
    session = Session(own="mine", feedback=[{"a": 1}], votes=[{"b": 2}], warned_of="x", saved=3)
    session.clear()
    assert session == Session()


async def test_both_sides_are_shown_to_their_end_however_fast_they_are() -> None:
    """A regression: the last state of two quick answers was never shown."""
    from ui.actions import both
    from ui.case_form import Form
    from ui.texts import LANGUAGES

    session = Session()
    form = Form(complaint="Wheeze")
    quick = Scripted(step(1), Event("done", response()))
    updates = [
        update
        async for update in both(session, form, True, "me", quick, Scripted(*quick.script), Stops(), LANGUAGES["en"])
    ]
    shown = [update[1:3] for update in updates if isinstance(update[1], str)][-1]
    assert all("gz-done" in view for view in shown)
    assert session.pair is not None
    assert session.pair.finished
