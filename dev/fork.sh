#!/bin/sh
# Forks 20,000 children of parents with six sending threads: none may hang, all get answers.
# A new parent for each thousand: the stand-in remembers what it executed, and a process that
# grows forks ever more slowly.
#
#   dev/fork.sh [thousands]
set -eu
cd "$(dirname "$0")/.."
thousands="${1:-20}"
for thousand in $(seq "$thousands"); do
    GSSDK_TEST_FORKS=1000 cargo test -q --release --test fork
    echo "$thousand thousand of $thousands: none hung, each child got its answers"
done
