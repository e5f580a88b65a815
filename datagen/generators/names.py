"""Names of topics, skills and query types: read from answers and files, normalised, merged.

Instruct-SkillMix (arXiv 2408.14774) pools snake_case skill names over all topics. Its released list
keeps exact duplicates and other spellings (1,143 lines, 1,132 names); here equal names and equal
bags of stems always merge, and near ones by embedding where that is asked for.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datagen.filters.quality import count_words

MAX_WORDS = 8  # of a skill's name
MAX_CHARS = 80
SENTENCE_WORDS = 15  # more than this in a list is no name of anything
_STOP_WORD = re.compile("a|an|and|at|by|for|from|in|into|of|on|or|the|to|with")
_MARK = re.compile(
    r"[ \t]*(?:[-*+•‣◦·▪\u2013\u2014]+[ \t]+|#{1,6}[ \t]+"
    r"|\(?\d{1,3}[.):\]][ \t]*(?!\d)|\(?[a-zA-Z][.)][ \t]+)"
)
_LABEL = re.compile(r"(?:skill|topic)[ _]*(?:name)?[ _]*\d*:[ \t]*", re.IGNORECASE)
_TALK = re.compile(
    r"(?:sure|certainly|of course|okay|here (?:is|are)|here's|below (?:is|are)|these are|let me"
    r"|i(?:'m| am| can| hope| have| will)|as an ai|please note)\b",
    re.IGNORECASE,
)
_EXPLANATION = re.compile(r"(?<!\d) ?:|:(?!\d)| [-\u2013\u2014]+ | ?\u2014")
_STOP = re.compile(r"[.!?\u3002]$")
_EDGES = " \t_\"'\u2018\u2019“”«»「」『』[]{}.,;:!?、。"
_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+(?P<head>[^\n]+)"
    r"|(?:[-*•][ \t]+)?(?:\d{1,3}[.)][ \t]*)?\*\*(?P<bold>[^*\n]{1,80})\*\*(?P<rest>[^\n]*))$",
    re.MULTILINE,
)
_PART = re.compile(r"\W*(?:definition|description|examples?|example queries)\b", re.IGNORECASE)
_DEFINED = re.compile(r"^[ \t]*[-•]?[ \t]*(?:definition|description):[ \t]*", re.I | re.MULTILINE)
_EXAMPLES = re.compile(r"\b(?:for example|examples?(?: include| queries)?|e\.g\.)[ \t]*:", re.I)
_JSON_START = re.compile(r"^[ \t]*(?:\{|\[[ \t]*[\"{])", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*(?:[-•+*]|\d{1,3}[.)])[ \t]+", re.MULTILINE)
_QUOTED = re.compile(r'["“]([^"“”\n]{3,400})["”]')


class Skill(BaseModel):
    """One skill of the pool, with the topics it came from and the spellings merged into it."""

    model_config = ConfigDict(frozen=True)

    skill: str
    topics: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()


class QueryType(BaseModel):
    """A kind of query: its name, a definition of a sentence or two, and example queries."""

    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)

    name: str = Field(min_length=1)
    definition: str = Field(min_length=1)
    examples: tuple[str, ...] = ()


def normalise(text: str) -> str:
    """The snake_case name in a line of model output, or "" where there is none.

    "1. **Critical Thinking** (reasoning):" gives "critical_thinking". Letters of every script are
    kept (NFKC, lower case). Sentences, more than 8 words and more than 80 characters give "".
    """
    name = _clean(text).replace("&", " and ").replace("++", "pp")
    name = re.sub(r"(?<=\w)#", " sharp", name).replace("_", " ")
    words = "".join(map(_letter, unicodedata.normalize("NFKC", name.lower()))).split()
    joined = "_".join(words)
    bounded = count_words(" ".join(words)) <= MAX_WORDS and len(joined) <= MAX_CHARS
    return joined if bounded and any(map(str.isalpha, joined)) else ""


def key(name: str) -> str:
    """What two spellings of one skill share: the sorted English stems without stop words."""
    words = normalise(name).split("_")
    telling = [word for word in words if not _STOP_WORD.fullmatch(word)] or words
    return " ".join(sorted(map(_stem, telling)))


def merge(pairs: Iterable[tuple[str, str]]) -> list[Skill]:
    """The pool of (name, topic) pairs: equal keys are one skill, spelled as it was first.

    Order is that of first appearance, for skills, topics and other spellings. Names that normalise
    to nothing are left out, and so is an empty topic.
    """
    groups: dict[str, list[Skill]] = {}
    for text, topic in pairs:
        if name := normalise(text):
            skill = Skill(skill=name, topics=(topic,) if topic else ())
            groups.setdefault(key(name), []).append(skill)
    return [_union(group) for group in groups.values()]


def merge_similar(
    skills: Sequence[Skill], threshold: float = 0.9, model: str | None = None
) -> list[Skill]:
    """Skills whose names' embeddings reach the cosine ``threshold`` with an earlier one join it.

    Raises:
        ConfigError: no encoder is installed (see ``embed``), or the threshold is not in (0, 1].
    """
    partners = _similar(skills, threshold, model)
    groups: dict[int, list[Skill]] = {}
    for position, skill in enumerate(skills):
        groups.setdefault(partners.get(position, position), []).append(skill)
    return [_union(group) for group in groups.values()]


def would_merge(skills: Sequence[Skill], threshold: float = 0.9, model: str | None = None) -> int:
    """How many skills ``merge_similar`` would take out of the list."""
    return len(_similar(skills, threshold, model))


def parse_names(text: str) -> list[str]:
    """The names listed in a model's answer, as written, without numbering, markup and explanations.

    Reads a JSON list, an object with one, objects with a name, any of them fenced or cut off (the
    whole items are kept), and numbered, bulleted, comma-separated or bare lines.
    """
    answer = _answer(text)
    listed = [name for value in _json_values(answer) for name in _names_in(value)]
    return [name for line in listed or _lines_of(answer) if (name := _clean(line))]


def parse_query_types(text: str) -> list[QueryType]:
    """The query types of a model's answer: JSON objects, or the paper's blocks under headings.

    A block is "### 1. **Name**", or a line that starts with a bold name, then its definition, then
    example queries in a list or in quotes. What lacks a definition, or repeats a name, is left out.
    """
    answer = _answer(text)
    found = [kind for value in _json_values(answer) for kind in _types_in(value)]
    unique: dict[str, QueryType] = {}
    for kind in found or _type_blocks(answer):
        unique.setdefault(kind.name.casefold(), kind)
    return list(unique.values())


def _letter(char: str) -> str:
    """What becomes of one character of a name: letters, digits and their marks stay."""
    category = unicodedata.category(char)
    if category == "Cf" or char in "'\u2019" or "\ufe00" <= char <= "\ufe0f":
        return ""  # joiners, apostrophes, emoji selectors: the letters around them are one word
    return char if category[0] in "LNM" else " "


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.EnglishStemmer()


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


def _union(group: Sequence[Skill]) -> Skill:
    """One skill of several: the first spelling, every topic and spelling in order."""
    topics = dict.fromkeys(topic for skill in group for topic in skill.topics)
    first, *others = dict.fromkeys(name for skill in group for name in (skill.skill, *skill.merged))
    return Skill(skill=first, topics=tuple(topics), merged=tuple(others))


def _similar(skills: Sequence[Skill], threshold: float, model: str | None) -> dict[int, int]:
    """Position of each skill that joins another, and of the earlier one it joins."""
    from datagen.filters.dedup import by_embedding

    matches = by_embedding([skill.skill.replace("_", " ") for skill in skills], threshold, model)
    return {match.dropped: match.kept for match in matches}


def _answer(text: str) -> str:
    """The answer after a model's thoughts."""
    return _writable(text.rpartition("</think>")[2])


