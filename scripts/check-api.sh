#!/usr/bin/env bash
# scripts/check-api.sh SECONDS [SEED]: holds the API of STAGEDOOR_BIN against its own description, for
# about so many seconds: half of them with a session, half without. Schemathesis makes up what
# /api/openapi.json allows and what it forbids, and looks whether each answer has a described status, type,
# headers and body, and whether what is forbidden is refused. The same seed asks the same.
#
# The shop is one of its own: demo mode, a fresh SQLite in a temporary folder, loopback, limits off.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

seconds=${1:?usage: scripts/check-api.sh SECONDS [SEED]}
seed=${2:-7}
schemathesis=$(schemathesis_home)/bin/schemathesis
python=$(schemathesis_home)/bin/python
[ -e "$(schemathesis_home)/complete" ] || {
  say "Schemathesis is not installed (make setup says why): the API is not checked against its description"
  exit 0
}
[ -x "${STAGEDOOR_BIN:-}" ] || fail "STAGEDOOR_BIN names no program."

work=$(mktemp -d "${TMPDIR:-/tmp}/stagedoor-api.XXXXXX")
server=
stop() {
  trap - EXIT
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
# Nothing of a developer's settings, and no .env: they might lead to somebody's real shop.
(cd "$work" && exec env -i PATH="$PATH" STAGEDOOR_ADDR="127.0.0.1:$port" STAGEDOOR_DATA_DIR="$work/data" \
  STAGEDOOR_RATE_LIMITS=off STAGEDOOR_LOG=json "$STAGEDOOR_BIN" serve) >"$work/log" 2>&1 </dev/null &
server=$!

# Somebody signs up, creates an event and lists tickets; prints the session's cookie.
cookie=$("$python" scripts/check-api.py "$url") || {
  tail -n 5 "$work/log" >&2
  fail "the shop did not start: its last words are above."
}

# What else refuses a request that is wrong in itself: a body is not read before the version is compared.
cat >"$work/schemathesis.toml" <<END
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "402", "403", "404", "405", "409", "412", "413", "429", "5xx"]
END

# ask NAME LEFT_OUT : one run, without the paths that LEFT_OUT fits.
ask() {
  say "asking the API for about $((seconds / 2)) s, $1 (seed $seed)"
  # One worker: Python 3.11's parser of its own code, which it uses, does not stand two threads.
  (cd "$work" && "$schemathesis" run "$url/api/openapi.json" --seed "$seed" --max-time $((seconds / 2)) \
    --phases examples,coverage,fuzzing --workers 1 --request-timeout 35 --no-shrink --continue-on-failure \
    --warnings off --suppress-health-check all --exclude-path-regex "$2" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection)
}

# The stream of an event goes on for as long as somebody listens.
endless='/stream$'
failed=0
ask "not signed in" "$endless" || failed=1
cat >>"$work/schemathesis.toml" <<END
[auth.openapi.session]
api_key = "${cookie#*=}"
END
# What ends the session is asked only without one.
ask "signed in" "$endless|^/api/user(/(signout|signin|signup|reset|password|sessions.*))?\$" || failed=1
[ "$failed" = 0 ] || grep -m 5 '"level":"ERROR"' "$work/log" >&2 || true
exit "$failed"
