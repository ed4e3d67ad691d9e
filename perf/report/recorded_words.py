"""Sentences that a record holds in English, and how a Chinese report says them.

A record is written once, in English; a report may be drawn from it in any language, years later. So these are found
again by their pattern: `{model} takes batches of {size} at most` matches the text, and its blanks are filled anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

RECORDED: Mapping[str, tuple[str, str]] = {
    # why something was not run
    "not_run_before": ("needs a rung before it; none is served here", "需要前一步，此处没有"),
    "not_run_needs": ("needs {what}; none is served here", "需要：{what}，此处没有"),
    "not_run_no_gpu": ("{model} does not run on a GPU", "{model} 不在 GPU 上运行"),
    "not_run_both": ("{model} would change engine and precision at once", "{model} 会同时改变引擎和精度"),
    "not_run_batch": ("{model} takes batches of {size} at most", "{model} 每批最多 {size} 张"),
    "not_run_small": ("the model takes smaller batches only", "该模型只接受更小的批"),
    "not_run_memory": ("the server takes no shared memory from here", "服务器不接受来自此处的共享内存"),
    "not_run_http": (
        "the server's HTTP endpoint is not on the port below its gRPC port",
        "服务器的 HTTP 端口不在其 gRPC 端口的前一位",
    ),
    "not_run_loop": (
        "no bare loop for backend {backend}; there is one for {known}",
        "没有 {backend} 后端的裸循环，仅有 {known}",
    ),
    "not_run_file": ("{path} does not exist; run `photofinish export`", "{path} 不存在，请运行 `photofinish export`"),
    "not_run_files": ("{folder} holds neither {first} nor {second}", "{folder} 中既没有 {first} 也没有 {second}"),
    "not_run_torch_gpu": ("exported for a GPU, and torch sees none here", "为 GPU 导出，而 torch 在此处看不到 GPU"),
    "not_run_provider": (
        "exported for a GPU, and this ONNX Runtime has no CUDA provider; install onnxruntime-gpu",
        "为 GPU 导出，而此处的 ONNX Runtime 没有 CUDA，请安装 onnxruntime-gpu",
    ),
    "not_run_fell_back": (
        "ONNX Runtime fell back to the CPU; `photofinish doctor` says why",
        "ONNX Runtime 退回到 CPU，原因见 `photofinish doctor`",
    ),
    "not_run_missing": ("{name} is not installed; run `{command}`", "未安装 {name}，请运行 `{command}`"),
    "tool_exited": (
        "perf_analyzer exited with {code}: {complaint}; the server's log has the other side of it",
        "perf_analyzer 以 {code} 退出：{complaint}；另见服务器日志",
    ),
    "tool_timeout": (
        "perf_analyzer did not end within {seconds} s; is the machine busy, or the server stalled? See its log",
        "perf_analyzer 在 {seconds} 秒内未结束：机器繁忙，或服务器停滞？见其日志",
    ),
    "tool_answers": (
        "perf_analyzer answered {count} requests, needed more than {least}",
        "perf_analyzer 只完成 {count} 个请求，需要多于 {least} 个",
    ),
    "tool_profile": (
        "perf_analyzer's profile cannot be read ({cause}); use the pinned version: take yours off PATH",
        "无法读取 perf_analyzer 的结果（{cause}）；请使用固定版本：把您的从 PATH 移除",
    ),
    "tool_rows": ("perf_analyzer's CSV has {count} rows, expected 1", "perf_analyzer 的 CSV 有 {count} 行，应为 1 行"),
    # rungs
    "rung_baseline": ("textbook", "教科书写法"),
    "rung_contract": ("frames contract", "帧契约"),
    "rung_client": ("reused requests", "复用请求"),
    "rung_transport": ("shared memory", "共享内存"),
    "rung_http": ("requests over HTTP", "HTTP 请求"),
    "rung_engine": ("ONNX Runtime", "ONNX Runtime"),
    "rung_precision": ("FP16", "FP16"),
    "rung_cuda_graphs": ("CUDA graphs", "CUDA 图"),
    "rung_aoti": ("AOTInductor FP16", "AOTInductor FP16"),
    "rung_openvino": ("OpenVINO", "OpenVINO"),
    "rung_tensorrt": ("TensorRT FP16", "TensorRT FP16"),
    "rung_int8": ("INT8", "INT8"),
    "rung_rect": ("no padding", "不填充"),
    "rung_pipelining": ("2 in flight", "2 个在途请求"),
    "rung_batching": ("batches of 8", "8 帧一批"),
    "rung_cuda_shm": ("CUDA shared memory", "CUDA 共享内存"),
    # what the rungs need
    "needs_baseline": ("a baseline variant", "基线变体"),
    "needs_contract": ("a pytorch FP32 variant in the frames contract", "帧契约的 pytorch FP32 变体"),
    "needs_engine": ("an onnxruntime FP32 variant", "onnxruntime FP32 变体"),
    "needs_precision": ("an onnxruntime FP16 variant without CUDA graphs", "不用 CUDA 图的 onnxruntime FP16 变体"),
    "needs_cuda_graphs": (
        "an onnxruntime FP16 variant with CUDA graphs, on a GPU",
        "在 GPU 上使用 CUDA 图的 onnxruntime FP16 变体",
    ),
    "needs_aoti": ("a compiled pytorch FP16 variant", "编译过的 pytorch FP16 变体"),
    "needs_openvino": ("an openvino FP32 variant", "openvino FP32 变体"),
    "needs_openvino_1": ("an openvino variant", "openvino 变体"),
    "needs_tensorrt": ("a tensorrt FP16 variant", "tensorrt FP16 变体"),
    "needs_int8": ("an INT8 variant", "INT8 变体"),
    "needs_rect": (
        "a variant with a rectangular input beside the square one of the rung before",
        "与上一级方形输入变体对应的矩形输入变体",
    ),
    # rows of a sweep
    "cell_batch": (
        "{model} at concurrency {concurrency}, batch {batch}",
        "{model}，并发 {concurrency}，批大小 {batch}",
    ),
    "cell": ("{model} at concurrency {concurrency}", "{model}，并发 {concurrency}"),
    "cell_tool": ("perf_analyzer, {cell}", "perf_analyzer，{cell}"),
    "cell_size": ("{model}, batch {batch}", "{model}，批大小 {batch}"),
    # where a figure comes from
    "memory_processes": ("NVML, the model's own processes", "NVML，该模型自己的进程"),
    "memory_server": ("NVML, the whole server with all its models", "NVML，整个服务器及其全部模型"),
    "memory_difference": ("device in use less before the server", "设备占用减去服务器启动前的占用"),
    "memory_device": ("whole device", "整个设备"),
    "memory_none": ("not measured", "未测量"),
    "throttle_power": ("software power cap", "软件功耗上限"),
    "throttle_hardware": ("hardware slowdown", "硬件降速"),
    "throttle_thermal": ("software thermal slowdown", "软件过热降速"),
    "throttle_hardware_thermal": ("hardware thermal slowdown", "硬件过热降速"),
    "throttle_brake": ("hardware power brake", "硬件功率制动"),
    "accuracy_synthetic": ("synthetic", "合成数据"),
    "accuracy_labelled": ("labelled", "有标注"),
    "accuracy_unlabelled": ("unlabelled", "无标注"),
    "dataset_synthetic": ("synthetic camera, {frames} frames", "合成摄像头 {frames} 帧"),
    "dataset_frames": ("{dataset}, {frames} frames", "{dataset}，{frames} 帧"),
    "server_bridge": ("embedded with bridge", "嵌入式（桥接）"),
    "server_embedded": ("embedded", "嵌入式"),
    "server_external": ("external", "外部"),
    "server_none": ("none", "无"),
    "server_here": ("in this process", "本进程内"),
    # sides of a change
    "side_off": ("off", "关"),
    "side_on": ("on", "开"),
    "side_baseline": ("baseline", "基线"),
    "side_optimised": ("optimised", "优化"),
    "side_tensor": ("tensor", "张量"),
    "side_frames": ("frames", "帧"),
}
"""English, Chinese; the narrower pattern before the wider one."""

_BLANK = re.compile(r"\\\{(\w+)\\\}")
_PATTERNS = tuple(
    (re.compile(_BLANK.sub(r"(?P<\1>.+)", re.escape(english))), chinese) for english, chinese in RECORDED.values()
)


def translated(text: str, lang: str) -> str:
    """A text out of a record in the report's language; as it stands where it is a name, or was written by others."""
    if lang == "en":
        return text
    for pattern, chinese in _PATTERNS:
        if found := pattern.fullmatch(text):
            return chinese.format(**{name: translated(part, lang) for name, part in found.groupdict().items()})
    return text
