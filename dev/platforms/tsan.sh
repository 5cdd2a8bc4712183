#!/usr/bin/env bash
# ThreadSanitizer over the tests of the library, the standard library instrumented, too;
# then valgrind's memcheck over the unit tests, for what dependencies do with C and assembly.
. "$(dirname "$0")/trixie.sh"
unpack rustc cargo rust-src gcc libc6-dev openssl libclang-rt-19-dev lld valgrind
target=x86_64-unknown-linux-gnu
runtime=$(cd "$root" && ls usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.tsan-x86_64.a | head -n 1)

# Debian's Rust brings no sanitizer: clang's is linked in its place. ring's assembly is
# not instrumented, and holds no locks. A child of a fork may start threads, which
# ThreadSanitizer takes for a fatal error by default. What is skipped measures memory.
inside env RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=/build/target/tsan \
    RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Clink-arg=-Wl,--whole-archive,/$runtime,--no-whole-archive -Clink-arg=-lresolv -Clink-arg=-fuse-ld=lld" \
    TSAN_OPTIONS="halt_on_error=0 exitcode=66 die_after_fork=0" \
    cargo test -Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test --target $target --locked -p gssdk --lib --tests \
    --no-fail-fast "$@" -- \
    --skip no_answer_costs_more_than_it_may

# valgrind takes the tag that ring's vector code computes for AES-GCM for uninitialized.
known="$WORK/valgrind.supp"
printf '{\n compared\n Memcheck:Cond\n fun:*ring*verify_slices_are_equal*\n}\n' >"$known"
for what in 'socketcall.sendto(msg)' 'write(buf)' 'writev(vector['{0..15}'])'; do
    printf '{\n sent\n Memcheck:Param\n %s\n ...\n fun:*rustls*\n}\n' "$what" >>"$known"
done
inside env CARGO_TARGET_DIR=/build/target/valgrind \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind -q --error-exitcode=9 --leak-check=no --suppressions=/build/valgrind.supp" \
    cargo test --locked -p gssdk --lib
