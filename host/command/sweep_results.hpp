// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cubome/core/types.hpp"

namespace cubome::command {

/// Something that differs between the problems of a sweep.
struct parameter {
    enum class kind {
        grid,       ///< one of a few values, the same for many problems
        drawn,      ///< a number of each problem's own
        replicate,  ///< which repetition: of no meaning but to tell equal ones apart
    };
    std::string name;  ///< as in the spec: "settings.eta", "problem.flip_rate", "replicates.draw"
    kind is = kind::grid;
    std::vector<std::string> labels;  ///< of a grid or of replicates, in the order of the spec; empty where drawn
    std::vector<double> numbers;      ///< the same as numbers, NaN where a label is none
};

/// A number that is kept of each problem.
struct field {
    std::string name;  ///< "held_out", "refined_outer_value", "accuracy", …
    bool is_best_greatest = false;
};

/// What became of one problem. Views are good during the call that shows the row.
struct problem_row {
    std::int64_t index = 0;
    std::span<const std::int32_t> places;  ///< of each parameter: which label; −1 where drawn
    std::span<const double> numbers;       ///< of each parameter: its value, NaN where it is no number
    cubome::outcome outcome = outcome::not_run;
    cubome::quantity quantity = quantity::none;  ///< what was not finite, where outcome is non_finite
    std::int64_t iterations = 0;
    std::span<const double> values;  ///< of each field; NaN where it could not be had
    /// [num_trace_fields, num_trace_rows], row r at iteration r · trace_interval; rows after the end are NaN
    std::span<const double> trace;
    std::int64_t num_trace_rows = 0;
    std::int64_t trace_interval = 0;
};

/// A sweep's results, read one problem after another; those of several shards are one.
class sweep_results {
public:
    virtual ~sweep_results() = default;

    std::string name;                       ///< of the sweep
    std::string made_by;                    ///< version, backend, instruction set: one line
    std::string spec;                       ///< the spec's text
    std::vector<parameter> parameters;      ///< outermost first
    std::vector<field> fields;              ///< the first is what settings are ranked by
    std::vector<std::string> trace_fields;  ///< "outer_value", "gap", "stationarity", "multiplier", "held_out"
    std::vector<std::string> hints;         ///< causes and cures of what did not end well
    std::int64_t num_problems = 0;          ///< of the whole sweep
    std::int64_t num_present = 0;           ///< of which results are there

    /// Shows every problem that is there, in the order of the indices.
    virtual void for_each(const std::function<void(const problem_row&)>& visit) const = 0;
};

}  // namespace cubome::command
