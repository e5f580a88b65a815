"""Plots as inline SVG. Shapes stretch with the page, labels are HTML beside them and keep their
size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datagen.report.markup import Html, clip, escape, tag

WIDE, HIGH = 1000.0, 100.0
"""Units of a plot's view box."""
MOST_BINS = 36
TAIL = 0.995
"""Share of the texts that a histogram shows at its own scale; the rest is one last bar."""


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar: ``low`` inclusive, ``high`` exclusive; infinite where it takes the tail."""

    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled place on the axis."""

    at: float
    label: str


def bins(counts: Mapping[int, int]) -> list[Bin]:
    """Equal bins of a round width over whole numbers, at most 36, the far tail in a last one."""
    values = sorted(value for value, count in counts.items() if count)
    if not values:
        return []
    top = _reach(counts, values)
    width = _round_width((top - values[0] + 1) / MOST_BINS)
    start = values[0] // width * width
    number = (top - start) // width + 1
    totals = [0] * (number + 1)
    for value in values:
        totals[min((value - start) // width, number)] += counts[value]
    edges = [start + i * width for i in range(number + 1)]
    found = [
        Bin(low, low + width, count) for low, count in zip(edges[:-1], totals[:-1], strict=True)
    ]
    return [*found, Bin(edges[-1], math.inf, totals[-1])] if totals[-1] else found


def shares(counts: Sequence[int]) -> list[Bin]:
    """Bins of numbers between 0 and 1."""
    n = len(counts)
    return [Bin(i / n, (i + 1) / n, count) for i, count in enumerate(counts)]


def histogram(
    bars: Sequence[Bin],
    caption: str,
    unit: str,
    marks: Sequence[Mark] = (),
    band: tuple[float, float] | None = None,
) -> Html:
    """A histogram with its counts on hover, marks on the axis and a band behind (p5 to p95)."""
    if not bars:
        return Html("")
    low, span = bars[0].low, len(bars) * (bars[0].high - bars[0].low)
    peak = max(bar.count for bar in bars) or 1
    step = WIDE / len(bars)

    def across(value: float) -> float:
        return min(1.0, max(0.0, (value - low) / span))

    shapes = []
    if band:
        left, right = (across(edge) * WIDE for edge in band)
        shapes.append(tag("rect", x=left, y=0, width=right - left, height=HIGH, class_="band"))
    for place, bar in enumerate(bars):
        height = bar.count / peak * (HIGH - 4)
        name = f"{_range(bar)} {unit}: {bar.count:,}"
        shape = {"x": place * step, "y": HIGH - height, "width": max(step - 2, 1.0)}
        shapes.append(tag("g", tag("title", name), tag("rect", **shape, height=height)))
    for mark in marks:
        x = across(mark.at) * WIDE
        shapes.append(tag("line", x1=x, x2=x, y1=0, y2=HIGH, class_="mark"))
    drawing = tag(
        "svg",
        *shapes,
        viewBox=f"0 0 {WIDE:.0f} {HIGH:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=caption,
    )
    flags = [_label(across(mark.at), mark.label, "flag") for mark in marks]
    return tag(
        "figure",
        tag("figcaption", caption),
        tag("div", *flags, class_="flags") if flags else "",
        tag("div", tag("span", f"{peak:,}", class_="peak"), drawing, class_="plot"),
        tag("div", *_ticks(bars, span), class_="ticks"),
        tag("div", unit, class_="unit"),
    )


def bar_table(
    counts: Mapping[str, int], head: str, unit: str, most: int = 30, even: float | None = None
) -> Html:
    """Names with a bar and a count each, in the given order; what is beyond ``most`` is said.

    Args:
        even: where the bars would end if all were equal; drawn as a line.
    """
    scale = max([*counts.values(), even or 0, 1])
    rows = [
        tag(
            "tr",
            tag("th", tag("bdi", clip(name, 80)), scope="row"),
            tag("td", _bar(count / scale, even / scale if even else None), class_="bar"),
            tag("td", f"{count:,}", class_="number"),
        )
        for name, count in list(counts.items())[:most]
    ]
    titles = (tag("th", head), tag("th", "", class_="bar"), tag("th", unit, class_="number"))
    table = tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *rows), class_="bars")
    left = len(counts) - len(rows)
    return Html(table + (tag("p", f"and {left:,} more.", class_="note") if left > 0 else ""))


def _bar(share: float, line: float | None) -> Html:
    """One bar of a share of the width, and a line at another."""
    shapes = [tag("rect", x=0, y=0, width=share * WIDE, height=HIGH)]
    if line is not None:
        shapes.append(tag("line", x1=line * WIDE, x2=line * WIDE, y1=0, y2=HIGH, class_="mark"))
    box = f"0 0 {WIDE:.0f} {HIGH:.0f}"
    return tag("svg", *shapes, viewBox=box, preserveAspectRatio="none", aria_hidden="true")


def _reach(counts: Mapping[int, int], values: Sequence[int]) -> int:
    """The largest value a histogram shows at its scale: all, unless the tail is very long."""
    left = TAIL * sum(counts[value] for value in values)
    near = values[-1]
    for value in values:
        left -= counts[value]
        if left <= 0:
            near = value
            break
    return values[-1] if values[-1] <= 1.5 * near + 1 else near


def _round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below ``least``."""
    power = 10 ** max(0, math.floor(math.log10(max(least, 1))))
    return next(int(power * step) for step in (1, 2, 5, 10) if power * step >= least)


def _range(bar: Bin) -> str:
    if math.isinf(bar.high):
        return f"{bar.low:,.0f} or more"
    if bar.high - bar.low < 1:
        return f"{bar.low:.2f} to {bar.high:.2f}"
    if bar.high - bar.low == 1:
        return f"{bar.low:,.0f}"
    return f"{bar.low:,.0f} to {bar.high - 1:,.0f}"


def _ticks(bars: Sequence[Bin], span: float) -> list[Html]:
    """About five round numbers under the axis, and the tail's beginning where there is one."""
    low, width = bars[0].low, bars[0].high - bars[0].low
    regular = len(bars) - math.isinf(bars[-1].high)
    every = math.ceil(regular / 5)
    ticks = [
        _label(i * width / span, _short(low + i * width), "tick")
        for i in range(0, regular, every)
        if math.isinf(bars[-1].high) is False or (regular - i) * width / span > 0.06
    ]
    if math.isinf(bars[-1].high):
        ticks.append(_label(regular * width / span, f"{_short(bars[-1].low)}+", "tick"))
    return ticks


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.2f}".rstrip("0")


def _label(share: float, text: str, kind: str) -> Html:
    """Text at a share of the width; in the right half it ends there rather than begins."""
    side = f"right:{100 - 100 * share:.2f}%" if share > 0.5 else f"left:{100 * share:.2f}%"
    return tag("span", escape(text), class_=kind, style=side)
