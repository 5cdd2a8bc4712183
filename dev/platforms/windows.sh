#!/usr/bin/env bash
# The tests as 64-bit Windows programs, under Wine, with a standard library built from
# source. Usage: windows.sh [check] [arguments of cargo test, instead of all tests]; with
# `check`, it compiles and runs nothing.
. "$(dirname "$0")/trixie.sh"
target=x86_64-pc-windows-gnu
unpack rustc cargo rust-src gcc libc6-dev gcc-mingw-w64-x86-64-win32
for tool in gcc g++ ar; do
    real=$(ls "$root"/usr/bin/x86_64-w64-mingw32-$tool{-win32,} 2>/dev/null | head -n 1) || true
    [ -z "$real" ] || [ -e "$root/usr/bin/x86_64-w64-mingw32-$tool" ] ||
        ln -s "$(basename "$real")" "$root/usr/bin/x86_64-w64-mingw32-$tool"
done

wine=(WINEPREFIX=/build/wine WINEDEBUG=-all XDG_RUNTIME_DIR=/tmp)
windows() {
    inside env RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=/build/target/windows \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=/usr/lib/wine/wine64 \
        "${wine[@]}" \
        cargo "$1" -Zbuild-std=std,panic_unwind,proc_macro,test --target $target --locked "${@:2}"
}
if [ "${1:-}" = check ]; then
    windows check --lib --tests --examples
    exit
fi
[ $# -gt 0 ] || set -- --lib --tests

unpack rustc cargo rust-src gcc libc6-dev gcc-mingw-w64-x86-64-win32 wine64
# What Wine's own package does when it is installed: the zlib of mingw becomes a DLL of its.
dpkg-deb --control "$WORK"/apt/cache/archives/libwine_*.deb "$WORK/apt/libwine"
inside sh /build/apt/libwine/postinst configure
inside env "${wine[@]}" /usr/lib/wine/wine64 wineboot -i

# Two start files that a standard library from a package would bring.
inside env RUSTC_BOOTSTRAP=1 sh -c '
    lib=/usr/lib/rustlib/'$target'/lib; mkdir -p $lib
    for o in rsbegin rsend; do
        rustc --target '$target' --emit=obj -o $lib/$o.o /usr/lib/rustlib/src/rust/library/rtstartup/$o.rs
    done'
# Tests of programs look for them where a plain build puts them.
windows build --examples
log=$WORK/windows.log
windows test --no-fail-fast "$@" 2>&1 | tee "$log" || true
windows run -q --example quickstart
# Wine may lose the exit status of a program that has threads left: the words count.
passed=$(grep -c '^test result: ok' "$log") || true
if grep -qE '^test result: FAILED|^error' "$log" || [ "$passed" = 0 ]; then
    echo "failed under Wine: $(grep -E '^test .* FAILED$' "$log" | tr '\n' ';')" >&2
    exit 1
fi
