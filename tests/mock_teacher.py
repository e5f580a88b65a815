"""What the mock server says: chosen by a hash of the conversation, the same on every run.

It plays a teacher well enough for the skill-mix generator: JSON that fits the schema of the
request (or a schema quoted in the last message), an instruction with its response, a critique,
or a bare response.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from typing import Any

WORDS = (
    "able",
    "acid",
    "active",
    "actor",
    "adult",
    "agenda",
    "album",
    "alpine",
    "amber",
    "ample",
    "anchor",
    "ancient",
    "angle",
    "animal",
    "annual",
    "answer",
    "apple",
    "arbor",
    "archive",
    "arctic",
    "arena",
    "armor",
    "artist",
    "atlas",
    "atom",
    "audit",
    "author",
    "autumn",
    "axis",
    "bakery",
    "balance",
    "ballad",
    "bamboo",
    "barrel",
    "basin",
    "basket",
    "battle",
    "beacon",
    "beauty",
    "bell",
    "bench",
    "berry",
    "binary",
    "biology",
    "bishop",
    "blanket",
    "blend",
    "blossom",
    "border",
    "botany",
    "bottle",
    "boundary",
    "branch",
    "bread",
    "breeze",
    "bridge",
    "bright",
    "bronze",
    "budget",
    "builder",
    "bundle",
    "butter",
    "cabin",
    "cable",
    "camera",
    "campus",
    "canal",
    "candle",
    "canvas",
    "carbon",
    "cargo",
    "carpet",
    "castle",
    "cattle",
    "cedar",
    "cellar",
    "central",
    "ceramic",
    "chain",
    "chamber",
    "chapter",
    "charcoal",
    "charter",
    "cherry",
    "choir",
    "chorus",
    "circle",
    "citizen",
    "city",
    "classic",
    "climate",
    "clinic",
    "clock",
    "cloud",
    "coast",
    "cobalt",
    "coffee",
    "college",
    "colony",
    "color",
    "column",
    "comet",
    "comic",
    "common",
    "compass",
    "concert",
    "copper",
    "coral",
    "corner",
    "cotton",
    "council",
    "country",
    "courage",
    "course",
    "court",
    "craft",
    "crater",
    "creative",
    "crew",
    "critic",
    "crop",
    "crystal",
    "culture",
    "current",
    "curve",
    "custom",
    "cycle",
    "dance",
    "dawn",
    "daily",
    "debate",
    "decade",
    "deep",
    "delta",
    "dental",
    "desert",
    "design",
    "detail",
    "device",
    "dialect",
    "diamond",
    "diary",
    "digital",
    "dinner",
    "diplomat",
    "direct",
    "doctor",
    "dolphin",
    "domain",
    "double",
    "dragon",
    "drama",
    "dream",
    "drift",
    "driver",
    "eagle",
    "early",
    "earth",
    "echo",
    "eclipse",
    "economy",
    "editor",
    "elastic",
    "elder",
    "electric",
    "element",
    "elegant",
    "ember",
    "empire",
    "energy",
    "engine",
    "entry",
    "epic",
    "equal",
    "essay",
    "estate",
    "ethics",
    "evening",
    "event",
    "exact",
    "exhibit",
    "expert",
    "export",
    "fabric",
    "factor",
    "family",
    "famous",
    "farm",
    "fashion",
    "feather",
    "fellow",
    "fern",
    "festival",
    "fiber",
    "fiction",
    "field",
    "figure",
    "filter",
    "final",
    "finance",
    "finger",
    "fire",
    "flag",
    "flame",
    "flavor",
    "flexible",
    "flight",
    "flood",
    "floral",
    "flower",
    "fluid",
    "folk",
    "forest",
    "formal",
    "fossil",
    "fountain",
    "fragile",
    "frame",
    "freight",
    "fresh",
    "friend",
    "frontier",
    "frozen",
    "future",
    "galaxy",
    "gallery",
    "garden",
    "garlic",
    "gentle",
    "genuine",
    "geology",
    "ghost",
    "giant",
    "ginger",
    "glacier",
    "global",
    "golden",
    "grain",
    "grammar",
    "granite",
    "graph",
    "gravity",
    "green",
    "grove",
    "guest",
    "guide",
    "guitar",
    "habitat",
    "hammer",
    "harbor",
    "harmony",
    "harvest",
    "health",
    "heart",
    "heritage",
    "hidden",
    "highland",
    "history",
    "hollow",
    "honest",
    "honey",
    "horizon",
    "hotel",
    "household",
    "human",
    "humble",
    "hybrid",
    "ideal",
    "image",
    "import",
    "index",
    "indigo",
    "industry",
    "inner",
    "insect",
    "island",
    "ivory",
    "jacket",
    "jazz",
    "journal",
    "journey",
    "judge",
    "jungle",
    "junior",
    "justice",
    "kernel",
    "kettle",
    "keyboard",
    "kitchen",
    "ladder",
    "lagoon",
    "lake",
    "lantern",
    "laser",
    "launch",
    "laurel",
    "leather",
    "legal",
    "legend",
    "lemon",
    "level",
    "library",
    "light",
    "linear",
    "liquid",
    "logic",
    "lumber",
    "lunar",
    "machine",
    "magnet",
    "manual",
    "maple",
    "marble",
    "margin",
    "marine",
    "market",
    "matrix",
    "meadow",
    "measure",
    "medical",
    "melody",
    "memory",
    "mental",
    "mentor",
    "merchant",
    "metal",
    "method",
    "middle",
    "mineral",
    "mirror",
    "mobile",
    "modern",
    "molecule",
    "moment",
    "monitor",
    "moral",
    "mosaic",
    "motion",
    "motor",
    "mountain",
    "museum",
    "music",
    "mutual",
    "narrow",
    "native",
    "natural",
    "nectar",
    "neutral",
    "noble",
    "northern",
    "novel",
    "nuclear",
    "number",
    "ocean",
    "offer",
    "olive",
    "opera",
    "optical",
    "orbit",
    "orchard",
    "orchid",
    "organ",
    "origin",
    "outdoor",
    "oxygen",
    "palace",
    "paper",
    "parade",
    "parcel",
    "pattern",
    "pearl",
    "pencil",
    "people",
    "pepper",
    "permit",
    "phrase",
    "physics",
    "piano",
    "picture",
    "pilot",
    "pioneer",
    "planet",
    "plastic",
    "plaza",
    "poem",
    "polar",
    "policy",
    "portrait",
    "pottery",
    "prairie",
    "primary",
    "prism",
    "private",
    "project",
    "public",
    "pulse",
    "purple",
    "puzzle",
    "quarry",
    "quartz",
    "quiet",
    "radar",
    "radio",
    "rapid",
    "rational",
    "record",
    "reef",
    "region",
    "remote",
    "rescue",
    "retail",
    "rhythm",
    "river",
    "robot",
)
"""About 400 plain words: 160,000 two-word names."""

LONG = re.compile(r"defin|descr|detail|explan|example|query|question|reason|summary|text", re.I)
COUNT = re.compile(r"\b(\d{1,3})\b")


def key_of(messages: list[dict[str, Any]]) -> str:
    """Hex sha1 of the conversation: a request's identity, whatever its seed and parameters."""
    return hashlib.sha1(json.dumps(messages, sort_keys=True).encode()).hexdigest()


