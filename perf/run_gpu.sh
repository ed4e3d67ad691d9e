#!/usr/bin/env bash
# The old place of experiments/run_gpu.sh, for one release more.
echo "perf/run_gpu.sh is now experiments/run_gpu.sh; this spelling works for one release more" >&2
exec "$(dirname "${BASH_SOURCE[0]}")/../experiments/run_gpu.sh" "$@"
