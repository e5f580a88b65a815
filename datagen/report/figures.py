"""Numbers as people read them."""

from __future__ import annotations


def count(number: float) -> str:
    """A whole number with separators."""
    return f"{number:,.0f}"


def short(number: int) -> str:
    """Three figures and a unit: 12.3 M."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            power = 1e3 if unit == "k" else size
            scaled = number / power
            return f"{scaled:,.0f} {unit}" if scaled >= 100 else f"{scaled:.1f} {unit}"
    return f"{number:,}"


def dollars(cost: float | None) -> str:
    """An amount; more decimals where it is small."""
    if cost is None:
        return "not known"
    return f"${cost:,.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}"


def percent(part: float, whole: float) -> str:
    """A share in percent, with a decimal where it is small."""
    if not whole:
        return "0 %"
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 or share == 0 else f"{share:.1f} %"


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def plural(number: int, word: str) -> str:
    """The number and its word: 1 row, 2 rows."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
