// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "experiment.hpp"

namespace fashion {

/// Label cleaning: part of the training labels is wrong, a few clean validation images say which.
///
///     v: one weight σ(v_i) per training image, θ: a logistic regression trained on the weighted images,
///     f: its loss on the clean validation images
///
/// One cell of the experiment: all pairs of classes, with one share of wrong labels and one size of the validation set.
struct cleaning_cell {
    double flip_rate;
    std::size_t validation_size;
    double pixel_unit = 1;  ///< what pixels are multiplied by; penalties by its square, so that it is the same model
};

std::vector<cleaning_cell> all_cleaning_cells();

/// Draws, solves and judges the problems of a cell as one batch.
std::vector<problem_record> run_cleaning(const cleaning_cell& cell, const job& job, solve_totals& totals);

}  // namespace fashion
