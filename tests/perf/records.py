"""A whole record out of a seed, as the H100 might have given it, for reports and for reading back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import numpy as np

from photofinish.perf.measure.comparison import block_order
from photofinish.perf.measure.ladder import ladder_setups
from photofinish.perf.record.changes import ERRORS, Change, NotRun
from photofinish.perf.record.observation import GpuObservation, MemoryMethod, Observation, Throttle, TritonMeans
from photofinish.perf.record.record import Arm, Block, Harness, Load, Record, Section
from photofinish.perf.record.samples import Samples

BASELINE = Arm(
    key="baseline",
    model="yolo26n_torch_fp32_tensor",
    role="baseline",
    backend="pytorch",
    precision="fp32",
    contract="tensor",
    device="cuda",
    transport="grpc",
    weights="yolo26n.pt",
    weights_sha256="ab" * 32,
    bytes_per_request=4_915_200,
    accuracy={"map50_95": 0.473},
)
OPTIMISED = replace(
    BASELINE,
    key="optimised",
    model="yolo26n_onnx_fp16",
    role="optimised",
    backend="onnxruntime",
    precision="fp16",
    contract="frames",
    transport="system_shm",
    bytes_per_request=1_228_800,
    accuracy={"map50_95": 0.472},
)


def build_samples(
    generator: np.random.Generator, median_ms: float, count: int, *, gap_ms: float = 0.0, failed: tuple[int, ...] = ()
) -> Samples:
    latency = (median_ms * 1e6 * np.exp(generator.normal(0, 0.08, count) + generator.exponential(0.05, count))).astype(
        int
    )
    step = np.maximum(latency, int(gap_ms * 1e6))
    scheduled = np.concatenate([[0], np.cumsum(step)[:-1]])
    done = scheduled + latency
    return Samples(
        scheduled_ns=tuple(int(value) for value in scheduled),
        sent_ns=tuple(int(value) + 900 for value in scheduled),
        done_ns=tuple(int(value) for value in done),
        window_ns=int(done[-1]),
        failed=failed,
        error_counts={"RequestTimeoutError": len(failed)} if failed else {},
    )


def build_observation(median_ms: float, memory_mib: int) -> Observation:
    gpu = GpuObservation(
        index=0,
        name="NVIDIA H100 80GB HBM3",
        memory_bytes=memory_mib * 2**20,
        memory_method="model",
        utilisation_mean=31.0,
        power_mean_w=182.0,
        sm_clock_mean_mhz=1980.0,
        sm_clock_min_mhz=1980.0,
    )
    triton = TritonMeans(
        requests=100,
        failures=0,
        inferences=100,
        executions=100,
        request_us=median_ms * 620,
        queue_us=40,
        compute_input_us=median_ms * 60,
        compute_infer_us=median_ms * 500,
        compute_output_us=median_ms * 20,
    )
    return Observation(gpus=(gpu,), client_cpu_cores=0.61, server_cpu_cores=0.83, other_cpu_cores=0.04, triton=triton)


def build_comparison(
    *,
    name: str = "comparison",
    medians: tuple[float, float] = (24.7, 2.26),
    rounds: int = 6,
    count: int = 30,
    seed: int = 7,
) -> Section:
    generator = np.random.default_rng(seed)
    blocks, now_ns = [], 0
    for number, keys in enumerate(block_order(("baseline", "optimised"), rounds=rounds, seed=seed)):
        for key in keys:
            median = medians[0] if key == "baseline" else medians[1]
            samples = build_samples(generator, median * float(np.exp(generator.normal(0, 0.01))), count)
            latency = [done - due for done, due in zip(samples.done_ns, samples.scheduled_ns, strict=True)]
            blocks.append(
                Block(
                    arm=key,
                    round=number,
                    began_ns=now_ns,
                    samples=samples,
                    observed=build_observation(median, 890 if key == "baseline" else 512),
                    stages_ns={
                        "prepare": tuple(int(value * 0.12) for value in latency),
                        "wire": tuple(int(value * 0.84) for value in latency),
                        "decode": tuple(int(value * 0.04) for value in latency),
                    },
                )
            )
            now_ns += samples.window_ns
    load = Load(mode="closed", block_s=2.0, rounds=rounds, seed=seed)
    return Section(kind="comparison", name=name, load=load, arms=(BASELINE, OPTIMISED), blocks=tuple(blocks))


def build_rivals(*, medians: tuple[float, ...] = (7.9, 26.9, 24.5, 2.3), seed: int = 11) -> Section:
    """Plain PyTorch and Ultralytics' client beside both of ours, as `perf/measure/rivals.py` measures them."""
    generator = np.random.default_rng(seed)
    plain = replace(BASELINE, key="plain", rung="plain", model="", role="", contract="", transport="", accuracy={})
    theirs = replace(BASELINE, key="ultralytics", rung="ultralytics", role="")
    arms = (plain, theirs, replace(BASELINE, rung="baseline"), OPTIMISED)
    blocks = []
    for number, keys in enumerate(block_order(tuple(arm.key for arm in arms), rounds=6, seed=seed)):
        for key in keys:
            median = dict(zip((arm.key for arm in arms), medians, strict=True))[key]
            samples = build_samples(generator, median * float(np.exp(generator.normal(0, 0.01))), 30)
            observed = build_observation(median, 700)
            blocks.append(Block(arm=key, round=number, began_ns=0, samples=samples, observed=observed))
    load = Load(mode="closed", block_s=1.0, rounds=6, seed=seed)
    return Section(kind="rivals", name="rivals", load=load, arms=arms, blocks=tuple(blocks))


