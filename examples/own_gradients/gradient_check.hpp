// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cubome/staged.hpp>
#include <vector>

namespace own_gradients {

/// The largest errors of an oracle's gradients against central differences of its own values; NaN where one is.
struct gradient_errors {
    double inner;  ///< ∇_θ g, against q̂ = g(v, θ) − g(v, θ⁽ᵀ⁾) as a function of θ
    double gap;    ///< ∇_v q̂
    double outer;  ///< ∇_v f and ∇_θ f
};

/// Checks any oracle at one point of each problem.
///
///     ⟨∇h, u⟩  against  (h(x + εu) − h(x − εu)) / 2ε,   relative to ‖∇h‖
///
/// along `num_directions` random directions u of length 1.
///
/// @param outer   v [num_problems, outer_dim]
/// @param inner   θ [num_problems, inner_dim]
/// @param descent another point, in the place of θ⁽ᵀ⁾
gradient_errors check_gradients(cubome::oracle<double>& oracle, std::int64_t num_problems,
                                const std::vector<double>& outer, const std::vector<double>& inner,
                                const std::vector<double>& descent, int num_directions);

/// The largest difference of what two oracles of the same functions say there, relative to the largest number of each
/// output, held-out values among them; NaN where one is.
double difference_of(cubome::oracle<double>& one, cubome::oracle<double>& other, std::int64_t num_problems,
                     const std::vector<double>& outer, const std::vector<double>& inner,
                     const std::vector<double>& descent);

}  // namespace own_gradients
