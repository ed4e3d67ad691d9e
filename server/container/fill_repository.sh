#!/bin/sh
# Runs `photofinish export` with the given arguments, for a job that a server waits for.
# A variant below its accuracy floor is not published (exit 3); that must not keep the server from the others.
set -u

photofinish export "$@"
status=$?
if [ "$status" -eq 3 ]; then
  echo "some variants fell below their accuracy floor and are not served; the table above names them" >&2
  exit 0
fi
exit "$status"
