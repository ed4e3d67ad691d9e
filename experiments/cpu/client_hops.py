"""What one frame costs the client in processor time, hop by hop, with a server that answers at once.

    python -m experiments.cpu.client_hops --out hops.json
    python -m experiments.cpu.client_hops --before ../older_checkout --out hops.json

The embedded server serves a network that answers fixed boxes, so nearly all that the client's process uses is its own
work. Each arm is a process of its own that takes ROUNDS turns of --frames frames: this checkout, and with --before
another one, by each transport and for each size of picture. Pictures lie cold in memory, as in a camera's queue.

A hop is processor time of the calling thread. prepare: letterbox into the region; call: request to answer; decode: rows
to detections. `all` is the whole process, all its threads, for `process` of an optimised pipeline; `run` the same for
its `run`, with its reader and workers; `others` what other threads than the caller's used of `all`; `socket` the floor
of `call`: one send and one receive of as many bytes in plain Python over loopback.

Backs: docs/benchmarking-cpu.md, "A frame costs the client"
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from experiments.served import served
from photofinish.export.publishing.pbtxt import Enum, map_entry, text_from_message
from photofinish.model_card import CARD_PARAMETER, ModelCard
from photofinish.percentiles import nearest_rank

SIZES = ("1280x720", "1920x1080", "704x576", "640x480")
TRANSPORTS = ("system_shm_http", "system_shm", "grpc")
INPUT_WH = (640, 640)
BOXES = 12
ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).resolve().with_name("client_hops_child.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class HopArm:
    """One checkout, transport and size of picture."""

    code: str
    transport: str
    size: str


def write_answering_model(repository: Path) -> str:
    """A network that answers every picture with the same BOXES boxes; its name."""
    width, height = INPUT_WH
    name = "answering_onnx_fp32"
    rows = np.zeros((1, 300, 6), np.float32)
    for index in range(BOXES):
        rows[0, index] = (40 * index, 150 + 9 * index, 40 * index + 90, 260 + 9 * index, 0.95 - 0.05 * index, index % 2)
    nodes = [
        helper.make_node("Shape", ["frames"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "ones"], ["times"], axis=0),
        helper.make_node("Tile", ["rows", "times"], ["detections"]),
    ]
    constants = [numpy_helper.from_array(rows, "rows"), numpy_helper.from_array(np.array([1, 1], np.int64), "ones")]
    taken = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", height, width, 3])
    given = helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["n", 300, 6])
    graph = helper.make_graph(nodes, "answering", [taken], [given], constants)
    version = repository / name / "1"
    version.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), version / "model.onnx"
    )
    card = ModelCard(
        variant="onnx_fp32", model="answering", backend="onnxruntime", precision="fp32", contract="frames",
        role="optimised", head="rows", nms="none", input_wh=INPUT_WH, class_names=("car", "bus"), weights="none",
        weights_sha256="0" * 64,
    )  # fmt: skip
    config: dict[str, object] = {
        "name": name,
        "backend": "onnxruntime",
        "max_batch_size": 8,
        "input": [{"name": "frames", "data_type": Enum("TYPE_UINT8"), "dims": [height, width, 3]}],
        "output": [{"name": "detections", "data_type": Enum("TYPE_FP32"), "dims": [300, 6]}],
        "instance_group": [{"count": 1, "kind": Enum("KIND_CPU")}],
        "parameters": [map_entry(CARD_PARAMETER, {"string_value": card.to_parameter()})],
    }
    (repository / name / "config.pbtxt").write_text(text_from_message(config))
    return name


class HopChild:
    """A process of its own that runs the client of one checkout and measures when it is its turn."""

    def __init__(self, tree: Path, arm: HopArm, url: str, model: str) -> None:
        job = json.dumps({**asdict(arm), "url": url, "model": model, "tree": str(tree)})
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD), job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )

    def __enter__(self) -> HopChild:
        """The process itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End it, as its orders end."""
        self._stream(self._process.stdin).close()
        self._process.wait(30)

    def turn(self, frames: int) -> dict[str, Any]:
        """One turn: microseconds a frame by hop, and the processor time of other threads by their name."""
        orders = self._stream(self._process.stdin)
        orders.write(f"{frames}\n")
        orders.flush()
        if not (line := self._stream(self._process.stdout).readline()):
            raise SystemExit("a client ended before its time; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        if stream is None:
            raise RuntimeError("the process was started with pipes")
        return stream


def middle(values: Iterable[float]) -> float:
    """The median."""
    return float(nearest_rank(np.array(list(values)), 0.5))


def medians(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each hop over all turns, and of each thread's name."""
    row: dict[str, Any] = {hop: round(middle(turn[hop] for turn in turns), 1) for hop in turns[0] if hop != "others"}
    names = sorted({name for turn in turns for name in turn["others"]})
    row["others"] = {name: round(middle(turn["others"].get(name, 0.0) for turn in turns), 1) for name in names}
    return row


def main() -> None:
    """Measure and write JSON; a table goes to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout, measured in turn with this one")
    parser.add_argument("--size", action="append", choices=SIZES, help="only these sizes")
    parser.add_argument("--transport", action="append", choices=TRANSPORTS, help="only these transports")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--frames", type=int, default=150, help="of each turn")
    parser.add_argument("--out", type=Path, help="where to write; standard output without it")
    given = parser.parse_args()
    trees = {"now": ROOT} if given.before is None else {"before": given.before.resolve(), "now": ROOT}
    arms = [
        HopArm(code=code, transport=transport, size=size)
        for transport in given.transport or TRANSPORTS
        for size in given.size or SIZES
        for code in trees
    ]
    turns: dict[HopArm, list[dict[str, Any]]] = {arm: [] for arm in arms}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = write_answering_model(folder / "repository")
        server = stack.enter_context(served(folder / "repository", (), folder / "log.txt"))
        for transport in given.transport or TRANSPORTS:
            for size in given.size or SIZES:
                pair = [arm for arm in arms if (arm.transport, arm.size) == (transport, size)]
                with ExitStack() as children:
                    running = {
                        arm: children.enter_context(HopChild(trees[arm.code], arm, server.url, model)) for arm in pair
                    }
                    for number in range(given.rounds):
                        for arm in pair[:: -1 if number % 2 else 1]:
                            turns[arm].append(running[arm].turn(given.frames))
                for arm in pair:
                    row = medians(turns[arm])
                    sys.stderr.write(f"{arm.code:>6} {arm.transport:>15} {arm.size:>9} {row}\n")
    record = {
        "rounds": given.rounds,
        "frames": given.frames,
        "input": list(INPUT_WH),
        "cores": os.cpu_count(),
        "unit": "microseconds of processor time a frame, medians over the rounds; wall: microseconds",
        "rows": [{**asdict(arm), **medians(found)} for arm, found in turns.items()],
    }
    text = json.dumps(record, indent=1) + "\n"
    if given.out:
        given.out.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
