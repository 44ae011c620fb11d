// SPDX-License-Identifier: Apache-2.0
#include "training.hpp"

#include <cstddef>
#include <numeric>

namespace own_gradients {
namespace {

constexpr float step_size = 0.1f, momentum = 0.9f;

}  // namespace

void train(const samples<float>& of, std::vector<float> weight, float penalty, std::int64_t steps, float* theta) {
    constexpr auto dim = static_cast<std::size_t>(perceptron<float>::num_weights);
    perceptron<float> model;
    const auto sum = static_cast<float>(std::accumulate(weight.begin(), weight.end(), 0.0));
    for (float& w : weight) w /= sum;
    std::vector<float> loss(weight.size()), gradient(dim), velocity(dim, 0);
    for (std::int64_t k = 0; k < steps; ++k) {
        for (std::size_t j = 0; j < dim; ++j) gradient[j] = penalty * theta[j];
        model.add_gradient(of, theta, weight.data(), loss.data(), gradient.data());
        for (std::size_t j = 0; j < dim; ++j) {
            velocity[j] = momentum * velocity[j] + gradient[j];
            theta[j] -= step_size * velocity[j];
        }
    }
}

}  // namespace own_gradients
