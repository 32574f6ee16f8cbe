# shellcheck shell=bash
# What every script here needs: where things are, how to speak to the reader, how to wait in line.
# Sourced, never run. Leaves the working directory at the top of the repository.
#
# Everything heavy lives outside the clone, so that a second clone (CI, a reviewer) starts warm:
#   STAGEDOOR_CACHE   default ${XDG_CACHE_HOME:-~/.cache}/stagedoor
#     tools/          cargo-leptos and wasm-bindgen
#     target/         what cargo builds (CARGO_TARGET_DIR, unless you set your own)
#     lock            held while something is set up or built
# Inside the clone, `target/` holds only what a clone must not share: the site and the finished binary.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$ROOT" || exit 1
# make's own job server is not open to cargo here; without these it does not look for it.
unset MAKEFLAGS MFLAGS MAKELEVEL

# One `==>` line a step, always on stderr: stdout belongs to what a command promises to print.
say() { printf '==> %s\n' "$*" >&2; }
# The last word of a script that cannot go on: one sentence that says what to do about it.
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

if [ -z "${STAGEDOOR_CACHE:-}" ] && [ -z "${XDG_CACHE_HOME:-}" ] && [ -z "${HOME:-}" ]; then
  fail "HOME is not set: set STAGEDOOR_CACHE to a folder that the build may fill (about 8 GB)."
fi
CACHE=${STAGEDOOR_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/stagedoor}
mkdir -p "$CACHE" 2>/dev/null || fail "cannot write to $CACHE: set STAGEDOOR_CACHE to a folder of yours."
CACHE=$(cd "$CACHE" && pwd -P)
TOOLS=$CACHE/tools

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
export PATH=$ROOT/node_modules/.bin:$TOOLS/bin:$PATH
# Browsers come from the system, never from Playwright's own download.
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1

# shellcheck source=scripts/versions.sh
. "$ROOT/scripts/versions.sh"

# version_at_least HAVE WANTED
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# checksum FILE... : one hash over the contents (sha256sum on Linux, shasum on macOS).
checksum() {
  if have sha256sum; then cat "$@" | sha256sum; else cat "$@" | shasum -a 256; fi | cut -d' ' -f1
}

# Where Schemathesis is, or is to be: a folder for each set of versions.
schemathesis_home() { echo "$TOOLS/schemathesis-$(checksum "$ROOT/scripts/schemathesis.txt" | cut -c1-12)"; }
schemathesis_version() { sed -n 's/^schemathesis==//p' "$ROOT/scripts/schemathesis.txt"; }

# in_line COMMAND... : run it while nobody else sets up or builds with this cache. The lock is not
# inherited by the command's children (-o), so a server that outlives the build does not keep it.
in_line() {
  if ! have flock; then
    "$@"
  elif flock -n "$CACHE/lock" true; then
    flock -o "$CACHE/lock" "$@"
  else
    say "waiting for another set-up or build that uses $CACHE"
    flock -o "$CACHE/lock" "$@"
  fi
}
