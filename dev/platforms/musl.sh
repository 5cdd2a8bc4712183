#!/usr/bin/env bash
# The tests with musl, and `gigya` as one static file that needs nothing of its machine.
# Usage: musl.sh [arguments of cargo test, instead of all tests]. Prints where the file is
# and its size.
. "$(dirname "$0")/trixie.sh"
unpack rustc cargo rust-src gcc libc6-dev openssl binutils file musl-tools libunwind-19-dev
target=x86_64-unknown-linux-musl

# The linker looks for musl, gcc's start files and an unwinder in one folder; Debian has them
# in three. LLVM's unwinder, since gcc's asks glibc.
self=$root/usr/lib/rustlib/$target/lib/self-contained
mkdir -p "$self"
cp "$root"/usr/lib/x86_64-linux-musl/{crt1.o,rcrt1.o,Scrt1.o,crti.o,crtn.o,libc.a} "$self/"
cp "$root"/usr/lib/gcc/x86_64-linux-gnu/*/{crtbegin,crtbeginS,crtend,crtendS}.o "$self/"
cp "$root"/usr/lib/llvm-19/lib/libunwind.a "$self/"
inside musl-gcc -c -o /build/musl.o dev/platforms/musl.c
inside ar -r "${self#"$root"}/libunwind.a" /build/musl.o

# `-lc` once more at the end: the standard library comes after the first one.
musl() {
    inside env RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=/build/target/musl \
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=musl-gcc CC_x86_64_unknown_linux_musl=musl-gcc \
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-Clink-arg=-lc" \
        cargo "$1" -Zbuild-std=std,panic_unwind,proc_macro,test --target $target --locked "${@:2}"
}
[ $# -gt 0 ] || set -- --lib --bins --tests --examples
musl test --no-fail-fast "$@"
musl build --release -p gigya-cli --bins
for program in "$WORK/target/musl/$target"/release/*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    inside strip "/build/${program#"$WORK"/}"
    inside file "/build/${program#"$WORK"/}"
    stat -c '%n: %s bytes' "$program"
done
