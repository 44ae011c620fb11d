#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a fuzz target from a corpus on, or from nothing where there is none. What it learns and what it finds is kept
# beside the program.
#
#     run.sh <program> <corpus> options…

set -euo pipefail

program="$1" corpora=()
if [[ -d "$2" ]]; then corpora=("$2"); fi
shift 2
learned="$(dirname "$program")/learned" findings="$(dirname "$program")/findings/"
mkdir -p "$learned" "$findings"

# AddressSanitizer expects addresses that kernels with more randomness do not keep to; without randomness they do.
steady_addresses=()
if setarch "$(uname -m)" -R true 2>/dev/null; then steady_addresses=(setarch "$(uname -m)" -R); fi

UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}" \
    exec "${steady_addresses[@]}" "$program" "$learned" "${corpora[@]}" -artifact_prefix="$findings" "$@"
