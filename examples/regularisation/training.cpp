// SPDX-License-Identifier: Apache-2.0
#include "training.hpp"

#include <cstddef>

namespace regularisation {

std::vector<float> train(cubome::oracle<float>& oracle, const std::vector<float>& outer, std::int64_t num_classes,
                         float step_size, std::int64_t steps, int num_threads) {
    constexpr float momentum = 0.9f;
    const auto dim = static_cast<std::size_t>(oracle.inner_dim());
    const std::size_t columns = dim / static_cast<std::size_t>(num_classes);  // the last is the bias
    cubome::oracle_call call;
    call.num_problems = static_cast<std::int64_t>(outer.size()) / oracle.outer_dim();
    call.num_threads = num_threads;
    std::vector<float> theta(static_cast<std::size_t>(call.num_problems) * dim, 0), velocity(theta), gradient(theta);
    oracle.reserve(call.num_problems);
    oracle.prepare(call, outer.data());
    for (std::int64_t k = 0; k < steps; ++k) {
        oracle.inner_gradient(call, outer.data(), theta.data(), gradient.data());
        for (std::size_t j = 0; j < theta.size(); ++j) {
            if (j % columns == columns - 1) continue;
            velocity[j] = momentum * velocity[j] + gradient[j];
            theta[j] -= step_size * velocity[j];
        }
    }
    return theta;
}

}  // namespace regularisation
