// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "cleaning.hpp"

namespace fashion {

/// A batch that was solved and judged, and its place in the tables.
struct cleaning_result {
    cleaning_cell cell;
    std::vector<problem_record> records;
};

/// All that the job found out.
struct findings {
    std::vector<cleaning_result> cleaning;
    std::vector<cleaning_result> in_units;  ///< one cell, in several units of a pixel
    std::vector<problem_record> penalties;
    solve_totals totals;
};

/// Prints mean accuracies and F1, paired differences with standard errors, and what follows from them in words.
void print_cleaning(std::span<const cleaning_result> results);

/// Prints what the unit of a pixel changes.
void print_units(std::span<const cleaning_result> results);

/// Prints mean accuracies and losses of each kind of penalty, paired differences, and what follows from them in words.
void print_penalties(std::span<const problem_record> records);

/// Prints how the solves ended, how fast they were and what ran them.
void print_solves(const findings& all);

}  // namespace fashion
