#!/usr/bin/env bash
# Brings a fresh machine to where the project builds: `scripts/setup.sh`, and with `--test` also to
# where every test runs. Each step looks first and does nothing when its work is done, so a second
# run takes about a second. Two runs at the same time wait for each other.
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
