"""How far several answers agree, as a count: k of n, who dissents, and measured accuracy where it was measured.

No percentage is shown for the vote itself: in a study of 28 clinicians high confidence scores raised trust and cut
accuracy (arXiv 2501.16693).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ui.render import escaped, markdown

if TYPE_CHECKING:
    from ui.texts import Texts


def has_consensus(vote: dict[str, Any]) -> bool:
    """Whether more than half of the answers agree on one."""
    return not vote["tied"] and 2 * int(vote["agreeing"]) > int(vote["samples"])


def agreement_card(vote: dict[str, Any], final: dict[str, Any], t: Texts) -> str:
    """The vote as HTML."""
    k, n = int(vote["agreeing"]), int(vote["samples"])
    value = str(final.get("value") or "")
    if k == 0:
        headline = t["agreement_unread"].format(n=n)
    elif vote["tied"]:
        headline = t["agreement_none"].format(k=k, n=n)
    elif not has_consensus(vote):
        headline = t["agreement_minority"].format(k=k, n=n, value=value)
    else:
        headline = t["agreement_count"].format(k=k, n=n, value=value)
    dots = "".join(f'<i class="{"on" if index < k else ""}"></i>' for index in range(n))
    worth = (
        t["agreement_calibrated"].format(p=f"{100 * vote['probability']:.0f}")
        if vote.get("calibrated") and vote.get("probability") is not None
        else t["agreement_uncalibrated"]
    )
    state = "gz-consensus" if has_consensus(vote) else "gz-no-consensus"
    return (
        f'<div class="{state}"><p class="gz-vote"><span class="gz-dots" aria-hidden="true">{dots}</span>'
        f"<strong>{escaped(headline)}</strong></p>{_dissent(vote, t)}<p class='gz-small'>{escaped(worth)}</p></div>"
    )


def _dissent(vote: dict[str, Any], t: Texts) -> str:
    rows = [
        f"<li>{int(each['count'])} x {escaped(_said(each.get('value'), each.get('failure'), t))}</li>"
        for each in vote.get("dissent") or []
    ]
    return f"<p>{escaped(t['dissent'])}:</p><ul>{''.join(rows)}</ul>" if rows else ""


def _said(value: object, failure: object, t: Texts) -> str:
    if value is not None:
        return str(value)
    return t["no_readable"].format(why=t.get(f"why_{failure}", str(failure)).rstrip("."))


def open_samples(samples: list[dict[str, Any]], t: Texts) -> str:
    """Every answer, each closed until it is asked for."""
    return "".join(_sample(index, sample, t) for index, sample in enumerate(samples, start=1))


def _sample(number: int, sample: dict[str, Any], t: Texts) -> str:
    final = sample.get("final_answer")
    said = f": {_said(final.get('value'), final.get('failure'), t)}" if final else ""
    return (
        f'<details class="gz-sample" data-key="sample-{number}"><summary>'
        f"{escaped(t['sample'].format(n=number) + said)}</summary>"
        f'<div dir="auto" lang="en">{markdown(str(sample.get("answer") or ""))}</div></details>'
    )