def words_in(text: str) -> int:
    """The mock's token count of a text."""
    return len(text.split())


def content_of(message: dict[str, Any]) -> str:
    """A message's text, whether it is a string or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


def answer(payload: dict[str, Any], seed: str) -> str:
    """The teacher's answer to a chat request; ``seed`` is any string and decides every word."""
    draw = random.Random(seed)
    last = content_of(payload["messages"][-1])
    schema = schema_of(payload.get("response_format")) or quoted_schema(last)
    if schema is not None:
        return json.dumps(Filler(draw, schema, last).fill(schema))
    if "### Instruction" in last:
        instruction, response = prose(draw, 20, 60), prose(draw, 60, 400)
        return f"### Instruction: {instruction[:-1]}?\n### Response: {response}"
    if "json" in last.lower():
        listing = {"type": "array", "items": {"type": "string"}}
        return json.dumps(Filler(draw, listing, last).fill(listing))
    return prose(draw, 40, 120) if "strengths" in last.lower() else prose(draw, 60, 400)


def prose(draw: random.Random, low: int, high: int) -> str:
    """Between ``low`` and ``high`` words in sentences of about ten."""
    words = draw.choices(WORDS, k=draw.randint(low, high))
    step = draw.randint(7, 13)
    sentences = (words[i : i + step] for i in range(0, len(words), step))
    return " ".join(" ".join(sentence).capitalize() + "." for sentence in sentences)


