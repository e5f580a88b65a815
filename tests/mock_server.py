"""An OpenAI-compatible chat server on the loopback interface: cheap, repeatable, able to misbehave.

    python tests/mock_server.py --latency-ms 50 --fault http_500=0.05      {"port": ..., "pid": ...}

    with running(latency_ms=50, fault={"http_500": 0.05}) as server:       a process of its own
        server.url, server.stats(limit=64), server.reset(), server.stop()

Answers depend on the conversation alone (``mock_teacher``), faults on the conversation and on how
often it was asked (``mock_rules``). POST /v1/chat/completions, GET /v1/models, POST /reset, and
GET /stats?ids=1&limit=N&series=1 (``mock_ledger``). One asyncio.Protocol per connection and no
framework, because the clients that are measured against it share its processors.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from mock_ledger import Ledger
from mock_rules import (
    ANSWERED,
    Bucket,
    error,
    fault_of,
    fault_reply,
    latency,
    options,
    refusal,
    reply,
)
from mock_teacher import WORDS, answer, content_of, key_of, words_in

GARBAGE = "\x00\x1b[31m]]>{{%}} <script>alert(1)</script> \u202e \ud800 " + "\U0001f9ea" * 20
ID = re.compile(r"\[\[id:(\d+)\]\]")


class Call(NamedTuple):
    """One chat request that is being served."""

    ledger: Ledger
    payload: dict[str, Any]
    key: str
    ids: list[int]
    number: int
    fault: str


class Server:
    """Options, counters and the listening socket."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.ledger, self.bucket = args, Ledger(), Bucket(args.rate_limit)
        self.answers = self.port = 0
        self.open: set[Connection] = set()
        self.log = args.request_log.open("a", buffering=1) if args.request_log else None
        self.canned = " ".join(WORDS[i % 20] for i in range(args.tokens))
        self.listener: asyncio.Server | None = None
        self.return_task: asyncio.Task[None] | None = None

    async def listen(self, port: int) -> None:
        """Accept connections."""
        self.listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), "127.0.0.1", port, backlog=2048, reuse_address=True
        )
        self.port = int(self.listener.sockets[0].getsockname()[1])

    def completion(self, call: Call) -> bytes:
        """The 200 response, spoilt as ``call.fault`` says."""
        seed = f"{call.key}/{call.payload.get('seed')}" if self.args.use_seed else call.key
        text = self.canned if self.args.style == "canned" else answer(call.payload, seed)
        if call.fault == "length":
            text = text[: len(text) // 2]
        text = {"empty_text": "", "garbage_text": GARBAGE}.get(call.fault, text)
        asked = sum(words_in(content_of(m)) for m in call.payload["messages"])
        told = words_in(text)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": "length" if call.fault == "length" else "stop",
        }
        body = json.dumps(
            {
                "id": f"chatcmpl-{call.key[:12]}",
                "object": "chat.completion",
                "created": 1700000000,
                "model": self.args.model,
                "choices": [] if call.fault == "empty_choices" else [choice],
                "usage": {
                    "prompt_tokens": asked,
                    "completion_tokens": told,
                    "total_tokens": asked + told,
                },
            }
        ).encode()
        if call.fault == "cut":
            return reply(body)[: -len(body) // 2]
        if call.fault == "truncated_json":
            return reply(body[: len(body) // 2])
        return reply({"hello": ["world"]} if call.fault == "wrong_json" else body)

    def count_answer(self) -> None:
        """One answer more; the planned outage when it is due."""
        self.answers += 1
        if self.answers == self.args.kill_after:
            os._exit(1)
        if self.answers == self.args.down_after:
            self.return_task = asyncio.ensure_future(self.go_down())

    async def go_down(self) -> None:
        """Drop every connection, refuse new ones, and come back if told to."""
        assert self.listener is not None
        self.listener.close()
        for connection in list(self.open):
            connection.transport.abort()
        if self.args.down_for:
            await asyncio.sleep(self.args.down_for)
            await self.listen(self.port)

    def status(self, path: str) -> bytes:
        """The response to a GET request."""
        parts = urlsplit(path)
        query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        if parts.path == "/stats":
            wants = bool(query.get("ids")), query.get("limit", 0), bool(query.get("series"))
            return reply(self.ledger.stats(*wants))
        if parts.path == "/v1/models":
            model = {"id": self.args.model, "object": "model", "owned_by": "mock"}
            return reply({"object": "list", "data": [model]})
        return error(404, f"No such path: {parts.path}")


class Connection(asyncio.Protocol):
    """One client connection; requests on it come one after another."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server, self.buffer = server, b""
        self.call: Call | None = None
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.port = transport.get_extra_info("peername")[1]
        self.server.open.add(self)
        self.server.ledger.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, perhaps before its answer."""
        self.server.open.discard(self)
        if self.timer:
            self.timer.cancel()
        if self.call:
            self.call.ledger.level(time.monotonic(), -1)
            self.call.ledger.aborted += 1

    def data_received(self, data: bytes) -> None:
        """Cut the stream into requests."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head, lower = self.buffer[:end], self.buffer[:end].lower()
            if b"transfer-encoding:" in lower:
                self.transport.write(error(411, "Send a Content-Length"))
                return self.transport.close()
            mark = lower.find(b"content-length:")
            length = int(lower[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return None
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.handle(head, body)
        return None

    def handle(self, head: bytes, body: bytes) -> None:
        """Answer one request, now or later."""
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if method == "GET":
            self.transport.write(self.server.status(path))
        elif path == "/reset":
            self.server.ledger = Ledger()
            self.transport.write(reply({}))
        elif path == "/v1/chat/completions":
            self.chat(head, body)
        else:
            self.transport.write(error(404, f"No such path: {path}"))

    def chat(self, head: bytes, body: bytes) -> None:
        """Count the request, then refuse it or start the clock of its answer."""
        server, ledger, now = self.server, self.server.ledger, time.monotonic()
        try:
            payload = json.loads(body)
            key = key_of(payload["messages"])
        except (ValueError, KeyError):
            return self.transport.write(error(400, "We could not parse the JSON body."))
        ids = [int(n) for n in dict.fromkeys(ID.findall(content_of(payload["messages"][-1])))]
        attempt = ledger.arrive(now, key, ids)
        refused = refusal(server.args, server.bucket, ledger, head, payload, key, ids)
        fault = "" if refused else fault_of(server.args.fault, key, attempt)
        if fault.startswith("http_"):
            refused = fault, fault_reply(server.args, fault)
        kind = refused[0] if refused else fault
        if kind:
            ledger.rejected[kind] += 1
        if server.log:
            line = {"t": now, "key": key, "attempt": attempt, "kind": kind, "request": payload}
            server.log.write(json.dumps(line) + "\n")
        if refused:
            return self.transport.write(refused[1])
        self.call = Call(ledger, payload, key, ids, ledger.start(now), fault)
        if fault != "stall":
            delay = latency(server.args, key)
            self.timer = asyncio.get_running_loop().call_later(delay, self.finish)
        return None

    def finish(self) -> None:
        """The answer of the request that waited."""
        call, self.call, self.timer = self.call, None, None
        assert call is not None
        now = time.monotonic()
        call.ledger.level(now, -1)
        self.transport.write(self.server.completion(call))
        if call.fault == "cut":
            self.transport.close()
        if call.fault in ANSWERED:
            call.ledger.deliver(now, call.key, call.number, call.ids, self.port)
        self.server.count_answer()


async def serve(args: argparse.Namespace) -> None:
    """Listen until told to stop."""
    stop, server = asyncio.Event(), Server(args)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.listen(args.port)
    print(json.dumps({"port": server.port, "pid": os.getpid()}), flush=True)
    await stop.wait()


class Running:
    """A mock server in a process of its own."""

    def __init__(self, flags: list[str]) -> None:
        # Its own group, so that Ctrl-C or a kill aimed at the client's group leaves it alone.
        self.process = subprocess.Popen(
            [sys.executable, __file__, *flags],
            text=True,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        with self.process.stdout as out:
            line = out.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(f"the mock server did not start with {' '.join(flags)}")
        self.port: int = json.loads(line)["port"]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of one request to the server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def stats(self, ids: bool = False, limit: int = 0, series: bool = False) -> dict[str, Any]:
        """The counters (see ``Ledger.stats``)."""
        path = f"/stats?ids={ids:d}&limit={limit}&series={series:d}"
        stats: dict[str, Any] = self.ask("GET", path)[1]
        return stats

    def reset(self) -> None:
        """Clear the counters; answers on their way are counted nowhere."""
        self.ask("POST", "/reset")

    def stop(self) -> None:
        """End the process; harmless when it has ended by itself."""
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def running(**flags: Any) -> Iterator[Running]:
    """A mock server for the length of a block; ``max_in_flight=64`` is ``--max-in-flight 64``."""
    words: list[str] = []
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, dict):
            words += [f"{flag}={kind}={share}" for kind, share in value.items()]
        elif value is not False and value is not None:
            words.append(flag if value is True else f"{flag}={value}")
    server = Running(words)
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    asyncio.run(serve(options()))
