#!/usr/bin/env bash
# Backs: docs/benchmarking-cpu.md, "measures this page again, in some seventeen minutes on two quiet cores"
# What docs/benchmarking-cpu.md says, measured again: seventeen minutes on two quiet cores.
# Writes results/cpu2_demo.* (the standard set), cpu2_int8.* (a square input), cpu2_trace.*, cpu2_ways.json and
# synthetic_camera.json, records gzipped; OUT=FOLDER moves them.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
if [[ -f .venv/bin/activate ]]; then
  # shellcheck disable=SC1091
  source .venv/bin/activate
fi
out="${OUT:-results}"
work=.photofinish/cpu
variants=(torch_fp32_tensor torch_fp32 onnx_fp32 openvino_fp32 openvino_int8 openvino_int8_rect)
measured=(--repository "$work/repository" --source synthetic)
mkdir -p "$out" "$work"
photofinish export --weights demo --device cpu "${variants[@]/#/--variant=}" --repository "$work/repository"
# Exit 3 is a verdict, and the record is there all the same.
photofinish perf standard "${measured[@]}" --concurrency 1,8 --out "$out/cpu2_demo.json" || [[ $? == 3 ]]
photofinish perf comparison "${measured[@]}" --optimised openvino_int8 --out "$out/cpu2_int8.json" || [[ $? == 3 ]]
photofinish perf trace "${measured[@]}" --out "$out/cpu2_trace.json" || [[ $? == 3 ]]
gzip -9 -f "$out/cpu2_demo.json" "$out/cpu2_int8.json" "$out/cpu2_trace.json"
taskset -c 0 python -m experiments.camera_speed --out "$out/synthetic_camera.json"
python -m experiments.cpu_artifacts "$work/ways"
python -m experiments.cpu_ways "$work/ways" --out "$out/cpu2_ways.json"
