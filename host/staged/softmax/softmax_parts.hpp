// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cubome/softmax_oracle.hpp"

/// What the engines behind softmax_oracle have in common.
namespace cubome::detail {

/// What a softmax_oracle is made of, checked.
struct softmax_parts {
    softmax_samples train, validation, held_out;
    softmax_options options;

    std::int64_t num_features() const { return train.num_features; }
    std::int64_t num_weights() const { return options.weights == sample_weights::none ? 0 : train.num_samples; }
    std::int64_t num_penalties() const { return options.regularizer == penalty::per_feature ? num_features() : 0; }
    std::int64_t outer_dim() const { return num_weights() + num_penalties(); }
    std::int64_t inner_dim() const { return options.num_classes * (num_features() + 1); }

    /// Whether any ρ_j can be other than 0.
    bool is_penalised() const {
        return num_penalties() > 0 || options.fixed_rho.is_per_problem() || options.fixed_rho.value() != 0;
    }
    float penalty_scale() const {
        return options.is_penalty_averaged ? 1 / static_cast<float>(options.num_classes * num_features()) : 1;
    }

    /// ρ of each problem, [num_problems], where the settings give it so; else null.
    /// @throws invalid_argument unless it is for as many problems
    const float* given_penalties(std::int64_t num_problems) const;
};

/// Some problems that are multiplied at once.
struct problem_block {
    std::int64_t first, num;
};

constexpr std::int64_t round_up(std::int64_t x, std::int64_t to) {
    return (x + to - 1) / to * to;
}

/// @throws invalid_argument if it is negative
void expect_count(std::int64_t num_problems);

/// @throws invalid_argument for more problems than were reserved, or fewer than none
void expect_reserved(std::int64_t num_problems, std::int64_t reserved);

/// @throws invalid_argument where memory of so many bytes cannot be
void expect_possible(std::int64_t num_problems, std::size_t bytes);

}  // namespace cubome::detail
