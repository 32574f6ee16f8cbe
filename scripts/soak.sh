#!/usr/bin/env bash
# `make soak`: the tests that can go on for as long as one likes, for about MINUTES (10 if not set):
# the server killed with SIGKILL every second or so while buyers pay, on SQLite and on PostgreSQL side
# by side; replicas of a cluster killed likewise; simulated histories; the shop held against a model of
# its promise; how each statement is run over a million tickets; and, for half as long, the API asked all
# that its description allows and forbids. The same tests as in `make test`, where they end sooner. Each
# prints its seed: STAGEDOOR_TEST_SEED=… make soak kills, pays, breaks and asks by the same plan again.
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
# A replica that dies and comes back, under the buyers of all others.
export STAGEDOOR_CLUSTER_ROUNDS=$((minutes * 20))
export STAGEDOOR_SIM_SEEDS=$((minutes * 30))
export STAGEDOOR_TEST_TICKETS=1000000
export STAGEDOOR_PROPTEST_CASES=$((minutes * 20))
say "about $minutes minutes: $STAGEDOOR_CRASH_ROUNDS rounds on each engine, $STAGEDOOR_SIM_SEEDS histories, $STAGEDOOR_PROPTEST_CASES cases on each engine"
failed=0
scripts/with-services.sh "${cargo_test[@]}" \
  -- --nocapture --test-threads 4 killed_at_random replicas_killed no_history the_shop_keeps_its_promise \
  no_statement_that_somebody_waits_for || failed=1
# Afterwards: what it asks for would keep the others waiting.
STAGEDOOR_BIN=$(scripts/build.sh)
export STAGEDOOR_BIN
seed=${STAGEDOOR_TEST_SEED:-$RANDOM}
scripts/check-api.sh $((minutes * 30)) "$seed" || failed=1
exit "$failed"