def _writable(text: str) -> str:
    """The text without lone surrogates, which JSON can hold and a file cannot."""
    return text.encode("utf-8", "ignore").decode()


def _clean(text: str) -> str:
    """A name without what stands around it; "" for talk and sentences."""
    name = " ".join(unicodedata.normalize("NFKC", text[:400]).split())
    name = re.sub(r"<[^<>]*>|[*`]|~~", "", _unmark(name)).replace("\\_", "_")
    name = _LABEL.sub("", _unmark(name), count=1)
    if quoted := re.match(r'["“«「『]([^"”»」』]+)["”»」』]', name):
        name = quoted[1]
    name = re.sub(r"\[([^\[\]]*)\]\([^()]*\)", r"\1", name)  # a link's text
    name = re.sub(r" ?\([^()]*(?:\)|$)", "", name).strip() or name.strip("() ")
    head = _EXPLANATION.split(name, maxsplit=1)[0]
    name = head if any(map(str.isalpha, head)) else name
    words = count_words(name.replace("_", " "))
    if words > SENTENCE_WORDS or (words >= 4 and _STOP.search(name)) or _TALK.match(name):
        return ""
    name = name.strip(_EDGES)
    return name if any(map(str.isalnum, name)) else ""


def _unmark(line: str) -> str:
    """A line without its numbering and bullets, "- 3. " included."""
    while mark := _MARK.match(line):
        line = line[mark.end() :]
    return line


def _json_values(text: str) -> list[Any]:
    """The whole values of the first JSON list in a text, or of its first run of JSON objects."""
    for bracket in islice(re.finditer(r"[\[{]", text), 20):
        start = bracket.start()
        if values := list(_values_from(text, start + (text[start] == "["))):
            return values
    return []


def _values_from(text: str, position: int) -> Iterator[Any]:
    """Strings and objects read one after another, until the list ends or one is cut off."""
    decoder = json.JSONDecoder(strict=False)
    while start := re.compile(r'[\s,]*(?=["{])').match(text, position):
        try:
            value, position = decoder.raw_decode(text, start.end())
            value = json.loads(_writable(json.dumps(value, ensure_ascii=False)))
        except (ValueError, RecursionError):
            return
        yield value


