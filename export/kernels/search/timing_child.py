"""A process of its own that times kernels: one that faults ends this process and not the export."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from types import TracebackType

from photofinish.export.kernels.layers.layer import Layer, Tile, layer_from_text, tile_from_text

ANSWER_S = 60.0
"""For one kernel, the start of the process included."""


def _serve(connection: Connection) -> None:
    from photofinish.export.kernels.search import timing

    known, bench = "", None
    while True:
        layer_text, tile_text = connection.recv()
        try:
            layer = layer_from_text(layer_text)
            if not tile_text:
                connection.send(timing.native_us(layer))
                continue
            if layer_text != known or bench is None:
                bench, known = timing.LayerBench(layer), layer_text
            connection.send(bench.us(tile_from_text(tile_text)))
        except Exception as exc:
            # Most are a tile that asks for more shared memory than there is; the search goes on without it.
            connection.send(f"{type(exc).__name__}: {exc}".splitlines()[0][:160])
            if type(exc).__name__ == "AcceleratorError":
                return


class TimingChild:
    """Times kernels one by one; a context manager. A process that died is started again for the next kernel."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> TimingChild:
        """Itself; the process starts with the first question."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._end()

    def us(self, layer: Layer, tile: Tile) -> float | str:
        """Microseconds of the kernel, or why there are none; a kernel whose results are wrong has none."""
        return self._ask(layer.to_text(), tile.to_text())

    def native_us(self, layer: Layer) -> float | str:
        """Microseconds of PyTorch's operators for a layer of one stage."""
        return self._ask(layer.to_text(), "")

    def _ask(self, layer_text: str, tile_text: str) -> float | str:
        connection = self._connected()
        try:
            connection.send((layer_text, tile_text))
            if not connection.poll(ANSWER_S):
                self._end()
                return "no answer"
            answer: float | str = connection.recv()
        except (EOFError, OSError):
            self._end()
            return "the process that timed it died"
        if isinstance(answer, str) and answer.startswith("AcceleratorError"):
            self._end()
        return answer

    def _connected(self) -> Connection:
        if self._process is None or self._connection is None or not self._process.is_alive():
            self._end()
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        return self._connection

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None
