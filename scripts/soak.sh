#!/usr/bin/env bash
# `make soak`: the long form of some tests, for about MINUTES (default 10): the server killed with SIGKILL
# every second or so while buyers pay, on SQLite and on PostgreSQL in parallel; replicas of a cluster killed
# likewise; simulated histories; the shop compared with a model of its behaviour; the query plan of each
# statement over a million tickets; and, for half as long, the API tested against its description. `make
# test` runs the same tests for a shorter time. Each prints its seed: STAGEDOOR_TEST_SEED=… make soak
# repeats the same plan.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

minutes=${MINUTES:-10}
case $minutes in
  0* | *[!0-9]*) fail "MINUTES=$minutes is not a positive whole number." ;;
esac

scripts/setup.sh --test
# The same packages as in scripts/test.sh, so that both use the same compiled dependencies.
cargo_test=(cargo test --locked --workspace --exclude frontend --test it)
"${cargo_test[@]}" --no-run
# One round of start, kill and restart takes about a second and a half on two cores.
export STAGEDOOR_CRASH_ROUNDS=$((minutes * 40))
# One round kills and restarts a replica while all others serve buyers.
export STAGEDOOR_CLUSTER_ROUNDS=$((minutes * 20))
export STAGEDOOR_SIM_SEEDS=$((minutes * 30))
export STAGEDOOR_TEST_TICKETS=1000000
export STAGEDOOR_PROPTEST_CASES=$((minutes * 20))
say "about $minutes minutes: $STAGEDOOR_CRASH_ROUNDS rounds on each engine, $STAGEDOOR_SIM_SEEDS histories, $STAGEDOOR_PROPTEST_CASES cases on each engine"
failed=0
scripts/with-services.sh "${cargo_test[@]}" \
  -- --nocapture --test-threads 4 killed_at_random replicas_killed no_history the_shop_agrees_with_the_model \
  no_statement_of_a_request || failed=1
# Last, because its load would slow down the others.
STAGEDOOR_BIN=$(scripts/build.sh)
export STAGEDOOR_BIN
seed=${STAGEDOOR_TEST_SEED:-$RANDOM}
scripts/check-api.sh $((minutes * 30)) "$seed" || failed=1
exit "$failed"
