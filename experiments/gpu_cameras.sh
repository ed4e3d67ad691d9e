#!/usr/bin/env bash
# Backs: docs/benchmarking-gpu.md, "measures decoding on a GPU, from one kernel to whole cells"
# Cameras on a GPU, in steps of at most ten minutes, each by itself or in this order:
#   experiments/gpu_cameras.sh export       one variant of the demo detector for this GPU, without its gate
#   experiments/gpu_cameras.sh kernel       the letterbox kernel against its reference, to the byte, and its time
#   experiments/gpu_cameras.sh sessions     how many decoders open, and how much they decode together
#   experiments/gpu_cameras.sh latency      70 cameras, 1080p, 25 fps sent, 5 inferred: from capture to boxes
#   experiments/gpu_cameras.sh cameras      250 cameras, 720p, 25 fps sent, 5 inferred
#   experiments/gpu_cameras.sh hd           160 cameras, 1080p, likewise; only where it is named
#   experiments/gpu_cameras.sh substreams   500 cameras that send 5 fps, all of them inferred
#   experiments/gpu_cameras.sh find         the most cameras that hold the goal, and its proof
#   experiments/gpu_cameras.sh two          the same search on one GPU and on two, and the ratio; only where it is named
# `find` and `two` end in time; the same step goes on in its next call until it is over.
# Each writes its JSON and a log into OUT. Settings by the environment: DEVICE (a GPU's number; stand-in rehearses
# everything on the CPU, with FEW=1 at sizes for two cores), TWO (the GPUs of `two`, such as 0,1), OUT, REPOSITORY,
# VARIANT, SOURCE (a video), MINUTES (of `find` and `two`), CONFIRM_SECONDS and HARD_RUNS=off (of `find`), START and
# MOST (of both: the first number, on one GPU, and the largest), SECONDS_EACH, PYTHON.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root" || exit 1
if [[ -z "${PYTHON:-}" && -f .venv/bin/activate ]]; then
  # shellcheck disable=SC1091
  source .venv/bin/activate
fi
device="${DEVICE:-0}" out="${OUT:-results}" source="${SOURCE:-}"
repository="${REPOSITORY:-.photofinish/gpu_cameras}" minutes="${MINUTES:-9}" each="${SECONDS_EACH:-60}"
two="${TWO:-0,1}" confirm="${CONFIRM_SECONDS:-300}" hard=""
if [[ "${HARD_RUNS:-on}" == off ]]; then hard=--no-hard-runs; fi
if [[ "$device" == stand-in ]]; then
  export PHOTOFINISH_DECODE_DEVICE=stand-in
  model_device=cpu variant="${VARIANT:-openvino_int8_rect}"
else
  model_device=cuda variant="${VARIANT:-aoti_fp16_rect}"
fi
if [[ "${FEW:-0}" == 1 ]]; then
  sessions=2,4 repeats=20 each="${SECONDS_EACH:-5}" least=5 threads=2
  latency=(3 640x360 5) cameras=(4 640x360 5) hd=(3 640x360 5) substreams=(5 640x360 5) most=4
  pair=(--size 320x180 --send-fps 10 --infer-fps 10 --p99-ms 1000 --max-drops 0.2 --seconds 5 --confirm-seconds 84)
  pair_start="${START:-1}" pair_most=1 pair_flags=(--may-be-least)
else
  sessions=64,200,400 repeats=2000 least=6 threads=8,32
  latency=(70 1920x1080 25) cameras=(250 1280x720 25) hd=(160 1920x1080 25) substreams=(500 640x360 5) most=400
  pair=(--size 1920x1080 --send-fps 25 --infer-fps 5 --p99-ms 150 --max-drops 0.01 --seconds 10 --confirm-seconds 136)
  pair_start="${START:-160}" pair_most="${MOST:-400}" pair_flags=()
fi
mkdir -p "$out"
export YOLO_OFFLINE=true YOLO_AUTOINSTALL=false

