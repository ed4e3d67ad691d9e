"""The compiled FP16 engine as PyTorch makes it and with kernels of ours, in turn, in a bare loop on this GPU.

    python -m experiments.gpu.engine_kernels --case 1:1,1 --case 16:9,32 > kernels.json

A case is an input's aspect and a batch. Both packages of a case are compiled, the one as it is beside the search for
the other, and kept in --folder, so that a second call only measures. Every execution is one replay of a CUDA graph
that is waited for. First the rows that one kernel chooses are compared with those of two stable sorts. Prints JSON.

Backs: docs/benchmarking-goals.md, "The rows were the very same on 6000 of 6000 random heads"
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from photofinish.percentiles import carried_percentile
from photofinish.perf.engine.loops import timed_loop, warmed

WARM_UPS = 20
ENGINES = ("today", "kernels")
HEADS = 2000
"""Random heads whose rows are compared: (anchors, classes) of a square and of a rectangular input, and of COCO."""
HEAD_SHAPES = ((8400, 6), (5040, 6), (8400, 80))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One input and batch of one network."""

    weights: str
    size: int
    aspect: str
    batch: int
    folder: Path

    def package(self, engine: str) -> Path:
        """Where its package lies once it is compiled."""
        name = f"{Path(self.weights).stem}_{self.size}_{self.aspect.replace(':', 'x')}_b{self.batch}_{engine}"
        return self.folder / name / f"model_b{self.batch}.pt2"


def say(line: str) -> None:
    """A line of progress."""
    sys.stderr.write(line + "\n")


def compile_case(case: Case, engine: str, search_s: float) -> None:
    """Compile one package, unless it is there."""
    import torch

    from photofinish.export.graph.frames_torch import frames_network_from_source
    from photofinish.export.loading.weights import find_weights, load_source
    from photofinish.export.recipes.aoti import compile_packages

    path = case.package(engine)
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source = load_source(find_weights(case.weights), input_size=case.size, aspect=case.aspect)
    begun_s = time.monotonic()
    with torch.no_grad():
        compile_packages(
            frames_network_from_source(source, precision="fp16"),
            source.input_wh,
            (case.batch,),
            folder=path.parent,
            device="cuda",
            on_progress=lambda line: say(f"{path.parent.name}: {line}"),
            search_s=search_s if engine == "kernels" else 0.0,
        )
    say(f"{path.parent.name}: compiled in {time.monotonic() - begun_s:.0f} s")


def graph_of_package(path: Path, batch: int, pictures: Any) -> tuple[Callable[[], object], Any]:
    """A loop that replays the package as one CUDA graph, and where its answer lies."""
    import numpy as np
    import torch
    from torch._inductor import aoti_load_package

    # One thread: its other way asks for events of earlier runs, which a recording forbids.
    run = aoti_load_package(str(path), run_single_threaded=True)
    frames = torch.from_numpy(np.resize(pictures, (batch, *pictures.shape[1:]))).cuda()
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run(frames)
    stream.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        answer = run(frames)

    def replay() -> object:
        graph.replay()
        torch.cuda.synchronize()
        # What the loop needs stays alive as long as the loop.
        return run, frames

    return warmed(replay, WARM_UPS), answer