def _names_in(value: Any) -> list[str]:
    """The names a JSON value holds: itself, its name, those of its lists, or its topic."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, dict):
        return []
    for field in ("skill", "name"):
        if isinstance(value.get(field), str):
            return [value[field]]
    lists = [part for part in value.values() if isinstance(part, list)]
    inner = [part for part in lists[0] if isinstance(part, (str, dict))] if lists else []
    if inner:
        return [name for part in inner for name in _names_in(part)]
    texts = [part for part in (value.get("topic"), *value.values()) if isinstance(part, str)]
    return texts[:1]


def _lines_of(text: str) -> list[str]:
    """The lines, or parts of lines, that hold one name each; none of JSON cut in its first item."""
    if _JSON_START.search(text):
        return []
    lines = [line for line in text.splitlines() if line.strip() and "```" not in line]
    if len(lines) == 1:
        lines = re.sub(r"[ \t](?=\d{1,3}[.)][ \t])", "\n", lines[0]).splitlines()
    marked = [line for line in lines if _MARK.match(line)]
    if len(marked) > 1 or (marked and len(lines) == 1):
        return _outer(marked)
    plain = [line for line in lines if not _is_heading(line)] or lines
    return [piece for line in plain for piece in _pieces(line, alone=len(plain) == 1)]


def _outer(marked: list[str]) -> list[str]:
    """The list's own lines: not its headings, nor the bullets that explain a line."""
    headings = [line for line in marked if _is_heading(line)]
    body = [line for line in marked if not _is_heading(line)]
    lines = body if len(body) > len(headings) else headings  # else: names with a line about each
    numbered = [line for line in lines if re.match(r"[ \t]*\(?\d", line)]
    lines = numbered if len(numbered) > 1 else lines
    depths = [len(line) - len(line.lstrip()) for line in lines]
    outer = min(depths) + 1  # one more is allowed: " 9." stands above "10."
    return [line for line, depth in zip(lines, depths, strict=True) if depth <= outer]


def _is_heading(line: str) -> bool:
    return line.rstrip(" \t*_").endswith((":", "\uff1a")) or line.lstrip().startswith("#")


def _pieces(line: str, alone: bool) -> list[str]:
    """A line cut at its commas; beside other lines only from three commas on."""
    label, _, rest = line.partition(":")
    line = rest if rest.count(",") > label.count(",") else line
    pieces = re.split(r"[,;、\uff0c\uff1b]\s*(?:and\s+)?", line)
    return pieces if alone or len(pieces) > 3 else [line]


def _types_in(value: Any, depth: int = 2) -> list[QueryType]:
    """The query types in a JSON value: itself, or those of its lists."""
    if not isinstance(value, dict) or not depth:
        return []
    examples = value.get("examples", value.get("example_queries", ()))
    candidate = {
        "name": value.get("name", value.get("query_type")),
        "definition": value.get("definition", value.get("description")),
        "examples": (examples,) if isinstance(examples, str) else examples,
    }
    try:
        return [QueryType.model_validate(candidate)]
    except ValidationError:
        lists = [part for part in value.values() if isinstance(part, list)]
        return [kind for part in lists for inner in part for kind in _types_in(inner, depth - 1)]


def _type_blocks(text: str) -> Iterator[QueryType]:
    """The query types of text blocks: under headings, or else at lines with a bold start."""
    found = [m for m in _HEADING.finditer(text) if not _PART.match(m["head"] or m["bold"])]
    heads, bolds = [m for m in found if m["head"]], [m for m in found if m["bold"]]
    starts = heads if len(heads) >= len(bolds) else bolds
    ends = [m.start() for m in starts[1:]] + [len(text)] * bool(starts)
    for start, end in zip(starts, ends, strict=True):
        name = _clean(start["head"] or start["bold"])
        body = (start["rest"] or "").lstrip(" :-\u2013\u2014") + text[start.end() : end]
        definition, examples = _split_block(body.replace("**", ""))
        if name and definition:
            yield QueryType(name=name, definition=definition, examples=tuple(examples))


def _split_block(body: str) -> tuple[str, list[str]]:
    """A block's definition, on one line, and its example queries without quotes."""
    body = _DEFINED.sub("", body)
    cuts = [m for m in (_EXAMPLES.search(body), _BULLET.search(body)) if m]
    cut = min((m.start() for m in cuts), default=len(body))
    definition = " ".join(re.sub(r"(?m)^-+$", "", body[:cut]).split()).rstrip(" (-#")
    rest = body[cut:]
    listed = [line for line in rest.splitlines() if _BULLET.match(line) and not _PART.match(line)]
    examples = [_unmark(line).strip(" \t\"“”'") for line in listed] or _QUOTED.findall(rest)
    return definition, [example for example in examples if example]
