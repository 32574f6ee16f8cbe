#!/usr/bin/env bash
# scripts/check-api.sh SECONDS [SEED]: checks the API of STAGEDOOR_BIN against its own description for
# about SECONDS, half of them with a session. Schemathesis generates requests that /api/openapi.json allows
# and forbids, and checks that each answer has a described status, type, headers and body, and that
# forbidden requests are refused. The same seed generates the same requests.
#
# It starts its own shop: demo mode, a fresh SQLite in a temporary folder, loopback, limits off.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

seconds=${1:?usage: scripts/check-api.sh SECONDS [SEED]}
seed=${2:-7}
schemathesis=$(schemathesis_home)/bin/schemathesis
python=$(schemathesis_home)/bin/python
[ -e "$(schemathesis_home)/complete" ] || {
  say "Schemathesis is not installed (see make setup): skipping the check of the API against its description"
  exit 0
}
[ -x "${STAGEDOOR_BIN:-}" ] || fail "STAGEDOOR_BIN is not an executable file."

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
# Without the developer's settings and .env, which might point to a real shop.
(cd "$work" && exec env -i PATH="$PATH" STAGEDOOR_ADDR="127.0.0.1:$port" STAGEDOOR_DATA_DIR="$work/data" \
  STAGEDOOR_RATE_LIMITS=off STAGEDOOR_LOG=json "$STAGEDOOR_BIN" serve) >"$work/log" 2>&1 </dev/null &
server=$!

# Signs up a user who creates an event and lists tickets; prints the session's cookie.
cookie=$("$python" scripts/check-api.py "$url") || {
  tail -n 5 "$work/log" >&2
  fail "the shop did not start: the end of its log is above."
}

# Other statuses that may refuse an invalid request: the version is compared before a body is read.
cat >"$work/schemathesis.toml" <<END
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "402", "403", "404", "405", "409", "412", "413", "429", "5xx"]
END

# ask NAME LEFT_OUT : one run, without the paths that match LEFT_OUT.
ask() {
  say "asking the API for about $((seconds / 2)) s, $1 (seed $seed)"
  # One worker: it uses Python's parser, which in 3.11 is not thread-safe.
  (cd "$work" && "$schemathesis" run "$url/api/openapi.json" --seed "$seed" --max-time $((seconds / 2)) \
    --phases examples,coverage,fuzzing --workers 1 --request-timeout 35 --no-shrink --continue-on-failure \
    --warnings off --suppress-health-check all --exclude-path-regex "$2" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection)
}

# The stream of an event does not end.
endless='/stream$'
failed=0
ask "not signed in" "$endless" || failed=1
cat >>"$work/schemathesis.toml" <<END
[auth.openapi.session]
api_key = "${cookie#*=}"
END
# Requests that end the session are made only without one.
ask "signed in" "$endless|^/api/user(/(signout|signin|signup|reset|password|sessions.*))?\$" || failed=1
[ "$failed" = 0 ] || grep -m 5 '"level":"ERROR"' "$work/log" >&2 || true
exit "$failed"
