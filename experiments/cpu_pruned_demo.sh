#!/usr/bin/env bash
# Backs: docs/accuracy.md, "What pruning buys on the demo detector"
# The demo detector pruned and taught on a CPU, beside the unpruned one at smaller inputs: what each finds, how fast:
#   experiments/cpu_pruned_demo.sh teach accuracy speed
# teach: prunes, teaches on pictures of the synthetic camera, and measures what is left (MINUTES of teaching).
# accuracy: the unpruned network at smaller inputs, on the same held-out towns.
# speed: all of them in turn, some five minutes on a quiet machine. PRUNED=FILE.pt takes pruned weights made elsewhere.
# Settings by the environment: RATIO, EPOCHS, MINUTES, SEEDS (towns to learn from), FRAMES (of each), TEST_SEEDS,
# PICTURES (of them to judge by), PROCESSES, SIZES, VARIANTS, SECONDS_EACH and ROUNDS (of the speed), OUT (records),
# WORK (pictures, variants), PYTHON.
# A rehearsal: SEEDS=2 FRAMES=4 TEST_SEEDS=1 EPOCHS=1 ROUNDS=1 SECONDS_EACH=0.2 OUT=/tmp/out WORK=/tmp/pruned
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}" out="${OUT:-results}" work="${WORK:-.photofinish/pruned}"
ratio="${RATIO:-0.3}" sizes="${SIZES:-480 416}" pictures="${PICTURES:-100}"
read -ra variants <<<"${VARIANTS:-openvino_fp32}"
name="$("$python" -c "from photofinish.export.pruning.request import pruned_name as n; print(n('demo_traffic', $ratio))")"
steps="${*:-teach accuracy speed}"
mkdir -p "$out" "$work"
export_one() { # weights, model's name, more options
  "$python" -m photofinish.cli export --weights "$1" --model-name "$2" --device cpu "${variants[@]/#/--variant=}" \
    --repository "$work/repository" --staging "$work/staging" "${@:3}"
}
pictures_at() {
  "$python" -m experiments.models.pruning_pictures "$work/data" "${SEEDS:-100}" "${FRAMES:-8}" "${TEST_SEEDS:-20}" \
    "${PROCESSES:-2}"
}
newest() { # the pruned weights that were made last
  find "$work/staging/pruned" -name "$name-*.pt" -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-
}
judged=()
if [[ "$steps" == *teach* || "$steps" == *accuracy* ]]; then
  judged=(--data "$(pictures_at)" --gate-frames "$pictures")
fi
if [[ "$steps" == *teach* ]]; then
  # The floor is 0 so that the figures are seen, whatever they are.
  export_one demo demo_traffic "${judged[@]}" --prune "$ratio" --prune-floor 0 --prune-epochs "${EPOCHS:-60}" \
    --prune-minutes "${MINUTES:-20}"
  cp ".photofinish/gate/$name.json" "$out/accuracy_demo_pruned.json"
  "$python" -m experiments.models.taught "$(newest)" "$out/pruned_demo_teaching.json"
fi
if [[ "$steps" == *accuracy* ]]; then
  for size in $sizes; do
    export_one demo "demo_traffic-$size" "${judged[@]}" --input-size "$size"
    cp ".photofinish/gate/demo_traffic-$size.json" "$out/accuracy_demo_$size.json"
  done
fi
if [[ "$steps" == *speed* ]]; then
  pruned="${PRUNED:-$(newest)}"
  export_one demo demo_traffic --no-gate
  export_one "$pruned" "$name" --no-gate
  for size in $sizes; do export_one demo "demo_traffic-$size" --no-gate --input-size "$size"; done
  measured=()
  for variant in "${variants[@]}"; do
    measured+=("demo_traffic_$variant" "${name}_$variant")
    for size in $sizes; do measured+=("demo_traffic-${size}_$variant"); done
  done
  "$python" -m experiments.models.network_speed --repository "$work/repository" --rounds "${ROUNDS:-8}" \
    --seconds "${SECONDS_EACH:-2}" --out "$out/cpu2_pruned_speed.json" "${measured[@]}"
fi
