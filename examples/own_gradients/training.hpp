// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "perceptron.hpp"

namespace own_gradients {

/// Ordinary training, what BOME starts from and is compared with: steps of 0.1 with momentum 0.9 on all samples,
///
///     Σ_i weight_i CE_i(θ) / Σ_i weight_i + ½ penalty ‖θ‖²
///
/// @param weight  [of.count]
/// @param theta   the start, overwritten by the result
void train(const samples<float>& of, std::vector<float> weight, float penalty, std::int64_t steps, float* theta);

}  // namespace own_gradients
