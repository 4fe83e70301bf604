"""A clock that a test winds by hand."""

from git_credential_relay.relay.deadline import Clock, Deadline

START = 1_800_000_000.0  # Unix time: 2027-01-15T08:00:00Z


class FakeClock:
    """Both clocks advance together: by `advance`, or because somebody sleeps."""

    def __init__(self, now: float = START) -> None:
        self.now = now
        self.ticks = 5000.0
        self.slept: list[float] = []

    @property
    def clock(self) -> Clock:
        """What the code under test gets."""
        return Clock(now=lambda: self.now, monotonic=lambda: self.ticks, sleep=self.sleep)

    def deadline(self, seconds: float = 20.0) -> Deadline:
        """A deadline of so many seconds from now, by this clock."""
        return Deadline(seconds, self.clock)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.ticks += seconds

    def sleep(self, seconds: float) -> None:
        """Pass the time at once, and note it."""
        self.slept.append(seconds)
        self.advance(seconds)
