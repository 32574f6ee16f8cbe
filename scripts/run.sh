#!/usr/bin/env bash
# `make run`: builds if anything has changed, seeds the demo shop, and runs the server. Every setting of
# `stagedoor serve` may be given in the environment; PORT=4000 is short for STAGEDOOR_ADDR=127.0.0.1:4000.
# Arguments are passed to `stagedoor serve`.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

binary=$(scripts/build.sh)
if [ -n "${PORT:-}" ]; then
  export STAGEDOOR_ADDR=${STAGEDOOR_ADDR:-127.0.0.1:$PORT}
fi
# Demo accounts belong in a demo shop only, not where real cards are charged.
if [ -z "${STRIPE_SECRET_KEY:-}" ]; then
  "$binary" seed
fi
# exec: signals reach the server.
exec "$binary" serve "$@"
