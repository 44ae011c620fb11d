// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "experiment.hpp"

namespace fashion {

/// Learning penalties: one log-penalty per pixel, so that a model of few training images does well on a validation set.
///
///     v: log ρ_j for each pixel, θ: a logistic regression with these penalties, f: its loss on the validation images
///
/// Draws, solves and judges all problems as one batch: all pairs of classes.
std::vector<problem_record> run_penalties(const job& job, solve_totals& totals);

}  // namespace fashion
