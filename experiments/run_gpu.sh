#!/usr/bin/env bash
# Backs: docs/benchmarking-gpu.md, "measures this page again on your GPU"
# What docs/benchmarking-gpu.md says, measured again. Steps in order, or only those that are named:
#   experiments/run_gpu.sh [export] [standard] [engine] [check] [m] [soak] [scale]
# On an H100 about 4, 8, 1, 2, 5 and 10 minutes, and 1 for each number of GPUs. Writes results/gpu_*.json, records
# gzipped, beside their .md. OUT=FOLDER and SOURCE=VIDEO change where to and from, PYTHON the interpreter.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
if [[ -z "${PYTHON:-}" && -f .venv/bin/activate ]]; then
  # shellcheck disable=SC1091
  source .venv/bin/activate
fi
out="${OUT:-results}"
work=.photofinish/gpu
source="${SOURCE:-synthetic}"
steps=(export standard engine check m soak scale)
declare -A wanted=()
for step in "$@"; do
  [[ " ${steps[*]} " == *" $step "* ]] || { echo "run_gpu.sh: unknown step $step; there are ${steps[*]}" >&2; exit 2; }
  wanted[$step]=1
done
mkdir -p "$out" "$work"

photofinish() { "${PYTHON:-python}" -m photofinish.cli "$@"; }
module() { "${PYTHON:-python}" -m "$@"; }
# Exit 3 is a verdict, and the record is there all the same.
measured() { photofinish perf "$@" || [[ $? == 3 ]]; }
is_wanted() { ((${#wanted[@]} == 0)) || [[ -n "${wanted[$1]:-}" ]]; }

variants=(torch_fp32_tensor torch_fp32 onnx_fp32 onnx_fp32_rect onnx_fp16_plain onnx_fp16 onnx_fp16_rect aoti_fp16 aoti_fp16_rect)
if is_wanted export; then
  photofinish export --weights demo --device cuda "${variants[@]/#/--variant=}" --repository "$work/n"
fi
if is_wanted standard; then
  measured standard --repository "$work/n" --source "$source" --out "$out/gpu_standard.json"
  measured trace --repository "$work/n" --source "$source" --out "$out/gpu_trace.json"
fi
if is_wanted engine; then
  measured engine --repository "$work/n" --batch 1,8,32 --out "$out/gpu_engine.json"
fi
if is_wanted check; then
  module experiments.gpu_server_check --repository "$work/n" > "$out/gpu_check.json"
fi
if is_wanted m; then
  photofinish export --weights yolo26m.yaml --device cuda --no-gate --repository "$work/m" \
    --variant torch_fp32_tensor --variant onnx_fp16 --variant aoti_fp16 --variant aoti_fp16_rect
  measured comparison --repository "$work/m" --source "$source" --out "$out/gpu_comparison_m.json"
  measured engine --repository "$work/m" --batch 1,8 --out "$out/gpu_engine_m.json"
  module experiments.eager --weights yolo26m.yaml --batch 1,8 > "$out/gpu_eager_m.json"
fi
if is_wanted soak; then
  module experiments.soak --repository "$work/n" --seconds 600 > "$out/gpu_soak.json"
fi
if is_wanted scale; then
  gpus="$(nvidia-smi --query-gpu=index --format=csv,noheader | wc -l)"
  for count in 1 2 4; do
    if ((count <= gpus)); then
      CUDA_VISIBLE_DEVICES="$(seq -s, 0 $((count - 1)))" module experiments.gpu_server_check --repository "$work/n" \
        --model demo_traffic_onnx_fp16 > "$out/gpu_scale_$count.json"
    fi
  done
fi
for record in "$out"/gpu_{standard,trace,engine,comparison_m,engine_m}.json; do
  if [[ -f "$record" ]]; then gzip -9 -f "$record"; fi
done