failed=0
# limited SECONDS NAME COMMAND…: what outlasts its time is stopped as by Ctrl-C, and leaves what it has.
limited() {
  local seconds="$1" name="$2" code=0
  shift 2
  echo "== $(date +%T) $name"
  timeout --signal=INT --kill-after=20 "$seconds" "${PYTHON:-python}" -m "$@" > "$out/gpu_cameras_$name.log" 2>&1 || code=$?
  echo "== $(date +%T) $name: exit $code"
  tail -n 25 "$out/gpu_cameras_$name.log"
  # Exit 3 is a verdict, and the record is there all the same.
  [[ "$code" == 0 || "$code" == 3 ]] || failed=1
}
# watched NAME COUNT SIZE FPS FLAGS…
watched() {
  local name="$1" count="$2" size="$3" fps="$4"
  shift 4
  limited 400 "$name" photofinish.cli perf cameras --streams "$count" --stream-size "$size" --stream-fps "$fps" --fps 5 \
    --seconds "$each" --repository "$repository" --variant "$variant" ${source:+--source "$source"} "$@" \
    --out "$out/gpu_cameras_$name.json"
}
# searched NAME GPUS START MOST: a search within what is left of the step's minutes; it goes on where it stopped.
searched() {
  local left
  left="$(awk "BEGIN {printf \"%.2f\", $minutes - $SECONDS / 60}")"
  if awk "BEGIN {exit !($left < 3.5)}"; then
    echo "== $(date +%T) $1: no time is left for it; the same step goes on"
    failed=1
    return
  fi
  limited "$(awk "BEGIN {print int(60 * $left) + 40}")" "$1" photofinish.cli perf cameras --find --gpus "$2" \
    --codec h264 --decode gpu "${pair[@]}" --start "$3" --most "$4" --no-hard-runs --minutes "$left" \
    --repository "$repository" --variant "$variant" ${source:+--source "$source"} --out "$out/gpu_cameras_$1.json"
}
# compared ARGUMENTS…: of one GPU's record, and of two GPUs', what they say together.
compared() { "${PYTHON:-python}" -m experiments.gpu.several_gpus ${pair_flags[@]+"${pair_flags[@]}"} "$@"; }

if (($# == 0)); then set -- export kernel sessions latency cameras substreams find; fi
for step in "$@"; do
  case "$step" in
    export)
      limited 480 export photofinish.cli export --weights demo --device "$model_device" --no-gate \
        --repository "$repository" "--variant=$variant"
      ;;
    kernel)
      limited 120 kernel experiments.gpu.letterbox_kernel --device "$device" --repeats "$repeats" \
        --out "$out/gpu_cameras_kernel.json"
      ;;
    sessions)
      limited 240 sessions experiments.gpu.decode_sessions --device "$device" --sessions "$sessions" \
        --threads "$threads" --seconds "$least" --out "$out/gpu_cameras_sessions.json"
      ;;
    latency) watched latency "${latency[@]}" --mean-ms 25 --p99-ms 60 --decode gpu ;;
    cameras) watched cameras "${cameras[@]}" --p99-ms 150 --max-drop-percent 1 --decode gpu ;;
    hd) watched hd "${hd[@]}" --p99-ms 150 --max-drop-percent 1 --decode gpu ;;
    substreams) watched substreams "${substreams[@]}" --p99-ms 150 --max-drop-percent 1 ;;
    find)
      limited "$(awk "BEGIN {print int(60 * $minutes) + 40}")" find photofinish.cli perf cameras --find \
        --codec h264 --size "${cameras[1]}" --send-fps "${cameras[2]}" --infer-fps 5 --p99-ms 150 --max-drops 0.01 \
        --decode gpu --start "${START:-2}" --most "${MOST:-$most}" --seconds "$each" $hard --minutes "$minutes" \
        --confirm-seconds "$confirm" \
        --repository "$repository" --variant "$variant" \
        ${source:+--source "$source"} --out "$out/gpu_cameras_find.json"
      ;;
    two)
      SECONDS=0 one="$out/gpu_cameras_one_gpu.json" both="$out/gpu_cameras_two_gpus.json"
      if ! compared "$one" > /dev/null 2>&1; then searched one_gpu "${two%%,*}" "$pair_start" "$pair_most"; fi
      if bounds="$(compared "$one")"; then
        read -r start limit <<< "$bounds"
        code=0
        compared "$one" "$both" > /dev/null 2>&1 || code=$?
        if [[ "$code" == 1 ]]; then searched two_gpus "$two" "$start" "$limit"; fi
        compared "$one" "$both" --out "$out/gpu_cameras_two.json" || failed=1
      else
        failed=1
      fi
      ;;
    *)
      echo "gpu_cameras.sh: unknown step $step; there are export kernel sessions latency cameras hd substreams find two" >&2
      exit 2
      ;;
  esac
done
exit "$failed"
