"""How the run went: stages, rejections, faults, filters and settings, each a section of the
page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from datagen.report.facts import Facts
from datagen.report.figures import count, dollars, percent, plural
from datagen.report.markup import Html, clip, join, tag
from datagen.report.metrics import StageNumbers
from datagen.report.rejections import Example, Reason

_FAULTS = {
    "http_429": "the server asked to slow down",
    "http_500": "the server failed",
    "http_502": "a gateway failed",
    "http_503": "the server was overloaded",
    "http_504": "a gateway waited too long",
    "timeout": "no answer in time",
    "connection": "the connection broke or was refused",
    "bad_json": "the reply was cut or was not JSON",
    "empty": "the reply held no answer",
}
_MOST_REASONS = 25
# Endpoints are sometimes given with a password or a key inside.
_IN_URL = re.compile(r'(://)(?:[^/@\s"]*@)?([^?#\s"]*)(?:[?#][^\s"]*)?')


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    total: Sequence[str] = (),
    class_: str | None = None,
    words: int = 1,
) -> Html:
    """A table whose first ``words`` columns are words and whose others are numbers."""

    def cell(place: int, text: str) -> Html:
        kind = None if place < words else "number"
        if place == 0:
            return tag("th", text, scope="row")
        return tag("td", text, class_=kind, data_label=head[place])

    def line(cells: Sequence[str]) -> Html:
        return tag("tr", *(cell(i, text) for i, text in enumerate(cells)))

    titles = (
        tag("th", text, class_=None if i < words else "number", scope="col")
        for i, text in enumerate(head)
    )
    return tag(
        "table",
        tag("thead", tag("tr", *titles)),
        tag("tbody", *(line(cells) for cells in rows)),
        tag("tfoot", line(total)) if total else "",
        class_=class_,
    )


def stages(facts: Facts) -> Html:
    """One line a stage: what was planned, what came out, what it cost."""
    done = facts.metrics
    if not done.stages:
        return Html("")
    head = ("Stage", "Planned", "Kept", "Rejected", "Requests", "Tokens in",
            "Tokens out", "Cost")  # fmt: skip
    whole = StageNumbers(
        name="All stages",
        requests=done.requests,
        prompt_tokens=done.prompt_tokens,
        completion_tokens=done.completion_tokens,
        cost=done.cost,
    )
    rows = [_stage(stage) for stage in done.stages]
    total = ("All stages", "", "", *_stage(whole)[3:])
    refused = sum(stage.refused for stage in done.stages)
    total = (*total[:3], count(refused), *total[4:])
    note = "One plan position may give several items, as one topic gives many skills."
    if done.cost is None:
        note += " The price of this model is not known: give --price-in and --price-out."
    kept = facts.rows.rows
    if done.cost and kept:
        note += f" A kept row cost {dollars(done.cost / kept)}, all stages included."
    return join(table(head, rows, total, "stack"), tag("p", note, class_="note"))


def rejections(facts: Facts) -> Html:
    """Reasons by stage, each with two of the refused answers."""
    parts = []
    for stage, reasons in facts.rejected.items():
        parts.append(tag("h3", f"{stage}: {plural(sum(r.count for r in reasons), 'rejection')}"))
        planned = next((s.planned for s in facts.metrics.stages if s.name == stage), 0)
        parts += [_reason(reason, planned) for reason in reasons[:_MOST_REASONS]]
        left = len(reasons) - _MOST_REASONS
        if left > 0:
            parts.append(tag("p", f"and {plural(left, 'more reason')}.", class_="note"))
    if not parts:
        return Html("")
    lead = (
        "A bad answer is asked for again with the reason. These were still bad at the last try, "
        "or were refused by the server or dropped by a filter. All stand in rejected/ with the "
        "raw answer."
    )
    return join(tag("p", lead), *parts)


def faults(facts: Facts) -> Html:
    """What the endpoint did wrong and the run survived."""
    kinds = sorted(facts.metrics.faults.items(), key=lambda each: (-each[1], each[0]))
    notices = [tag("p", notice, class_="note") for notice in facts.metrics.notices[:20]]
    if not kinds:
        return join(*notices)
    rows = [(tag("code", clip(k, 60)), _FAULTS.get(k, ""), count(n)) for k, n in kinds[:30]]
    lead = "Each was tried again until it was answered or the server refused it for good."
    return join(tag("p", lead), table(("Kind", "What happened", "Times"), rows, words=2), *notices)


def filters(facts: Facts) -> Html:
    """What each filter dropped, or would drop."""
    rows = [
        (
            tag("code", clip(each.name, 60)),
            "applied" if each.applied else "only counted",
            count(each.before),
            count(each.dropped),
            percent(each.dropped, each.before),
        )
        for each in facts.metrics.filters
    ]
    if not rows:
        return Html("")
    head = ("Filter", "State", "Before", "Drops", "Share")
    note = "A filter that is only counted dropped nothing: these are the rows it would drop."
    counted = any(not each.applied for each in facts.metrics.filters)
    told = tag("p", note, class_="note") if counted else ""
    return join(table(head, rows, class_="stack", words=2), told)


def settings(facts: Facts) -> Html:
    """The settings used, those that are not set left out."""
    rows = [
        (tag("code", name), tag("code", clip(value, 300)))
        for name, value in _flat(facts.config)
        if value not in ("null", "[]", "")
    ]
    if not rows:
        return Html("")
    inner = table(("Setting", "Value"), rows, words=2)
    return tag("details", tag("summary", plural(len(rows), "setting")), inner)


def _stage(stage: StageNumbers) -> tuple[str, ...]:
    return (
        tag("code", clip(stage.name, 60)),
        count(stage.planned),
        count(stage.kept),
        count(stage.refused),
        count(stage.requests),
        count(stage.prompt_tokens),
        count(stage.completion_tokens),
        dollars(stage.cost) if stage.cost is not None else "\u2013",
    )


def _reason(reason: Reason, planned: int) -> Html:
    share = f" \u00b7 {percent(reason.count, planned)}" if planned else ""
    line = tag(
        "span",
        tag("code", clip(reason.reason, 120)),
        tag("span", f"{count(reason.count)}{share}", class_="number"),
        class_="reason",
    )
    if not reason.examples:
        return tag("details", tag("summary", line), tag("p", "No example is kept.", class_="fold"))
    inside = tag("div", *map(_example, reason.examples), class_="fold inside")
    return tag("details", tag("summary", line), inside)


def _example(example: Example) -> Html:
    more = f" \u2026 ({example.left_out:,} more characters)" if example.left_out else ""
    said = f"Position {example.position}: {example.detail}" if example.position else example.detail
    raw = tag("pre", example.text + more, class_="raw", dir="auto") if example.text else ""
    return tag("div", tag("p", tag("bdi", said)), raw, class_="example")


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Settings as (a.b.c, text)."""
    if isinstance(value, Mapping):
        inner = (_flat(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in value.items())
        return [pair for pairs in inner for pair in pairs]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [(prefix, _IN_URL.sub(r"\1\2", text))]