def build_ladder(*, seed: int = 3) -> Section:
    generator = np.random.default_rng(seed)
    steps = [
        ("baseline", 24.7, ()),
        ("contract", 11.9, (Change(noun="contract", was="tensor", now="frames"),)),
        ("transport", 6.1, (Change(noun="transport", was="grpc", now="system_shm"),)),
        ("engine", 5.4, (Change(noun="engine", was="pytorch", now="onnxruntime"),)),
        ("precision", 5.9, (Change(noun="precision", was="fp32", now="fp16"),)),
        ("cuda_graphs", 2.26, (Change(noun="cuda_graphs", was="off", now="on"),)),
    ]
    arms = tuple(replace(OPTIMISED, key=key, rung=key, changes=changes) for key, _, changes in steps)
    blocks = tuple(
        Block(arm=key, round=number, began_ns=0, samples=build_samples(generator, median, 12))
        for number in range(5)
        for key, median, _ in steps
    )
    return Section(
        kind="ladder",
        name="ladder",
        load=Load(mode="closed", block_s=1.0, rounds=5),
        arms=arms,
        blocks=blocks,
        not_run=(NotRun(key="needs", values={"what": "int8"}, rung="int8"),),
    )


def build_sweep(*, seed: int = 5) -> Section:
    generator = np.random.default_rng(seed)
    arms, blocks = [], []
    for generator_name in ("perf_analyzer", "photofinish"):
        for arm, median in ((BASELINE, 21.0), (OPTIMISED, 1.9)):
            for concurrency in (1, 4):
                key = f"{arm.model}/{concurrency}/{generator_name}"
                arms.append(
                    replace(
                        arm,
                        key=key,
                        concurrency=concurrency,
                        span="request",
                        generator=generator_name,
                    )
                )
                samples = build_samples(generator, median * (0.6 + 0.4 * concurrency), 140 if median < 10 else 40)
                blocks.append(
                    Block(arm=key, round=0, began_ns=0, samples=samples, observed=build_observation(median, 512))
                )
    return Section(
        kind="sweep", name="sweep", load=Load(mode="closed", block_s=8.0), arms=tuple(arms), blocks=tuple(blocks)
    )


