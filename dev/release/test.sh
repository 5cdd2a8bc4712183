#!/usr/bin/env bash
# Tries what build.sh has made, in roots of their own: the .deb with apt and dpkg in a Debian
# that has nothing else of this machine, the archive in a folder as the Dockerfile makes it.
# Usage: test.sh VERSION [twice]. `twice` builds everything a second time from nothing, and
# compares the bytes.
here=$(dirname "$0")
version=${1:?usage: test.sh VERSION [twice]}
OUT=${OUT:-$(realpath "$here/../..")/target/release-$version}
cache=${WORK:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gssdk-platforms}
(cd "$OUT" && sha256sum --quiet -c SHA256SUMS)

# A second Debian beside the one with the toolchain.
WORK=$cache/clean
. "$here/../platforms/trixie.sh"
rm -rf "$root" "$WORK"/apt/have-* "$WORK"/apt/cache/archives/*.unpacked
mkdir -p "$root" "$WORK/release"
unpack apt dpkg diffutils findutils grep gzip sed tar man-db groff-base bash-completion qemu-user
rm -f "$root/etc/apt/apt.conf.d/70debconf"
cp "$OUT"/*.deb "$WORK/release/"
# What Debian's installer would have made of dpkg's and apt's state.
mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers} "$root"/var/{lib/apt/lists,cache/apt/archives,log/apt}/partial
: >"$root/var/lib/dpkg/status"

check() {
    local what=$1 wanted=$2
    shift 2
    local said
    said=$("$@" 2>&1) || true
    grep -qF -- "$wanted" <<<"$said" || {
        printf 'test.sh: %s: no "%s" in:\n%s\n' "$what" "$wanted" "$said" >&2
        exit 1
    }
    echo "ok: $what"
}

# Nothing is configured there, and nothing can be downloaded: a dependency would fail it.
inside apt-get -qy -oAPT::Sandbox::User=root -oDpkg::Use-Pty=0 install "/build/release/gigya_${version}_amd64.deb" >/dev/null
check "apt has installed it" "ii  gigya" inside dpkg -l gigya
check "the version" "gigya $version" inside gigya --version
check "a call" '"UID":"joe"' inside gigya call accounts.getAccountInfo UID=joe --demo
check "the manual page" "gigya" inside man -P cat gigya
check "the manual page of a command" "export" inside man -P cat gigya-export
check "the completion" "export" inside bash -c '
    . /usr/share/bash-completion/completions/gigya
    COMP_WORDS=(gigya exp) COMP_CWORD=1
    _gigya gigya exp gigya
    echo "${COMPREPLY[@]}"'
check "the licences" "Community Data License" inside cat /usr/share/doc/gigya/LICENSE-CDLA-Permissive-2.0
check "the notices" "rustls" inside cat /usr/share/doc/gigya/THIRD-PARTY-NOTICES
inside apt-get -qy -oDpkg::Use-Pty=0 remove gigya >/dev/null 2>&1
check "apt has removed it" "No such file" inside ls /usr/bin/gigya

# The container: what the Dockerfile copies, and nothing else.
for machine in x86_64 aarch64; do
    name=gigya-$version-$machine-linux
    [ -e "$OUT/$name.tar.gz" ] || continue
    folder=$WORK/release/container-$machine
    rm -rf "$folder" "$WORK/release/$name"
    mkdir -p "$folder/work" "$folder/proc" "$folder/etc"
    # Container runtimes mount one.
    printf '127.0.0.1 localhost\n' >"$folder/etc/hosts"
    tar -xz -C "$WORK/release" -f "$OUT/$name.tar.gz"
    grep '^COPY ' "$WORK/release/$name/Dockerfile" | while read -r _ files; do
        target=${files##* }
        for file in ${files% *}; do
            cp "$WORK/release/$name/$file" "$folder$target"
        done
    done
    run=(chroot --userspec=65534:65534 "$folder" /gigya)
    if [ "$machine" != "$(uname -m)" ]; then
        run=(inside "qemu-$machine" "/build/${folder#"$WORK"/}/gigya")
    fi
    check "$machine, with nothing but the file" '"UID":"joe"' "${run[@]}" call accounts.getAccountInfo UID=joe --demo
done

if [ "${2:-}" = twice ]; then
    rm -rf "$cache/target/release" "$cache/target/crate"
    machines=()
    for machine in x86_64 aarch64; do
        [ ! -e "$OUT/gigya-$version-$machine-linux.tar.gz" ] || machines+=("$machine")
    done
    OUT=$OUT-again WORK=$cache "$here/build.sh" "$version" "${machines[@]}" >/dev/null
    diff "$OUT/SHA256SUMS" "$OUT-again/SHA256SUMS"
    echo "ok: a second build has the same bytes"
fi
