#!/usr/bin/env bash
# Mutants: changes of single expressions, each of which some test should see. Needs
# `cargo install --locked cargo-mutants`.
#
#   dev/mutants.sh [FILE …]   of these files, or else of all below
#   SAMPLE=10 dev/mutants.sh  so many mutants of each file, evenly spread; 40 if it is not set
#   IN_PLACE=1 dev/mutants.sh in this work tree, which is restored, with what is compiled
#
# Prints a line per file: tested, caught, missed, and what was missed. A mutant that does not
# compile is not counted; one that makes tests run beyond the time limit is caught.
set -euo pipefail
cd "$(dirname "$0")/.."

sample=${SAMPLE:-40}
out=target/mutants
mkdir -p "$out"

# The tests that can see a file, as arguments of `cargo test`.
tests_of() {
    case $1 in
        src/send/*) echo --lib --test attempts --test outcomes --test answers --test model ;;
        src/call/* | src/encoding/*) echo --lib --test vectors --test send --test sessions --test beyond --test contract --test properties ;;
        src/sig_utils.rs) echo --lib --test sig_utils --test vectors --test properties ;;
        src/jwt_utils.rs | src/keys/*) echo --lib --test webhooks --test sessions --test beyond --test wycheproof --test believed ;;
        *) echo --lib --test model ;;
    esac
}

# Files below src/ that hold code.
files() {
    find src/send src/call src/encoding -name '*.rs' | sort
    printf '%s\n' src/sig_utils.rs src/jwt_utils.rs src/keys/token.rs
}

[ $# -gt 0 ] || mapfile -t list < <(files)
for file in "${@:-${list[@]}}"; do
    count=$(cargo mutants --list --file "$file" | wc -l)
    [ "$count" -gt 0 ] || continue
    shards=$(((count + sample - 1) / sample))
    # shellcheck disable=SC2046 # several arguments
    cargo mutants --file "$file" --shard "0/$shards" --sharding round-robin \
        --test-package gssdk,gssdk-conformance --baseline skip --timeout 180 --build-timeout 600 \
        ${IN_PLACE:+--in-place} --no-shuffle --colors never --output "$out" \
        -- $(tests_of "$file") >"$out/log" 2>&1 || true
    lines() { wc -l <"$out/mutants.out/$1.txt"; }
    caught=$(($(lines caught) + $(lines timeout)))
    missed=$(lines missed)
    echo "$file: $((caught + missed)) tested, $caught caught, $missed missed"
    sed 's/^/    /' "$out/mutants.out/missed.txt"
done
