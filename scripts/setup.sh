#!/usr/bin/env bash
# Installs what the build needs: `scripts/setup.sh`, and with `--test` also what the tests need. Each step
# does nothing if its work is already done, so a second run takes about a second. Concurrent runs wait for
# each other.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

case "${1:-}" in
  "" | --test) ;;
  *) fail "usage: scripts/setup.sh [--test]" ;;
esac

scripts/setup-rust.sh
in_line scripts/setup-wasm32.sh
in_line scripts/setup-tools.sh
in_line scripts/setup-node.sh
if [ "${1:-}" = --test ]; then
  in_line scripts/setup-tools.sh --test
  in_line scripts/setup-services.sh
  in_line scripts/setup-promtool.sh
  in_line scripts/setup-schemathesis.sh
fi
