#!/usr/bin/env bash
# Checks the files of deploy/ without a container engine or a cluster, and that these checks can fail:
# each is tried on files that are broken on purpose. docs/deploy.md says what is checked and what is not.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

node scripts/check-deploy.mjs || fail "deploy/ has errors: they are above."
node scripts/check-deploy/broken.mjs || fail "a check of deploy/ does not notice what it is for: see above."
