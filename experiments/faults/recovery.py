"""How long after a fault does the embedded server serve again? For docs/reliability.md, whose rows it prints.

`python -m experiments.faults.recovery REPOSITORY MODEL --tries 7` kills and stops the model's process and the server,
and takes the model's file away, each so many times. A fault is over when the model has answered a request again.

Backs: docs/reliability.md, "from the fault to the next answer"
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.session import Session
from photofinish.errors import PhotofinishError
from photofinish.machine.processes import ProcessTree
from photofinish.percentiles import nearest_rank
from photofinish.server.triton.embedded import EmbeddedServer

REST_S = 6.0
"""Between two faults: the next spare is ready by then."""
LIMIT_S = 60.0
LOOK_S = 0.02


class Served:
    """A server with one model and a client of it. Ask it whether it answers."""

    def __init__(self, server: EmbeddedServer, name: str) -> None:
        self.server = server
        self.name = name
        self._client = TritonClient(server.endpoint.grpc_url)
        self.model: ServedModel = self._client.model(name)

    def answers(self) -> bool:
        """Whether the model answers one request now."""
        try:
            with Session(self.server.endpoint.grpc_url, self.model, slots=1, transport="auto") as session:
                slot = session.acquire()
                slot.input_array[:] = np.zeros((), slot.input_array.dtype)
                session.infer(slot)
        except PhotofinishError:
            return False
        return True

    def is_ready(self) -> bool:
        """Whether the server says that the model is ready."""
        try:
            self._client.wait_until_ready(0.0, (self.name,))
        except PhotofinishError:
            return False
        return True

    def process(self) -> int:
        """The model's process."""
        (pid,) = ProcessTree(self.server.endpoint.pid).pids_of_model(self.name)
        return pid


def seconds_until(condition: Callable[[], bool]) -> float:
    """How long it takes until the condition holds. Raises TimeoutError after LIMIT_S."""
    begun = time.perf_counter()
    while not condition():
        if time.perf_counter() - begun > LIMIT_S:
            raise TimeoutError(f"not within {LIMIT_S:.0f} s")
        time.sleep(LOOK_S)
    return time.perf_counter() - begun


def signalled(served: Served, number: int, *, is_asked: bool) -> float:
    """The process gets the signal; until a request is answered. is_asked: requests come meanwhile."""
    process = served.process()
    begun = time.perf_counter()
    os.kill(process, number)
    if not is_asked:
        seconds_until(lambda: not served.is_ready())
        seconds_until(served.is_ready)
    seconds_until(served.answers)
    return time.perf_counter() - begun


def without_file(served: Served, folder: Path) -> float:
    """The process ends while the model's file is away; from the file's return until a request is answered."""
    away = folder.with_name("away")
    folder.rename(away)
    try:
        os.kill(served.process(), signal.SIGKILL)
        time.sleep(REST_S)
    finally:
        away.rename(folder)
    return seconds_until(served.answers)


def ended_server(repository: Path, name: str, number: int) -> float:
    """The server gets the signal and is started again as the split view does; until a request is answered."""
    server = EmbeddedServer(repository, models=(name,), on_progress=ignore)
    with server:
        time.sleep(REST_S)
        begun = time.perf_counter()
        os.kill(server.endpoint.pid, number)
        server.wait(LIMIT_S)
        server.stop()
        with server:
            seconds_until(Served(server, name).answers)
            return time.perf_counter() - begun


def ignore(line: str) -> None:
    """For progress that nobody reads."""


def row(fault: str, taken_s: list[float]) -> str:
    """A line of the table: fault, P50 and maximum in seconds, tries."""
    return f"| {fault} | {nearest_rank(np.array(taken_s), 0.5):.2f} | {max(taken_s):.2f} | {len(taken_s)} |"


def main() -> None:
    """Measure every fault and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("model")
    parser.add_argument("--tries", type=int, default=7)
    options = parser.parse_args()
    tries = range(options.tries)
    print("| fault | P50 (s) | maximum (s) | tries |\n| --- | --- | --- | --- |")  # noqa: T201
    with EmbeddedServer(options.repository, models=(options.model,), on_progress=ignore) as server:
        served = Served(server, options.model)
        folder = options.repository / options.model / "1"
        faults: dict[str, Callable[[], float]] = {
            "model process killed, idle": lambda: signalled(served, signal.SIGKILL, is_asked=False),
            "model process killed, under requests": lambda: signalled(served, signal.SIGKILL, is_asked=True),
            "model process stopped, idle": lambda: signalled(served, signal.SIGSTOP, is_asked=False),
            "model process stopped, under requests": lambda: signalled(served, signal.SIGSTOP, is_asked=True),
            "model file deleted and put back": lambda: without_file(served, folder),
        }
        for fault, measure in faults.items():
            taken_s = []
            for _ in tries:
                time.sleep(REST_S)
                taken_s.append(measure())
            print(row(fault, taken_s), flush=True)  # noqa: T201
    for number in (signal.SIGKILL, signal.SIGSTOP):
        taken_s = [ended_server(options.repository, options.model, number) for _ in tries]
        print(row(f"tritonserver gets {signal.Signals(number).name}", taken_s), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
