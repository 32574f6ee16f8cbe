#!/usr/bin/env bash
# Installs cargo-leptos and wasm-bindgen, and with `--test` cargo-machete, in exactly the versions of
# versions.sh, into the cache.
# Prebuilt if cargo-binstall is installed and finds them, otherwise compiled in debug mode, because they
# run for seconds and compile for minutes. Only cargo-leptos's compressor is optimised: that reduces its
# time in each release build from 16 s to less than 2 s.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

locked=$(grep -A1 '^name = "wasm-bindgen"$' Cargo.lock | sed -n 's/^version = "\(.*\)"/\1/p')
[ "$locked" = "$WASM_BINDGEN_VERSION" ] ||
  fail "Cargo.lock has wasm-bindgen $locked, scripts/versions.sh has $WASM_BINDGEN_VERSION: they must be the same."

# is_there COMMAND VERSION : checks the copy in the cache, not one on PATH.
is_there() { [ "$("$TOOLS/bin/$1" --version 2>/dev/null | awk '{print (NF > 1 ? $2 : $1)}')" = "$2" ]; }

# install_tool CRATE COMMAND VERSION TIME EXTRA_ARGS...
install_tool() {
  local crate=$1 command=$2 version=$3 time=$4
  shift 4
  is_there "$command" "$version" && return
  if cargo binstall -V >/dev/null 2>&1; then
    say "fetching $crate $version (seconds)"
    timeout 180 cargo binstall --no-confirm --force --strategies crate-meta-data,quick-install \
      --root "$TOOLS" "$crate@$version" >&2 </dev/null || true
    is_there "$command" "$version" && return
    say "no prebuilt $crate $version is available"
  fi
  say "compiling $crate $version, once on this machine ($time on 2 cores)"
  CARGO_TARGET_DIR=$CACHE/tools-target CARGO_PROFILE_DEV_DEBUG=0 \
    cargo install --locked --debug --force --root "$TOOLS" --version "$version" "$@" "$crate" >&2 </dev/null ||
    fail "cargo install $crate $version failed: see the last lines above; run this again to continue where it stopped."
  is_there "$command" "$version" || fail "$crate was installed but '$TOOLS/bin/$command --version' does not say $version."
}

install_tool wasm-bindgen-cli wasm-bindgen "$WASM_BINDGEN_VERSION" "about 2 minutes"
install_tool cargo-leptos cargo-leptos "$CARGO_LEPTOS_VERSION" "about 10 minutes" \
  --config profile.dev.package.brotli.opt-level=2 --config profile.dev.package.cargo-leptos.opt-level=2

if [ "${1:-}" = --test ]; then
  install_tool cargo-machete cargo-machete "$CARGO_MACHETE_VERSION" "about a minute"
fi

# 2 GB that are no longer needed.
rm -rf "$CACHE/tools-target"
