#!/usr/bin/env bash
# For `make test` only: PostgreSQL, Redis, NATS and Chromium. Missing ones are installed from Debian's
# packages if that needs no password; otherwise a message lists them. The tests start private instances
# (with-services.sh) and never use one that is already running.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=scripts/services.sh
. "$ROOT/scripts/services.sh"

missing=()
{ bin=$(postgres_bin) && postgres_is_new_enough "$bin"; } || missing+=(postgresql)
redis_server >/dev/null || missing+=(redis-server)
nats_server >/dev/null || missing+=(nats-server)
chromium_path >/dev/null || missing+=(chromium)
# The version is also checked if Chromium was already installed: it may be years old.
if [ ${#missing[@]} -eq 0 ]; then
  check_chromium "$(chromium_path)" || fail "the browser tests have no usable Chromium: see above."
  exit 0
fi

as_root=
if [ "$(id -u)" != 0 ]; then
  have sudo && sudo -n true 2>/dev/null && as_root=sudo
fi
if ! have apt-get || { [ "$(id -u)" != 0 ] && [ -z "$as_root" ]; }; then
  fail "the tests need these Debian packages or their equivalents, please install them and run this again: ${missing[*]} (PostgreSQL $POSTGRES_MIN or newer)."
fi

say "installing ${missing[*]} from Debian's packages (about a minute)"
log=$CACHE/apt.log
# --no-install-recommends installs only what the tests use; the tests do not use services that the
# packages start.
{
  $as_root apt-get -q update &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 </dev/null ||
  fail "installing ${missing[*]} failed: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log") (all of it in $log)."

{ bin=$(postgres_bin) && postgres_is_new_enough "$bin"; } ||
  fail "PostgreSQL $POSTGRES_MIN or newer is needed for the tests, and this system's package is older."
redis_server >/dev/null && nats_server >/dev/null && chromium_path >/dev/null ||
  fail "${missing[*]} were installed but cannot be found."
check_chromium "$(chromium_path)" || fail "the browser tests have no usable Chromium: see above."
