"""The newest report of `make eval` as a table and drawings, read from its results.json.

Only figures are read, with the same meaning as in the report: `strict` counts a reply without a readable answer as
wrong. The drawings are inline SVG in the page's own colours, so nothing is loaded and both themes work.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ui.render import escaped, with_code

if TYPE_CHECKING:
    from ui.texts import Texts

HARDLY_READABLE = 0.2


def newest(reports: Path) -> Path | None:
    """The results file that was written last."""
    found = sorted(reports.glob("*/results.json"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def benchmarks_view(reports: Path, t: Texts) -> str:
    """The tab's content; where there is no report, what makes one."""
    path = newest(reports)
    if path is None:
        return f'<div class="gz-bench"><p>{with_code(t["bench_none"])}</p></div>'
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        tasks = [*results["tasks"].values(), *results["pooled"].values()]
        inner = _report(results, tasks, t)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        inner = f'<p class="gz-warn">{escaped(t["bench_broken"].format(why=type(error).__name__))}</p>'
    return f'<div class="gz-bench">{inner}<p class="gz-small">{with_code(t["bench_note"])}</p></div>'


def _report(results: dict[str, Any], tasks: list[dict[str, Any]], t: Texts) -> str:
    main = [task for task in tasks if "@" not in task["task"]]
    digest = str(results["artifact"]).removeprefix("unverified:")[:16]
    parts = [
        f"<h3>{escaped(t['bench_title'].format(model=results['model']))}</h3>",
        f'<p class="gz-small">{escaped(t["bench_run"].format(run=results["run"], digest=digest))}</p>',
    ]
    if not results["complete"]:
        parts.append(f'<p class="gz-warn">{escaped(t["bench_incomplete"])}</p>')
    parts += [_table(tasks, t), _forest(main, t)]
    if any(sum(task["failures"].values()) / task["replies"] > HARDLY_READABLE for task in main):
        parts.append(f'<p class="gz-warn">{escaped(t["bench_form"])}</p>')
    plots = "".join(_calibration(task, t) for task in main if task["calibration"])
    parts.append(f'<div class="gz-plots">{plots}</div>')
    return "".join(parts)


def _table(tasks: list[dict[str, Any]], t: Texts) -> str:
    names = ("task", "n", "strict", "answered", "chance", "unread", "cut", "error")
    head = "".join(f'<th scope="col">{escaped(t[f"bench_{name}"])}</th>' for name in names)
    rows = "".join(f"<tr>{_row(task)}</tr>" for task in tasks)
    return (
        f'<div class="gz-scroll" tabindex="0" role="region" aria-label="{escaped(t["tab_benchmarks"])}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(task: dict[str, Any]) -> str:
    strict, failures, replies = task["strict"], task["failures"], task["replies"]
    unread = sum(failures.get(reason, 0) for reason in ("no_answer", "ambiguous", "out_of_range", "empty"))
    part = task["published_rows"] and task["questions"] < task["published_rows"]
    size = f"{task['questions']:,} / {task['published_rows']:,}" if part else f"{task['questions']:,}"
    interval = strict["interval"]
    answered = _percent(task["answered_only"]["value"]) if task["answered_only"] else "–"  # noqa: RUF001
    cells = [
        size,
        f"{_percent(strict['value'])} [{_percent(interval['low'])}, {_percent(interval['high'])}]",
        answered,
        _percent(task["chance"]),
        _percent(unread / replies),
        _percent(failures.get("truncated", 0) / replies),
        _percent(failures.get("error", 0) / replies),
    ]
    return f'<th scope="row">{escaped(str(task["title"]))}</th>' + "".join(
        f"<td>{escaped(cell)}</td>" for cell in cells
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _forest(tasks: list[dict[str, Any]], t: Texts) -> str:
    left, width, line = 190, 400, 34
    height = line * len(tasks) + 34
    drawn = []
    for percent in (0, 25, 50, 75, 100):
        x = left + width * percent / 100
        drawn.append(f'<line x1="{x}" x2="{x}" y1="6" y2="{height - 26}" class="gz-grid"/>')
        drawn.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle">{percent}</text>')
    for index, task in enumerate(tasks):
        y = 22 + line * index
        mean = task["strict"]
        low, high = (left + width * mean["interval"][end] for end in ("low", "high"))
        at, chance = left + width * mean["value"], left + width * task["chance"]
        label = str(task["title"])
        drawn.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{escaped(label[:26])}</text>')
        drawn.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" class="gz-interval"/>')
        drawn.append(f'<circle cx="{at:.1f}" cy="{y}" r="5" class="gz-point"/>')
        drawn.append(f'<line x1="{chance:.1f}" x2="{chance:.1f}" y1="{y - 9}" y2="{y + 9}" class="gz-chance"/>')
    return _figure(t["bench_plot"], left + width + 20, height, drawn)


def _calibration(task: dict[str, Any], t: Texts) -> str:
    size, pad = 240, 40
    drawn = [
        f'<line x1="{pad}" y1="{pad + size}" x2="{pad + size}" y2="{pad}" class="gz-grid"/>',
        f'<rect x="{pad}" y="{pad}" width="{size}" height="{size}" class="gz-frame"/>',
        f'<text x="{pad + size / 2}" y="{pad + size + 30}" text-anchor="middle">{escaped(t["bench_agreement"])}</text>',
        f'<text x="{pad}" y="{pad - 12}">{escaped(t["bench_accuracy"])}</text>',
    ]
    for each in task["calibration"]["bins"]:
        x, y = pad + size * each["confidence"], pad + size * (1 - each["accuracy"])
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="gz-point"/>')
    return _figure(f"{t['bench_calibration']}: {task['title']}", size + 2 * pad, size + 2 * pad, drawn)


def _figure(caption: str, width: float, height: float, drawn: list[str]) -> str:
    return (
        f'<figure class="gz-figure"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(caption)}" '
        f'style="max-width:{width}px" direction="ltr">{"".join(drawn)}</svg>'
        f"<figcaption>{escaped(caption)}</figcaption></figure>"
    )
