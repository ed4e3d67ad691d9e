"""The sentences of a report, in English and Chinese: what makes it doubtful, what was not run, how to read it."""

from __future__ import annotations

from collections.abc import Mapping

from photofinish.perf.record.changes import ERRORS

_ERRORS_IN_CHINESE: Mapping[str, str] = {
    "batch": "{model} 每批最多 {size} 张",
    "loop": "没有 {backend} 后端的裸循环，仅有 {known}",
    "file": "{path} 不存在，请运行 `photofinish export`",
    "torch_gpu": "为 GPU 导出，而 torch 在此处看不到 GPU",
    "provider": "为 GPU 导出，而此处的 ONNX Runtime 没有 {kind}，请安装 onnxruntime-gpu",
    "refused": "ONNX Runtime 无法使用其 {kind}：{said}",
    "fell_back": "ONNX Runtime 退回到 CPU，原因见 `photofinish doctor`",
    "missing": "未安装 {name}，请运行 `{command}`",
    "exited": "perf_analyzer 以 {code} 退出：{said}；另见服务器日志",
    "timeout": "perf_analyzer 在 {seconds} 秒内未结束：机器繁忙，或服务器停滞？见其日志",
    "answers": "perf_analyzer 只完成 {count} 个请求，需要多于 {least} 个",
    "profile": "无法读取 perf_analyzer 的结果（{said}）；请使用随附的固定版本：把您自己的从 PATH 中移除",
    "rows": "perf_analyzer 的 CSV 有 {count} 行，应为 1 行",
    "empty": "perf_analyzer 正常退出却没有写出任何请求；自带压测正常，请重跑该行",
    "ended": "其进程以 {code} 退出：{said}",
    "silent": "其进程在 {seconds} 秒内没有应答：机器繁忙？",
    "no_ultralytics": "此处未安装 Ultralytics，请运行 `pip install 'photofinish[export]'`",
    "weights": "此处没有权重 {name}，请用 --weights FILE 指定",
    "other_weights": "{name} 不是导出 {model} 所用的权重，请用 --weights FILE 指定",
    "no_torch": "{name} 不是 Ultralytics 能运行的 PyTorch 网络",
    "words": "{name} 导出时融合了指定的词语；原文件检测的是其他类别",
    "error": "{said}",
}

