"""Plots as inline SVG. Shapes stretch with the page, labels are HTML beside them and keep their
size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datagen.report.markup import Html, clip, tag

WIDE, HIGH = 1000.0, 100.0
"""Units of a plot's view box."""
MOST_BINS, FEWEST_BINS = 36, 8
TAIL = 0.995
"""Share of the texts that a histogram shows at its own scale; the rest is one last bar."""
_NEAR = 0.09
"""Labels of an axis that stand closer than this share of its width would touch."""


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
    """Equal bins of a round width over whole numbers, 8 to 36 of them, the far tail in one more."""
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
    edges = [start + i * width for i in range(max(number, FEWEST_BINS) + 1)]
    tail = totals.pop()
    if tail:
        return [*_between(edges[: number + 1], totals), Bin(edges[number], math.inf, tail)]
    return _between(edges, [*totals, *([0] * FEWEST_BINS)][: len(edges) - 1])


def shares(counts: Sequence[int]) -> list[Bin]:
    """Bins of numbers between 0 and 1."""
    n = len(counts)
    return _between([i / n for i in range(n + 1)], counts)


def histogram(
    bars: Sequence[Bin],
    caption: str,
    unit: str,
    marks: Sequence[Mark] = (),
    band: tuple[float, float] | None = None,
) -> Html:
    """A histogram: counts on hover, marks above the axis, a pale band behind (p5 to p95)."""
    if not bars:
        return Html("")
    width = bars[0].high - bars[0].low
    low, span = bars[0].low, len(bars) * width

    def across(value: float) -> float:
        return min(1.0, max(0.0, (value - low) / span))

    peak = max(bar.count for bar in bars)
    shapes = [_band(*map(across, band))] if band else []
    shapes += [_column(bar, i, len(bars), peak, unit) for i, bar in enumerate(bars)]
    for mark in marks:
        x = across(mark.at) * WIDE
        shapes.append(tag("line", x1=x, x2=x, y1=0, y2=HIGH, class_="mark"))
    flags = [_label(across(mark.at), mark.label, "flag") for mark in marks]
    # Bins of one whole number are labelled in their middle, others at their lower edge.
    shift = 0.5 / len(bars) if width == 1 else 0.0
    ticks = [(across(at) + shift, _short(at)) for at in _ticks(low, low + span, width)]
    if math.isinf(bars[-1].high):
        end = 1 - 0.5 / len(bars)
        ticks = [tick for tick in ticks if end - tick[0] > _NEAR]
        ticks.append((end, f"{_short(bars[-1].low)}+"))
    return tag(
        "figure",
        tag("figcaption", caption, tag("span", f"highest bar {peak:,}", class_="peak")),
        tag("div", *flags, class_="flags") if flags else "",
        tag("div", _drawing(shapes, caption), class_="plot"),
        tag("div", *(_label(share, text, "tick") for share, text in ticks), class_="ticks"),
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
    left = len(counts) - len(rows)
    if left > 0:
        rows.append(tag("tr", tag("th", f"and {left:,} more", class_="reference", colspan=3)))
    titles = (tag("th", head), tag("td", class_="bar"), tag("th", unit, class_="number"))
    return tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *rows), class_="bars")


def _between(edges: Sequence[float], counts: Sequence[int]) -> list[Bin]:
    return [Bin(low, high, n) for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)]


def _drawing(shapes: Sequence[Html], caption: str | None = None) -> Html:
    """Shapes stretched over the room there is."""
    return tag(
        "svg",
        *shapes,
        viewBox=f"0 0 {WIDE:.0f} {HIGH:.0f}",
        preserveAspectRatio="none",
        role="img" if caption else None,
        aria_label=caption,
        aria_hidden=None if caption else "true",
    )


def _column(bar: Bin, place: int, bars: int, peak: int, unit: str) -> Html:
    step, height = WIDE / bars, bar.count / peak * HIGH if peak else 0.0
    gap = min(2.0, step / 4)
    shape = tag("rect", x=place * step, y=HIGH - height, width=step - gap, height=height)
    return tag("g", tag("title", f"{_range(bar)} {unit}: {bar.count:,}"), shape)


def _band(left: float, right: float) -> Html:
    return tag("rect", x=left * WIDE, y=0, width=(right - left) * WIDE, height=HIGH, class_="band")


def _bar(share: float, line: float | None) -> Html:
    """One bar of a share of the width, and a line at another."""
    shapes = [tag("rect", x=0, y=0, width=share * WIDE, height=HIGH)]
    if line is not None:
        shapes.append(tag("line", x1=line * WIDE, x2=line * WIDE, y1=0, y2=HIGH, class_="mark"))
    return _drawing(shapes)


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


def _ticks(low: float, high: float, width: float) -> list[float]:
    """Three to seven round numbers from ``low`` to ``high``, multiples of the bins' width."""
    if width < 1:
        return [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    step = max(int(width), _round_width((high - low) / 6))
    first = math.ceil(low / step) * step
    return [float(at) for at in range(first, math.ceil(high), step)]


def _range(bar: Bin) -> str:
    if math.isinf(bar.high):
        return f"{bar.low:,.0f} or more"
    if bar.high - bar.low < 1:
        return f"{bar.low:.2f} to {bar.high:.2f}"
    if bar.high - bar.low == 1:
        return f"{bar.low:,.0f}"
    return f"{bar.low:,.0f} to {bar.high - 1:,.0f}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.2f}".rstrip("0")


def _label(share: float, text: str, kind: str) -> Html:
    """Text centred at a share of the width; near an end it stays inside."""
    if share < 0.02:
        return tag("span", text, class_=kind, style="left:0")
    if share > 0.98:
        return tag("span", text, class_=kind, style="right:0")
    side = " side" if kind == "flag" and not 0.15 < share < 0.85 else ""
    if side and share > 0.5:
        return tag("span", text, class_=kind, style=f"right:{100 - 100 * share:.2f}%")
    return tag("span", text, class_=kind + (side or " mid"), style=f"left:{100 * share:.2f}%")
