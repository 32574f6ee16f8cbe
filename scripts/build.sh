#!/usr/bin/env bash
# Builds what `make run` serves: one binary with the pages' WASM, JavaScript, stylesheet and public
# files inside. Prints the binary's absolute path on stdout and everything else on stderr.
#
# cargo-leptos optimises and compresses the WASM anew each time, which takes half a minute even when
# nothing has changed. So the contents of everything that goes into the build are hashed first, and
# when the hash is that of the last build, that build is it: no tool is even looked for.
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
  is_fresh "$wanted" && return # while we waited in line, another invocation built it

  say "building the site and the server in release mode (15 minutes the first time, then about 2)"
  # Clones share a build folder, and cargo goes by times alone: the pages' files of another clone, if it
  # was built later than this one was written, would be taken for ours.
  touch server/src/main.rs
  # -P compresses the site before the server is built, so that `embed` takes the compressed files in.
  cargo leptos build --release -P --bin-features embed --cargo-locked >&2 </dev/null ||
    fail "the build failed: the first error above says where."

  # CARGO_TARGET_DIR is shared by clones, so the finished binary gets a place of this clone's own.
  # Moved into place: a server that runs the old one goes on running it.
  built=$CARGO_TARGET_DIR/release/stagedoor
  mkdir -p "$(dirname "$binary")"
  cp "$built" "$binary.new"
  mv "$binary.new" "$binary"
  # Sources that changed during the build were perhaps not in it: the hash is that of before.
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
