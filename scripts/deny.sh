#!/usr/bin/env bash
# `make deny`: checks licences, sources and duplicate versions of all dependencies against deny.toml,
# and security advisories where their database can be reached. Not part of `make test`: cargo-deny
# takes longer to compile than the rest of the tools together.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

cargo deny --version >/dev/null 2>&1 ||
  fail "cargo-deny is not installed: run 'cargo install --locked cargo-deny' (about 8 minutes) and try again."
cargo deny --locked check bans licenses sources
cargo deny --locked check advisories ||
  fail "advisories: see above; without a network their database cannot be fetched, and only this check is missing."
