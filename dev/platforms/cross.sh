#!/usr/bin/env bash
# 32 bits (i686), the other byte order (s390x, emulated) and ARM (aarch64, emulated).
# Usage: cross.sh [i686] [s390x] [aarch64], all without an argument.
. "$(dirname "$0")/trixie.sh"
[ $# -gt 0 ] || set -- i686 s390x aarch64

# Emulated, the tests that need no network: most of the others measure time.
pure=(-p gssdk -p gssdk-conformance --lib --test vectors --test sig_utils --test properties --test wycheproof)
failed=0
for machine in "$@"; do
    target=$machine-unknown-linux-gnu
    linker=$machine-linux-gnu-gcc
    case $machine in
    i686)
        unpack rustc cargo gcc libc6-dev openssl gcc-i686-linux-gnu libc6-dev-i386-cross
        unpack_std i386 "$target"
        ln -sf /usr/i686-linux-gnu/lib/ld-linux.so.2 "$root/lib/ld-linux.so.2"
        runner="env LD_LIBRARY_PATH=/usr/i686-linux-gnu/lib"
        tests=(--lib --bins --tests --examples)
        ;;
    s390x)
        unpack rustc cargo gcc libc6-dev openssl gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user
        unpack_std s390x "$target"
        runner="qemu-s390x -L /usr/s390x-linux-gnu"
        tests=("${pure[@]}")
        ;;
    aarch64)
        unpack rustc cargo gcc libc6-dev openssl gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
        unpack_std arm64 "$target"
        runner="qemu-aarch64 -L /usr/aarch64-linux-gnu"
        tests=("${pure[@]}" --test tls)
        ;;
    *)
        echo "usage: cross.sh [i686] [s390x] [aarch64]" >&2
        exit 2
        ;;
    esac
    echo "== $target"
    variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")
    inside env CARGO_TARGET_DIR=/build/target/cross CARGO_BUILD_TARGET="$target" \
        "${variable}_LINKER=$linker" "${variable}_RUNNER=$runner" \
        cargo test --locked --no-fail-fast "${tests[@]}" || failed=1
done
exit $failed
