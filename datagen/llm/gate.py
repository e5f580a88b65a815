"""How many requests one endpoint may be sent now: a window and, once it proves rate-limited, a
pace.

Pure state, no clock and no I/O of its own: every method takes the time, so its behaviour can be
replayed.

Two kinds of server say "too many" (429, 503). One bounds what is in flight: it takes any request
while fewer than its limit are running. The other bounds requests per second: it refuses at any
number in flight. The gate first assumes the former and shrinks its window to what was still being
served when the refusals came. If it is refused
again at a window the server had accepted, the limit is a rate: the gate then paces itself at the
    rate measured over the last seconds, its pauses included.

Refusals below ``TOLERATED`` of a round let the limits grow. Above ``CONGESTED`` the gate cuts. In
between it
makes a trial: it shrinks the window by the refused share for a round. If the refusals stop, they
    came from congestion and the window stays; if not, the server fails at random (5 % of 429s,
    say), must not be slowed, and that share is noise from then on. Slow start and one cut a round
    follow TCP (RFC 5681, section 3).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

START = 64
"""Requests in flight before the first answer; the window grows fourfold each round trip until
refused."""
TOLERATED = 0.02
CONGESTED = 0.3
FEW = 4
"""Refusals in a round before its share means anything."""
MEASURED_S = 10.0
"""Seconds over which the accepted rate is measured."""
DEFAULT_PAUSE_S = 0.5
"""Pause after a rate limit whose refusals carry no Retry-After."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request on the wire: when it was sent, and after how many cuts."""

    sent_at: float
    cuts: int


