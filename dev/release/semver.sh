#!/usr/bin/env bash
# What in the public API of gssdk is not compatible with the version before: findings of
# cargo-semver-checks, each of which needs its row under "Breaking" in CHANGELOG.md. They are
# printed; it fails if the version in Cargo.toml does not allow for them.
# Usage: semver.sh [COMMIT of the version before]
set -euo pipefail
cd "$(dirname "$0")/../.."
# The last commit of 0.3.
before=${1:-8cea6d2}
version=0.51.0
cargo install --list | grep -qx "cargo-semver-checks v$version:" ||
    cargo install --quiet --locked "cargo-semver-checks@$version"
cargo semver-checks -p gssdk --baseline-rev "$before" --all-features
