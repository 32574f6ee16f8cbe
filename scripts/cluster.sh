#!/usr/bin/env bash
# `make cluster`: a cluster of the shop on this machine: two web replicas and two workers of the finished
# binary behind a small load balancer, with a PostgreSQL, a Redis, a NATS, a Stripe double, and demo data.
# The services are private; they and their data are deleted at the end. Logs and mails stay in
# target/cluster until the next run. A replica that dies is restarted, as by an orchestrator. Ctrl-C stops
# everything in order.
#
# PORT=4000 make cluster: the shop on that port, the replicas on the next five.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

if [ "${1:-}" != --with-services ]; then
  scripts/setup.sh --test
  binary=$(scripts/build.sh)
  exec scripts/with-services.sh scripts/cluster.sh --with-services "$binary"
fi

binary=$2
port=${PORT:-3000}
case $port in
  '' | *[!0-9]*) fail "PORT=$port is not a port number." ;;
esac
folder=$ROOT/target/cluster
rm -rf "$folder"
mkdir -p "$folder"
supervisors=()

# supervise NAME COMMAND... : runs it, and restarts it whenever it ends, until this script is stopped.
supervise() {
  local name=$1
  shift
  (
    # In its own process group: Ctrl-C reaches only this script, which stops them in order.
    set -m
    stopping=
    pid=
    trap 'stopping=1; [ -z "$pid" ] || kill "$pid" 2>/dev/null' TERM
    while [ -z "$stopping" ]; do
      "$@" >>"$folder/$name.log" 2>&1 </dev/null &
      pid=$!
      echo "$pid" >"$folder/$name.pid"
      wait "$pid" || true
      if [ -n "$stopping" ]; then
        wait "$pid" || true
      else
        say "$name has ended and is restarted (log: $folder/$name.log)" 2>&3
        sleep 1
      fi
    done
  ) 3>&2 2>/dev/null &
  supervisors+=($!)
}

stop() {
  trap - EXIT
  local supervisor
  # In reverse order of start: the front, the workers, the web replicas, the double.
  for ((supervisor = ${#supervisors[@]} - 1; supervisor >= 0; supervisor--)); do
    kill "${supervisors[supervisor]}" 2>/dev/null || true
  done
  wait
}
trap stop EXIT
trap 'exit 143' TERM

# answers PORT PATH
answers() { node -e 'fetch(process.argv[1]).then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))' "http://127.0.0.1:$1$2"; }
# await NAME PORT PATH : waits until it answers there.
await() {
  local tries=60
  while ! answers "$2" "$3"; do
    if [ $((tries -= 1)) -eq 0 ]; then
      tail -n 5 "$folder/$1.log" >&2
      fail "$1 does not become ready: the end of its log is above, all of it in $folder/$1.log."
    fi
    sleep 0.5
  done
}

webs=($((port + 1)) $((port + 2)))
workers=($((port + 3)) $((port + 4)))
double=$((port + 5))

export DATABASE_URL=$TEST_POSTGRES_URL REDIS_URL=$TEST_REDIS_URL NATS_URL=$TEST_NATS_URL
export STAGEDOOR_PUBLIC_URL=http://127.0.0.1:$port STAGEDOOR_DATA_DIR=$folder/data STAGEDOOR_LOG=json
export STAGEDOOR_TRUSTED_PROXIES=127.0.0.1 STAGEDOOR_DRAIN_SECONDS=1
"$binary" migrate >/dev/null
log_ins=$("$binary" seed 2>"$folder/seed.log") || fail "no demo data: $(tail -n 1 "$folder/seed.log")"

export STRIPE_SECRET_KEY=sk_test_cluster STRIPE_WEBHOOK_SECRET=whsec_of_this_machine
export STRIPE_API_URL=http://127.0.0.1:$double
unset STRIPE_PUBLISHABLE_KEY SMTP_URL
supervise double "$binary" stripe-double --addr "127.0.0.1:$double" --data "$folder/bank" \
  --webhook-url "$STAGEDOOR_PUBLIC_URL/api/webhooks/stripe" --webhook-secret "$STRIPE_WEBHOOK_SECRET" \
  --browser-url "$STAGEDOOR_PUBLIC_URL/stripe-double"
for number in 0 1; do
  supervise "web-$((number + 1))" env STAGEDOOR_ADDR="127.0.0.1:${webs[number]}" "$binary" serve --role web
done
for number in 0 1; do
  supervise "worker-$((number + 1))" env STAGEDOOR_ADDR="127.0.0.1:${workers[number]}" "$binary" serve --role worker
done
supervise front node scripts/cluster/front.mjs "$port" "${webs[@]}"

await double "$double" /double/journal
await web-1 "${webs[0]}" /readyz
await web-2 "${webs[1]}" /readyz
await worker-1 "${workers[0]}" /readyz
await worker-2 "${workers[1]}" /readyz
await front "$port" /readyz

cat <<TEXT

  The shop            http://127.0.0.1:$port  (the header x-replica names the replica)
  web replicas        http://127.0.0.1:${webs[0]} and http://127.0.0.1:${webs[1]}
  workers             http://127.0.0.1:${workers[0]}/readyz and http://127.0.0.1:${workers[1]}/readyz
  the Stripe double   http://127.0.0.1:$double/double/journal
  PostgreSQL          $DATABASE_URL
  Redis               $REDIS_URL
  NATS                $NATS_URL
  logs, mails         $folder/*.log, $folder/data/mail
$(printf '%s\n' "$log_ins" | sed 's/^/  /')
  Audit:  DATABASE_URL=$DATABASE_URL STRIPE_API_URL=$STRIPE_API_URL \\
          STRIPE_SECRET_KEY=$STRIPE_SECRET_KEY STRIPE_WEBHOOK_SECRET=$STRIPE_WEBHOOK_SECRET $binary audit
  Kill:   kill -9 \$(cat $folder/web-1.pid)
  Stop:   Ctrl-C

TEXT
wait
