"""The chat-completions wire format: a request as JSON bytes, a reply as an ``Answer`` or as a named
fault."""

from __future__ import annotations

import email.utils
import json
import random
import re
import time
from typing import Any, Literal

from datagen.llm import Answer, Request

LONGEST_WAIT_S = 8.0


class FatalStatus(Exception):
    """The server says that no request can be served: wrong key, unknown model, no credit."""


class Unservable(Exception):
    """The server says that this request can never be served (400, 413, 422), in its own words."""


class Fault(Exception):
    """One try failed and another may not.

    Args:
        kind: counted under this name in the report.
        words: what happened.
        too_many: the server had no room (429, 503, 529).
        retry_after: seconds the server asked to wait.
        unreachable: the connection could not even be opened.
    """

    def __init__(
        self,
        kind: str,
        words: str,
        *,
        too_many: bool = False,
        retry_after: float | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(words)
        self.kind, self.too_many = kind, too_many
        self.retry_after, self.unreachable = retry_after, unreachable

    def wait_s(self, tries: int, longest: float = LONGEST_WAIT_S) -> float:
        """Seconds before the next try: what the server asked, else exponential with jitter."""
        if self.retry_after is not None:
            return self.retry_after * random.uniform(1.0, 1.1)
        return random.uniform(0.5, 1.0) * min(longest, 0.1 * 2.0 ** (tries - 1))


# ASCII escapes, so that any text, lone surrogates too, can be sent.
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_UNKNOWN = re.compile(
    r"unsupported|not supported|does not support|unknown|unrecogni[sz]ed|not permitted|"
    r"unexpected|not allowed|invalid parameter|only the default",
    re.I,
)
_SCHEMA = re.compile(r"response_format|json_schema|schema|grammar|guided|structured", re.I)


class RequestBody:
    """Writes requests, and learns what the server does not take.

    ``notices`` collects one line for each thing that had to be left out, for the user to see.
    """

    def __init__(self, structured: Literal["auto", "schema", "prompt"], notices: list[str]) -> None:
        self._structured, self._notices = structured, notices
        self._max_tokens = "max_tokens"
        self._left_out: set[str] = set()
        self.version = 0
        """Grows with each thing learned; a request written before may be worth another try."""

    def encode(self, request: Request) -> bytes:
        """The JSON body; parameters that are None or that the server refused before are
        left out."""
        body: dict[str, Any] = {"model": request.model, "messages": request.messages}
        optional = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            self._max_tokens: request.max_tokens,
            "stop": list(request.stop) or None,
            "logprobs": request.logprobs or None,
            "response_format": self._response_format(request),
        }
        body.update(
            (k, v) for k, v in optional.items() if v is not None and k not in self._left_out
        )
        return _ENCODE(body).encode()

    def _response_format(self, request: Request) -> dict[str, Any] | None:
        if request.schema is None or self._structured == "prompt":
            return None
        return {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": request.schema},
        }

    def adapt(self, words: str) -> bool:
        """Whether the refusal names a parameter that can be written otherwise or left out; if so it
        now is."""
        if self._max_tokens == "max_tokens" and "max_completion_tokens" in words:
            self._max_tokens = "max_completion_tokens"
            self.version += 1
            return True
        if (
            self._structured == "auto"
            and "response_format" not in self._left_out
            and _SCHEMA.search(words)
        ):
            return self._leave_out("response_format", words)
        named = [p for p in ("seed", "temperature", "top_p", "logprobs", "stop") if p in words]
        if named and _UNKNOWN.search(words) and named[0] not in self._left_out:
            return self._leave_out(named[0], words)
        return False

    def _leave_out(self, parameter: str, words: str) -> bool:
        self._left_out.add(parameter)
        self.version += 1
        self._notices.append(
            f"the server does not take {parameter}, it is left out from here on ({words[:120]})"
        )
        return True


def read_answer(status: int, retry_after: str | None, data: bytes) -> Answer:
    """The answer in a reply.

    Raises:
        FatalStatus: 401, 403, 404, a redirect, or no credit left.
        Unservable: 400, 413, 422.
        Fault: anything that another try may mend.
    """
    if status != 200:
        raise _error(status, retry_after, _server_words(data))
    try:
        reply = json.loads(data)
        choice = reply["choices"][0]
        text = choice["message"].get("content") or ""
        usage = reply.get("usage") or {}
        answer = Answer(
            _clean(text),
            str(choice.get("finish_reason") or "stop"),
            _tokens(usage, "prompt_tokens"),
            _tokens(usage, "completion_tokens"),
            logprobs=_logprobs(choice),
        )
    except json.JSONDecodeError:
        raise Fault("bad_json", f"not JSON: {data[:80]!r}") from None
    except UnicodeDecodeError:
        raise Fault("bad_json", "not UTF-8") from None
    except IndexError:
        raise Fault("empty_choices", "a reply without choices") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise Fault("wrong_json", f"not a chat completion: {data[:80]!r}") from None
    return answer


def _error(status: int, retry_after: str | None, words: str) -> Exception:
    if status in (429, 503, 529):
        if "insufficient_quota" in words:
            return FatalStatus(
                f"HTTP {status}: {words}: top up the account and run the same command again"
            )
        return Fault(f"http_{status}", words, too_many=True, retry_after=_seconds(retry_after))
    if status in (400, 413, 422):
        return Unservable(f"HTTP {status}: {words}")
    if status in (401, 403):
        return FatalStatus(f"HTTP {status}: {words}: check the key (--api-key-env, --api-key-file)")
    if status == 404:
        return FatalStatus(
            f"HTTP 404: {words}: check --model, and that --base-url ends as the server wants (/v1)"
        )
    if status < 500 and status not in (408, 409, 425):
        return FatalStatus(f"HTTP {status}: {words}: check --base-url")
    return Fault(f"http_{status}", words, retry_after=_seconds(retry_after))


def _server_words(data: bytes) -> str:
    """The message inside an error reply, or its first characters; one line."""
    text = data[:2000].decode("utf-8", "replace")
    try:
        error = json.loads(text)
        error = error.get("error", error)
        if isinstance(error, dict):
            said = [str(error[k]) for k in ("code", "message", "detail", "param") if error.get(k)]
            text = ": ".join(said) or text
        else:
            text = str(error)
    except (ValueError, AttributeError, RecursionError):
        pass
    return " ".join(text.split())[:500]


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds; it may be a number or a date (RFC 9110, section 10.2.3)."""
    if retry_after is None:
        return None
    try:
        return min(600.0, max(0.0, float(retry_after)))
    except ValueError:
        pass
    try:
        at = email.utils.parsedate_to_datetime(retry_after).timestamp()
    except (ValueError, TypeError):
        return None
    return min(600.0, max(0.0, at - time.time()))


def _tokens(usage: Any, name: str) -> int:
    """A count out of a reply; what is no sensible number counts as none, the answer stands."""
    try:
        return min(10**9, max(0, int(usage.get(name) or 0)))
    except (TypeError, ValueError, OverflowError, AttributeError):
        return 0


def _clean(text: Any) -> str:
    """Text that UTF-8 can hold: a lone surrogate (a JSON escape cut in two) becomes U+FFFD."""
    if not isinstance(text, str):
        raise TypeError("content is not a string")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _logprobs(choice: dict[str, Any]) -> tuple[float, ...] | None:
    content = (choice.get("logprobs") or {}).get("content")
    return tuple(float(token["logprob"]) for token in content) if content else None
