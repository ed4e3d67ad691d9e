"""How long to wait for a camera that does not answer, and how many are reached for at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from photofinish.client.cameras.values.status import IngestProblem

DELAYS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
JITTER = 0.2
SOON_S = 4.0
REFUSES_US = (IngestProblem.AUTHENTICATION, IngestProblem.TLS, IngestProblem.CODEC)
"""What does not mend itself, and where cameras lock out who tries again and again."""
AT_ONCE = 16
HOLD_S = 1.0
"""A camera that does not answer keeps one of the places for no longer than this."""
KNOCK_EVERY_S = 3.0
KNOCK_TIMEOUT_S = 1.5
NOBODY_THERE = (IngestProblem.REFUSED, IngestProblem.UNREACHABLE, IngestProblem.TIMEOUT)
DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def delay_s(attempts: int, problem: IngestProblem, chance: random.Random) -> float:
    """Seconds before the next attempt, after so many that failed in a row (from 1).

    A camera that is there and does not refuse us may be well again at any moment: it never waits longer than 5 s.
    """
    plain = DELAYS_S[min(max(attempts, 1), len(DELAYS_S)) - 1]
    if problem not in (*NOBODY_THERE, *REFUSES_US):
        plain = min(plain, SOON_S)
    return plain * chance.uniform(1 - JITTER, 1 + JITTER)


class StartPace:
    """Lets 16 cameras be reached for at once."""

    def __init__(self, at_once: int = AT_ONCE, hold_s: float = HOLD_S) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._hold_s = hold_s

    async def begin(self) -> Callable[[], None]:
        """Wait for a place; call what comes back when the camera has answered. Calling it again does nothing."""
        await self._places.acquire()
        timer: asyncio.TimerHandle | None = None

        def end() -> None:
            nonlocal timer
            if timer is not None:
                timer.cancel()
                timer = None
                self._places.release()

        timer = asyncio.get_running_loop().call_later(self._hold_s, end)
        return end


def host_and_port(url: str) -> tuple[str, int] | None:
    """Where to knock; None where there is no host."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.lower())
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


async def is_open(host: str, port: int) -> bool:
    """Whether somebody takes a connection there. Nothing is sent."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), KNOCK_TIMEOUT_S)
    except (OSError, ValueError, asyncio.TimeoutError):  # ValueError: a name that cannot be one, such as `cam..local`
        return False
    writer.transport.abort()
    return True


async def wait_for_return(
    seconds: float,
    problem: IngestProblem,
    address: tuple[str, int] | None,
    *,
    knock: Callable[[str, int], Awaitable[bool]] = is_open,
) -> None:
    """Wait before the next attempt. Where nobody was there at all, end as soon as somebody is.

    So a camera that was off for a night is back within seconds and not after the longest wait, and one that is there
    and refuses us is not bothered more often.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while (left_s := deadline - asyncio.get_running_loop().time()) > 0:
        if address is None or problem not in NOBODY_THERE or left_s < KNOCK_EVERY_S:
            await asyncio.sleep(left_s)
            return
        await asyncio.sleep(KNOCK_EVERY_S)
        if await knock(*address):
            return
