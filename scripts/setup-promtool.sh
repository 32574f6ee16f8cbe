#!/usr/bin/env bash
# For `make test` only: promtool, which checks Prometheus rules. If it is missing it is extracted from
# Debian's package, which is not installed, because that would start a Prometheus. If the package is not
# available, scripts/check-deploy.sh skips these checks with a message.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

have promtool && exit 0
have apt-get && have dpkg-deb || exit 0

say "extracting promtool from Debian's package (20 MB)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
fetch() { (cd "$work" && apt-get -qq download prometheus) >"$work/log" 2>&1 </dev/null; }
if ! fetch && [ "$(id -u)" = 0 ]; then
  apt-get -qq update >"$work/log" 2>&1 </dev/null || true
  fetch || true
fi
mkdir -p "$TOOLS/bin"
if dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb 2>/dev/null | tar -x -C "$work" ./usr/bin/promtool 2>/dev/null; then
  mv "$work/usr/bin/promtool" "$TOOLS/bin/promtool"
else
  say "promtool is not available: $(tail -n 1 "$work/log")"
fi
