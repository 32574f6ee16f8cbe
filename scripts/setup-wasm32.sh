#!/usr/bin/env bash
# Installs rustc's standard library for wasm32-unknown-unknown, for the browser's code.
#
# Normally with rustup. If rustup may not download (RUSTUP_AUTO_INSTALL=0: a closed network), the library
# is built in half a minute from the same version's source, Debian's package rust-src, and installed where
# rustup would have installed it.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

target=wasm32-unknown-unknown
sysroot=$(rustc --print sysroot)
libdir=$sysroot/lib/rustlib/$target/lib
version=$(rustc --version | cut -d' ' -f2)

std_is_there() { compgen -G "$libdir/libstd-*.rlib" >/dev/null; }
std_is_there && exit 0

if have rustup && [ "${RUSTUP_AUTO_INSTALL:-1}" != 0 ]; then
  say "adding rustup's $target target (under a minute)"
  rustup target add "$target" && std_is_there && exit 0
  say "rustup could not add it: trying Debian's source package"
fi

# From here on: the source of exactly this version of rustc, from Debian.
advice="rustc $version has no $target standard library: run 'rustup target add $target' with access to rustup's server, or on Debian install the package libstd-rust-dev-wasm32 of the same version."
have apt-get && have dpkg-deb && [ -r /usr/share/keyrings/debian-archive-keyring.gpg ] || fail "$advice"
[ -w "$sysroot/lib/rustlib" ] || fail "$sysroot belongs to someone else, and $advice"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# apt with its own source list and package lists, from the mirrors of the system's apt, whose files are
# not changed.
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
private_apt() {
  local command=$1
  shift
  "$command" -oDir::Etc::SourceList="$work/sources.list" -oDir::Etc::SourceParts=/dev/null \
    -oDir::State::Lists="$work/lists" -oDir::Cache="$work/cache" \
    -oAPT::Sandbox::User="$(id -un)" "$@"
}

# find_version: Debian's version of this rustc's source ("1.95.0+dfsg1-1~bpo13+1"); sources.list then has
# the suite that contains it.
find_version() {
  local uri suite found
  for suite in trixie-backports sid; do
    # shellcheck disable=SC2016
    for uri in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort -u); do
      printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$uri" "$suite" >"$work/sources.list"
      private_apt apt-get -qq update >"$work/log" 2>&1 || continue
      found=$(private_apt apt-cache madison rust-src | awk -v v="$version" '{ if (index($3, v "+") == 1 || index($3, v "-") == 1) { print $3; exit } }')
      if [ -n "$found" ]; then
        echo "$found"
        return
      fi
    done
  done
}

say "building the $target standard library from Debian's rust-src (about a minute)"
package=$(find_version)
[ -n "$package" ] || fail "Debian offers no rust-src $version here, so $advice"
(cd "$work" && private_apt apt-get -qq download "rust-src=$package" >"$work/log" 2>&1) ||
  fail "downloading rust-src $package failed ($(tail -n 1 "$work/log")), and $advice"

# It includes Cargo.lock, so std is built from the crates that it was released with.
src=$sysroot/lib/rustlib/src/rust/library
if [ ! -e "$src/std/Cargo.toml" ]; then
  dpkg-deb --fsys-tarfile "$work"/rust-src_*.deb | tar -x -C "$work" "./usr/src/rustc-$version/library"
  mkdir -p "$(dirname "$src")"
  rm -rf "$src"
  mv "$work/usr/src/rustc-$version/library" "$src"
fi

# An empty crate for which cargo builds std, outside of the workspace and its settings.
mkdir -p "$work/empty/src"
printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n[lib]\npath = "src/lib.rs"\n' >"$work/empty/Cargo.toml"
printf '#![no_std]\n' >"$work/empty/src/lib.rs"
(
  cd "$work/empty"
  export RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-$(basename "$sysroot")}
  env -u RUSTFLAGS RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$work/empty/target" \
    cargo build --release -Zbuild-std=std,panic_abort,proc_macro --target "$target" 2>&1
) | tee "$work/build.log" >&2 || fail "building std failed (see above), and $advice"

# Copied under another name first: a concurrent rustc sees all of it or nothing.
rm -rf "$libdir.new"
mkdir -p "$libdir.new"
for rlib in "$work/empty/target/$target"/release/deps/*.rlib; do
  case "$(basename "$rlib")" in libempty-*) continue ;; esac
  cp "$rlib" "$libdir.new/"
done
rm -rf "$libdir"
mv "$libdir.new" "$libdir"
# Code compiled against another build of std does not link with this one.
rm -rf "${CARGO_TARGET_DIR:?}/$target" "${CARGO_TARGET_DIR:?}/front"
std_is_there || fail "std was built but $libdir holds no libstd, and $advice"
