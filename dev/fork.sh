#!/bin/sh
# Forks 20,000 children of a parent with six sending threads: none may hang, all get answers.
#
#   dev/fork.sh [children]
set -eu
cd "$(dirname "$0")/.."
GSSDK_TEST_FORKS="${1:-20000}" cargo test --release --test fork -- --nocapture
