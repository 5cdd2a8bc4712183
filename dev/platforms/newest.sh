#!/usr/bin/env bash
# The tests with the newest version of every dependency: those that Cargo.toml allows, and
# ureq's newest, whose connector traits are outside of its promise of stability. Works in a
# copy, target/newest.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$PWD/target/newest
rm -rf "$folder"
mkdir -p "$folder"
git ls-files | tar -c -T - | tar -x -C "$folder"
cd "$folder"
rm Cargo.lock
sed -i 's/^ureq = { version = "[^"]*"/ureq = { version = ">=3.5.2, <4"/' Cargo.toml dev/*/Cargo.toml
cargo tree --depth 1 -e normal -p gssdk
cargo test --no-fail-fast
