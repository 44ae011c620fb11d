// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "host/command/aggregate.hpp"
#include "host/command/sweep_results.hpp"

namespace cubome::command {

/// One HTML file about a sweep, that needs nothing but itself: no network, no other file, and for most of it no script.
///
/// Shows what became of the problems, the settings by the mean of fields[0], traces, that metric over any two
/// parameters and along each, the best problems beside others, those that failed, and the spec. The results are read
/// twice; the same results give the same bytes. At most 5 MB, whatever the number of problems, parameters and labels.
std::string report_page(const sweep_results& results, const aggregate_limits& limits = {});

}  // namespace cubome::command
