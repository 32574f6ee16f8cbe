#!/usr/bin/env bash
# `make distclean`: removes the shared build cache and the tools. The next `make run` builds
# everything again (about half an hour).
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

remove() { rm -rf "${CACHE:?}/target" "${CACHE:?}/tools" "${CACHE:?}/tools-target"; }
if [ "${1:-}" = --now ]; then
  remove
  exit
fi
say "removing tools and build results from $CACHE"
in_line scripts/distclean.sh --now
rm -rf node_modules
