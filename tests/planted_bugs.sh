#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Plants known bugs in a copy of the source tree and checks that the tests find each; --help for its options.

set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/planted_bugs/plant.py" "$@"
