// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cubome/staged.hpp>
#include <vector>

namespace regularisation {

/// Ordinary training of several models at once: g of an oracle, minimised by steps with momentum 0.9 from θ = 0. The
/// models have no bias, whatever the oracle offers.
///
/// @param outer v [num_models, outer_dim]
/// @return θ [num_models, inner_dim]
std::vector<float> train(cubome::oracle<float>& oracle, const std::vector<float>& outer, std::int64_t num_classes,
                         float step_size, std::int64_t steps, int num_threads);

}  // namespace regularisation
