#!/usr/bin/env bash
# `make soak`: kills the server with SIGKILL every second or so while buyers pay, on SQLite and on
# PostgreSQL side by side, for about MINUTES (10 if not set); then checks that nothing is lost. The
# same tests as in `make test`, where they end after 20 rounds. Each prints its seed:
# STAGEDOOR_TEST_SEED=… make soak kills, pays and breaks by the same plan again.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

minutes=${MINUTES:-10}
case $minutes in
  0* | *[!0-9]*) fail "MINUTES=$minutes is no number of minutes from 1 on." ;;
esac

scripts/setup.sh --test
cargo_test=(cargo test --locked -p server --test it)
"${cargo_test[@]}" --no-run
# A life, a death and a new start take about a second and a half on two cores.
export STAGEDOOR_CRASH_ROUNDS=$((minutes * 40))
say "about $minutes minutes, $STAGEDOOR_CRASH_ROUNDS rounds on each engine"
exec scripts/with-services.sh "${cargo_test[@]}" killed_at_random -- --nocapture --test-threads 2
