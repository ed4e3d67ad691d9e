#!/usr/bin/env bash
# The old place of experiments/run_cpu.sh, for one release more.
echo "perf/run_cpu.sh is now experiments/run_cpu.sh; this spelling works for one release more" >&2
exec "$(dirname "${BASH_SOURCE[0]}")/../experiments/run_cpu.sh" "$@"