def schema_of(response_format: Any) -> dict[str, Any] | None:
    """The JSON schema that a ``response_format`` asks for, if any."""
    if not isinstance(response_format, dict) or response_format.get("type") != "json_schema":
        return None
    return response_format["json_schema"].get("schema", {})


def quoted_schema(text: str) -> dict[str, Any] | None:
    """The first JSON schema, or the shape of the first JSON example, written out in a prompt."""
    if "json" not in text.lower():
        return None
    for brace in re.finditer(r"\{", text):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, brace.start())
        except ValueError:
            continue
        return value if "type" in value or "$ref" in value else shape_of(value)
    return None


def shape_of(example: Any) -> dict[str, Any]:
    """A schema that an example fits."""
    if isinstance(example, dict):
        properties = {name: shape_of(value) for name, value in example.items()}
        return {"type": "object", "properties": properties}
    if isinstance(example, list):
        return {"type": "array", "items": shape_of(example[0]) if example else {"type": "string"}}
    return {"type": "string"}


class Filler:
    """Walks a JSON schema and fills it; names never repeat within one answer."""

    def __init__(self, draw: random.Random, root: dict[str, Any], prompt: str) -> None:
        asked = [int(n) for n in COUNT.findall(prompt) if 1 < int(n) <= 200]
        self.draw, self.root, self.asked = draw, root, asked[0] if asked else 10
        self.used: set[str] = set()

    def fill(self, schema: dict[str, Any], name: str = "", depth: int = 0) -> Any:
        """A value of ``schema``; ``name`` is the property it stands under."""
        schema = self.resolve(schema)
        if "const" in schema or "enum" in schema:
            return schema["const"] if "const" in schema else self.draw.choice(schema["enum"])
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if kind == "object":
            properties = schema.get("properties", {})
            return {key: self.fill(sub, key, depth) for key, sub in properties.items()}
        if kind == "array":
            items = schema.get("items", {})
            return [self.fill(items, name, depth + 1) for _ in range(self.length(schema, depth))]
        low, high = schema.get("minimum", 1), schema.get("maximum", 10)
        scalars = {
            "integer": self.draw.randint(int(low), int(high)),
            "number": float(low),
            "boolean": self.draw.random() < 0.5,
            "null": None,
        }
        return scalars[kind] if kind in scalars else self.text(name)

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema behind a ``$ref`` or the first alternative that is not null."""
        if "$ref" in schema:
            target: Any = self.root
            for part in schema["$ref"].split("/")[1:]:
                target = target[part]
            return self.resolve(target)
        for word in ("anyOf", "oneOf", "allOf"):
            if word in schema:
                return self.resolve(next(s for s in schema[word] if s.get("type") != "null"))
        return schema

    def length(self, schema: dict[str, Any], depth: int) -> int:
        """The number asked for in the prompt (2 for nested lists), within the schema's bounds."""
        low = schema.get("minItems", 0)
        return max(low, min(schema.get("maxItems", 200), 2 if depth else self.asked))

    def text(self, name: str) -> str:
        """A sentence under names like ``definition`` or ``examples``, else a new two-word name."""
        if LONG.search(name):
            return prose(self.draw, 8, 20)
        while True:
            words = " ".join(self.draw.sample(WORDS, self.draw.choice((2, 2, 2, 3))))
            if words not in self.used:
                self.used.add(words)
                return words
