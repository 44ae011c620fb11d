// SPDX-License-Identifier: Apache-2.0

namespace thread_model {
using precision = float;
}

#include "group_laws.hpp"
