"""The gate against simulated servers: no sockets, no sleeping, exact time."""

import heapq

import pytest

from datagen.llm.gate import START, Gate


class Server:
    """Takes ``latency`` s; refuses above ``in_flight``, above ``rate`` a second, every nth."""

    def __init__(self, latency=0.05, in_flight=None, rate=None, burst=None, every=None):
        self.latency, self.most, self.rate, self.every = latency, in_flight, rate, every
        self.tokens = self.burst = burst or rate or 0
        self.at, self.running, self.requests, self.refused = 0.0, [], 0, 0

    def takes(self, now):
        self.requests += 1
        self.running = [end for end in self.running if end > now]
        if self.rate:
            self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
            self.at = now
            if self.tokens < 1:
                return False
            self.tokens -= 1
        if self.most and len(self.running) >= self.most:
            return False
        if self.every and self.requests % self.every == 0:
            return False
        self.running.append(now + self.latency)
        return True


def play(gate, server, requests, retry_after=None):
    """Send ``requests`` as fast as the gate lets; returns (seconds, refusals, in flight seen)."""
    now, events, waiting, done, refused, seen = 0.0, [], requests, 0, 0, []
    while done < requests:
        opens = gate.opens_at(now)
        if waiting and opens <= now:
            ticket = gate.sent(now)
            waiting -= 1
            if server.takes(now):
                heapq.heappush(events, (now + server.latency, 1, id(ticket), "ok", ticket))
            else:
                heapq.heappush(events, (now + 0.001, 0, id(ticket), "no", ticket))
            seen.append(len(server.running))
            continue
        ahead = [events[0][0]] if events else []
        if waiting and opens < float("inf"):
            ahead.append(opens)
        now = max(now, min(ahead))
        while events and events[0][0] <= now:
            at, _, _, outcome, ticket = heapq.heappop(events)
            if outcome == "ok":
                gate.answered(ticket, at)
                done += 1
            elif outcome == "no":
                refused += 1
                gate.refused(ticket, at, retry_after)
                heapq.heappush(events, (at + (retry_after or 0.2), 2, id(ticket), "again", None))
            else:
                waiting += 1
    return now, refused, seen


def test_reaches_the_ceiling_after_one_round_trip():
    gate = Gate(256)
    seconds, refused, _ = play(gate, Server(), 5000)
    # 64 in the first 50 ms, then 256 every 50 ms: (5000 - 64) / 256 = 19.3 -> 20 rounds more.
    assert refused == 0
    assert seconds == pytest.approx(21 * 0.05, abs=0.06)


def test_never_starts_above_the_ceiling():
    gate = Gate(8)
    assert gate.window == 8 < START


@pytest.mark.parametrize("limit", [8, 64, 100, 200, 240])
@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_settles_at_a_servers_limit_of_requests_in_flight(limit, retry_after):
    gate = Gate(256)
    seconds, refused, _ = play(gate, Server(in_flight=limit), 60_000, retry_after)
    assert gate.rate is None
    assert 0.9 * limit <= gate.window <= max(1.1 * limit, limit + 2)
    # 60,000 requests at the limit all the time would take 60,000 / limit x 50 ms.
    assert seconds <= 60_000 / limit * 0.05 / 0.9
    assert refused < 0.08 * 60_000


@pytest.mark.parametrize("rate", [5, 40, 200])
def test_paces_itself_below_a_rate_limit(rate):
    gate, requests = Gate(256), 25 * rate
    seconds, refused, _ = play(gate, Server(rate=rate), requests, retry_after=1.0)
    ideal = (requests - rate) / rate
    assert gate.rate is not None
    assert seconds <= 1.15 * ideal
    assert refused < START + 0.1 * requests


def test_paces_itself_without_retry_after():
    seconds, refused, _ = play(Gate(256), Server(rate=40), 1000)
    assert seconds <= 1.15 * 24
    assert refused < 200


@pytest.mark.parametrize("every", [7, 20])
def test_random_refusals_do_not_slow_it_down(every):
    """Refusals at any load are a fault, not congestion: the window does not close on them."""
    gate = Gate(256)
    seconds, _, _ = play(gate, Server(every=every), 20_000)
    assert gate.rate is None
    assert gate.window >= 2 * START
    # 20,000 requests at 256 in flight would take 3.9 s.
    assert seconds < 8


def test_a_lone_refusal_does_not_pause_the_others():
    gate = Gate(256)
    tickets = [gate.sent(0.0) for _ in range(20)]
    gate.refused(tickets[0], 0.01, 30.0)
    assert gate.opens_at(0.02) <= 0.02


def test_a_rate_that_was_lifted_is_found_out():
    gate = Gate(64)
    server = Server(rate=20)
    play(gate, server, 200, 1.0)
    limited = gate.rate
    server.rate = None
    play(gate, server, 4000, 1.0)
    assert limited is not None and (gate.rate is None or gate.rate > 3 * limited)


def test_in_flight_counts_back_to_zero():
    gate = Gate(32)
    for outcome in ("answered", "refused", "failed"):
        ticket = gate.sent(1.0)
        {
            "answered": lambda t: gate.answered(t, 1.1),
            "refused": lambda t: gate.refused(t, 1.1, None),
            "failed": gate.failed,
        }[outcome](ticket)
    assert gate.in_flight == 0
