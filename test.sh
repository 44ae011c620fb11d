#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds everything and runs the tests; with --long also those that are too slow for every run.

. "$(dirname "${BASH_SOURCE[0]}")/scripts/common.sh"

which_tests=(-LE long)
is_long=
for argument in "$@"; do
    case "$argument" in
        --long) which_tests=() && is_long=yes ;;
        *) die "unknown argument '$argument'; usage: test.sh [--long]" ;;
    esac
done

# The long run holds the kernels of all architectures to their budgets.
if [[ -n "$is_long" ]]; then export CUDAARCHS="${CUDAARCHS:-80-real;90}"; fi
# Fuzz targets need clang; where it cannot be had they are skipped.
(install_missing clang:clang++ libclang-rt-dev:clang++) || say "no clang to be had: fuzz targets will be skipped"
configure_release
fetch_cuda_tools
say "building"
cmake --build "$release_dir"
say "testing"
ctest --test-dir "$release_dir" --output-on-failure -j2 "${which_tests[@]}"
