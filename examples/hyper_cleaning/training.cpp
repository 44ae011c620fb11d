// SPDX-License-Identifier: Apache-2.0
#include "training.hpp"

#include <cstddef>
#include <numeric>

#include "model.hpp"

namespace hyper_cleaning {
namespace {

constexpr float step_size = 0.01f, momentum = 0.9f;

}  // namespace

std::vector<float> train(cubome::oracle<float>& oracle, std::vector<float> weights, std::int64_t num_validation,
                         std::int64_t steps, int num_threads) {
    const auto n = static_cast<std::size_t>(oracle.outer_dim());
    const std::size_t num_models = weights.size() / n, dim = num_theta;
    std::vector<float> theta(num_models * dim, 0), velocity(theta), of_g(theta), of_f(theta), value(num_models);
    std::vector<float> of_weights(weights.size());
    std::vector<double> images(num_models);  // how many count
    for (std::size_t p = 0; p < num_models; ++p)
        images[p] = std::accumulate(weights.begin() + static_cast<std::ptrdiff_t>(p * n),
                                    weights.begin() + static_cast<std::ptrdiff_t>((p + 1) * n),
                                    static_cast<double>(num_validation));

    cubome::oracle_call call;
    call.num_problems = static_cast<std::int64_t>(num_models);
    call.num_threads = num_threads;
    oracle.reserve(call.num_problems);
    oracle.prepare(call, weights.data());
    for (std::int64_t k = 0; k < steps; ++k) {
        oracle.inner_gradient(call, weights.data(), theta.data(), of_g.data());
        oracle.outer_gradient(call, weights.data(), theta.data(), value.data(), of_weights.data(), of_f.data());
        for (std::size_t p = 0; p < num_models; ++p) {
            const auto share_of_g = static_cast<float>(static_cast<double>(n) / images[p]);
            const auto share_of_f = static_cast<float>(static_cast<double>(num_validation) / images[p]);
            for (std::size_t j = p * dim; j < (p + 1) * dim; ++j) {
                // g brings its own ρ, of its share; what is wanted is ρ of the whole. The bias has none.
                const bool is_bias = j % num_features == num_features - 1;
                const float of_penalty = is_bias ? 0 : 2 * l2_penalty * theta[j];
                const float gradient = share_of_g * (of_g[j] - of_penalty) + share_of_f * of_f[j] + of_penalty;
                velocity[j] = momentum * velocity[j] + gradient;
                theta[j] -= step_size * velocity[j];
            }
        }
    }
    return theta;
}

}  // namespace hyper_cleaning
