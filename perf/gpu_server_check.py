"""One run on a GPU machine: every served variant is right under mixed load, and what serving costs over the engine.

    python -m perf.gpu_server_check --repository model_repository [--seconds 4] > check.json

The reference of each variant is its own artifact run on the CPU in this process (compiled and TensorRT variants: the
CPU's FP32 reference). Frames are new on every run. Prints one JSON document; progress on stderr; exit 1 when wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from client.session import Session
from client.triton import ServedModel, TritonClient
from photofinish.detections import Detections, detections_from_rows, match_detections
from photofinish.errors import PhotofinishError, ServerError
from photofinish.letterbox import Letterbox
from photofinish.model_card import ModelCard

POOL = 24
LOADS = ((1, 32), (8, 8), (32, 4))
"""Batch size and clients of each throughput measurement."""
Array = npt.NDArray[Any]


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def fresh_frames(count: int, input_wh: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """Pictures (count, height, width, 3) RGB that no earlier run has seen: crops of real photos under noise."""
    import cv2
    import ultralytics

    generator = np.random.default_rng(seed)
    assets = Path(ultralytics.__file__).parent / "assets"
    photos: list[Any] = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in sorted(assets.glob("*.jpg"))]
    frames = []
    for index in range(count):
        photo = photos[index % len(photos)]
        height, width = photo.shape[:2]
        side = int(min(height, width) * generator.uniform(0.6, 1.0))
        top, left = int(generator.integers(0, height - side + 1)), int(generator.integers(0, width - side + 1))
        crop = cv2.resize(np.ascontiguousarray(photo[top : top + side, left : left + side]), input_wh)
        noise = generator.normal(0, generator.uniform(0, 12), crop.shape)
        frame = np.clip(crop * generator.uniform(0.7, 1.2) + noise, 0, 255).astype(np.uint8)
        frames.append(frame[:, ::-1] if generator.integers(2) else frame)
    return np.ascontiguousarray(np.stack(frames))


def input_from_frames(card: ModelCard, frames: npt.NDArray[np.uint8]) -> Array:
    """The frames as the variant's contract wants them."""
    if card.contract == "frames":
        return frames
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2).astype(np.float32) / 255)


def reference_rows(repository: Path, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Rows of every frame by an FP32 ONNX variant of the repository, on the CPU, one frame at a time."""
    import onnxruntime as ort

    (path,) = sorted(repository.glob("*_onnx_fp32/1/model.onnx"))[:1]
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: frame[None]})[0] for frame in frames])


def detections_of(rows: npt.NDArray[np.float32], card: ModelCard) -> Detections:
    """The detections that count: a confidence of 0.25 or more."""
    same = Letterbox(source_wh=card.input_wh, target_wh=card.input_wh)
    return detections_from_rows(rows, same, min_confidence=0.25, nms_iou=0.5 if card.needs_client_nms else None)


class Checker:
    """Compares a served variant's rows with the reference and keeps the worst difference."""

    def __init__(self, card: ModelCard, reference: npt.NDArray[np.float32]) -> None:
        self.card = card
        self.expected = [detections_of(rows, card) for rows in reference]
        self.tolerance = {"fp32": 0.005}.get(card.precision, 0.05) if not card.tf32 else 0.05
        self.compared = 0
        self.wrong: list[str] = []
        self.worst_confidence = 0.0
        self.worst_box_px = 0.0
        self._lock = threading.Lock()

    def check(self, picks: Sequence[int], output: npt.NDArray[np.float32]) -> None:
        """output: the rows of the frames `picks`, in that order."""
        for pick, rows in zip(picks, output, strict=True):
            found, expected = detections_of(rows, self.card), self.expected[pick]
            # A box near the threshold may be on either side of it.
            sure = expected.select(expected.confidence >= 0.25 + self.tolerance)
            matches = match_detections(sure, found, iou_threshold=0.9)
            confidence = [abs(float(sure.confidence[i] - found.confidence[j])) for i, j in enumerate(matches) if j >= 0]
            boxes = [
                float(np.abs(sure.boxes_xyxy[i] - found.boxes_xyxy[j]).max()) for i, j in enumerate(matches) if j >= 0
            ]
            extra = int((found.confidence >= 0.25 + self.tolerance).sum()) - len(expected)
            with self._lock:
                self.compared += 1
                self.worst_confidence = max(self.worst_confidence, *confidence, 0.0)
                self.worst_box_px = max(self.worst_box_px, *boxes, 0.0)
                missing = int((matches < 0).sum())
                if missing or extra > 0 or max(confidence, default=0.0) > self.tolerance:
                    self.wrong.append(
                        f"frame {pick}: {missing} of {len(sure)} boxes missing, {max(extra, 0)} too many, "
                        f"confidence off by {max(confidence, default=0.0):.3f}"
                    )


def check_under_load(
    url: str, model: ServedModel, frames: Array, checker: Checker, clients: int, seconds: float
) -> dict[str, Any]:
    """Many clients at once, random batch sizes, gRPC and shared memory mixed; every answer is compared."""
    deadline = time.monotonic() + seconds
    errors: list[str] = []

    def client(index: int) -> int:
        generator = np.random.default_rng(index)
        largest = min(8, max(model.max_batch_size, 1))
        transport: Any = "grpc" if index % 2 else "system_shm"
        done = 0
        with Session(url, model, transport=transport, slots=1, batch_size=largest, timeout_s=60) as session:
            while time.monotonic() < deadline or done < 2:
                picks = generator.integers(0, len(frames), int(generator.integers(1, largest + 1)))
                slot = session.acquire()
                slot.input_array[: len(picks)] = frames[picks]
                try:
                    checker.check(list(picks), session.infer(slot, len(picks)))
                except PhotofinishError as exc:
                    errors.append(str(exc))
                    return done
                session.release(slot)
                done += len(picks)
        return done

    with ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(client, range(clients)))
    return {
        "frames": done,
        "wrong": len(checker.wrong),
        "examples": checker.wrong[:5],
        "errors": errors[:5],
        "worst_confidence": round(checker.worst_confidence, 5),
        "worst_box_px": round(checker.worst_box_px, 3),
    }


