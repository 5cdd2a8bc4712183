# Sourced by the other scripts: Debian trixie's toolchain (Rust 1.85.1), unpacked into a
# folder and never installed, and commands that run inside it.
#
# Needs root, unshare and apt-get with Debian's archive keys; exits with 77 ("skipped")
# where these are missing. Changes nothing outside of $WORK, where downloads and builds
# are kept between runs.
#
#   PROJECT     the checkout, seen inside as /project, read-only
#   WORK        where everything goes
set -euo pipefail
PROJECT=${PROJECT:-$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")}
WORK=${WORK:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gssdk-platforms}
root=$WORK/root
keys=/usr/share/keyrings/debian-archive-keyring.gpg

skip() {
    echo "$(basename "$0"): skipped: $*" >&2
    exit 77
}
[ "$(id -u)" = 0 ] || skip "it needs root, for unshare and chroot"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && [ -e "$keys" ] ||
    skip "it needs apt-get and Debian's archive keys"
unshare -m true 2>/dev/null || skip "unshare is not installed, or not allowed"

mkdir -p "$WORK"/{apt/lists/partial,apt/cache/archives/partial,target,cargo} "$root"

# The arguments of apt-get, so that it works in $WORK. An empty status file makes every
# package a new one: the download holds all that a package depends on.
apt() {
    local architectures=$1
    shift
    apt-get -q -oDir::Etc::SourceList="$WORK/apt/sources.list" -oDir::Etc::SourceParts=/dev/null \
        -oDir::State::Lists="$WORK/apt/lists" -oDir::Cache="$WORK/apt/cache" \
        -oDir::State::status="$WORK/apt/status" -oAPT::Sandbox::User=root \
        -oAPT::Architecture=amd64 -oAPT::Architectures="$architectures" \
        -oAPT::Install-Recommends=false -oAPT::Keep-Downloaded-Packages=true "$@"
}

# update ARCHITECTURES: the lists of packages, from the mirror that this machine uses.
update() {
    local mirror
    mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list* 2>/dev/null | head -n 1) || true
    [ -n "$mirror" ] || { echo "skipped: apt has no Debian mirror here" >&2; exit 77; }
    : >"$WORK/apt/status"
    echo "deb [signed-by=$keys] ${mirror% } trixie main" >"$WORK/apt/sources.list"
    apt "$1" update >/dev/null
}

# unpack_files FILE.deb...
unpack_files() {
    local deb
    for deb in "$@"; do
        [ -e "$deb.unpacked" ] || {
            dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
            : >"$deb.unpacked"
        }
    done
}

# unpack PACKAGE...: each with what it depends on, once.
unpack() {
    local stamp="$WORK/apt/have-$*"
    stamp=${stamp// /,}
    [ ! -e "$stamp" ] || return 0
    update amd64
    apt amd64 -y --download-only install base-files libc-bin coreutils dash bash "$@" >/dev/null
    # The merged /usr first, or files land beside it.
    local name
    for name in bin sbin lib lib64; do
        mkdir -p "$root/usr/$name"
        [ -e "$root/$name" ] || ln -s "usr/$name" "$root/$name"
    done
    unpack_files "$WORK"/apt/cache/archives/*.deb
    # What maintainer scripts would have made.
    ln -sf gcc "$root/usr/bin/cc"
    mkdir -p "$root"/{proc,dev,tmp,project,build,root,etc/ssl/certs}
    chmod 1777 "$root/tmp"
    cp /etc/{hosts,resolv.conf,passwd,group} "$root/etc/"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    : >"$stamp"
}

# unpack_std ARCHITECTURE TARGET: Rust's standard library of another architecture, which
# depends on nothing that is needed here.
unpack_std() {
    [ ! -e "$root/usr/lib/rustlib/$2/lib" ] || return 0
    update "amd64,$1"
    (cd "$WORK/apt" && apt "amd64,$1" download "libstd-rust-dev:$1" >/dev/null)
    unpack_files "$WORK"/apt/libstd-rust-dev_*_"$1".deb
}

# inside COMMAND...: runs it in the folder, in /project.
inside() {
    unshare -m bash -c '
        set -e
        root=$1 project=$2 work=$3
        shift 3
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --bind "$project" "$root/project"
        mount -o remount,bind,ro "$root/project"
        mount --bind "$work" "$root/build"
        exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/bin:/usr/sbin LANG=C.UTF-8 \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            CARGO_HOME=/build/cargo CARGO_PROFILE_DEV_DEBUG=0 \
            bash -c "cd /project && exec \"\$@\"" - "$@"
    ' - "$root" "$PROJECT" "$WORK" "$@"
}
