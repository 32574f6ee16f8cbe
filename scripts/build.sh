#!/usr/bin/env bash
# Builds what `make run` serves: one binary with the pages' WASM, JavaScript, stylesheet and public
# files inside. Prints the binary's absolute path on stdout and everything else on stderr.
#
# cargo-leptos optimises and compresses the WASM each time, which takes half a minute even if nothing has
# changed. So all inputs of the build are hashed first, and if the hash is that of the last build, nothing
# is built and no tool is needed.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

binary=$ROOT/target/bin/stagedoor
stamp=$ROOT/target/bin/stagedoor.inputs

inputs() {
  find Cargo.toml Cargo.lock Leptos.toml package-lock.json rust-toolchain.toml scripts/build.sh scripts/versions.sh \
    app frontend server style migrations public -type f -not -path 'server/tests/*' -print0 |
    LC_ALL=C sort -z | xargs -0 cksum | checksum -
}
is_fresh() { [ -x "$binary" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$1" ]; }

build() {
  local wanted built
  wanted=$(inputs)
  is_fresh "$wanted" && return # another invocation built it while this one waited for the lock

  say "building the site and the server in release mode (15 minutes the first time, then about 2)"
  # Clones share a build folder, and cargo compares times only: the pages' files of another clone would be
  # used if they are newer than the sources of this one.
  touch server/src/main.rs
  # RUSTFLAGS overrides .cargo/config.toml: with erased types the WASM is an eighth larger.
  # -P compresses the site before the server is built, so that `embed` includes the compressed files.
  RUSTFLAGS='' cargo leptos build --release -P --bin-features embed --cargo-locked >&2 </dev/null ||
    fail "the build failed: see the first error above."

  # CARGO_TARGET_DIR is shared by clones, so the finished binary is copied into this clone. It is moved
  # into place: a running server keeps the old one.
  built=$CARGO_TARGET_DIR/release/stagedoor
  mkdir -p "$(dirname "$binary")"
  cp "$built" "$binary.new"
  mv "$binary.new" "$binary"
  # The hash from before the build: sources that changed during it may not be included.
  echo "$wanted" >"$stamp"
}

if [ "${1:-}" = --build-now ]; then
  build
  exit
fi
if ! is_fresh "$(inputs)"; then
  scripts/setup.sh
  in_line scripts/build.sh --build-now
fi
echo "$binary"
