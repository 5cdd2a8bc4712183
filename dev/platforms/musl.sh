#!/usr/bin/env bash
# The tests with musl, and `gigya` as one static file that needs nothing of its machine.
# Prints the file's size; it is $WORK/target/musl/x86_64-unknown-linux-musl/release/gigya.
. "$(dirname "$0")/trixie.sh"
unpack rustc cargo rust-src gcc libc6-dev openssl binutils file musl-tools
target=x86_64-unknown-linux-musl

# The linker looks for musl and for gcc's unwinder in one folder; Debian has them in two.
self=$root/usr/lib/rustlib/$target/lib/self-contained
mkdir -p "$self"
cp "$root"/usr/lib/x86_64-linux-musl/{crt1.o,rcrt1.o,Scrt1.o,crti.o,crtn.o,libc.a} "$self/"
gcc_folder=$(dirname "$(ls "$root"/usr/lib/gcc/x86_64-linux-gnu/*/libgcc_eh.a | head -n 1)")
cp "$gcc_folder/libgcc_eh.a" "$self/libunwind.a"
cp "$gcc_folder"/{crtbegin,crtbeginS,crtend,crtendS}.o "$self/"
# It asks glibc, which musl is not; without an answer it looks for itself.
inside musl-gcc -x c -c -o /build/dl_find_object.o - \
    <<<'int _dl_find_object(void *address, void *found) { return -1; }'
inside ar -r "/${self#"$root"/}/libunwind.a" /build/dl_find_object.o

# `-lc` once more at the end: the standard library comes after the first one.
musl() {
    inside env RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=/build/target/musl \
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=musl-gcc CC_x86_64_unknown_linux_musl=musl-gcc \
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-Clink-arg=-lc" \
        cargo "$1" -Zbuild-std=std,panic_unwind,proc_macro,test --target $target --locked "${@:2}"
}
musl test --lib --tests --examples --no-fail-fast "$@"
musl build --release -p gigya-cli --bins
for program in "$WORK/target/musl/$target"/release/*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    inside strip "/build/${program#"$WORK"/}"
    inside file "/build/${program#"$WORK"/}"
    stat -c '%n: %s bytes' "$program"
done
