// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <initializer_list>
#include <span>

#include "images.hpp"

namespace fashion {

/// Samples that somebody else owns: row-major features whose last column is 1, and labels −1 or +1.
struct samples {
    std::span<const float> features;  ///< [n, num_features]
    std::span<const float> labels;    ///< [n]

    std::size_t size() const { return labels.size(); }
    std::span<const float, num_features> row(std::size_t i) const {
        return std::span<const float, num_features>(features.data() + i * num_features, num_features);
    }
};

/// Samples with a weight each; no weights means 1.
struct weighted_samples {
    samples data;
    std::span<const float> weights = {};

    double weight(std::size_t i) const { return weights.empty() ? 1.0 : static_cast<double>(weights[i]); }
};

using classifier = std::array<double, num_features>;
using penalty_vector = std::array<double, num_pixels>;

/// The same penalty for every pixel.
penalty_vector same_penalty(double penalty);

/// Logistic regression on the union of the given sets, by Newton's method, to the last few digits.
///
///     minimise over θ   Σ w_i log(1 + exp(−y_i x_iᵀθ)) / Σ w_i + ½ Σ_j ρ_j θ_j²,   j over the pixels, not the bias
///
/// @param penalties ρ_j > 0, so that a separable set has a minimiser too
/// Deterministic: starts at 0, no randomness, fixed order of additions.
classifier train(std::initializer_list<weighted_samples> sets, const penalty_vector& penalties);

/// x_iᵀθ for sample i: positive means label +1.
double score(const samples& data, std::size_t i, const classifier& theta);

double mean_loss(const samples& data, const classifier& theta);

/// The share of samples whose label is the sign of their score.
double accuracy(const samples& data, const classifier& theta);

}  // namespace fashion
