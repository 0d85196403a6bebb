"""Red flags of POST /v1/clinical/reason: first in the stream, in response and header, never lost to the engine."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from gazal.redflags import rules
from server.admission import Admission

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from server.gateway import Gateway
    from tests.fakes.engine import FakeEngine

REASON = "/v1/clinical/reason"
HEADER = "x-gazal-red-flags"
EMERGENCY = "A 62-year-old man with crushing chest pain for an hour, BP 82/50."
IDS = ["critical_vital_signs", "acute_coronary_syndrome"]
QUIET = "A 30-year-old woman with hay fever asks for eye drops."


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    pairs = [re.fullmatch(r"event: (\w+)\ndata: (.*)", block) for block in text.strip().split("\n\n")]
    return [(pair[1], json.loads(pair[2])) for pair in pairs if pair]


async def test_they_are_in_the_response_with_message_source_and_evidence(client: aiohttp.ClientSession) -> None:
    async with client.post(REASON, json={"vignette": EMERGENCY}) as response:
        flags = (await response.json())["red_flags"]
        assert response.headers[HEADER] == ",".join(IDS)
    assert [flag["id"] for flag in flags] == IDS
    assert flags[0]["evidence"] == ["BP 82/50"]
    assert "National Early Warning Score" in flags[0]["source"]
    assert set(flags[0]) == {"id", "title", "message", "source", "evidence"}


async def test_a_structured_case_and_its_question_are_both_checked(client: aiohttp.ClientSession) -> None:
    body = {"case": {"complaint": "unwell", "labs": {"potassium": 7.2}}, "question": "She now vomits blood. What next?"}
    async with client.post(REASON, json=body) as response:
        flags = (await response.json())["red_flags"]
    assert {flag["id"] for flag in flags} == {"hyperkalaemia", "gastrointestinal_bleed"}


async def test_nothing_found_is_an_empty_list_and_no_header(client: aiohttp.ClientSession) -> None:
    async with client.post(REASON, json={"vignette": QUIET}) as response:
        assert (await response.json())["red_flags"] == []
        assert HEADER not in response.headers


async def test_an_abstract_has_no_patient(client: aiohttp.ClientSession) -> None:
    body = {"mode": "research", "vignette": f"Methods. {EMERGENCY}", "question": "Does it help?"}
    async with client.post(REASON, json=body) as response:
        assert (await response.json())["red_flags"] is None
    async with client.post(REASON, json=body | {"stream": True}) as response:
        assert "red_flags" not in [name for name, _ in events(await response.text())]


@pytest.mark.parametrize(("vignette", "expected"), [(EMERGENCY, IDS), (QUIET, [])])
async def test_they_are_the_first_event_of_a_stream_and_in_its_last(
    client: aiohttp.ClientSession, vignette: str, expected: list[str]
) -> None:
    async with client.post(REASON, json={"vignette": vignette, "stream": True}) as response:
        found = events(await response.text())
    assert found[0][0] == "red_flags"
    assert [flag["id"] for flag in found[0][1]["red_flags"]] == expected
    assert [name for name, _ in found].count("red_flags") == 1
    assert found[-1][1]["red_flags"] == found[0][1]["red_flags"]


async def test_they_arrive_before_the_engine_says_anything(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    engine.fault = "stall"
    async with client.post(REASON, json={"vignette": EMERGENCY, "stream": True}) as response:
        async with asyncio.timeout(0.3):
            assert await response.content.readline() == b"event: red_flags\n"
        last = events(await response.text())[-1]
    assert last[0] == "error"


@pytest.mark.parametrize("fault", ["cut", "error_event", "stall"])
async def test_a_failing_engine_takes_none_away(client: aiohttp.ClientSession, engine: FakeEngine, fault: str) -> None:
    engine.fault = fault
    async with client.post(REASON, json={"vignette": EMERGENCY, "stream": True}) as response:
        found = events(await response.text())
    assert (found[0][0], found[-1][0]) == ("red_flags", "error")
    async with client.post(REASON, json={"vignette": EMERGENCY}) as response:
        assert response.status >= 500
        assert response.headers[HEADER] == ",".join(IDS)


async def test_a_full_server_still_says_them(client: aiohttp.ClientSession, gateway: Gateway) -> None:
    gateway.admission = Admission(0, 0, 1.0)
    async with client.post(REASON, json={"vignette": EMERGENCY, "stream": True}) as response:
        found = events(await response.text())
    assert [name for name, _ in found] == ["red_flags", "error"]
    async with client.post(REASON, json={"vignette": QUIET, "stream": True}) as response:
        assert response.status == 503


async def test_a_client_who_leaves_after_the_flags_leaves_no_place_taken(
    client: aiohttp.ClientSession, engine: FakeEngine, gateway: Gateway
) -> None:
    engine.delay_s = 0.2
    async with client.post(REASON, json={"vignette": EMERGENCY, "stream": True}) as response:
        await response.content.readline()
        response.close()
    async with asyncio.timeout(3):
        while gateway.exchanges or gateway.admission.running:
            await asyncio.sleep(0.01)


async def test_metrics_count_rules_and_hold_no_text(client: aiohttp.ClientSession) -> None:
    async with client.post(REASON, json={"vignette": EMERGENCY}):
        pass
    async with client.get("/metrics") as response:
        text = await response.text()
    assert 'gazal_red_flags_total{rule="acute_coronary_syndrome"} 1.0' in text
    labels = set(re.findall(r'gazal_red_flags_total\{rule="(\w+)"\}', text))
    assert labels <= {rule.id for rule in rules()}
    assert "crushing" not in text


async def test_a_long_vignette_does_not_hold_up_others(client: aiohttp.ClientSession) -> None:
    text = ("He slept well and had breakfast. " * 600)[:19_000] + " Vomiting blood."
    async with client.post(REASON, json={"vignette": text}) as response:
        assert [flag["id"] for flag in (await response.json())["red_flags"]] == ["gastrointestinal_bleed"]


async def test_the_evidence_reaches_no_log_and_no_audit(
    client: aiohttp.ClientSession, gateway: Gateway, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    canary = "CANARY7719 crushing chest pain"
    async with client.post(REASON, json={"vignette": canary}) as response:
        assert canary.split()[1] in (await response.json())["red_flags"][0]["evidence"][0]
    captured = capfd.readouterr()
    assert "crushing" not in captured.out + captured.err
