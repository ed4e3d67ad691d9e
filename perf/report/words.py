"""Every word of a report, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from photofinish.errors import ConfigError
from photofinish.perf.report.recorded_words import RECORDED

LANGUAGES = ("en", "zh")
CHANGE_NOUNS = ("contract", "engine", "precision", "input", "CUDA graphs", "client", "transport", "in flight", "batch")
"""What one rung of the ladder can change; the sentences about changes begin with these."""

_WORDS: Mapping[str, tuple[str, str]] = {
    **RECORDED,
    # table heads
    "arm": ("arm", "对象"),
    "variant": ("variant", "变体"),
    "generator": ("generator", "压测工具"),
    "concurrency": ("concurrency", "并发"),
    "requests": ("requests", "请求数"),
    "fps": ("FPS", "FPS"),
    "mean": ("mean", "均值"),
    "p50": ("P50", "P50"),
    "p95": ("P95", "P95"),
    "p99": ("P99", "P99"),
    "queue": ("queue", "排队"),
    "compute": ("compute", "计算"),
    "gpu_memory": ("GPU memory (MiB)", "显存 (MiB)"),
    "no_gpu": ("no GPU", "无 GPU"),
    "speed_up": ("FPS vs baseline", "FPS 相对基线"),
    "gain": ("gain", "提升"),
    "gain_p50": ("P50 gain [95 %]", "P50 提升 [95 %]"),
    "gain_p95": ("P95 gain [95 %]", "P95 提升 [95 %]"),
    "gain_fps": ("FPS gain [95 %]", "FPS 提升 [95 %]"),
    "no_difference": ("no difference shown", "未见差异"),
    "not_measured": ("not measured", "未测量"),
    "failed": ("{errors} failed", "{errors} 个失败"),
    "overloaded": ("cannot keep up", "跟不上"),
    "rung": ("rung", "步骤"),
    "change": ("what changed", "改动"),
    "bought_ms": ("bought (ms)", "节省 (ms)"),
    "step_gain": ("P50, this step", "P50 本步"),
    "total_gain": ("P50, in all", "P50 累计"),
    "step_fps": ("FPS, this step", "FPS 本步"),
    "key": ("key", "项目"),
    "value": ("value", "值"),
    "metric": ("figure", "指标"),
    "baseline": ("Baseline", "基线"),
    "optimised": ("Optimised", "优化后"),
    "total": ("total", "合计"),
    "batch": ("batch", "批大小"),
    "precision": ("precision", "精度"),
    "gain_latency": ("P50 gain over {reference}", "P50 提升（相对 {reference}）"),
    "gain_throughput": ("throughput gain over {reference}", "吞吐提升（相对 {reference}）"),
    "images_per_s": ("images/s", "图/秒"),
    # rows of the headline table
    "row_fps": ("Frames per second", "每秒帧数"),
    "row_mean": ("Mean latency (ms)", "平均延迟 (ms)"),
    "row_p50": ("P50 latency (ms)", "P50 延迟 (ms)"),
    "row_p95": ("P95 latency (ms)", "P95 延迟 (ms)"),
    "row_p99": ("P99 latency (ms)", "P99 延迟 (ms)"),
    "row_gpu_memory": ("GPU memory (MiB)", "显存 (MiB)"),
    "row_accuracy": ("mAP50-95", "mAP50-95"),
    "row_bytes": ("Bytes per request (MB)", "每请求数据量 (MB)"),
    "row_queue": ("Server queue, mean (ms)", "服务器排队均值 (ms)"),
    "row_compute": ("Server compute, mean (ms)", "服务器计算均值 (ms)"),
    "row_outside": ("Outside the server, mean (ms)", "服务器之外均值 (ms)"),
    "row_batch": ("Images per execution, mean", "每次执行图数均值"),
    "row_client_cpu": ("Client CPU (cores)", "客户端 CPU (核)"),
    "row_server_cpu": ("Server CPU (cores)", "服务器 CPU (核)"),
    "row_gpu_use": ("GPU use (%)", "GPU 利用率 (%)"),
    "row_gpu_power": ("GPU power (W)", "GPU 功耗 (W)"),
    "row_requests": ("Requests measured", "测量请求数"),
    # headings
    "title": ("Baseline against optimised", "基线与优化后的对比"),
    "report": ("Photofinish report", "Photofinish 报告"),
    "headline": ("{gain} lower median latency", "中位延迟降低为 1/{plain}"),
    "headline_invalid": ("Not valid: no gain is claimed", "无效：不声称任何提升"),
    "headline_none": ("No difference in median latency shown", "未见中位延迟差异"),
    "headline_slower": ("{inverse}× higher median latency", "中位延迟为基线的 {inverse} 倍"),
    "interval_note": ("95 % confidence [{low}, {high}]", "95 % 置信区间 [{low}, {high}]"),
    "h_verdict": ("Verdict", "结论"),
    "h_distribution": ("How latency is distributed", "延迟分布"),
    "h_load": ("Latency over load", "延迟随负载变化"),
    "h_paced": ("At a camera's rate", "按摄像头帧率"),
    "h_ladder": ("What each step bought", "每一步的收益"),
    "h_stages": ("Where the time goes", "时间花在哪里"),
    "h_stages_steps": ("Where the time goes, step by step", "每一步的时间花在哪里"),
    "h_timeline": ("The run over time", "测量过程"),
    "h_sweep": ("Every variant, by load", "各变体随并发"),
    "h_classic": ("Precision against batch size", "精度与批大小"),
    "h_engine": ("The engines alone, without a server", "不经服务器的引擎耗时"),
    "h_fingerprint": ("What this was measured on", "测量环境"),
    "h_repeat": ("To repeat it", "复现命令"),
    "h_limits": ("Limits", "限值"),
    "h_not_run": ("Not run", "未运行"),
    "h_method": ("How it was measured", "测量方法"),
    # verdicts
    "VALID": ("VALID", "有效"),
    "INVALID": ("INVALID", "无效"),
    "PASS": ("PASS", "通过"),
    "FAIL": ("FAIL", "未通过"),
    "INCONCLUSIVE": ("INCONCLUSIVE", "无法判定"),
    "part": ("part", "部分"),
    "judged": ("verdict", "结论"),
    "in_part": ("{verdict}: {part}", "{part}：{verdict}"),
    "section_comparison": ("comparison", "对比"),
    "section_pipelines": ("pipelines", "流水线"),
    "section_ladder": ("ladder", "阶梯"),
    "section_sweep": ("sweep", "并发扫描"),
    "section_trace": ("trace", "耗时分解"),
    "section_engine": ("engine", "引擎"),
    "section_paced": ("paced {rate}", "每秒 {rate} 帧"),
    "valid_note": ("No reason was found to doubt these figures.", "未发现质疑这些数字的理由。"),
    "reason_empty": ("nothing was measured", "没有任何测量"),
    "advice_empty": ("run it again", "请重新运行"),
    "reason_incomplete": ("{section} was stopped: {by}", "{section} 被中断：{by}"),
    "reason_cut_off": ("{section} was cut off before its end", "{section} 未完成即中断"),
    "advice_cut_off": ("run it again to its end", "请重新完整运行"),
    "advice_incomplete": ("run it again to its end", "请重新完整运行"),
    "reason_errors": (
        "{section}, {arm}: {errors} of {requests} requests failed",
        "{section}，{arm}：{requests} 个请求中 {errors} 个失败",
    ),
    "advice_errors": ("read the server's log", "请查看服务器日志"),
    "reason_few_rounds": (
        "{section}, {arm}: {rounds} blocks, an interval needs {needed}",
        "{section}，{arm}：只有 {rounds} 个区块，置信区间至少需要 {needed} 个",
    ),
    "advice_few_rounds": ("raise --rounds", "请增大 --rounds"),
    "reason_few_samples": (
        "{section}, {arm}: {requests} requests, P95 needs {needed}",
        "{section}，{arm}：{requests} 个请求，P95 至少需要 {needed} 个",
    ),
    "advice_few_samples": ("raise --seconds", "请增大 --seconds"),
    "reason_late_sender": (
        "{section}, {arm}: the load generator sent late",
        "{section}，{arm}：压测端发送过晚",
    ),
    "advice_late_sender": (
        "give the client a core of its own, or lower the rate",
        "请为客户端留出一个核，或降低速率",
    ),
    "reason_unstable": (
        "{section}: the median drifted by {percent} % from the first half of the rounds to the second ({arm}; limit "
        "{limit} %)",
        "{section}：中位数从前半到后半漂移了 {percent} %（{arm}，限值 {limit} %）",
    ),
    "advice_unstable": (
        "wait until the machine is warm and idle, then measure again",
        "请等机器预热且空闲后再测",
    ),
    "reason_imprecise": (
        "{section}, {arm}: the gain in median latency is known only to within {percent} % (limit {limit} %)",
        "{section}，{arm}：中位延迟的提升只精确到 {percent} %（限值 {limit} %）",
    ),
    "advice_imprecise": (
        "raise --rounds, or measure while the machine does nothing else",
        "请增大 --rounds，或在机器空闲时测量",
    ),
    "reason_harness": (
        "{section}: the load generator itself costs {us} µs per request here (P95)",
        "{section}：压测端自身每请求耗时 {us} µs（P95）",
    ),
    "advice_harness": ("stop other work on this machine", "请停止本机的其他任务"),
    "reason_throttled": ("{section}: the GPU was held back: {why}", "{section}：GPU 被降频：{why}"),
    "advice_throttled": ("cool it, raise its power limit, or lock its clocks", "请改善散热、提高功耗上限或锁定频率"),
    "reason_foreign_gpu": (
        "{section}: processes of others used the GPU ({count})",
        "{section}：另有 {count} 个进程占用 GPU",
    ),
    "advice_foreign_gpu": ("stop them", "请停止这些进程"),
    "reason_foreign_cpu": (
        "{section}: other programs used {cores} of {all} cores",
        "{section}：其他程序占用了 {all} 核中的 {cores} 核",
    ),
    "advice_foreign_cpu": ("stop them", "请停止这些程序"),
    # limits
    "limit_p95_ms": ("P95 latency (ms), at most", "P95 延迟 (ms) 上限"),
    "limit_p99_ms": ("P99 latency (ms), at most", "P99 延迟 (ms) 上限"),
    "limit_min_fps": ("frames per second, at least", "每秒帧数下限"),
    "limit_min_speedup": ("gain in median latency, at least", "中位延迟提升下限"),
    "limit_min_map": ("share of the baseline's mAP50-95, at least", "相对基线 mAP50-95 下限"),
    "limit_max_gpu_memory_mib": ("GPU memory (MiB), at most", "显存 (MiB) 上限"),
    "limit": ("limit", "限值"),
    "found": ("found", "实测"),
    "outcome": ("outcome", "结果"),
    # what a rung changed
    "change_contract": ("contract", "契约"),
    "change_engine": ("engine", "引擎"),
    "change_precision": ("precision", "精度"),
    "change_input": ("input", "输入"),
    "change_CUDA graphs": ("CUDA graphs", "CUDA 图"),
    "change_client": ("client", "客户端"),
    "change_transport": ("transport", "传输"),
    "change_in flight": ("in flight", "在途"),
    "change_batch": ("batch", "批大小"),
    # stages
    "stage_prepare": ("client prepare", "客户端预处理"),
    "stage_wire": ("wire", "传输"),
    "stage_queue": ("queue", "排队"),
    "stage_compute_input": ("input copy", "输入拷贝"),
    "stage_compute_infer": ("engine", "引擎"),
    "stage_compute_output": ("output copy", "输出拷贝"),
    "stage_decode": ("client decode", "客户端解码"),
    # axes and notes
    "axis_latency": ("latency (ms)", "延迟 (ms)"),
    "axis_concurrency": ("requests in flight", "在途请求数"),
    "axis_time": ("seconds since the start", "开始后的秒数"),
    "axis_clock": ("GPU clock (MHz)", "GPU 频率 (MHz)"),
    "axis_ms_per_frame": ("P50 latency (ms)", "P50 延迟 (ms)"),
    "note_percentiles": (
        "Percentiles are nearest-rank. P95 is printed from {p95} requests on, P99 from {p99} (the sample-size rule of "
        "MLPerf LoadGen's early stopping, 99 % confidence).",
        "百分位数按最近秩计算。P95 至少需要 {p95} 个请求，P99 至少需要 {p99} 个"
        "（MLPerf LoadGen 提前停止规则，99 % 置信度）。",
    ),
    "note_intervals": (
        "Every arm is warmed until steady, uncounted; then blocks of all arms alternate (ABBA). Gains carry a 95 % "
        "interval: Student's t with the standard error of a bootstrap over whole rounds; where it holds 1 no "
        "difference is claimed.",
        "各对象先预热至稳定且不计入，随后测量区块交替进行（ABBA）。提升附带 95 % 区间："
        "由整轮重抽样得到标准误，再用 Student t；区间含 1 时不声称有差异。",
    ),
    "note_latency": (
        "Latency runs from the moment a frame was due to the moment its detections were there. Errors are counted "
        "beside it; nothing is clipped.",
        "延迟从一帧应被处理的时刻算到结果返回；错误单独计数，不剔除任何样本。",
    ),
    "note_memory": ("GPU memory: {method}.", "显存：{method}。"),
    "note_memory_kept": (
        "The client keeps the memory it frees, on all sides alike.",
        "客户端保留其释放的内存，各方一致。",
    ),
    "note_memory_plain": (
        "The client leaves its memory to the C library: a 4.9 MB request may take thousands of page faults, or none.",
        "客户端的内存交由 C 库管理：一个 4.9 MB 请求可能产生数千次缺页，也可能没有。",
    ),
    "note_untrained": (
        "The weights are untrained: speed only, boxes mean nothing.",
        "权重未经训练：只看速度，检测框没有意义。",
    ),
    "note_accuracy": (
        "Accuracy: {kind}, {dataset}, measured by the gate at export.",
        "精度：{kind}，{dataset}，由导出时的精度门测得。",
    ),
    "note_tf32": ("The baseline's FP32 may run as TF32.", "基线的 FP32 可能以 TF32 运行。"),
    "note_power_cap": (
        "The GPU ran at its power limit in {found} of {all} blocks: its clocks are those that the limit allows at this "
        "load.",
        "GPU 在 {all} 个测量块中的 {found} 个里达到功耗上限：其频率即该负载下上限所允许的频率。",
    ),
    "note_no_tf32": ("FP32 is computed as FP32: TF32 is off.", "FP32 按 FP32 计算：TF32 已关闭。"),
    "note_input": (
        "Input of {models}: {size}, the frame without the grey padding that makes the others' input a square. The "
        "picture in it has the same size; what that costs in accuracy is counted in its mAP.",
        "{models} 的输入为 {size}：去掉了把其他输入补成正方形的灰边，画面大小不变；对精度的影响已计入其 mAP。",
    ),
    "note_server_kind": (
        "Server: {kind} {version}. Server-side times of the embedded and the container server are not comparable.",
        "服务器：{kind} {version}。嵌入式与容器服务器的服务端时间不可直接比较。",
    ),
    "note_harness": (
        "The load generator's own P95 per request: {closed} µs in the closed loop, {open} µs in the open loop.",
        "压测端自身每请求 P95：闭环 {closed} µs，开环 {open} µs。",
    ),
    "note_generators": (
        "perf_analyzer and our closed loop agree within 10 % everywhere.",
        "perf_analyzer 与自带闭环压测处处相差不超过 10 %。",
    ),
    "note_disagreement": (
        "{row}: perf_analyzer's median is {ratio} of ours.",
        "{row}：perf_analyzer 的中位数是我们的 {ratio}。",
    ),
    "note_sweep": (
        "Each row is one run of its own, one after the other: no interval, and drift between rows stays in. What is "
        "claimed stands in the comparison and the ladder.",
        "每行各自单独运行一次，依次进行：没有区间，行间漂移未消除。结论以对比和阶梯为准。",
    ),
    "note_overloaded": (
        "{arm} cannot keep {rate} frames a second: it reached {fps}; its latency would depend on how long one waits.",
        "{arm} 跟不上每秒 {rate} 帧：实际 {fps}；其延迟取决于等待多久，故不给出。",
    ),
    "paced_name": ("{rate} frames a second", "每秒 {rate} 帧"),
}


def word(key: str, lang: str = "en", **values: Any) -> str:
    """The word or sentence of that key in that language, filled with the values."""
    if lang not in LANGUAGES:
        raise ConfigError(f"language must be of {list(LANGUAGES)}, got {lang!r}")
    return _WORDS[key][LANGUAGES.index(lang)].format(**values)


def section_title(name: str, lang: str = "en") -> str:
    """A section's name in the report's language; `paced 30` is the one at 30 frames a second."""
    if name.startswith("paced "):
        return word("section_paced", lang, rate=name.removeprefix("paced "))
    return word(f"section_{name}", lang) if has_word(f"section_{name}") else name


def has_word(key: str) -> bool:
    """Whether there is an entry of that key."""
    return key in _WORDS
