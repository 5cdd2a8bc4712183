#!/usr/bin/env bash
# The tests, the light feature set and the quickstart with the oldest Rust that Cargo.toml
# promises; `msrv.sh check` only compiles the crate.
. "$(dirname "$0")/trixie.sh"
unpack rustc cargo gcc libc6-dev openssl

promised=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$PROJECT/Cargo.toml")
have=$(inside rustc -V)
[[ $have == "rustc $promised."* ]] || {
    echo "trixie has $have, and Cargo.toml promises $promised" >&2
    exit 1
}

old() { inside env CARGO_TARGET_DIR=/build/target/msrv cargo "$@"; }
if [ "${1:-}" = check ]; then
    old check --locked -p gssdk --all-features
    old check --locked -p gssdk --no-default-features
    exit
fi
old test --locked --lib --bins --tests --examples "$@"
old test --locked -p gssdk --no-default-features --lib --tests --examples
old run -q --locked --example quickstart
