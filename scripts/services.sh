# shellcheck shell=bash
# Where the tests' services are on this machine. Sourced after env.sh.

# Folder of PostgreSQL's server programs: on PATH, or where Debian hides them; the newest wins.
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

# Debian puts it where only root's PATH looks.
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

# check_chromium PROGRAM : 1 with one sentence if the browser tests cannot be relied on with it.
check_chromium() {
  local found tested
  found=$(chromium_major "$1")
  tested=$(cat "$ROOT/end2end/snapshots/browser.txt")
  if [ -z "$found" ]; then
    say "$1 does not say which version of Chromium it is: name another in PLAYWRIGHT_CHROMIUM."
    return 1
  fi
  if [ "$found" -lt "$CHROMIUM_MIN" ]; then
    say "$1 is Chromium $found, and the browser tests need $CHROMIUM_MIN or newer (they are tried on $tested): install a newer one, or name it in PLAYWRIGHT_CHROMIUM."
    return 1
  fi
  if [ "$found" -gt "$tested" ]; then
    say "$1 is Chromium $found, on which the browser tests have not been tried (they are on $CHROMIUM_MIN to $tested): what fails may be the browser's."
  fi
}
