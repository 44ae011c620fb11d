// SPDX-License-Identifier: Apache-2.0
#include "cubome/problems/degenerate.hpp"

#include "cubome/core/runner.hpp"
#include "host/cpu/families.hpp"

CUBOME_DEFINE_CPU_FAMILY(degenerate)
