#!/usr/bin/env bash
# The standard measurements, with the table of P50, P95 and P99 at the end. All options go to `photofinish perf sweep`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -f .venv/bin/activate ]]; then
  # shellcheck disable=SC1091
  source .venv/bin/activate
fi
exec photofinish perf sweep "$@"
