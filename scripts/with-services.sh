#!/usr/bin/env bash
# scripts/with-services.sh COMMAND... : runs the command with a private PostgreSQL, Redis and NATS with
# JetStream, whose addresses are in TEST_POSTGRES_URL, TEST_REDIS_URL and TEST_NATS_URL. NATS_SERVER is the
# program of NATS and POSTGRES_BIN the folder of PostgreSQL's, for tests that start and stop their own.
# The services use a temporary folder and free loopback ports, and stop when the command ends. Other
# services of this machine are not used. PostgreSQL is durable as in production (fsync on), as the server
# requires. Their folder and the command's temporary files are in memory if there is room.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=scripts/services.sh
. "$ROOT/scripts/services.sh"
[ $# -gt 0 ] || fail "usage: scripts/with-services.sh COMMAND..."

pg=$(postgres_bin) || fail "PostgreSQL is missing: run 'make setup'."
redis=$(redis_server) || fail "Redis is missing: run 'make setup'."
NATS_SERVER=$(nats_server) || fail "NATS is missing: run 'make setup'."
POSTGRES_BIN=$pg
export NATS_SERVER POSTGRES_BIN

temporary_files_in_memory
work=$(mktemp -d "${TMPDIR:-/tmp}/stagedoor-services.XXXXXX")
chmod 711 "$work"
mkdir "$work/pg" "$work/redis" "$work/nats"
started=()
command_pid=

# PostgreSQL refuses to run as root: it then runs as the user `postgres`, or as `nobody`.
as_pg() { (cd "$work/pg" && "$@"); }
if [ "$(id -u)" = 0 ]; then
  pg_user=postgres
  id "$pg_user" >/dev/null 2>&1 || pg_user=nobody
  chown "$pg_user" "$work/pg"
  if have runuser; then
    as_pg() { (cd "$work/pg" && runuser -u "$pg_user" -- "$@"); }
  else
    as_pg() { (cd "$work/pg" && su -s /bin/sh "$pg_user" -c "$(printf '%q ' "$@")"); }
  fi
fi

stop_services() {
  trap - EXIT
  # A second signal kills the command.
  trap 'kill -KILL "$command_pid" 2>/dev/null || true' INT TERM HUP
  if [ -n "$command_pid" ]; then
    kill "$command_pid" 2>/dev/null || true
    # It may need the services for a clean shutdown.
    wait "$command_pid" 2>/dev/null || true
  fi
  local pid
  for pid in ${started[@]+"${started[@]}"}; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  # pg_ctl reads the process id from this folder; no data is kept, so no checkpoint is needed.
  as_pg "$pg/pg_ctl" -D "$work/pg/data" -m immediate -s stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap stop_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# Below the kernel's range of ephemeral ports.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    port_answers "$port" || break
  done
  echo "$port"
}

# try_start NAME START_FUNCTION : tries up to five ports, in case one is taken in between.
try_start() {
  local attempt
  for attempt in 1 2 3 4 5; do
    port=$(free_port)
    if "$2"; then return; fi
    say "$1 did not start on port $port (attempt $attempt)"
  done
  tail -n 5 "$work"/pg/log "$work"/redis/log "$work"/nats/log >&2 2>/dev/null || true
  fail "$1 does not start: the end of its log is above."
}

start_postgres() {
  # 300 connections: a database and a small pool for each running test.
  as_pg "$pg/pg_ctl" -D "$work/pg/data" -l "$work/pg/log" -w -t 60 -s \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$work/pg -c max_connections=300" \
    start >/dev/null
}

# start COMMAND... : in the background; returns once its port answers.
start() {
  # In its own process group: Ctrl-C does not end it before the command.
  set -m
  "$@" >/dev/null 2>&1 </dev/null &
  set +m
  local pid=$! tries=100
  while [ $((tries -= 1)) -gt 0 ] && kill -0 "$pid" 2>/dev/null; do
    if port_answers "$port"; then
      started+=("$pid")
      return 0
    fi
    sleep 0.1
  done
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  return 1
}

start_redis() {
  start "$redis" --port "$port" --bind 127.0.0.1 --dir "$work/redis" --logfile "$work/redis/log" \
    --save '' --appendonly no --daemonize no
}

# It listens only once JetStream is ready.
start_nats() { start "$NATS_SERVER" -a 127.0.0.1 -p "$port" -js -sd "$work/nats" -l "$work/nats/log"; }

# The C locale sorts bytes, as SQLite does.
as_pg "$pg/initdb" -D "$work/pg/data" -U stagedoor -A trust -E UTF8 --locale=C --no-sync >"$work/initdb.log" 2>&1 || {
  cat "$work/initdb.log" >&2
  fail "PostgreSQL's initdb failed: its output is above."
}
try_start PostgreSQL start_postgres
export TEST_POSTGRES_URL=postgres://stagedoor@127.0.0.1:$port/postgres
try_start Redis start_redis
export TEST_REDIS_URL=redis://127.0.0.1:$port
try_start NATS start_nats
export TEST_NATS_URL=nats://127.0.0.1:$port

# In the background, so that a signal to this script is handled immediately.
"$@" &
command_pid=$!
code=0
wait "$command_pid" || code=$?
command_pid=
exit "$code"
