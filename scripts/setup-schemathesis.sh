#!/usr/bin/env bash
# For `make test` and `make soak`: Schemathesis, which tests the API against its own description. It is
# installed into a venv in the cache, in the versions of scripts/schemathesis.txt. If that fails, the check
# is skipped with a message; on CI that is a failure.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

home=$(schemathesis_home)
# Written last: an interrupted installation is started again.
[ -e "$home/complete" ] && exit 0

left_out() {
  rm -rf "$home"
  [ "${CI:-}" != true ] || fail "$*"
  say "$* Skipping the check of the API against its description."
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
  # Debian has it in a separate package.
  if [ "$(id -u)" = 0 ] && have apt-get; then
    say "installing python3-venv from Debian's packages"
    { apt-get -q update && env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends python3-venv; } \
      >>"$log" 2>&1 </dev/null || true
  fi
  rm -rf "$home"
  make_venv || left_out "Python cannot create a venv (install python3-venv; see $log)."
fi
say "installing Schemathesis $(schemathesis_version) (about half a minute)"
# Wheels only: without one for this machine the check is skipped, instead of compiling.
"$home/bin/python" -m pip --quiet --disable-pip-version-check install --only-binary :all: --no-deps \
  --requirement scripts/schemathesis.txt >>"$log" 2>&1 </dev/null ||
  left_out "Schemathesis could not be installed (see $log)."
touch "$home/complete"
