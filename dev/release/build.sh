#!/usr/bin/env bash
# A release, from what is committed: the .crate of the SDK, and for each machine `gigya` as
# one static file, packed as .tar.gz and .deb, with an SBOM and checksums.
# Usage: build.sh VERSION [x86_64] [aarch64], both without a machine. Prints the folder.
#
# Needs what the scripts of dev/platforms/ need, and no Rust of its own. Everything is built
# at fixed paths of a folder with Debian trixie's toolchain, with the commit's time and
# Cargo.lock: two builds of a commit give the same bytes, as `test.sh VERSION twice` checks.
#
#   PROFILE     `dev` to try the scripts: quicker to build, not for release
#   OUT         where the release goes, target/release-VERSION by default
checkout=$(realpath "$(dirname "$0")/../..")
version=${1:?usage: build.sh VERSION [x86_64] [aarch64]}
shift
[ $# -gt 0 ] || set -- x86_64 aarch64
PROFILE=${PROFILE:-release}
OUT=${OUT:-$checkout/target/release-$version}

WORK=${WORK:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gssdk-platforms}
PROJECT=$WORK/release/source
rm -rf "$PROJECT"
mkdir -p "$PROJECT" "$OUT"
git -C "$checkout" archive HEAD | tar -x -C "$PROJECT"
for manifest in Cargo.toml cli/Cargo.toml; do
    grep -qx "version = \"$version\"" "$PROJECT/$manifest" || {
        echo "build.sh: $manifest is not of version $version" >&2
        exit 1
    }
done
SOURCE_DATE_EPOCH=$(git -C "$checkout" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

. "$checkout/dev/platforms/trixie.sh"
OUT=$(realpath "$OUT")
unpack rustc cargo rust-src gcc libc6-dev binutils file
stage=$WORK/release/stage

# rust COMMAND...: inside, with what all builds share.
rust() {
    inside env SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_DIR=/build/target/release CARGO_PROFILE_RELEASE_STRIP=symbols \
        CARGO_PROFILE_DEV_STRIP=symbols CARGO_INCREMENTAL=0 "$@"
}

# Archives with the commit's time, and no names of this machine.
pack() {
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX -c -C "$1" "$2" | gzip -n -9
}

# The program that writes notices and SBOM, and the newest cargo-deb that this toolchain compiles.
rust cargo build -q --locked -p gssdk-release
report() { rust /build/target/release/debug/gssdk-release "$@"; }
cargo_deb=3.6.0
inside cargo install --root /build/tools --list | grep -qx "cargo-deb v$cargo_deb:" ||
    inside env CARGO_TARGET_DIR=/build/target/tools cargo install -q --locked --root /build/tools "cargo-deb@$cargo_deb"

# musl NAME: what links a static program for this machine, from Debian's packages.
musl() {
    local machine=$1 target=$1-unknown-linux-musl self
    self=$root/usr/lib/rustlib/$target/lib/self-contained
    mkdir -p "$self"
    case $machine in
    x86_64)
        unpack musl-tools libunwind-19-dev
        cc=musl-gcc
        cp "$root"/usr/lib/gcc/x86_64-linux-gnu/*/{crtbegin,crtbeginS,crtend,crtendS}.o "$self/"
        cp "$root/usr/lib/llvm-19/lib/libunwind.a" "$self/"
        ;;
    aarch64)
        unpack gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
        foreign arm64 musl-dev musl-tools libunwind-19-dev
        cc=aarch64-musl-gcc
        cp "$root"/usr/lib/gcc-cross/aarch64-linux-gnu/*/{crtbegin,crtbeginS,crtend,crtendS}.o "$self/"
        cp "$WORK/foreign/arm64/usr/lib/llvm-19/lib/libunwind.a" "$self/"
        cp -r "$WORK"/foreign/arm64/usr/lib/aarch64-linux-musl "$root/usr/lib/"
        cp -r "$WORK"/foreign/arm64/usr/include/aarch64-linux-musl "$root/usr/include/"
        printf '#!/bin/sh\nexec aarch64-linux-gnu-gcc "$@" -specs /usr/lib/aarch64-linux-musl/musl-gcc.specs\n' \
            >"$root/usr/bin/$cc"
        chmod +x "$root/usr/bin/$cc"
        ;;
    *)
        echo "build.sh: $machine is not x86_64 or aarch64" >&2
        exit 2
        ;;
    esac
    cp "$root"/usr/lib/"$machine"-linux-musl/{crt1.o,rcrt1.o,Scrt1.o,crti.o,crtn.o,libc.a} "$self/"
    # Debian's unwinder asks glibc for two functions.
    inside "$cc" -c -o "/build/$machine-musl.o" dev/platforms/musl.c
    local ar=ar
    [ "$machine" = x86_64 ] || ar=$machine-linux-gnu-ar
    inside $ar -rD "${self#"$root"}/libunwind.a" "/build/$machine-musl.o"
}

