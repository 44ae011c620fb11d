// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "random_problems.hpp"

/// Which outputs of two solved batches differ.
namespace library_outputs {

using random_problems::library_batch;

/// The outputs that differ, by name. Of a NaN the bits mean nothing.
template <class Real>
std::string differences(const library_batch<Real>& a, const library_batch<Real>& b) {
    std::string names;
    const auto compare = [&](const char* name, const auto& x, const auto& y) {
        const auto are_equal = [](const auto& p, const auto& q) {
            return (p != p && q != q) || std::memcmp(&p, &q, sizeof p) == 0;
        };
        if (!std::equal(x.begin(), x.end(), y.begin(), y.end(), are_equal)) names += std::string(" ") + name;
    };
    using type = library_batch<Real>;
    const std::pair<const char*, std::vector<Real> type::*> numbers[] = {
        {"outer", &type::outer},
        {"inner", &type::inner},
        {"multiplier", &type::multiplier},
        {"first_stationarity", &type::first_stationarity},
        {"step_memory", &type::step_memory},
        {"inner_probe", &type::inner_probe},
        {"outer_probe", &type::outer_probe},
        {"outer_velocity", &type::outer_velocity},
        {"inner_velocity", &type::inner_velocity},
        {"descent_velocity", &type::descent_velocity},
        {"best_outer", &type::best_outer},
        {"best_inner", &type::best_inner},
        {"best_kkt", &type::best_kkt},
        {"outer_value", &type::outer_value},
        {"gap", &type::gap},
        {"stationarity", &type::stationarity},
        {"last_multiplier", &type::last_multiplier},
        {"refined_outer_value", &type::refined_outer_value},
        {"refined_gap", &type::refined_gap},
        {"trace_outer_value", &type::trace_outer_value},
        {"trace_gap", &type::trace_gap},
        {"trace_stationarity", &type::trace_stationarity},
        {"trace_multiplier", &type::trace_multiplier}};
    for (const auto& [name, member] : numbers) compare(name, a.*member, b.*member);
    compare("iteration", a.iteration, b.iteration), compare("best_iteration", a.best_iteration, b.best_iteration);
    compare("outcome", a.outcome, b.outcome), compare("quantity", a.quantity, b.quantity);
    compare("iterations", a.iterations, b.iterations);
    return names;
}

}  // namespace library_outputs
