"""Records of schema 1 read as records of schema 2: the sentences that they hold become values.

Schema 1 wrote in English what a rung had changed, what an arm was called and why something was not run, and a report
in another language found these sentences again by their pattern. Nobody writes schema 1 any more; this module is the
only one that knows its sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from photofinish.errors import ConfigError

_NOUNS: Mapping[str, str] = {
    "contract": "contract",
    "engine": "engine",
    "precision": "precision",
    "input": "input",
    "CUDA graphs": "cuda_graphs",
    "client": "client",
    "transport": "transport",
    "in flight": "in_flight",
    "batch": "batch",
}
_RUNGS: Mapping[str, str] = {
    "textbook": "baseline",
    "frames contract": "contract",
    "reused requests": "client",
    "shared memory": "transport",
    "requests over HTTP": "http",
    "ONNX Runtime": "engine",
    "OpenVINO": "openvino",
    "FP16": "precision",
    "CUDA graphs": "cuda_graphs",
    "AOTInductor FP16": "aoti",
    "TensorRT FP16": "tensorrt",
    "INT8": "int8",
    "no padding": "rect",
    "2 in flight": "pipelining",
    "batches of 8": "batching",
    "CUDA shared memory": "cuda_shm",
}
_RUNG_LOAD: Mapping[str, Mapping[str, int]] = {
    "pipelining": {"concurrency": 2},
    "batching": {"concurrency": 2, "batch_size": 8},
    "cuda_shm": {"concurrency": 2, "batch_size": 8},
}
_NEEDS: Mapping[str, str] = {
    "a baseline variant": "baseline",
    "a pytorch FP32 variant in the frames contract": "contract",
    "an onnxruntime FP32 variant": "engine",
    "an onnxruntime FP16 variant without CUDA graphs": "precision",
    "an onnxruntime FP16 variant with CUDA graphs, on a GPU": "cuda_graphs",
    "a compiled pytorch FP16 variant": "aoti",
    "an openvino FP32 variant": "openvino",
    "an openvino variant": "openvino_any",
    "a tensorrt FP16 variant": "tensorrt",
    "an INT8 variant": "int8",
    "a variant with a rectangular input beside the square one of the rung before": "rect",
}
_REASONS: Mapping[str, str] = {
    "before": "needs a rung before it; none is served here",
    "needs": "needs {what}; none is served here",
    "no_gpu": "{model} does not run on a GPU",
    "both": "{model} would change engine and precision at once",
    "batch": "{model} takes batches of {size} at most",
    "small": "the model takes smaller batches only",
    "memory": "the server takes no shared memory from here",
    "http": "the server's HTTP endpoint is not on the port below its gRPC port",
    "loop": "no bare loop for backend {backend}; there is one for {known}",
    "file": "{path} does not exist; run `photofinish export`",
    "files": "{folder} holds neither {first} nor {second}",
    "torch_gpu": "exported for a GPU, and torch sees none here",
    "provider": "exported for a GPU, and this ONNX Runtime has no {kind} provider; install onnxruntime-gpu",
    "refused": "ONNX Runtime cannot use its {kind} provider: {said}",
    "fell_back": "ONNX Runtime fell back to the CPU; `photofinish doctor` says why",
    "missing": "{name} is not installed; run `{command}`",
    "exited": "perf_analyzer exited with {code}: {said}; the server's log has the other side of it",
    "timeout": "perf_analyzer did not end within {seconds} s; is the machine busy, or the server stalled? See its log",
    "answers": "perf_analyzer answered {count} requests, needed more than {least}",
    "profile": "perf_analyzer's profile cannot be read ({said}); use the pinned version: take yours off PATH",
    "rows": "perf_analyzer's CSV has {count} rows, expected 1",
}
"""The narrower sentence before the wider one."""
_MEMORY_METHODS: Mapping[str, str] = {
    "NVML, the model's own processes": "model",
    "NVML, the whole server with all its models": "server",
    "device in use less before the server": "difference",
    "whole device": "device",
    "not measured": "none",
}
_THROTTLES: Mapping[str, str] = {
    "software power cap": "power_cap",
    "hardware slowdown": "slowdown",
    "software thermal slowdown": "thermal",
    "hardware thermal slowdown": "hardware_thermal",
    "hardware power brake": "brake",
}
_CELL = re.compile(
    r"(perf_analyzer, )?(?P<model>\S+) at concurrency (?P<concurrency>\d+)(, batch (?P<batch_size>\d+))?"
)
_SIZE = re.compile(r"(?P<model>\S+), batch (?P<batch_size>\d+)")


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(sentence)), re.DOTALL)


_PATTERNS = {key: _pattern(sentence) for key, sentence in _REASONS.items()}


def values_from_schema_1(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values of schema 2; what is no record of schema 1 either is left for the reader to refuse.

    Raises ConfigError for a change that no version of Photofinish wrote.
    """
    sections = values.get("sections")
    if not isinstance(sections, list):
        return values
    moved = [_section(item, f"{where}: {item.get('name')}") if isinstance(item, dict) else item for item in sections]
    return {**values, "schema_version": 2, "sections": moved}


