"""Any OpenAI-compatible chat endpoint: OpenAI, vLLM serve, llama.cpp, SGLang, TGI; several are
balanced.

The openai package gives the key, the organisation and the base URL as its users know them. Requests
are posted
with aiohttp: measured on a 50 ms loopback server at 256 connections, the openai client costs 1.2 ms
    (aiohttp transport) to 2.3 ms (default) of CPU a request, a plain post 0.4 ms.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from datagen.errors import BackendError, ConfigError, Refused
from datagen.llm import Answer, ModelConfig, Request, Traffic
from datagen.llm.admission import Admission, Lane, Place
from datagen.llm.wire import (
    LONGEST_WAIT_S,
    FatalStatus,
    Fault,
    RequestBody,
    Unservable,
    read_answer,
)

if TYPE_CHECKING:
    import aiohttp

TRIES = 12
"""Tries of one request that fail otherwise than by "too many"; those are bounded by patience alone.
"""
UNREACHABLE_TRIES = 3
"""Tries to connect before a server that never answered is taken to be down."""
HOPELESS = 20
"""Requests refused one after another, none answered, after which the configuration is at fault."""
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
LONGEST_BODY = 64 * 2**20


class OpenAILLM:
    """A model behind one or more OpenAI-compatible endpoints.

    Args:
        model: the name the endpoints know it by.
        base_urls: each up to and including ``/v1``.
        api_key: sent as a bearer token; never logged.
        concurrency: most requests in flight over all endpoints.
        timeout: seconds to wait for one answer.
        patience: seconds without any answer after which an endpoint that had answered is given up.
        structured: how JSON schemas are asked for (see ``ModelConfig``).
    """

    def __init__(
        self,
        model: str,
        base_urls: Sequence[str],
        api_key: str | None = None,
        concurrency: int = 256,
        timeout: float = 600.0,
        patience: float = 300.0,
        structured: Literal["auto", "schema", "prompt"] = "auto",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.model = model
        self.traffic = Traffic(limit=concurrency)
        self._key = api_key
        self._timeout, self._patience = timeout, patience
        # What runs on this machine is not asked through a proxy.
        self._here = all(urlsplit(url).hostname in LOOPBACK for url in base_urls)
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._body = RequestBody(structured, self.traffic.notices)
        self._admission = Admission(
            [u.rstrip("/") + "/chat/completions" for u in base_urls], concurrency, self.traffic
        )
        self._session: aiohttp.ClientSession | None = None
        self._answered = self._refused_in_row = 0
        self._last_answer = 0.0

    @classmethod
    def from_config(cls, config: ModelConfig) -> OpenAILLM:
        """The backend for ``config``; key and defaults are found as the openai package
        finds them."""
        if not config.model:
            raise ConfigError("--model is missing: name the model as the endpoint knows it")
        key = read_key(config)
        urls, headers = _as_openai_would(key, config.base_url)
        for url in urls:
            if not _is_http(url):
                raise ConfigError(
                    f"--base-url {url!r} is not an http(s) URL such as http://127.0.0.1:8000/v1"
                )
        return cls(
            config.model,
            urls,
            key,
            config.concurrency,
            config.timeout,
            config.patience,
            config.structured,
            headers,
        )

    async def answer(self, request: Request) -> Answer:
        """See ``LLM.answer``. Faults are counted in ``traffic.faults`` and retried; nothing is
        asked in vain."""
        try:
            return await self._answer(request)
        except Refused:
            raise
        except BackendError:
            # It holds for every request: those that wait need not find it out one by one.
            self.drain()
            raise

    async def _answer(self, request: Request) -> Answer:
        tries, refusals, trouble = 0, 0, 0.0
        while True:
            place = await self._admission.enter(again=tries + refusals > 0)
            lane, version = place.lane, self._body.version
            try:
                answer = await self._ask(place, request)
            except FatalStatus as error:
                raise BackendError(self._scrub(f"{lane.url}: {error}")) from None
            except Unservable as error:
                if self._body.adapt(str(error)) or self._body.version != version:
                    continue
                raise self._refusal(str(error)) from None
            except Fault as fault:
                self.traffic.faults[fault.kind] += 1
                tries, refusals = (tries, refusals + 1) if fault.too_many else (tries + 1, refusals)
                trouble = trouble or time.monotonic()
                self._give_up_if_hopeless(lane, fault, tries, trouble)
                await self._admission.pause(fault.wait_s(tries + refusals, self._longest_wait()))
            else:
                self._answered += 1
                self._refused_in_row = 0
                self._last_answer = time.monotonic()
                return answer

    def drain(self) -> None:
        """Let the requests on the wire finish; whatever still waits to be sent raises
        ``Drained``."""
        self._admission.drain()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ---- one try -------------------------------------------------------------------------------

    async def _ask(self, place: Place, request: Request) -> Answer:
        gate, ticket = place.lane.gate, place.ticket
        try:
            status, retry_after, data = await self._post(place.lane.url, self._body.encode(request))
            answer = read_answer(status, retry_after, data)
        except Fault as fault:
            if fault.too_many:
                gate.refused(ticket, time.monotonic(), fault.retry_after)
            else:
                gate.failed(ticket)
                place.lane.stumble(time.monotonic(), fault.unreachable)
            raise
        except (Unservable, FatalStatus):
            gate.answered(ticket, time.monotonic())
            raise
        except BaseException:
            gate.failed(ticket)
            raise
        else:
            gate.answered(ticket, time.monotonic())
            place.lane.recovered()
            return answer
        finally:
            self._admission.leave(place)

    async def _post(self, url: str, body: bytes) -> tuple[int, str | None, bytes]:
        import aiohttp

        session = self._session or self._open_session()
        try:
            async with session.post(url, data=body, allow_redirects=False) as response:
                data = await _read(response)
                return response.status, response.headers.get("Retry-After"), data
        except TimeoutError:
            raise Fault("timeout", f"no answer in {self._timeout:g} s") from None
        except (
            aiohttp.ServerDisconnectedError,
            aiohttp.ClientPayloadError,
            aiohttp.ClientOSError,
        ) as error:
            unreachable = isinstance(error, aiohttp.ClientConnectorError)
            raise Fault(
                "connection", str(error) or type(error).__name__, unreachable=unreachable
            ) from None
        except aiohttp.ClientError as error:
            raise Fault("connection", f"{type(error).__name__}: {error}") from None

    def _open_session(self) -> aiohttp.ClientSession:
        import aiohttp

        proxied = any(
            os.environ.get(name)
            for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        )
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(
                total=self._timeout, sock_connect=min(10.0, self._timeout)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=proxied and not self._here,
        )
        return self._session

    # ---- when to stop --------------------------------------------------------------------------

    def _refusal(self, words: str) -> BackendError:
        words = self._scrub(words)
        self._refused_in_row += 1
        if not self._answered and self._refused_in_row >= HOPELESS:
            return BackendError(f"all of the first {HOPELESS} requests were refused: {words}")
        return Refused(words)

    def _give_up_if_hopeless(self, lane: Lane, fault: Fault, tries: int, trouble: float) -> None:
        """Raise where another try is in vain.

        A request alone in its trouble, while others are answered, is given up after ``TRIES``.
        Where nothing
        is answered the endpoint is in trouble: at the start that is an error, later it may take
            ``patience``.
        """
        words = self._scrub(f"{lane.url}: {fault.kind}: {fault}")
        if not self._answered and not self._refused_in_row:
            if tries >= (UNREACHABLE_TRIES if fault.unreachable else TRIES):
                hint = "start the server or mend --base-url" if fault.unreachable else "see its log"
                raise BackendError(f"{words} ({tries} tries, never an answer): {hint}")
            return
        silent = time.monotonic() - max(self._last_answer, trouble)
        if silent > self._patience:
            raise BackendError(
                f"{words} (no answer for {silent:.0f} s): mend the endpoint and run the same "
                "command again, it goes on where it stopped"
            )
        if tries >= TRIES and self._last_answer > trouble:
            raise Refused(f"{words} ({tries} tries)")

    def _longest_wait(self) -> float:
        """Seconds to back off at most: little while others are answered, more in an outage."""
        return 2.0 if time.monotonic() - self._last_answer < 10.0 else LONGEST_WAIT_S

    def _scrub(self, words: str) -> str:
        return words.replace(self._key, "***") if self._key else words


def read_key(config: ModelConfig) -> str | None:
    """The API key from ``api_key_file`` or the environment, or None."""
    if config.api_key_file is None:
        return os.environ.get(config.api_key_env) or None
    try:
        key = config.api_key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--api-key-file {config.api_key_file}: {error}") from None
    if not key or "\n" in key:
        raise ConfigError(f"--api-key-file {config.api_key_file}: it must hold the key on one line")
    return key


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


_ACCOUNT = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")


def _as_openai_would(key: str | None, base_urls: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Endpoints and account headers by the openai package's own rules (OPENAI_BASE_URL, ...)."""
    if not base_urls and key is None:
        raise ConfigError(
            "no API key: set OPENAI_API_KEY, give --api-key-file, or name a server with --base-url"
        )
    if base_urls and not any(os.environ.get(name) for name in _ACCOUNT):
        # Nothing is left for openai to find, and importing it takes most of a second.
        return list(base_urls), {}
    import openai

    client = openai.AsyncOpenAI(api_key=key or "none", base_url=base_urls[0] if base_urls else None)
    account = {"OpenAI-Organization": client.organization, "OpenAI-Project": client.project}
    headers = {name: value for name, value in account.items() if value}
    return list(base_urls) or [str(client.base_url)], headers


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, refused above ``LONGEST_BODY`` so that a broken server cannot fill the memory."""
    if (response.content_length or 0) > LONGEST_BODY:
        raise Fault("bad_json", f"an answer of {response.content_length} bytes")
    if response.content_length is not None:
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > LONGEST_BODY:
            raise Fault("bad_json", f"an answer of over {LONGEST_BODY} bytes")
        parts.append(part)
    return b"".join(parts)
