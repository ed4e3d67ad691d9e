#!/usr/bin/env bash
# The standard measurements: comparison, ladder and perf_analyzer sweep, with the tables of P50, P95 and P99.
# All options go to `photofinish perf standard`; --help lists them. Paths count from the repository's root.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [[ "$PWD" != "$root" ]]; then
  echo "run_perf.sh: paths count from $root" >&2
  cd "$root"
fi
if [[ -f .venv/bin/activate ]]; then
  # shellcheck disable=SC1091
  source .venv/bin/activate
fi
if ! command -v photofinish > /dev/null; then
  echo "run_perf.sh: photofinish is not installed here; run \`make setup\`, or activate its environment" >&2
  exit 1
fi
exec photofinish perf standard "$@"
