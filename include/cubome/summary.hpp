// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cubome/core/types.hpp"
#include "cubome/report.hpp"
#include "cubome/settings.hpp"

namespace cubome {

/// Where n numbers x₀ ≤ … ≤ x_{n−1} lie: the quantile p is the number at place p (n − 1), on the straight line from one
/// whole place to the next (type 7 of Hyndman and Fan, NumPy's default). NaN where there is no number.
struct quantiles {
    std::int64_t num_values = 0;  ///< n
    double least = std::numeric_limits<double>::quiet_NaN();
    double lower_quartile = std::numeric_limits<double>::quiet_NaN();
    double median = std::numeric_limits<double>::quiet_NaN();
    double upper_quartile = std::numeric_limits<double>::quiet_NaN();
    double most = std::numeric_limits<double>::quiet_NaN();
};

/// What the reports of a batch come to.
struct report_summary {
    static constexpr std::size_t num_outcomes = static_cast<std::size_t>(outcome::no_curvature) + 1;
    static constexpr std::size_t num_quantities = static_cast<std::size_t>(quantity::update) + 1;

    std::int64_t num_problems = 0;
    std::array<std::int64_t, num_outcomes> outcomes{};      ///< problems by outcome, indexed by the enumeration
    std::array<std::int64_t, num_quantities> quantities{};  ///< those that are non_finite, by quantity; else all 0
    quantiles iterations;                                   ///< of the problems that were begun
    quantiles stationarity;                                 ///< of the problems that have a finite one
    quantiles gap;                                          ///< likewise
    std::vector<std::string> hints;  ///< UTF-8: one cause and its cure each, that of the most problems first
};

/// Counts how the problems of a batch ended, and says what can be done about those that did not end well.
///
/// A hint names problems, cause and cure, as far as the report supports them: "412 of 4,000 non_finite in θ⁽ᵗ⁾ near
/// iteration 3: descent_step_size 0.3 is above 2/L̂_g ≈ 0.02; use step_rule::automatic". The more arrays are given, the
/// more it can say. Numbers called a median, and those after ≈ and "near", are medians over the hint's problems. No
/// problem is in two hints: one that misses several tolerances is in that of the first, the refined gap's being last.
///
/// @param report   of a solve, in host memory; `outcome` is required. Also read, where given: quantity, iterations,
///                 stationarity, gap, outer_value, refined_gap, refined_outer_value, inner_curvature
/// @param settings those of that solve, on which the hints rest; arrays in host memory
/// @throws invalid_argument if report.outcome is not given (nor can it be for a batch of 0 problems without memory), if
///         an array that is read does not have one number per problem, or if one holds no value of its enumeration
/// Cost: O(n log n) for n problems, and memory for a few numbers of each.
template <class Real>
report_summary summary(const report<Real>& report, const settings<Real>& settings = {});

/// The summary for a person at a terminal: counts by outcome, a table of quantiles, then the hints, one per line.
/// UTF-8, lines end in LF, the last one in nothing.
std::string to_string(const report_summary& summary);

}  // namespace cubome
