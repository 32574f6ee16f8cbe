#!/usr/bin/env bash
# Installs Tailwind, wasm-opt and Playwright (without a browser) from package-lock.json into
# node_modules/, when that lock file has changed since the last time.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

stamp=node_modules/.stagedoor-stamp
wanted=$(checksum package.json package-lock.json)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -x node_modules/.bin/tailwindcss ] && [ -x node_modules/.bin/wasm-opt ]; then
  exit 0
fi
say "npm ci: Tailwind, wasm-opt, Playwright (about 20 seconds)"
log=$CACHE/npm-ci.log
npm ci --no-audit --no-fund --loglevel=error >"$log" 2>&1 </dev/null ||
  fail "npm ci failed: $(grep -m 1 'npm error' "$log" || tail -n 1 "$log") (all of it in $log)."
[ -x node_modules/.bin/tailwindcss ] && [ -x node_modules/.bin/wasm-opt ] ||
  fail "npm ci left no tailwindcss or wasm-opt in node_modules/.bin: is package-lock.json complete?"
echo "$wanted" >"$stamp"
