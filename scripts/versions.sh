# shellcheck shell=bash disable=SC2034
# All versions that are not in Cargo.lock or package-lock.json. Sourced by the other scripts.

# Oldest Rust that builds the workspace (the same as rust-version in Cargo.toml).
RUST_MIN=1.95.0
# Oldest Node.js that runs Tailwind and Playwright.
NODE_MIN=20

# Builds server and WASM together. 0.3.11's lock file needs a newer Rust than RUST_MIN.
CARGO_LEPTOS_VERSION=0.3.10
# Must equal the version of the wasm-bindgen crate in Cargo.lock exactly: setup-tools.sh checks it.
WASM_BINDGEN_VERSION=0.2.126

# Finds dependencies that no source names.
CARGO_MACHETE_VERSION=0.9.2

# Oldest PostgreSQL that the tests run on.
POSTGRES_MIN=15

# Oldest Chromium that the browser tests have passed with. The newest tested major version is in
# end2end/snapshots/browser.txt; newer ones are accepted with a warning.
CHROMIUM_MIN=148
