"""HTML from untrusted text: whatever is not made by ``tag`` is escaped, so nothing can be
forgotten."""

from __future__ import annotations

import html
import re

# Line breaks and tabs stay; the rest of the control characters have no place in a page.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_VOID = {"meta", "rect", "line", "br"}


class Html(str):
    """Text that is HTML already; made by ``tag`` and ``join`` only."""

    __slots__ = ()


def visible(text: str) -> str:
    """The text with what UTF-8 or a page cannot hold shown as U+FFFD."""
    sound = text.replace("\r\n", "\n").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return _CONTROL.sub("\ufffd", sound)


def escape(text: str) -> Html:
    """The text as HTML that shows it, in content and in quoted attributes alike."""
    return text if isinstance(text, Html) else Html(html.escape(visible(text), quote=True))


def join(*parts: str) -> Html:
    """The parts one after the other."""
    return Html("".join(escape(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | float | bool | None) -> Html:
    """An element. ``class_`` and ``data_label`` become class and data-label; None and False are
    left out, True is an attribute without a value."""
    written = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>" if name in {"meta", "br"} else f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def clip(text: str, most: int) -> str:
    """The text, or its beginning and how much was left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]} \u2026 ({len(text) - most:,} more characters)"


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
