#!/usr/bin/env bash
# Whether gssdk compiles for WASI (wasm32-wasip1), with all of it and with the light feature
# set. Nothing runs.
. "$(dirname "$0")/trixie.sh"
unpack rustc cargo gcc libc6-dev libstd-rust-dev-wasm32 clang
wasm() {
    inside env CARGO_TARGET_DIR=/build/target/wasm CC_wasm32_wasip1=clang \
        cargo check --locked -p gssdk --target wasm32-wasip1 "$@"
}
wasm --no-default-features
wasm
