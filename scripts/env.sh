# shellcheck shell=bash
# Sourced by every script here: paths, messages, the lock. Never run. Leaves the working directory at the
# top of the repository.
#
# Large files are outside the clone, so that a second clone (CI, a reviewer) reuses them:
#   STAGEDOOR_CACHE   default ${XDG_CACHE_HOME:-~/.cache}/stagedoor
#     tools/          cargo-leptos and wasm-bindgen
#     target/         cargo's output (CARGO_TARGET_DIR, unless you set your own)
#     lock            held during set-up and builds
# Inside the clone, `target/` has only what clones must not share: the site and the finished binary.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$ROOT" || exit 1
# make's job server is not available to cargo here; without these variables it does not look for it.
unset MAKEFLAGS MFLAGS MAKELEVEL

# One `==>` line per step, on stderr: stdout is for a command's output.
say() { printf '==> %s\n' "$*" >&2; }
# Ends the script with one sentence that says what to do.
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

if [ -z "${STAGEDOOR_CACHE:-}" ] && [ -z "${XDG_CACHE_HOME:-}" ] && [ -z "${HOME:-}" ]; then
  fail "HOME is not set: set STAGEDOOR_CACHE to a folder for the build (about 8 GB)."
fi
CACHE=${STAGEDOOR_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/stagedoor}
mkdir -p "$CACHE" 2>/dev/null || fail "cannot write to $CACHE: set STAGEDOOR_CACHE to a writable folder."
CACHE=$(cd "$CACHE" && pwd -P)
TOOLS=$CACHE/tools

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
export PATH=$ROOT/node_modules/.bin:$TOOLS/bin:$PATH
# Browsers come from the system, never from Playwright's own download.
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1

# shellcheck source=scripts/versions.sh
. "$ROOT/scripts/versions.sh"

# Puts temporary files into memory if 4 GB are free there. Each commit of a database waits for the disk
# otherwise, and tests kill processes, not machines.
temporary_files_in_memory() {
  local memory=/dev/shm free
  [ -z "${TMPDIR:-}" ] && [ -w "$memory" ] || return 0
  free=$(df -Pk "$memory" 2>/dev/null | awk 'NR == 2 { print $4 }')
  if [ "${free:-0}" -gt $((4 << 20)) ]; then export TMPDIR=$memory; fi
}

# version_at_least HAVE WANTED
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# checksum FILE... : one hash over the contents (sha256sum on Linux, shasum on macOS).
checksum() {
  if have sha256sum; then cat "$@" | sha256sum; else cat "$@" | shasum -a 256; fi | cut -d' ' -f1
}

# The folder of Schemathesis, one for each set of versions; it need not exist.
schemathesis_home() { echo "$TOOLS/schemathesis-$(checksum "$ROOT/scripts/schemathesis.txt" | cut -c1-12)"; }
schemathesis_version() { sed -n 's/^schemathesis==//p' "$ROOT/scripts/schemathesis.txt"; }

# in_line COMMAND... : runs it under the lock of this cache, one set-up or build at a time. The command's
# children do not inherit the lock (-o), so a server that outlives the build does not keep it.
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
