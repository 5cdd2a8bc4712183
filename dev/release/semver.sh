#!/usr/bin/env bash
# What in the public API of gssdk is not compatible with the version before: findings of
# cargo-semver-checks, each of which needs its row under "Breaking" in CHANGELOG.md. They are
# printed first, whatever the versions; then it fails if the version in Cargo.toml does not
# allow for them.
# Usage: semver.sh [COMMIT of the version before]
set -euo pipefail
cd "$(dirname "$0")/../.."
# The last commit of 0.3.
before=${1:-8cea6d2}
version=0.51.0
cargo install --list | grep -qx "cargo-semver-checks v$version:" ||
    cargo install --quiet --locked "cargo-semver-checks@$version"
check() { cargo semver-checks -p gssdk --baseline-rev "$before" --all-features "$@"; }
# A version that allows for everything is compared with nothing, unless it is called minor.
check --release-type minor || echo "Each of these needs its row in CHANGELOG.md."
check
