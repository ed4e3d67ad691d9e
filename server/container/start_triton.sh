#!/bin/sh
# Starts Triton on the model repository; further arguments go to tritonserver.
# Flags that only some releases know are asked for, not assumed.
set -eu

set -- \
  --model-repository="${MODEL_REPOSITORY:-/models}" \
  --strict-readiness=true \
  --allow-metrics=true \
  --metrics-config=summary_latencies=true \
  --metrics-config=summary_quantiles=0.5:0.05,0.95:0.001,0.99:0.001 \
  --allow-vertex-ai=false \
  --allow-sagemaker=false \
  "$@"

# From 26.04 on, shared memory that clients register is refused unless this flag allows it.
if tritonserver --help 2>&1 | grep -q -e '--allow-client-shm'; then
  set -- "$@" --allow-client-shm=true
fi

exec tritonserver "$@"
