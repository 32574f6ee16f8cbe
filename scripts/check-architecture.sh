#!/usr/bin/env bash
# Checks the rules of ARCHITECTURE.md that no compiler checks: which crates may depend on which, and which
# code may be in one place only. Takes about a second. Prints each broken rule with its places.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

broken=0
# rule SENTENCE FINDINGS : the rule holds where there are no findings.
rule() {
  [ -z "$2" ] && return
  broken=$((broken + 1))
  printf 'broken rule: %s\n' "$1"
  printf '%s\n' "$2" | head -n 8 | sed 's/^/    /'
}
# found PATTERN PATH... : matching lines that are not comments, as file:line:text.
found() {
  local pattern=$1
  shift
  grep -rnE --include='*.rs' "$pattern" "$@" 2>/dev/null | grep -vE '^[^:]+:[0-9]+: *//' || true
}
# crates PACKAGE OPTIONS... : all dependencies of the package. Assign its output first: in the middle of a rule,
# a cargo that fails would look like a package without dependencies.
crates() {
  local package=$1 tree
  shift
  tree=$(cargo tree --locked --quiet -e normal --prefix none -p "$package" "$@") ||
    fail "cargo tree -p $package failed: see the error above."
  printf '%s\n' "$tree" | awk '{ print $1 }' | sort -u | grep -vx "$package" || true
}

server=(server/src server/platform/src server/shop/src server/stripe/src)

# Dependencies.
app=$(crates app)
model=$(crates model --all-features)
frontend=$(crates frontend --target wasm32-unknown-unknown)
shop=$(crates stagedoor-shop)
double=$(crates stripe-double)
pdf=$(crates ticket-pdf)
ours='app|context|islands|model|server|stagedoor-.*|frontend|leptos.*|sqlx.*'
# among CRATES PATTERN : those that match.
among() { printf '%s\n' "$1" | grep -xE "$2" || true; }
server_only='sqlx.*|async-stripe.*|redis|argon2|apalis.*|lettre|async-nats|rustls|reqwest|server|stagedoor-.*|stripe-double'
rule "app depends on no database, payment provider, queue or mail (it uses ports)" \
  "$(among "$app" "$server_only")"
rule "model depends on no pages and no web server" \
  "$(among "$model" 'leptos.*|axum.*|tower.*|hyper.*')"
rule "the browser's code depends on no crate of the server" \
  "$(among "$frontend" "$server_only|tokio|hyper|axum.*|leptos_axum|tower.*|utoipa.*")"
rule "platform and shop depend on no pages and no web server" \
  "$(among "$shop" 'app|context|islands|leptos.*|axum.*|tower-http|tower-sessions|utoipa-axum')"
rule "only stagedoor-stripe depends on async-stripe" \
  "$(find app frontend server -name Cargo.toml -not -path 'server/stripe/*' -exec grep -HnE '^async-stripe' {} + || true)"
rule "only server/src/serve.rs starts the periodic tasks of server/src/jobs" \
  "$(found '\bjobs::' server/src | grep -vE '^server/src/(jobs/|serve\.rs:)' || true)"
rule "stripe-double depends on no crate of Stagedoor" \
  "$(among "$double" "$ours")"
rule "ticket-pdf depends on no crate of Stagedoor" \
  "$(among "$pdf" "$ours")"

# Code that may be in one place only.
rule "transactions begin in server/platform/src/db and nowhere else (Db::write)" \
  "$(found '\.begin(_with)?\(|"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT)\b[^:]' "${server[@]}" | grep -v '^server/platform/src/db/' || true)"
rule "only the crate context uses Leptos context" \
  "$(found '\b(use_context|expect_context|provide_context|take_context)\b' app/src app/islands app/model)"
rule "the environment is read in server/src/config.rs and cli.rs only" \
  "$(found '\benv::(var|vars|var_os)\b' app frontend/src "${server[@]}" server/stripe-double/src | grep -vE '^server/src/(config|cli)(\.rs|/)' || true)"
