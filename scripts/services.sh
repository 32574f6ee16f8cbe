# shellcheck shell=bash
# Finds the programs of the tests' services. Sourced after env.sh.

# Folder of PostgreSQL's server programs: on PATH, or in Debian's own folders; the newest version.
postgres_bin() {
  local dir found=
  if have initdb && have postgres; then
    dirname "$(command -v initdb)"
    return
  fi
  for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin; do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
      found=$(printf '%s\n%s\n' "$found" "$dir" | sort -V | tail -n 1)
    fi
  done
  [ -n "$found" ] && echo "$found"
}

postgres_is_new_enough() {
  local version
  version=$("$1/postgres" --version | grep -o '[0-9][0-9.]*' | head -n 1)
  version_at_least "$version" "$POSTGRES_MIN"
}

redis_server() { command -v redis-server || command -v valkey-server; }

# Debian installs it in a folder that is only on root's PATH.
nats_server() {
  command -v nats-server || { [ -x /usr/sbin/nats-server ] && echo /usr/sbin/nats-server; }
}

chromium_path() {
  if [ -n "${PLAYWRIGHT_CHROMIUM:-}" ]; then
    echo "$PLAYWRIGHT_CHROMIUM"
  else
    command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable
  fi
}

# The major version of this browser: "Chromium 156.0.8078.108 built on Debian" is 156.
chromium_major() { "$1" --version 2>/dev/null | grep -o '[0-9][0-9]*\.[0-9.]*' | head -n 1 | cut -d. -f1; }

# check_chromium PROGRAM : prints a sentence and returns 1 if the browser tests are not reliable with it.
check_chromium() {
  local found tested
  found=$(chromium_major "$1")
  tested=$(cat "$ROOT/end2end/snapshots/browser.txt")
  if [ -z "$found" ]; then
    say "$1 does not print a version of Chromium: set PLAYWRIGHT_CHROMIUM to another."
    return 1
  fi
  if [ "$found" -lt "$CHROMIUM_MIN" ]; then
    say "$1 is Chromium $found, and the browser tests need $CHROMIUM_MIN or newer (they are tested with $tested): install a newer one, or set PLAYWRIGHT_CHROMIUM to one."
    return 1
  fi
  if [ "$found" -gt "$tested" ]; then
    say "$1 is Chromium $found, with which the browser tests have not been run (only with $CHROMIUM_MIN to $tested): failures may be due to the browser."
  fi
}
