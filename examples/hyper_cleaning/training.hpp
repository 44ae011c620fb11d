// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cubome/staged.hpp>
#include <vector>

namespace hyper_cleaning {

constexpr float l2_penalty = 0.001f;  ///< ρ of g = … + ρ ‖θ‖²

/// Trains models from θ = 0, all at once, by steps of 0.01 with momentum 0.9 on all images:
///
///     (Σ_i w_i CE_i + Σ_j CE_j) / (Σ_i w_i + m) + ρ ‖θ‖²        i: training images, j: the m of validation
///
/// The gradients are those of g and f: an oracle for the solver is one for ordinary training, too.
///
/// @param weights [num_models, n], in [0, 1]; a model whose weights are all 0 is trained on validation alone
/// @return θ [num_models, num_theta]
std::vector<float> train(cubome::oracle<float>& oracle, std::vector<float> weights, std::int64_t num_validation,
                         std::int64_t steps, int num_threads);

}  // namespace hyper_cleaning