SENTENCES: Mapping[str, tuple[str, str]] = {
    # why something was not run
    **{f"not_run_{key}": (said, _ERRORS_IN_CHINESE[key]) for key, said in ERRORS.items()},
    "not_run_before": ("needs a rung before it; none is served here", "需要前一步，此处没有"),
    "not_run_needs": ("needs {what}; none is served here", "需要：{what}，此处没有"),
    "not_run_no_gpu": ("{model} does not run on a GPU", "{model} 不在 GPU 上运行"),
    "not_run_both": ("{model} would change engine and precision at once", "{model} 会同时改变引擎和精度"),
    "not_run_several": ("{model} would change {what} at once", "{model} 会同时改变{what}"),
    "not_run_time": (
        "the time was up: numbers in flight are left out before percentiles are; raise --minutes",
        "时间不足：先舍去并发级别再舍去百分位数；请增大 --minutes",
    ),
    "not_run_small": ("the model takes smaller batches only", "该模型只接受更小的批"),
    "not_run_http": (
        "the server's HTTP endpoint is not on the port below its gRPC port",
        "服务器的 HTTP 端口不在其 gRPC 端口的前一位",
    ),
    # only in records of schema 1
    "not_run_memory": ("the server takes no shared memory from here", "服务器不接受来自此处的共享内存"),
    "not_run_files": ("{folder} holds neither {first} nor {second}", "{folder} 中既没有 {first} 也没有 {second}"),
    "needs_openvino_any": ("an openvino variant", "openvino 变体"),
    # what a rung needs
    "needs_baseline": ("a baseline variant", "基线变体"),
    "needs_contract": ("a pytorch FP32 variant in the frames contract", "帧契约的 pytorch FP32 变体"),
    "needs_engine": ("an onnxruntime FP32 variant", "onnxruntime FP32 变体"),
    "needs_precision": (
        "an onnxruntime FP16 variant without CUDA graphs (on a GPU onnx_fp16_plain)",
        "不用 CUDA 图的 onnxruntime FP16 变体（GPU 上为 onnx_fp16_plain）",
    ),
    "needs_cuda_graphs": (
        "an onnxruntime FP16 variant with CUDA graphs, on a GPU",
        "在 GPU 上使用 CUDA 图的 onnxruntime FP16 变体",
    ),
    "needs_aoti": ("a compiled pytorch FP16 variant", "编译过的 pytorch FP16 变体"),
    "needs_openvino": ("an openvino FP32 variant", "openvino FP32 变体"),
    "needs_tensorrt": ("a tensorrt FP16 variant", "tensorrt FP16 变体"),
    "needs_int8": ("an INT8 variant", "INT8 变体"),
    "needs_bf16": (
        "an openvino BF16 variant, on a processor that computes in it",
        "openvino BF16 变体，且处理器支持 BF16 计算",
    ),
    "needs_rect": (
        "a variant with a rectangular input beside the square one of the rung before",
        "与上一级方形输入变体对应的矩形输入变体",
    ),
    "needs_pruned": (
        "a variant pruned from the weights of the rung before (`photofinish export --prune`, then --weights-changed)",
        "由上一级权重剪枝得到的变体（先 `photofinish export --prune`，再加 --weights-changed）",
    ),
    # what a data set is called
    "dataset_synthetic": ("synthetic camera, {frames} frames", "合成摄像头 {frames} 帧"),
    "dataset_frames": ("{dataset}, {frames} frames", "{dataset}，{frames} 帧"),
    # why a section is not valid, and what to do
    "valid_note": ("No reason was found to doubt these figures.", "没有发现令这些数字存疑的问题。"),
    "note_void": ("A gain in brackets is not valid: do not quote it.", "括号中的提升无效，请勿引用。"),
    "trust_valid": (
        "Nothing was found against these figures: {rounds} rounds in turn, {before} and {after} frames; in brackets "
        "the 95 % interval.",
        "没有发现令这些数字存疑的问题：{rounds} 轮交替测量，{before} 帧对 {after} 帧；方括号内为 95 % 置信区间。",
    ),
    "trust_partly": (
        "Nothing was found against these figures; in brackets the 95 % interval. Not valid in this record: {void}.",
        "没有发现令这些数字存疑的问题；方括号内为 95 % 置信区间。本记录中无效的：{void}。",
    ),
    "trust_void": ("Do not quote any of it: {reason}", "请勿引用：{reason}"),
    "trust_gain_void": ("Do not quote this gain: {reason}", "请勿引用此项提升：{reason}"),
    "reason_empty": ("nothing was measured", "没有任何测量"),
    "advice_empty": ("run it again", "请重新运行"),
    "reason_incomplete": ("{section} was stopped: {by}", "{section} 被中断：{by}"),
    "reason_no_time": ("{section}: the time was up before its first round", "{section}：尚未开始，时间就已用完"),
    "reason_cut_off": ("{section} was cut off before its end", "{section} 未完成即中断"),
    "reason_networks": (
        "{section}: {models} are different networks, so a gain would be one between networks",
        "{section}：{models} 是不同的网络，所得提升只是网络之间的差别",
    ),
    "advice_networks": ("measure one of them, chosen with --model", "请用 --model 选定其中一个重新测量"),
    "advice_no_time": ("raise --minutes", "请增大 --minutes"),
    "advice_cut_off": ("run it again to its end", "请重新完整运行"),
    "advice_incomplete": ("run it again to its end", "请重新完整运行"),
    "reason_refused": (
        "{section}, {arm}: it fell below its accuracy floor, so it must not be served",
        "{section}，{arm}：精度低于下限，不得部署",
    ),
    "advice_refused": ("export it again with the gate", "请启用精度门槛重新导出"),
    "reason_loose_tail": (
        "{section}, {arm}: the gain in {figure} is known only to within {percent} % (limit {limit} %)",
        "{section}，{arm}：{figure} 的提升只精确到 {percent} %（限值 {limit} %）",
    ),
    "advice_loose_tail": ("raise {longer}", "请增大 {longer}"),
    "reason_other_boxes": (
        "{section}, {arm}: ours finds {matched} of its {boxes} boxes, the two do not see the same",
        "{section}，{arm}：其 {boxes} 个框中我们只找到 {matched} 个，两者所见不同",
    ),
    "advice_other_boxes": (
        "check that --weights and --source are right, or choose a more exact variant with --optimised",
        "请检查 --weights 与 --source，或用 --optimised 选择更精确的变体",
    ),
    "reason_errors": (
        "{section}, {arm}: {errors} of {requests} requests failed",
        "{section}，{arm}：{requests} 个请求中 {errors} 个失败",
    ),
    "advice_errors": ("read the server's log", "请查看服务器日志"),
    "reason_few_rounds": (
        "{section}, {arm}: {rounds} blocks, an interval needs {needed}",
        "{section}，{arm}：只有 {rounds} 个区块，置信区间至少需要 {needed} 个",
    ),
    "advice_few_rounds": ("raise {longer}", "请增大 {longer}"),
    "reason_few_samples": (
        "{section}, {arm}: {requests} requests, P95 needs {needed}",
        "{section}，{arm}：{requests} 个请求，P95 至少需要 {needed} 个",
    ),
    "advice_few_samples": ("raise {longer}", "请增大 {longer}"),
    "reason_late_sender": (
        "{section}, {arm}: the load generator sent late (P95 {p95} ms, P99 {p99} ms)",
        "{section}，{arm}：压测端发送过晚（P95 {p95} ms，P99 {p99} ms）",
    ),
    "advice_late_sender": (
        "stop other work on this machine, or lower the rate",
        "请停止本机的其他任务，或降低速率",
    ),
    "reason_unstable": (
        "{section}: the gain in the median drifted by {percent} % from the first half of the rounds to the second "
        "({arm}; limit {limit} %)",
        "{section}：中位延迟的提升从前半到后半漂移了 {percent} %（{arm}，限值 {limit} %）",
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
        "raise {longer}, or measure while the machine does nothing else",
        "请增大 {longer}，或在机器空闲时测量",
    ),
    "reason_harness": (
        "{section}: the load generator itself costs {us} µs per request here (P95)",
        "{section}：压测端自身每请求耗时 {us} µs（P95）",
    ),
    "advice_harness": ("stop other work on this machine", "请停止本机的其他任务"),
    "reason_throttled": ("{section}: the GPU was held back: {throttles}", "{section}：GPU 被降频：{throttles}"),
    "advice_throttled": ("cool it, raise its power limit, or lock its clocks", "请改善散热、提高功耗上限或锁定频率"),
    "reason_foreign_gpu": (
        "{section}: processes of others used the GPU ({count})",
        "{section}：另有 {count} 个进程占用 GPU",
    ),
    "advice_foreign_gpu": ("stop them", "请停止这些进程"),
    "reason_foreign_cpu": (
        "{section}: other programs used {cores:.1f} of {all} cores{programs}, which slows one side more than the other",
        "{section}：其他程序占用了 {all} 核中的 {cores:.1f} 核{programs}，对各方的拖慢程度不同",
    ),
    "advice_foreign_cpu": ("stop them and measure again", "请停止这些程序后重新测量"),
    # how it was measured, and how to read it
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
        "由整轮重抽样得到标准误，再用 Student t；区间含 1 时不认定存在差异。",
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
    "untrained_speed_only": ("untrained: speed only", "未训练：仅测速度"),
    "note_untrained": (
        "The weights are untrained: speed only, boxes mean nothing.",
        "权重未经训练：只看速度，检测框没有意义。",
    ),
    "note_weights_changed": (
        "Weights changed: {models} was pruned, a smaller network than the others; part of its gain is what it no "
        "longer computes, so read it beside its accuracy.",
        "权重已改变：{models} 经过剪枝，是比其他各方更小的网络；其部分收益来自不再计算的内容，请结合精度一起看。",
    ),
    "note_accuracy": (
        "Accuracy: {kind}, {dataset}, measured by the gate at export.",
        "精度：{kind}，{dataset}，由导出时的精度门槛测得。",
    ),
    "note_speed_ups": (
        "Means of one comparison: the engine is what Triton counts as inference, the server all of its own time, the "
        "transport what is left of the client's waiting. Other projects usually print one figure, that of {printed}; "
        "a user feels the last one.",
        "同一次对比的均值：引擎为 Triton 计入推理的时间，服务器为其全部时间，传输为客户端等待的其余部分。"
        "其他项目通常只给出一个数字，即“{printed}”；用户感受到的是最后一个。",
    ),
    "note_rivals": (
        "Every program ran in a process of its own, ours too, in turn on the same frames: Ultralytics with its own "
        "settings, but with as many threads as there are cores, and TF32 as the baseline has it.",
        "每个程序（包括我们的）都在各自的进程中对同样的帧轮流运行：Ultralytics 使用其默认设置，"
        "但线程数等于核数，TF32 与基线一致。",
    ),
    "note_ended_enough": (
        "{sections}: measured until every side had the requests that P95 needs and the gain in the median was known.",
        "{sections}：测到各方请求数足以给出 P95、且中位延迟的提升足够精确为止。",
    ),
    "note_ended_time": (
        "{sections}: measured until the time for it was up; what it is too short for stands as a dash.",
        "{sections}：测到所分时间用完为止；时间不足的数字以短横线表示。",
    ),
    "rounds_of": ("{section} ({rounds} rounds)", "{section}（{rounds} 轮）"),
    "level": ("{concurrency} in flight", "{concurrency} 个在途请求"),
    "note_tf32": ("The baseline's FP32 may run as TF32.", "基线的 FP32 可能以 TF32 运行。"),
    "note_drift": (
        "The machine itself changed its speed while it was measured ({sections}, median of the arm that gains are "
        "taken against). Arms take turns, so the gains hold; milliseconds are an average of both speeds.",
        "测量期间机器自身的速度发生了变化（{sections}，以基准一方的中位数计）。各方轮流测量，因此提升倍数仍然成立；毫秒值是两种速度的平均。",
    ),
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
}
