#!/usr/bin/env bash
# gssdk on WASI (wasm32-wasip1): the light feature set compiles, and a program that signs,
# checks a signature and prepares a request runs in Node, where that is installed.
. "$(dirname "$0")/trixie.sh"
unpack rustc cargo gcc libc6-dev libstd-rust-dev-wasm32 clang lld wasi-libc libclang-rt-19-dev-wasm32
wasm() {
    inside env CARGO_TARGET_DIR=/build/target/wasm CC_wasm32_wasip1=clang \
        CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld cargo "$@" --target wasm32-wasip1
}
wasm check --locked -p gssdk --no-default-features

program=$WORK/wasm-program
mkdir -p "$program/src"
cp "$PROJECT/Cargo.lock" "$program/"
cat >"$program/Cargo.toml" <<'TOML'
[workspace]

[package]
name = "program"
version = "0.0.0"
edition = "2024"

[dependencies]
gssdk = { path = "/project" }
TOML
cat >"$program/src/main.rs" <<'RUST'
use gssdk::*;

fn main() -> Result<(), GSException> {
    let secret = "c2VjcmV0";
    let seconds = (SigUtils::current_time_millis() / 1000).to_string();
    let signature = SigUtils::calc_signature(&format!("{seconds}_uid"), secret)?;
    let is_valid = |uid| SigUtils::validate_user_signature(uid, &seconds, secret, &signature);
    assert!(is_valid("uid") && !is_valid("another"));

    let request = GSRequest::new("3_key", secret, "accounts.search", json!({"query": "SELECT"}));
    let prepared = request.prepare()?;
    assert!(prepared.body().contains(&format!("&timestamp={seconds}")));
    println!("{} {}", prepared.url(), prepared.body());
    // There are no sockets.
    assert_eq!(request.send().outcome(), Outcome::NotSent);
    Ok(())
}
RUST
wasm build --manifest-path /build/wasm-program/Cargo.toml
command -v node >/dev/null || skip "it compiles; Node, which would run it, is not installed"
node --no-warnings --input-type=module - "$WORK/target/wasm/wasm32-wasip1/debug/program.wasm" <<'JS'
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';
const wasi = new WASI({ version: 'preview1' });
const module = await WebAssembly.compile(await readFile(process.argv[2]));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
JS
