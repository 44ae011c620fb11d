// SPDX-License-Identifier: Apache-2.0

namespace thread_model {
using precision = double;
}

#include "group_laws.hpp"
