#!/usr/bin/env bash
# How long a program that depends on gssdk takes to build on this machine, and how large
# it is, stripped: dev/benches/build_time.sh. For a static one see ../platforms/musl.sh.
set -euo pipefail
project=$(realpath "$(dirname "$0")/../..")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/src/main.rs" <<'RUST'
use gssdk::*;

fn main() {
    let request = GSRequest::new("key", "c2VjcmV0", "accounts.getAccountInfo", json!({"UID": "x"}));
    println!("{}", request.use_https(true).send());
}
RUST
program() {
    cat >"$folder/Cargo.toml" <<TOML
[package]
name = "program"
version = "0.0.0"
edition = "2024"

[dependencies]
gssdk = { path = "$project"$1 }

[profile.release]
strip = true
TOML
}
build() {
    rm -rf "$folder/target"
    local started=$(date +%s.%N)
    (cd "$folder" && cargo build -q "$@")
    echo "$started $(date +%s.%N)" | awk '{ printf "%.0f s", $2 - $1 }'
}
cp "$project/Cargo.lock" "$folder/"
program ""
(cd "$folder" && cargo fetch -q)
echo "| a program that depends on gssdk | |"
echo "| --- | --- |"
echo "| \`cargo build\`, all crates | $(build) |"
echo "| \`cargo build --release\`, all crates | $(build --release) |"
echo "| its size, stripped | $(stat -c %s "$folder/target/release/program" | awk '{ printf "%.1f MB", $1 / 1e6 }') |"