def kernels_of_graph(replay: Callable[[], object]) -> dict[str, Any]:
    """How many kernels one replay runs, and their times added up."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        replay()
    spent_us = [event.device_time for event in seen.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return {"kernels": len(spent_us), "their_sum_us": round(sum(spent_us), 1)}


def measured_case(case: Case, rounds: int, seconds: float) -> dict[str, Any]:
    """Both engines in turn: P50 and P95 of each round, pictures a second, and how far their answers are apart."""
    from photofinish.export.graph.parity import frames_from_pictures, reference_picture_paths
    from photofinish.variant import input_wh_from_aspect

    pictures = frames_from_pictures(reference_picture_paths(), input_wh_from_aspect(case.size, case.aspect, stride=32))
    loops = {name: graph_of_package(case.package(name), case.batch, pictures) for name in ENGINES}
    rows: list[dict[str, Any]] = []
    for place in range(rounds):
        # Each goes first in every other round.
        for name in ENGINES if place % 2 == 0 else ENGINES[::-1]:
            spent_ms = timed_loop(loops[name][0], seconds, case.batch).latency_ns / 1e6
            p50_ms, p95_ms = (carried_percentile(spent_ms, share) for share in (0.5, 0.95))
            rows.append({"engine": name, "round": place, "runs": len(spent_ms), "p50_ms": p50_ms, "p95_ms": p95_ms})
            say(f"{case.aspect} b{case.batch} {name}: P50 {p50_ms} ms, P95 {p95_ms} ms")
    medians = {
        name: sorted(float(row["p50_ms"] or 0) for row in rows if row["engine"] == name)[rounds // 2]
        for name in ENGINES
    }
    plan = case.package("kernels").parent / "kernels.json"
    return {
        "aspect": case.aspect,
        "batch": case.batch,
        "rounds": rows,
        "p50_ms": medians,
        "pictures_per_s": {name: round(case.batch / ms * 1000) for name, ms in medians.items() if ms},
        "graph": {name: kernels_of_graph(loops[name][0]) for name in ENGINES},
        "confidences_apart": float((loops["today"][1][..., 4] - loops["kernels"][1][..., 4]).abs().max()),
        "plan": json.loads(plan.read_text(encoding="utf-8")) if plan.is_file() else None,
    }


def compared_rows() -> list[dict[str, Any]]:
    """Rows of random heads by one kernel against two stable sorts, some with many equal scores; microseconds."""
    import torch

    from photofinish.export.kernels.layers.rows import best_rows, rows_by_sorting
    from photofinish.export.kernels.search.timing import graph_us

    found = []
    for anchors, classes in HEAD_SHAPES:
        same = 0
        for block in range(HEADS // 50):
            logits = torch.randn(50, anchors, classes, device="cuda") * 2 - 5
            # FP16 logits are equal now and then, those on a grid of a half nearly always.
            logits = (logits, logits.half().float(), (logits * 2).round() / 2)[block % 3]
            scores, boxes = logits.sigmoid(), torch.rand(50, anchors, 4, device="cuda")
            best = scores.amax(2)
            kernel, sorts = best_rows(best, scores, boxes, 300), rows_by_sorting(best, scores, boxes, 300)
            same += int((kernel == sorts).flatten(1).all(dim=1).sum())
        one = (best[:1].contiguous(), scores[:1].contiguous(), boxes[:1].contiguous(), 300)
        spent_us = {
            "kernel": round(graph_us(partial(best_rows, *one)), 1),
            "two_stable_sorts": round(graph_us(partial(rows_by_sorting, *one)), 1),
        }
        found.append(
            {"anchors": anchors, "classes": classes, "heads": HEADS, "identical": same, "one_picture_us": spent_us}
        )
        say(f"rows of {anchors} x {classes}: {same} of {HEADS} identical, {spent_us}")
    return found


def main() -> None:
    """Compile, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="demo", help="demo, a .pt file, or a .yaml for an untrained network")
    parser.add_argument("--input-size", type=int, default=640)
    parser.add_argument("--case", action="append", metavar="ASPECT,BATCH", help="default: 1:1,1 and 16:9,32")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each engine in each round")
    parser.add_argument("--search", type=float, default=240.0, help="seconds for the search of each case")
    parser.add_argument("--folder", type=Path, default=Path("kernels_packages"), help="for the packages")
    options = parser.parse_args()
    # Ultralytics greets on stdout when it is imported for the first time.
    with contextlib.redirect_stdout(sys.stderr):
        import torch

        from photofinish.export.recipes.aoti import this_gpu

        cases = []
        for text in options.case or ["1:1,1", "16:9,32"]:
            aspect, batch = text.split(",")
            cases.append(
                Case(
                    weights=options.weights,
                    size=options.input_size,
                    aspect=aspect,
                    batch=int(batch),
                    folder=options.folder,
                )
            )
        context = multiprocessing.get_context("spawn")
        for case in cases:
            beside = context.Process(target=compile_case, args=(case, "today", 0.0))
            beside.start()
            compile_case(case, "kernels", options.search)
            beside.join()
        record = {
            "machine": {**this_gpu(), "multiprocessors": torch.cuda.get_device_properties(0).multi_processor_count},
            "weights": options.weights,
            "rows": compared_rows(),
            "cases": [measured_case(case, options.rounds, options.seconds) for case in cases],
        }
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