# foreign ARCHITECTURE PACKAGE...: unpacks beside the toolchain, whose files have the same names.
foreign() {
    local architecture=$1 package
    shift
    local folder=$WORK/foreign/$architecture
    [ ! -e "$folder.done" ] || return 0
    mkdir -p "$folder"
    update "amd64,$architecture"
    for package in "$@"; do
        (cd "$WORK/apt" && apt "amd64,$architecture" download "$package:$architecture" >/dev/null)
        dpkg-deb --fsys-tarfile "$WORK"/apt/"$package"_*_"$architecture".deb | tar -x -C "$folder"
    done
    : >"$folder.done"
}

# The licences of what is linked in but is no crate.
system_notices() {
    local package
    for package in libstd-rust-dev musl-dev libunwind-19-dev; do
        printf '\n%s\n== linked in from Debian: %s\n\n' "$(printf '=%.0s' {1..80})" "$package"
        cat "$root/usr/share/doc/$package/copyright"
    done
}

build_gigya() {
    local machine=$1 target=$1-unknown-linux-musl name=gigya-$version-$1-linux folder debian
    musl "$machine"
    local variable
    variable=$(tr 'a-z-' 'A-Z_' <<<"$target")
    # `-lc` once more at the end: the standard library comes after the first one.
    rust env "CARGO_TARGET_${variable}_LINKER=$cc" "CC_${target//-/_}=$cc" \
        "CARGO_TARGET_${variable}_RUSTFLAGS=-Clink-arg=-lc -Clink-arg=-lgcc" \
        cargo build -q --locked -Zbuild-std=std,panic_unwind --target "$target" \
        --profile "$PROFILE" -p gigya-cli --bin gigya
    local built=$WORK/target/release/$target/${PROFILE/#dev/debug}/gigya
    inside file "/build/${built#"$WORK"/}" | grep -qE 'static-pie linked|statically linked' || {
        echo "build.sh: $built is not static" >&2
        exit 1
    }
    folder=$stage/$name
    rm -rf "$folder"
    mkdir -p "$folder"/{man,completions}
    install -m 755 "$built" "$folder/gigya"
    cp "$PROJECT/LICENSE" "$folder/LICENSE"
    ! [ -e "$PROJECT/LICENSE-CDLA-Permissive-2.0" ] || cp "$PROJECT/LICENSE-CDLA-Permissive-2.0" "$folder/"
    { report notices "$target" && system_notices; } >"$folder/THIRD-PARTY-NOTICES"
    report sbom "$target" >"$OUT/$name.cdx.json"
    # Written by the program for the machine at hand: they are the same for all.
    local run="/build/${folder#"$WORK"/}/gigya"
    [ "$machine" = "$(uname -m)" ] || run="qemu-$machine $run"
    local inside_folder=/build/${folder#"$WORK"/}
    # shellcheck disable=SC2086
    {
        inside $run man "$inside_folder/man"
        for shell in bash zsh fish; do
            inside $run completions $shell >"$folder/completions/gigya.$shell"
        done
    }
    # `gigya help export` shows what `man gigya-export` does.
    rm -f "$folder"/man/*-help.1 "$folder"/man/*-help-*.1
    cp "$PROJECT/dev/release/Dockerfile" "$folder/"
    pack "$stage" "$name" >"$OUT/$name.tar.gz"

    case $machine in
    x86_64) debian=amd64 ;;
    aarch64) debian=arm64 ;;
    esac
    mkdir -p "$folder/src"
    : >"$folder/src/lib.rs"
    sed "s/@VERSION@/$version/" "$PROJECT/dev/release/deb.toml" >"$folder/Cargo.toml"
    gzip -n -9 "$folder"/man/*.1
    rust bash -c "cd $inside_folder && /build/tools/bin/cargo-deb --no-build --no-strip -q \
        --target ${target/musl/gnu} -o ../gigya_${version}_$debian.deb" >/dev/null
    mv "$stage/gigya_${version}_$debian.deb" "$OUT/"
}

build_crate() {
    rust cargo publish -q --dry-run --locked -p gssdk --target-dir /build/target/crate
    local crate=$WORK/target/crate/package/gssdk-$version.crate
    # As a user gets it: unpacked, in no workspace.
    rm -rf "$WORK/release/unpacked"
    mkdir -p "$WORK/release/unpacked"
    tar -xz -C "$WORK/release/unpacked" -f "$crate"
    rust bash -c "cd /build/release/unpacked/gssdk-$version && cargo check -q --all-features"
    cp "$crate" "$OUT/"
}

build_crate
for machine in "$@"; do
    build_gigya "$machine"
done
(cd "$OUT" && rm -f SHA256SUMS && sha256sum -- *.* >SHA256SUMS)
echo "$OUT"
