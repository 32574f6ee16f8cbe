#!/usr/bin/env bash
# `make watch`: cargo-leptos rebuilds what you edit and reloads the page. It has its own site folder, so the
# release build of `make run` is not changed. PORT=4000 works here, too.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

scripts/setup.sh
if [ -n "${PORT:-}" ]; then
  export STAGEDOOR_ADDR=${STAGEDOOR_ADDR:-127.0.0.1:$PORT}
fi
if [ -n "${STAGEDOOR_ADDR:-}" ]; then
  export LEPTOS_SITE_ADDR=$STAGEDOOR_ADDR
fi
export LEPTOS_SITE_ROOT=target/site-watch
exec cargo leptos watch "$@"
