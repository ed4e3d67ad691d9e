#!/usr/bin/env bash
# Backs: docs/benchmarking-cpu.md, "measures this page again, in some seventeen minutes on two quiet cores"
# What docs/benchmarking-cpu.md says, measured again: seventeen minutes on two quiet cores.
# Writes results/cpu2_demo.* (the standard set), cpu2_int8.* (a square input; cpu2_bf16.* where the processor computes
# in BF16), cpu2_trace.*, cpu2_ways.json and synthetic_camera.json, records gzipped. OUT=FOLDER moves them; NAME is what
# their names begin with in place of cpu2.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
if [[ -f .venv/bin/activate ]]; then
  # shellcheck disable=SC1091
  source .venv/bin/activate
fi
out="${OUT:-results}"
name="${NAME:-cpu2}"
work=.photofinish/cpu
variants=(torch_fp32_tensor torch_fp32 onnx_fp32 openvino_fp32 openvino_int8 openvino_int8_rect)
square=int8
if grep -qE 'amx_bf16|avx512_bf16' /proc/cpuinfo; then
  variants+=(openvino_bf16 openvino_bf16_rect)
  square=bf16
fi
measured=(--repository "$work/repository" --source synthetic)
mkdir -p "$out" "$work"
photofinish export --weights demo --device cpu "${variants[@]/#/--variant=}" --repository "$work/repository"
# Exit 3 is a verdict, and the record is there all the same.
photofinish perf standard "${measured[@]}" --concurrency 1,8 --out "$out/${name}_demo.json" || [[ $? == 3 ]]
photofinish perf comparison "${measured[@]}" --optimised "openvino_$square" --out "$out/${name}_$square.json" || [[ $? == 3 ]]
photofinish perf trace "${measured[@]}" --out "$out/${name}_trace.json" || [[ $? == 3 ]]
gzip -9 -f "$out/${name}_demo.json" "$out/${name}_$square.json" "$out/${name}_trace.json"
taskset -c 0 python -m experiments.camera_speed --out "$out/synthetic_camera.json"
python -m experiments.cpu_artifacts "$work/ways"
python -m experiments.cpu_ways "$work/ways" --out "$out/${name}_ways.json"