rule "inner_html takes a constant in capitals, never data" \
  "$(found 'inner_html' app | grep -vE 'inner_html=\{?[A-Z][A-Z0-9_:]*\b' || true)"
# Leptos does not escape the content of these elements (app/src/ui/raw.rs).
opens='(^|view! \{) *'
rule "a <textarea> is written by area() in app/src/ui/form.rs only, whose text text_area() escapes" \
  "$(
    found '<textarea|\btextarea\(' app | grep -v '^app/src/ui/form.rs:' || true
    [ "$(found "$opens<textarea\\b" app | wc -l)" -eq "$(found '\{text_area\(' app | wc -l)" ] ||
      found "$opens<textarea\\b" app
  )"
rule "<script>, <style> and <Script> contain a constant in capitals, or what json_script() returns" \
  "$(
    found "$opens<(script|style|Style|iframe|template|xmp)\\b" app | grep -vE 'inner_html=[A-Z]' || true
    found '<Script\b' app | grep -vE '>\{data\}</Script>' || true
    for file in $(found '<Script\b' app | cut -d: -f1 | sort -u); do
      found 'let data = ' "$file" | grep -vE 'let data = json_script\(' || true
    done
  )"
rule "<noscript> contains elements, in which Leptos escapes text, and no values of its own" \
  "$(grep -rl --include='*.rs' '<noscript>' app | while read -r file; do
    awk -v file="$file" '
      /<noscript>/ { inside = 1; match($0, / */); indent = RLENGTH; sub(/.*<noscript>/, ""); if (/^ *\{/) print file ":" NR ":" $0; next }
      /<\/noscript>/ { inside = 0 }
      inside { match($0, / */); if (RLENGTH <= indent + 4 && /^ *\{/) print file ":" NR ":" $0 }
    ' "$file"
  done)"
rule "Leptos.toml has the same values as Cargo.toml" \
  "$(grep -E '^[a-z-]+ *=' Leptos.toml | grep -vxFf <(sed -n '/^\[\[workspace.metadata.leptos\]\]/,$p' Cargo.toml) || true)"

# Each table is written by one feature.
writes() {
  found "(INSERT INTO|UPDATE|DELETE FROM) $1\b" "${server[@]}" |
    grep -vE "^server/(shop/src/$2|src/seed|src/moving|platform/src/db)/" || true
}
rule "orders and order_lines are written by orders/ only" \
  "$(writes 'orders' orders; writes 'order_lines' orders)"
rule "tickets are written by tickets/ only" "$(writes tickets tickets)"
rule "payments are written by payments/ only" "$(writes payments payments)"
rule "refunds and refund_lines are written by refunds/ only" \
  "$(writes refunds refunds; writes refund_lines refunds)"

# Conventions.
sources=$(find app frontend server -name '*.rs' -not -path '*/target/*')
rule "no module is called utils, helpers, manager, common or misc" \
  "$(printf '%s\n' "$sources" | grep -E '/(utils?|helpers?|managers?|common|misc)(\.rs|/)' || true)"
rule "every module opens with //!: what it owns, its invariant, what it does not do" \
  "$(printf '%s\n' "$sources" | while read -r file; do head -n 1 "$file" | grep -q '^//!' || echo "$file"; done)"
rule "no file is longer than 600 lines" \
  "$({ printf '%s\n' "$sources"; find end2end -name '*.ts' -not -path '*/node_modules/*'; } | xargs wc -l | awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines" }')"
rule "no test is skipped or focused, no todo! or dbg! is left" \
  "$(
    found '#\[ignore|\b(todo|unimplemented|dbg)!\(' app frontend server
    grep -rnE --include='*.ts' '\b(test|describe)\.(skip|only|fixme)\(' end2end || true
  )"

[ "$broken" -eq 0 ] || fail "$broken architecture rules are broken."
