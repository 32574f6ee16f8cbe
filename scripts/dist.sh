#!/usr/bin/env bash
# `make dist`: builds if needed, and packs the binary with its licences, documents and systemd units into
# target/dist/stagedoor-VERSION-PLATFORM.tar.gz, with its SHA-256 beside it. Prints the archive's path.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

binary=$(scripts/build.sh)
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
platform=$(rustc -vV | sed -n 's/^host: //p')
name=stagedoor-$version-$platform
dist=$ROOT/target/dist

rm -rf "${dist:?}/$name" "$dist/$name.tar.gz"
mkdir -p "$dist/$name"
cp "$binary" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT .env.example "$dist/$name"
cp -R deploy/systemd "$dist/$name/systemd"
tar -C "$dist" -czf "$dist/$name.tar.gz" "$name"
rm -rf "${dist:?}/$name"
printf '%s  %s\n' "$(checksum "$dist/$name.tar.gz")" "$name.tar.gz" >"$dist/$name.tar.gz.sha256"
echo "$dist/$name.tar.gz"
