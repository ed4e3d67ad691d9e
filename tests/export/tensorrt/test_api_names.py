"""Every name that our code uses of TensorRT exists in 10.16, in 11.4 and in tensorrt_rtx.

tensorrt_rtx is imported and its classes are asked. The builder of `tensorrt` cannot be imported from the package
index, so its names are looked up in its compiled bindings; its runtime classes are imported from the lean wheels.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from photofinish.export.tensorrt.library import ONLY_RTX, TensorRTLibrary
from tests.export.tensorrt.wheels import TENSORRT_10, TENSORRT_11, unpacked

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCES = (
    *(
        CHECKOUT / "export" / "tensorrt" / f"{name}.py"
        for name in ("build", "inspect", "library", "network", "progress")
    ),
    CHECKOUT / "server" / "backend" / "engines" / "tensorrt.py",
)
BUILDER = {
    "Builder": ["create_network", "create_builder_config", "create_optimization_profile", "build_serialized_network"],
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
    "INetworkDefinition": ["num_layers", "get_layer", "num_inputs", "get_input"],
    "ILayer": ["name", "type", "num_inputs", "get_input", "num_outputs", "get_output"],
    "ITensor": ["name", "dtype", "shape"],
    "IConvolutionLayer": ["kernel"],
    "IDeconvolutionLayer": ["kernel"],
    "LayerType": [
        *("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "CONSTANT", "QUANTIZE", "DEQUANTIZE"),
        *("CAST", "SHUFFLE", "IDENTITY", "SHAPE"),
    ],
    "OnnxParser": ["parse_from_file", "num_errors", "get_error"],
    "ParserError": ["desc", "node_name", "node_operator"],
    "IBuilderConfig": [
        *("clear_flag", "profiling_verbosity", "add_optimization_profile", "progress_monitor"),
        *("create_timing_cache", "set_timing_cache", "get_timing_cache"),
    ],
    "ITimingCache": ["serialize"],
    "BuilderFlag": ["TF32"],
    "ProfilingVerbosity": ["DETAILED"],
    "IOptimizationProfile": ["set_shape"],
    "IProgressMonitor": ["phase_start", "step_complete", "phase_finish"],
    "EngineInspector": ["get_engine_information"],
    "LayerInformationFormat": ["JSON"],
}
RUNTIME = {
    "ILogger": ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "log"],
    "Logger": [],
    "DataType": ["FLOAT", "HALF", "BF16", "INT8", "FP8", "UINT8", "INT32", "INT64"],
    "Runtime": ["deserialize_cuda_engine"],
    "ICudaEngine": [
        *("create_execution_context", "num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype"),
        *("get_tensor_shape", "get_tensor_profile_shape"),
    ],
    "IExecutionContext": ["set_tensor_address", "set_input_shape", "execute_async_v3"],
    "TensorIOMode": ["INPUT", "OUTPUT"],
}
INSPECTOR = {"ICudaEngine": ["create_engine_inspector"]}
"""The lean runtime has no inspector; the full libraries have."""
RTX_ALONE = {
    "IBuilderConfig": ["num_compute_capabilities", "set_compute_capability"],
    "ComputeCapability": ["SM75", "SM86", "SM89", "SM120"],
    "ICudaEngine": ["create_runtime_config"],
    "IRuntimeConfig": ["dynamic_shapes_kernel_specialization_strategy"],
    "DynamicShapesKernelSpecializationStrategy": ["EAGER"],
}

OF_OUR_OWN = {
    *("__init__", "__members__", "append", "pop", "start", "update"),  # Python's and tqdm's
    *("DEBUG", "builder", "cuda", "dims", "engine", "size"),  # of logging, numpy and our own classes
}
"""Attributes in our modules that only happen to be names of TensorRT's too."""


def attributes_of(path: Path) -> set[str]:
    """Every attribute that a module reads or sets, and every name it asks for with getattr."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            found |= {
                item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str)
            }
    return found


def compiled_bindings(version: str) -> bytes:
    """The extension module of `tensorrt` in that version."""
    return (unpacked(f"tensorrt-cu13-bindings=={version}") / "tensorrt_bindings" / "tensorrt.so").read_bytes()


def has_name(compiled: bytes, name: str) -> bool:
    """Whether a name stands in compiled code: as the end of a C string, or as a word of a docstring.

    A linker keeps "CONVOLUTION" as the end of "DECONVOLUTION"; a compiler writes the shortest names into instructions.
    """
    return name.encode() + b"\0" in compiled or re.search(rb"\b" + name.encode() + rb"\b", compiled) is not None


def test_the_tables_hold_every_name_the_code_uses(rtx: TensorRTLibrary) -> None:
    classes = {
        name: value
        for name, value in vars(rtx.module).items()
        if isinstance(value, type) and value.__module__.startswith("tensorrt_rtx")
    }
    vocabulary = set(classes) | {member for value in classes.values() for member in vars(value)}
    used = {name for path in SOURCES for name in attributes_of(path)} & vocabulary
    tables = (BUILDER, RUNTIME, INSPECTOR, RTX_ALONE)
    known = {
        name for table in tables for name in (*table, *(member for members in table.values() for member in members))
    }
    assert used - known - OF_OUR_OWN == set()


@pytest.mark.parametrize(
    "table", [BUILDER, RUNTIME, INSPECTOR, RTX_ALONE], ids=["builder", "runtime", "inspector", "rtx"]
)
def test_names_in_tensorrt_rtx(rtx: TensorRTLibrary, table: dict[str, list[str]]) -> None:
    missing = [
        f"{name}.{member}"
        for name, members in table.items()
        for member in members
        if not hasattr(getattr(rtx.module, name, None), member)
    ]
    assert missing == []


@pytest.mark.parametrize("version", [TENSORRT_10, TENSORRT_11])
def test_names_in_the_bindings_of_tensorrt(version: str) -> None:
    compiled = compiled_bindings(version)
    wanted = {name for table in (BUILDER, RUNTIME, INSPECTOR) for key, names in table.items() for name in (key, *names)}
    assert {name for name in wanted if not has_name(compiled, name)} == set()


def test_the_look_up_can_tell_the_two_versions_apart() -> None:
    """A control: what TensorRT 11 removed is found in 10 and not in 11, and what only tensorrt_rtx has in neither."""
    assert has_name(compiled_bindings(TENSORRT_10), "platform_has_fast_fp16")
    assert not has_name(compiled_bindings(TENSORRT_11), "platform_has_fast_fp16")
    for version in (TENSORRT_10, TENSORRT_11):
        assert not has_name(compiled_bindings(version), "set_compute_capability")
        assert not has_name(compiled_bindings(version), "DynamicShapesKernelSpecializationStrategy")


def test_only_rtx_names_are_guarded() -> None:
    """Names that `tensorrt` lacks stand in the code only where `tensorrt_rtx` is known to be at work."""
    assert set(ONLY_RTX) <= {name for key, members in RTX_ALONE.items() for name in (key, *members)}


@pytest.mark.parametrize("version", [TENSORRT_10, TENSORRT_11])
def test_runtime_names_in_the_imported_lean_library(version: str) -> None:
    folders = [unpacked(f"tensorrt-lean-cu13-{part}=={version}") for part in ("libs", "bindings")]
    script = (
        "import json, sys, tensorrt_lean_bindings as trt\n"
        "table = json.loads(sys.argv[1])\n"
        "missing = [f'{name}.{member}' for name, members in table.items() for member in members\n"
        "           if not hasattr(getattr(trt, name, None), member)]\n"
        "print(json.dumps([trt.__version__, missing]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, json.dumps(RUNTIME)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(run.stdout) == [version, []]
