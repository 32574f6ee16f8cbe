#!/usr/bin/env bash
# Checks the files of deploy/ without a container engine or a cluster, and that these checks can fail: each
# is run on files that are broken on purpose. docs/deploy.md says what is checked and what is not.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

node scripts/check-deploy.mjs || fail "deploy/ has errors: see above."
node scripts/check-deploy/broken.mjs || fail "a check of deploy/ accepts a broken file: see above."