def build_record(*, sections: tuple[Section, ...] | None = None) -> Record:
    return Record(
        command="photofinish perf standard --source highway_cars_720p.mp4",
        created_utc="2026-11-20T23:05:00Z",
        environment={
            "photofinish": "0.1.0",
            "commit": "0123456789ab",
            "python": "3.12.3",
            "cpu": "Intel Xeon Platinum 8480+",
            "cpu_cores": 16,
            "gpus": [{"name": "NVIDIA H100 80GB HBM3", "memory_mib": 81559, "max_sm_clock_mhz": 1980}],
            "driver": "580.95.05",
            "packages": {"onnxruntime": "1.31.1", "tritonclient": "2.73.0"},
            "server": {"kind": "embedded", "version": "2.51.0"},
        },
        source={"name": "highway_cars_720p.mp4", "frames": 16, "width": 1280, "height": 720, "sha256": "cd" * 32},
        sections=sections if sections is not None else (build_comparison(), build_ladder(), build_sweep()),
        harness=Harness(closed_loop_p95_ns=1500, open_loop_p95_ns=31000),
        limits={"min_speedup": 3.0, "p95_ms": 2.5, "min_map": 0.99},
    )


def full_record() -> Record:
    """Everything a report can say at once: all reasons to doubt, everything left out, every way to measure memory."""
    comparison, ladder, sweep = build_comparison(), build_ladder(), build_sweep()
    blocks, methods = [], get_args(MemoryMethod)
    for index, block in enumerate(comparison.blocks):
        gpu = GpuObservation(
            index=0,
            name="Toy",
            memory_bytes=1,
            memory_method=methods[index % len(methods)],
            throttle_reasons=get_args(Throttle),
            foreign_processes=1,
        )
        samples = replace(block.samples, failed=(0, 1))
        blocks.append(
            replace(block, samples=samples, observed=replace(block.observed, gpus=(gpu,), other_cpu_cores=9.0))
        )
    accuracy = {"dataset": "synthetic camera", "kind": "synthetic", "frames": 120, "map50_95": 0.5}
    arms = tuple(replace(arm, untrained=True, tf32=True, accuracy=accuracy) for arm in comparison.arms)
    comparison = replace(comparison, arms=arms, blocks=tuple(blocks), complete=False, stopped_by="Ctrl-C")
    left_out = (
        *ladder_setups(())[1],
        NotRun(key="http", rung="http"),
        NotRun(key="no_gpu", values={"model": "toy_onnx_fp32"}, rung="cuda_shm"),
        NotRun(key="several", values={"model": "toy_onnx_fp16", "nouns": ["engine", "precision"]}, rung="precision"),
        NotRun(key="both", values={"model": "toy_onnx_fp16"}, rung="precision"),
        NotRun(key="batch", values={"model": "toy_onnx_fp32", "size": 4}, rung="batching", concurrency=2, batch_size=8),
    )
    missing = (
        NotRun(key="small", model="toy_onnx_fp32", batch_size=64),
        *(
            NotRun(
                key=key,
                values={blank: 99 for blank in re.findall(r"{(\w+)}", said)},
                model="toy_onnx_fp32",
                batch_size=8,
                concurrency=4,
                generator="perf_analyzer",
            )
            for key, said in ERRORS.items()
        ),
    )
    arms = (*ladder.arms[:-1], replace(ladder.arms[-1], key="cuda_shm", rung="cuda_shm"))
    blocks = []
    for block in ladder.blocks:
        slower = 2 if block.round > 1 and block.arm != ladder.arms[0].key else 1
        done = tuple(done * slower for done in block.samples.done_ns)
        key = "cuda_shm" if block.arm == "cuda_graphs" else block.arm
        blocks.append(replace(block, arm=key, samples=replace(block.samples, done_ns=done)))
    drifting = replace(ladder, arms=arms, blocks=tuple(blocks), not_run=left_out)
    paced = replace(build_comparison(), name="paced 30", load=replace(comparison.load, mode="open", rate_rps=200.0))
    disagreeing = replace(sweep, not_run=missing, blocks=tuple(
        replace(block, samples=replace(block.samples, done_ns=tuple(done * 2 for done in block.samples.done_ns)))
        if "perf_analyzer" in block.arm else block
        for block in sweep.blocks
    ))  # fmt: skip
    return build_record(sections=(comparison, paced, drifting, disagreeing))
