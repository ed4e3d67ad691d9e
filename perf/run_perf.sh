#!/usr/bin/env bash
# The standard measurements: comparison, ladder and perf_analyzer sweep, with the tables of P50, P95 and P99.
# All options go to `photofinish perf standard`; --help lists them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -f .venv/bin/activate ]]; then
  # shellcheck disable=SC1091
  source .venv/bin/activate
fi
exec photofinish perf standard "$@"
