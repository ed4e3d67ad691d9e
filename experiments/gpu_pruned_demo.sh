#!/usr/bin/env bash
# Backs: docs/accuracy.md, "What it buys on a GPU"
# The demo detector pruned on a GPU, taught on pictures of the synthetic camera, and measured on GPU and CPU:
#   experiments/gpu_pruned_demo.sh
# Settings by the environment: RATIO (share of channels that goes), EPOCHS, MINUTES (of teaching), SEEDS (towns to
# learn from), FRAMES (of each), TEST_SEEDS, DEVICE, PROCESSES, OUT (where records go), WORK (pictures, variants), PYTHON.
# A rehearsal on a CPU: DEVICE=cpu SEEDS=2 FRAMES=4 TEST_SEEDS=1 EPOCHS=1 PROCESSES=1 experiments/gpu_pruned_demo.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"
ratio="${RATIO:-0.3}" epochs="${EPOCHS:-60}" minutes="${MINUTES:-8}" device="${DEVICE:-cuda}"
seeds="${SEEDS:-220}" frames="${FRAMES:-50}" test_seeds="${TEST_SEEDS:-50}" processes="${PROCESSES:-16}"
out="${OUT:-results}" work="${WORK:-.photofinish/pruned}"
mkdir -p "$out" "$work"
data="$("$python" -m experiments.models.pruning_pictures "$work/data" "$seeds" "$frames" "$test_seeds" "$processes")"
both=(--weights demo --data "$data" --variant torch_fp32_tensor --variant torch_fp32 --variant onnx_fp32
  --repository "$work/repository" --staging "$work/staging")
if [[ "$device" == cuda ]]; then
  both+=(--variant onnx_fp16_plain --variant onnx_fp16)
else
  both+=(--variant openvino_fp32)
fi
export_both() {
  "$python" -m photofinish.cli export "${both[@]}" --device "$1"
  # The floor is 0 so that the figures are seen, whatever they are.
  "$python" -m photofinish.cli export "${both[@]}" --device "$1" --prune "$ratio" --prune-floor 0 \
    --prune-epochs "$epochs" --prune-minutes "$minutes"
  "$python" -m photofinish.cli perf ladder --repository "$work/repository" --model demo_traffic --weights-changed \
    --no-rivals --out "$out/pruned_demo_$1.json" || [[ $? == 3 ]]
}
export_both "$device"
cp "$work"/staging/pruned/demo_traffic-pruned*.pt "$out/"
