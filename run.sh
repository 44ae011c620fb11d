#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds cuBOME, solves the sweeps of examples/sweeps into results/, anew each time, and makes a page of each.

. "$(dirname "${BASH_SOURCE[0]}")/scripts/common.sh"

configure_release
say "building"
cmake --build "$release_dir" --target cubome_command
cubome="$release_dir/host/command/cubome"

pages=()
for spec in "$root"/examples/sweeps/*.json; do
    name="$(basename "$spec" .json)"
    out="$root/results/$name"
    say "$name"
    rm -rf "$out"
    "$cubome" sweep "$spec" --out "$out"
    "$cubome" report "$out"
    pages+=("$out/report.html")
done
say "look at"
printf '%s\n' "${pages[@]}"
