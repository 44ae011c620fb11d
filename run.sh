#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds cuBOME and runs the job of examples/fashion; the rows go to results.csv. Options are passed on, see --help.

. "$(dirname "${BASH_SOURCE[0]}")/scripts/common.sh"

configure_release
say "building"
cmake --build "$release_dir" --target fashion
say "running"
exec "$release_dir/examples/fashion/fashion" --output results.csv "$@"