class Gate:
    """Admission to one endpoint.

    Args:
        ceiling: most requests in flight, ever.
        start: most in flight before the first answers came back.
    """

    def __init__(self, ceiling: int, start: int = START) -> None:
        self.ceiling = ceiling
        self.window = float(min(ceiling, start))
        self.in_flight = 0
        self.rate: float | None = None
        self.paused_until = 0.0
        self.next_send = 0.0
        self.round_trip_s = 0.0
        self._slow_start = True
        self._cuts = 0
        self._proven = 0.0
        self._last_refusal = -1e9
        self._rate_at_cut = 0.0
        self._cooling: deque[float] = deque()
        self._accepted: deque[tuple[float, int]] = deque()
        self._first_send: float | None = None
        self._round_start = 0.0
        self._ok = self._refused = 0
        self._limited = False
        self._noise = 0.0
        self._trial: float | None = None

    # ---- asking --------------------------------------------------------------------------------

    def opens_at(self, now: float) -> float:
        """When the next request may be sent: ``now`` or earlier is at once, infinity is "after an
        answer"."""
        while self._cooling and self._cooling[0] <= now:
            self._cooling.popleft()
        if self.in_flight >= int(self.window):
            self._limited = True
            return float("inf")
        if self.in_flight + len(self._cooling) >= int(self.window):
            return max(self._cooling[0], self.paused_until)
        if self.rate is not None and self.next_send > now:
            self._limited = True
            return max(self.next_send, self.paused_until)
        return self.paused_until

    @property
    def load(self) -> float:
        """Share of the window that is taken; the least loaded of several endpoints is
        asked first."""
        return self.in_flight / self.window

    def sent(self, now: float) -> Ticket:
        """Count one request as sent."""
        if self._first_send is None:
            self._first_send = self._round_start = now
        self.in_flight += 1
        if self.rate is not None:
            self.next_send = max(self.next_send, now) + 1.0 / self.rate
        return Ticket(now, self._cuts)

    # ---- outcomes ------------------------------------------------------------------------------

    def answered(self, ticket: Ticket, now: float) -> None:
        """The server answered: whatever it said, it had room."""
        took = now - ticket.sent_at
        self.round_trip_s = 0.9 * self.round_trip_s + 0.1 * took if self.round_trip_s else took
        if self.in_flight >= self.window - 1:
            self._limited = True
        self.in_flight -= 1
        self._count_accepted(now)
        if ticket.cuts == self._cuts:
            self._ok += 1
        if self._slow_start:
            self.window = min(self.ceiling, self.window + 3)
        self._end_round(now)

    def failed(self, ticket: Ticket) -> None:
        """No answer (time-out, cut connection, crash): says nothing about room."""
        self.in_flight -= 1

    def refused(self, ticket: Ticket, now: float, retry_after: float | None) -> None:
        """The server had no room for this request (429, 503)."""
        self.in_flight -= 1
        if ticket.cuts < self._cuts:
            # Sent before the last cut: more of the same burst. The window closes on what is really
            # served.
            if self.rate is None:
                self._shrink()
            self._last_refusal = now
            return
        # The slot stays taken for a round trip, or the waiting requests would rush through it one
        # after another.
        self._cooling.append(now + max(self.round_trip_s, 0.05))
        self._refused += 1
        # Refusals come at once, answers after a round trip: what is still on the wire counts as
        # accepted.
        outcomes = self._ok + self._refused + self.in_flight
        if (
            self._refused >= min(FEW, self.window)
            and self._refused >= (CONGESTED + self._noise) * outcomes
        ):
            self._cut(now, retry_after)
        self._last_refusal = now

    # ---- control -------------------------------------------------------------------------------

    def _cut(self, now: float, retry_after: float | None) -> None:
        self._slow_start = False
        known = self._cuts > 0 and self.window <= 1.1 * self._proven + 1
        if known or self.rate is not None:
            pause = DEFAULT_PAUSE_S if retry_after is None else retry_after
            self.paused_until = max(self.paused_until, now + pause)
            self.rate = self._rate_at_cut = max(0.1, self._accepted_rate(now, pause))
            self.next_send = self.paused_until
        else:
            # No pause: if the limit is one of requests in flight, the window alone keeps it from
            # here on. The refused requests themselves wait as long as they were told to.
            self._shrink()
        self._cuts += 1
        self._trial = None
        self._cooling.clear()
        self._new_round(now)

    def _shrink(self) -> None:
        self.window = float(max(1, min(self.window, self.in_flight)))
        self._proven = self.window

    def _end_round(self, now: float) -> None:
        lasted = now - self._round_start
        # A window's worth of outcomes: fewer would be mostly refusals, which come before answers.
        outcomes = self._ok + self._refused
        if lasted < max(0.1, self.round_trip_s) or outcomes < max(8, self.window):
            return
        share = self._refused / outcomes
        # Two standard deviations of the noise are noise.
        too_many = share - self._noise >= max(TOLERATED, 2 * (self._noise / outcomes) ** 0.5)
        self._slow_start = self._slow_start and not too_many
        if self.rate is not None:
            self._adjust_rate(now, too_many, lasted)
        elif self._trial is not None:
            self._end_trial(share, too_many)
        elif too_many:
            self._trial = self.window
            self.window = max(1.0, self.window * (1 - share))
        else:
            self._noise = 0.9 * self._noise + 0.1 * share if self._noise else 0.0
            self._grow()
        self._new_round(now)

    def _end_trial(self, share: float, too_many: bool) -> None:
        assert self._trial is not None
        if too_many:
            self.window, self._noise = self._trial, share
        else:
            self._proven = self.window
        self._trial = None

    def _grow(self) -> None:
        """A tenth a round, but one by one near what was refused before."""
        if self._limited and not self._slow_start:
            near = self._proven and self.window < 1.2 * self._proven
            step = 1.0 if near else max(1.0, 0.1 * self.window)
            self.window = min(self.ceiling, self.window + step)

    def _adjust_rate(self, now: float, too_many: bool, lasted: float) -> None:
        assert self.rate is not None
        if too_many:
            self.rate = max(0.1, min(self.rate, self._accepted_rate(now, 0.0)) * 0.98)
        elif self._limited:
            quiet = now - self._last_refusal
            self.rate *= 1.0 + (0.02 if quiet < 10 else 0.25) * min(lasted, 1.0)
            if self.rate > 8 * self._rate_at_cut:
                self.rate = None

    def _new_round(self, now: float) -> None:
        self._round_start, self._ok, self._refused, self._limited = now, 0, 0, False

    def _count_accepted(self, now: float) -> None:
        tick = now - now % 0.1
        if self._accepted and self._accepted[-1][0] == tick:
            self._accepted[-1] = (tick, self._accepted[-1][1] + 1)
        else:
            self._accepted.append((tick, 1))
        while self._accepted[0][0] < now - MEASURED_S:
            self._accepted.popleft()

    def _accepted_rate(self, now: float, pause: float) -> float:
        """Requests per second accepted over the last seconds; what is on the wire now counts as
        accepted."""
        since = max(now - MEASURED_S, self._first_send or 0.0)
        accepted = sum(n for at, n in self._accepted if at >= since - 0.1) + self.in_flight
        return accepted / max(now + pause - since, 0.1)
