"""The words of a plan of cameras, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

PLAN_LABELS: Mapping[str, tuple[str, str]] = {
    "plan_title": ("How many cameras a GPU would carry", "一块 GPU 能承载多少路摄像头"),
    "plan_need": (
        "Each camera sends {width} x {height} {codec} at {send} frames/s; {infer} of them are inferred",
        "每个摄像头发送 {width} x {height} {codec}，每秒 {send} 帧，其中 {infer} 帧做推理",
    ),
    "plan_gpu": ("GPU", "GPU"),
    "plan_decoder_fps": ("decodes (frames/s)", "解码（帧/秒）"),
    "plan_by_decoder": ("by decoder", "按解码器"),
    "plan_by_sessions": ("by sessions", "按会话数"),
    "plan_by_engine": ("by engine", "按推理"),
    "plan_by_memory": ("by memory", "按显存"),
    "plan_carries": ("carries", "可承载"),
    "plan_wall": ("first wall", "首个瓶颈"),
    "plan_asked": ("{cameras} cameras", "{cameras} 路摄像头"),
    "plan_basis": ("basis", "依据"),
    "plan_calculated": ("calculated", "计算值"),
    "plan_fits": ("fit, {share} % used", "可以，占用 {share} %"),
    "plan_too_many": ("too many", "超出"),
    "plan_unknown": ("measure", "请实测"),
    "plan_wall_decoder": ("decoder", "解码器"),
    "plan_wall_sessions": ("sessions", "会话数"),
    "plan_wall_engine": ("engine", "推理"),
    "plan_wall_memory": ("memory", "显存"),
    "plan_wall_no decoder": ("no decoder for {codec}", "没有 {codec} 解码器"),
    "plan_note_calculated": (
        "Every row is calculated, nothing in it was measured on that GPU as a whole: "
        "`photofinish perf cameras --find` measures yours.",
        "每一行都是计算值，没有在该 GPU 上整体实测：用 `photofinish perf cameras --find` 实测您的机器。",
    ),
    "plan_note_decoder": (
        "Decoder: {source}; by the clock where a GPU's differs, by pixels for other sizes; {share} % of it is planned.",
        "解码器：{source}；时钟不同时按时钟换算，其他尺寸按像素换算；按其 {share} % 计划。",
    ),
    "plan_note_sessions": (
        "Sessions: {measured} is where one H200 refused; above {published} NVIDIA asks for settings of the driver.",
        "会话数：在一块 H200 上实测 {measured} 为上限；超过 {published} 时 NVIDIA 要求更改驱动设置。",
    ),
    "plan_note_engine": (
        "Engine, {share} % of it is planned: {gpus} by records of their own ({records}); the others are scaled from "
        "{base} by the smaller ratio of tensor rate and memory rate, which guesses low: measure, give the record "
        "with --engine.",
        "推理，按其 {share} % 计划：{gpus} 来自各自的记录（{records}）；"
        "其余按张量算力与显存带宽之比的较小者从 {base} 换算，偏保守：请实测，并用 --engine 给出记录。",
    ),
    "plan_note_own": (
        "Engine, {share} % of it is planned: {rate} pictures/s on {gpu} ({what}; {record}); the others are scaled from "
        "it by the smaller ratio of tensor rate and memory rate.",
        "推理，按其 {share} % 计划：{gpu} 上每秒 {rate} 张（{what}；{record}）；"
        "其余按张量算力与显存带宽之比的较小者换算。",
    ),
    "plan_note_cpu": (
        "Without a GPU's decoder the processor decodes: {each} cores a camera{all}.",
        "不用 GPU 解码器时由处理器解码：每个摄像头 {each} 个核心{all}。",
    ),
    "plan_note_cpu_all": (", {cores} for {cameras}", "，{cameras} 个摄像头共 {cores} 个"),
    "plan_steps": ("{gpu}, step by step", "{gpu}，逐步计算"),
    "plan_step_decoder": (
        "decoder: {engines} engines x {rate} frames/s ({codec}, 1920 x 1080){clock} x {pixels} for the pixels "
        "x {share} planned / {send} sent = {cameras} cameras",
        "解码器：{engines} 个引擎 x 每秒 {rate} 帧（{codec}，1920 x 1080）{clock} x {pixels}（像素）x {share}（计划）"
        "/ {send}（发送）= {cameras} 个摄像头",
    ),
    "plan_step_clock": (" x {ratio} for the clock", " x {ratio}（时钟）"),
    "plan_step_sessions": ("sessions: {cameras}", "会话数：{cameras}"),
    "plan_step_engine": (
        "engine: {rate} pictures/s ({gpu}){scale} x {share} planned / {infer} inferred = {cameras} cameras",
        "推理：每秒 {rate} 张（{gpu}）{scale} x {share}（计划）/ {infer}（推理）= {cameras} 个摄像头",
    ),
    "plan_step_scale": (
        " x {ratio}, the smaller of tensor rate {tensor} and memory rate {memory}",
        " x {ratio}（张量算力 {tensor} 与显存带宽 {memory} 之比的较小者）",
    ),
    "plan_step_memory": (
        "memory: ({gib} GiB - {engine} MiB for the engine) / {session} MiB a session = {cameras} cameras",
        "显存：（{gib} GiB - 推理 {engine} MiB）/ 每会话 {session} MiB = {cameras} 个摄像头",
    ),
}
