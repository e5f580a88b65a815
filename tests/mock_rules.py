"""What the mock server refuses or spoils, and its command line."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

from mock_ledger import Ledger, uniform

FAULTS = (
    "http_429",
    "http_429_retry",
    "http_500",
    "http_503",
    "stall",
    "cut",
    "truncated_json",
    "wrong_json",
    "empty_choices",
    "empty_text",
    "length",
    "garbage_text",
)
ANSWERED = ("", "empty_text", "length", "garbage_text")
"""Faults whose reply is still a well-formed answer, which a client has to judge by its text."""
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    411: "Length Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
NORMAL = statistics.NormalDist()

FLAGS: list[tuple[str, Any, str]] = [
    ("port", 0, "0 picks a free one and prints it"),
    ("model", "mock-model", "404 for any other name"),
    ("style", "auto", "auto plays a teacher; canned is one fixed text"),
    ("tokens", 200, "words of the canned text"),
    ("use-seed", False, "the request's seed changes the answer too"),
    ("latency-ms", 0.0, "time to answer"),
    ("latency-spread", 0.0, "sigma of a lognormal factor of mean 1, chosen by hash"),
    ("rate-limit", 0.0, "requests/s (a token bucket of one second), else 429, Retry-After: 1"),
    ("max-in-flight", 0, "429 above it"),
    ("retry-after", 0.0, "header of http_429_retry (1 when 0) and of --max-in-flight"),
    ("bad-every", 0, "every K-th prompt (by [[id:N]], else by hash) is always answered 400"),
    ("auth", "", "the key to present, else 401"),
    ("no-schema", False, "400 on response_format json_schema"),
    ("no-seed", False, "400 on seed"),
    ("max-completion-tokens-only", False, "400 on max_tokens"),
    ("kill-after", 0, "the process exits after N answers"),
    ("down-after", 0, "after N answers connections are dropped and refused"),
    ("down-for", 0.0, "seconds until it listens again; 0 is for ever"),
]


def options(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; every flag is also a keyword of ``mock_server.running``."""
    p = argparse.ArgumentParser(description="A mock OpenAI-compatible chat server.")
    for name, default, text in FLAGS:
        if default is False:
            p.add_argument(f"--{name}", action="store_true", help=text)
        else:
            p.add_argument(f"--{name}", type=type(default), default=default, help=text)
    p.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND=SHARE",
        help=f"share of all requests that meet it: {', '.join(FAULTS)}",
    )
    p.add_argument("--request-log", type=Path, help="one JSON line per chat request")
    args = p.parse_args(argv)
    args.fault = {kind: float(share) for kind, share in (text.split("=") for text in args.fault)}
    if set(args.fault) - set(FAULTS) or sum(args.fault.values()) > 1:
        p.error(f"--fault takes {', '.join(FAULTS)}; the shares sum to at most 1")
    return args


def reply(body: Any, status: int = 200, header: str = "") -> bytes:
    """A whole HTTP response; ``body`` is JSON-encoded unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"{header}Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def error(
    status: int,
    message: str,
    code: str | None = None,
    param: str | None = None,
    retry_after: float = 0,
) -> bytes:
    """An error response in OpenAI's form."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    header = f"Retry-After: {retry_after:g}\r\n" if retry_after else ""
    body = {"message": message, "type": kind, "param": param, "code": code}
    return reply({"error": body}, status, header)


def fault_of(shares: dict[str, float], key: str, attempt: int) -> str:
    """The fault that this attempt meets, or an empty string; the same on every run."""
    draw = uniform("fault", key, attempt) if shares else 1.0
    for kind, share in shares.items():
        draw -= share
        if draw < 0:
            return kind
    return ""


def fault_reply(args: argparse.Namespace, fault: str) -> bytes:
    """The response of the faults that answer at once."""
    if fault.startswith("http_429"):
        retry = (args.retry_after or 1) if fault == "http_429_retry" else 0
        return error(429, "Too many requests", "rate_limit_exceeded", retry_after=retry)
    return error(int(fault[-3:]), "The server had an error while processing your request")


def latency(args: argparse.Namespace, key: str) -> float:
    """Seconds until this request is answered."""
    spread = args.latency_spread
    if not spread:
        return float(args.latency_ms) / 1000
    factor = math.exp(spread * NORMAL.inv_cdf(uniform("latency", key)) - spread**2 / 2)
    return float(args.latency_ms) / 1000 * factor


def unsupported(args: argparse.Namespace, payload: dict[str, Any]) -> tuple[str, bytes] | None:
    """The refusal of a parameter that this server does not know."""
    form = payload.get("response_format") or {}
    if args.no_schema and form.get("type") == "json_schema":
        words = "Invalid parameter: 'response_format' of type 'json_schema' is not supported"
        return "no_schema", error(400, f"{words} with this model.", None, "response_format")
    for flag, name, advice in (
        (args.no_seed, "seed", ""),
        (args.max_completion_tokens_only, "max_tokens", " Use 'max_completion_tokens' instead."),
    ):
        if flag and name in payload:
            words = f"Unsupported parameter: '{name}' is not supported with this model.{advice}"
            return f"no_{name}", error(400, words, "unsupported_parameter", name)
    return None


class Bucket:
    """A token bucket that holds one second's worth of requests and starts full."""

    def __init__(self, rate: float) -> None:
        self.rate, self.level, self.time = rate, rate, time.monotonic()

    def take(self) -> bool:
        """One request's token, if there is one."""
        now = time.monotonic()
        self.level = min(self.rate, self.level + (now - self.time) * self.rate)
        self.time = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


def refusal(
    args: argparse.Namespace,
    bucket: Bucket,
    ledger: Ledger,
    head: bytes,
    payload: dict[str, Any],
    key: str,
    ids: list[int],
) -> tuple[str, bytes] | None:
    """Kind and response when this request is not served."""
    limited = "rate_limit_exceeded"
    if args.auth and f"Bearer {args.auth}".encode() not in head:
        return "unauthorized", error(401, "Incorrect API key provided.", "invalid_api_key")
    if payload.get("model") != args.model:
        words = f"The model `{payload.get('model')}` does not exist"
        return "unknown_model", error(
            404, f"{words} or you do not have access to it.", "model_not_found"
        )
    if refused := unsupported(args, payload):
        return refused
    if args.max_in_flight and ledger.in_flight >= args.max_in_flight:
        return "over_in_flight", error(
            429, "Too many requests in flight", limited, retry_after=args.retry_after
        )
    if args.rate_limit and not bucket.take():
        return "rate_limit", error(429, "Rate limit reached", limited, retry_after=1)
    number = ids[-1] if ids else int(key, 16)
    if args.bad_every and number % args.bad_every == args.bad_every - 1:
        ledger.bad.add(key)
        return "bad_prompt", error(
            400, "This prompt was refused by the content filter", "content_filter"
        )
    return None