def _section(section: dict[str, Any], where: str) -> dict[str, Any]:
    found = dict(section)
    for key, move in (("arms", _arm), ("not_run", _not_run)):
        if isinstance(items := section.get(key), list):
            found[key] = [move(item, str(section.get("kind")), where) if _is_whole(item) else item for item in items]
    if isinstance(blocks := section.get("blocks"), list):
        found["blocks"] = [_block(block) if isinstance(block, dict) else block for block in blocks]
    return found


def _block(block: dict[str, Any]) -> dict[str, Any]:
    observed = block.get("observed")
    gpus = observed.get("gpus") if isinstance(observed, dict) else None
    if not isinstance(observed, dict) or not isinstance(gpus, list):
        return block
    return {**block, "observed": {**observed, "gpus": [_gpu(gpu) if isinstance(gpu, dict) else gpu for gpu in gpus]}}


def _gpu(gpu: dict[str, Any]) -> dict[str, Any]:
    method, throttles = gpu.get("memory_method"), gpu.get("throttle_reasons")
    found = dict(gpu)
    if isinstance(method, str):
        found["memory_method"] = _MEMORY_METHODS.get(method, method)
    if isinstance(throttles, list):
        found["throttle_reasons"] = [_THROTTLES.get(str(item), item) for item in throttles]
    return found


def _is_whole(item: object) -> bool:
    """Whether an arm or what was not run has the label that schema 1 always wrote."""
    return isinstance(item, dict) and isinstance(item.get("label"), str)


def _arm(arm: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    found = {key: value for key, value in arm.items() if key != "change"}
    found["changes"] = [_change(part, where) for part in str(arm.get("change") or "").split(", ") if part]
    if kind == "ladder" and arm.get("key") in _RUNGS.values():
        found |= {"rung": arm["key"], "label": ""}
    elif arm["label"] in (arm.get("model"), _cell(arm)):
        found["label"] = ""
    if isinstance(accuracy := arm.get("accuracy"), dict) and isinstance(accuracy.get("dataset"), str):
        size = f", {accuracy.get('frames')} "
        found["accuracy"] = {**accuracy, "dataset": accuracy["dataset"].partition(size)[0]}
    return found


def _cell(arm: dict[str, Any]) -> str:
    """What schema 1 called an arm of a sweep."""
    size = arm.get("batch_size", 1)
    return f"{arm.get('model')} at concurrency {arm.get('concurrency', 1)}" + (f", batch {size}" if size != 1 else "")


def _change(part: str, where: str) -> dict[str, str]:
    """`transport grpc → system_shm` as a value."""
    noun = next((noun for noun in _NOUNS if part.startswith(f"{noun} ")), "")
    was, arrow, now = part.removeprefix(f"{noun} ").partition(" → ")
    if not noun or not arrow:
        raise ConfigError(f"{where}: {part!r:.60} is no change of {', '.join(_NOUNS)}")
    return {"noun": _NOUNS[noun], "was": was, "now": now}


def _not_run(item: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    return {**_subject(item["label"]), **_reason(str(item.get("reason", "")))}


def _subject(label: str) -> dict[str, Any]:
    if rung := _RUNGS.get(label):
        return {"rung": rung, **_RUNG_LOAD.get(rung, {})}
    found = _CELL.fullmatch(label) or _SIZE.fullmatch(label)
    if not found:
        return {"label": label}
    named = {key: value for key, value in found.groupdict().items() if value is not None}
    numbers = {key: int(value) for key, value in named.items() if key != "model"}
    generator = {"generator": "perf_analyzer"} if label.startswith("perf_analyzer, ") else {}
    return {"model": named["model"], **numbers, **generator}


def _reason(text: str) -> dict[str, Any]:
    for key, pattern in _PATTERNS.items():
        found = pattern.fullmatch(text)
        if found and (key != "needs" or found["what"] in _NEEDS):
            values = found.groupdict()
            return {"key": key, "values": {"what": _NEEDS[values["what"]]} if key == "needs" else values}
    return {"key": "error", "values": {"said": text}}
