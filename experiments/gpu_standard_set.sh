#!/usr/bin/env bash
# Backs: docs/benchmarking-gpu.md, "measures two networks on one GPU with nothing left out"
# The standard set for a small and a middle network with one committed command, in two steps of at most ten minutes:
#   experiments/gpu_standard_set.sh export      both repositories side by side, the trained one through the accuracy gate
#   experiments/gpu_standard_set.sh measure     standard set of both, and twenty comparisons of a variant with itself;
#                                               by their own names: small, same, middle
# Settings by the environment: SMALL and MIDDLE (weights), DATA (data.yaml of labelled photos), SOURCE (a video),
# OUT (where records go), WORK (where variants lie), MINUTES_SMALL, MINUTES_MIDDLE, RUNS, DEVICE, PYTHON.
# KERNELS=on searches kernels for the small network's compiled variants, each in a process of its own beside the rest.
# A name such as yolo26m.yaml is an untrained network: its speed is measured, its accuracy is not.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root" || exit 1
if [[ -z "${PYTHON:-}" && -f .venv/bin/activate ]]; then
  # shellcheck disable=SC1091
  source .venv/bin/activate
fi
device="${DEVICE:-cuda}"
small="${SMALL:-demo}" middle="${MIDDLE:-yolo26m.yaml}"
out="${OUT:-results}" work="${WORK:-.photofinish/gpu}" source="${SOURCE:-synthetic}"
minutes_small="${MINUTES_SMALL:-3.5}" minutes_middle="${MINUTES_MIDDLE:-2.5}" runs="${RUNS:-20}"
if [[ "$device" == cuda ]]; then
  small_variants=(torch_fp32_tensor torch_fp32 onnx_fp32 onnx_fp16_plain onnx_fp16 aoti_fp16)
  apart=(aoti_fp16)
  # A gate on photos cannot judge a rectangular input.
  if [[ -z "${DATA:-}" ]]; then small_variants+=(aoti_fp16_rect) apart+=(aoti_fp16_rect); fi
  middle_variants=(torch_fp32_tensor torch_fp32 aoti_fp16 aoti_fp16_rect)
else
  small_variants=(torch_fp32_tensor torch_fp32 openvino_fp32)
  apart=(openvino_fp32)
  middle_variants=(torch_fp32_tensor openvino_fp32)
fi
mkdir -p "$out" "$work"
export YOLO_OFFLINE=true YOLO_AUTOINSTALL=false

failed=0
# limited SECONDS LOG COMMAND…: what outlasts its time is stopped as by Ctrl-C, and leaves what it has.
limited() {
  local seconds="$1" log="$2" code=0
  shift 2
  echo "== $(date +%T) $(basename "$log" .log)"
  timeout --signal=INT --kill-after=20 "$seconds" "${PYTHON:-python}" -m "$@" > "$log" 2>&1 || code=$?
  echo "== $(date +%T) $(basename "$log" .log): exit $code"
  tail -n 3 "$log"
  # Exit 3 is a verdict, and the record is there all the same.
  [[ "$code" == 0 || "$code" == 3 ]] || failed=1
}
exported() {
  local name="$1" weights="$2"
  shift 2
  local gate=(--no-gate)
  if [[ "$weights" != *.yaml ]]; then gate=(--accept-undecided ${DATA:+--data "$DATA"}); fi
  limited 480 "$out/export_$name.log" photofinish.cli export --weights "$weights" --device "$device" "${gate[@]}" \
    --repository "$work/$name" --staging "$work/staging_$name" "${@/#/--variant=}"
}
# staged_apart VARIANT: into a staging folder of its own, then into the one from which all are gated and published.
staged_apart() {
  limited 480 "$out/export_$1.log" photofinish.cli export --weights "$small" --device "$device" --no-gate --kernels \
    --repository "$work/$1" --staging "$work/staging_$1" --variant="$1"
  mkdir -p "$work/staging_small"
  cp -r "$work/staging_$1"/*/ "$work/staging_small/"
}
small_exported() {
  if [[ "${KERNELS:-off}" == on ]]; then
    export PHOTOFINISH_KERNELS=on
    local running=() variant
    for variant in "${apart[@]}"; do
      staged_apart "$variant" & running+=($!)
    done
    wait "${running[@]}"
  fi
  exported small "$small" "${small_variants[@]}"
  [[ "$failed" == 0 ]]
}
measured() {
  local name="$1" weights="$2" minutes="$3"
  local file=()
  if [[ -f "$weights" ]]; then file=(--weights "$weights"); fi
  limited "$(awk "BEGIN {print int(72 * $minutes) + 60}")" "$out/standard_$name.log" photofinish.cli perf standard \
    --repository "$work/$name" --source "$source" --minutes "$minutes" --concurrency 1,8 "${file[@]}" \
    --out "$out/gpu_standard_$name.json"
  if [[ -f "$out/gpu_standard_$name.json" ]]; then gzip -9 -f "$out/gpu_standard_$name.json"; fi
}

if (($# == 0)); then set -- export measure; fi
steps=()
for step in "$@"; do
  if [[ "$step" == measure ]]; then steps+=(small same middle); else steps+=("$step"); fi
done
for step in "${steps[@]}"; do
  case "$step" in
    export)
      small_exported & first=$!
      exported middle "$middle" "${middle_variants[@]}" & second=$!
      wait "$first" || failed=1
      wait "$second" || failed=1
      ;;
    small) measured small "$small" "$minutes_small" ;;
    same)
      limited 180 "$out/same.log" experiments.check_discrimination --repository "$work/small" \
        --variant "${small_variants[-1]}" --source "$source" --only same --runs "$runs" --rounds 16 --seconds 0.1 \
        --out "$out/gpu_same.json"
      ;;
    middle) measured middle "$middle" "$minutes_middle" ;;
    *)
      echo "gpu_standard_set.sh: unknown step $step; there are export, measure (all of small, same, middle), small, same, middle" >&2
      exit 2
      ;;
  esac
done
exit "$failed"
