#!/usr/bin/env bash
# For `make test` and `make soak`: Schemathesis, which asks the API all that its own description allows
# and forbids. It gets a Python of its own in the cache, by the versions in scripts/schemathesis.txt.
# Where that cannot be, one sentence says so and the check is left out; on CI that is a failure.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

home=$(schemathesis_home)
# Written last: what was interrupted is begun again.
[ -e "$home/complete" ] && exit 0

left_out() {
  rm -rf "$home"
  [ "${CI:-}" != true ] || fail "$*"
  say "$* The API is not checked against its description."
  exit 0
}

if ! have python3 || ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  left_out "Python 3.10 or newer (python3) is not installed."
fi
rm -rf "$home"
mkdir -p "$TOOLS"
log=$CACHE/schemathesis.log
make_venv() { python3 -m venv "$home" >>"$log" 2>&1; }
: >"$log"
if ! make_venv; then
  # Debian has it in a package of its own.
  if [ "$(id -u)" = 0 ] && have apt-get; then
    say "installing python3-venv from Debian's packages"
    { apt-get -q update && env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends python3-venv; } \
      >>"$log" 2>&1 </dev/null || true
  fi
  rm -rf "$home"
  make_venv || left_out "Python cannot make a venv (install python3-venv; $log has its words)."
fi
say "installing Schemathesis $(schemathesis_version) (about half a minute)"
# Wheels only: without one for this machine it is left out, and no compiler is looked for.
"$home/bin/python" -m pip --quiet --disable-pip-version-check install --only-binary :all: --no-deps \
  --requirement scripts/schemathesis.txt >>"$log" 2>&1 </dev/null ||
  left_out "Schemathesis could not be installed ($log has pip's words)."
touch "$home/complete"