def latencies_ms(
    url: str, model: ServedModel, frames: Array, transport: Any, batch_size: int, seconds: float
) -> dict[str, Any]:
    """One client, one request at a time."""
    with Session(url, model, transport=transport, slots=1, batch_size=batch_size, timeout_s=60) as session:
        slot = session.acquire()
        slot.input_array[:] = frames[:batch_size]
        begun = time.perf_counter()
        while time.perf_counter() - begun < min(1.0, seconds):
            session.infer(slot)
        spent = []
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            sent = time.perf_counter_ns()
            session.infer(slot)
            spent.append((time.perf_counter_ns() - sent) / 1e6)
        session.release(slot)
    ordered = sorted(spent)
    return {
        "requests": len(spent),
        "p50_ms": round(statistics.median(ordered), 3),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 3),
        "min_ms": round(ordered[0], 3),
    }


def throughput(
    url: str, model: ServedModel, frames: Array, batch_size: int, clients: int, seconds: float
) -> dict[str, Any]:
    """Images per second with `clients` requests of `batch_size` in flight, through system shared memory."""
    stop = threading.Event()
    counts = [0] * clients

    def client(index: int) -> None:
        with Session(url, model, transport="system_shm", slots=1, batch_size=batch_size, timeout_s=60) as session:
            slot = session.acquire()
            slot.input_array[:] = np.resize(frames, slot.input_array.shape)
            while not stop.is_set():
                session.infer(slot)
                counts[index] += batch_size
            session.release(slot)

    threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    before, begun = sum(counts), time.perf_counter()
    time.sleep(seconds)
    images, spent = sum(counts) - before, time.perf_counter() - begun
    stop.set()
    for thread in threads:
        thread.join()
    return {"batch": batch_size, "clients": clients, "images_per_s": round(images / spent, 1)}


def main() -> int:
    """Run everything; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--model", action="append", default=[], help="only these; may be repeated")
    parser.add_argument("--clients", type=int, default=32, help="at once, while answers are compared")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--log", type=Path, default=Path(".photofinish/logs/gpu_server_check.log"))
    args = parser.parse_args()
    document = run(args.repository, tuple(args.model), args.clients, args.seconds, args.seed, args.log)
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    models = document["models"].values()
    return int(any(item["correct"]["wrong"] or item["correct"]["errors"] for item in models))


def run(repository: Path, names: tuple[str, ...], clients: int, seconds: float, seed: int, log: Path) -> dict[str, Any]:
    """The whole check as one JSON-able document."""
    document: dict[str, Any] = {"seed": seed, "seconds": seconds, "models": {}}
    begun = time.monotonic()
    with served(repository, names, log) as url, TritonClient(url, timeout_s=60) as client:
        document["ready_s"] = round(time.monotonic() - begun, 1)
        cards = [(model, model.require_card()) for model in client.models()]
        frames = fresh_frames(POOL, cards[0][1].input_wh, seed)
        reference = reference_rows(repository, frames)
        for model, card in cards:
            say(f"{model.name}")
            pictures = input_from_frames(card, frames)
            checker = Checker(card, reference)
            transports = ("system_shm", "grpc", *(("cuda_shm",) if card.device == "cuda" else ()))
            loads = [load for load in LOADS if load[0] <= model.max_batch_size and load[1] <= clients]
            document["models"][model.name] = {
                "device": card.device,
                "precision": card.precision,
                "cuda_graphs": card.cuda_graphs,
                "correct": check_under_load(url, model, pictures, checker, clients, seconds),
                "latency": {
                    transport: attempt(partial(latencies_ms, url, model, pictures, transport, 1, seconds))
                    for transport in transports
                },
                "throughput": [
                    attempt(partial(throughput, url, model, pictures, batch, threads, seconds))
                    for batch, threads in loads
                ],
            }
            say(json.dumps(document["models"][model.name]))
        document["log"] = telling_lines(log)
    return document


@contextmanager
def served(repository: Path, names: tuple[str, ...], log: Path) -> Iterator[str]:
    """The address of `photofinish serve` on the repository, in a process of its own."""
    command = [sys.executable, "-m", "photofinish.cli", "serve", "--repository", str(repository), "--log", str(log)]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0", "--timeout", "500"]
    command += [part for name in names for part in ("--model", name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip() if server.stdout else ""
            if not url:
                raise ServerError("photofinish serve did not start; its message is above")
            yield url
        finally:
            server.terminate()


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The measurement, or why there is none."""
    try:
        return measure()
    except PhotofinishError as exc:
        return {"not_measured": str(exc)}


def telling_lines(log: Path) -> list[str]:
    """Memory and stage times that the backends wrote, the last of each kind and model."""
    last: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        if found := re.match(r"(photofinish(-trace)?:? \S+)", line):
            last[found[1] + ("gpu" if "gpu memory" in line else "")] = line
    return list(last.values())


if __name__ == "__main__":
    sys.exit(main())
