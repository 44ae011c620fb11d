// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cubome/problem.hpp"

/// The shipped families. Each function returns a problem without data: `bind` gives the arrays that its comment lists,
/// per problem or shared. All sums over an index start at its first value and have a fixed order.
namespace cubome {

/// The coreset toy: weights of points whose weighted mean should be near a target.
///
///     f = c ‖θ − x₀‖²,   g = ‖θ − Xᵀ softmax(v)‖²            arXiv 2209.08709, toy coreset (there c = 0.1)
///
/// v [num_points], θ [dim].
/// Arrays: "points" X [num_points, dim], "target" x₀ [dim], "weight" c [1], optional, 0.1 if absent.
/// 4 × 2 and 64 × 16 are compiled with constant extents.
/// @throws invalid_argument unless both dimensions are in [1, 2³¹ − 1024]
template <class Real>
problem<Real> coreset(std::int64_t num_points, std::int64_t dim);

/// The bilinear mini-max toy: f = v θ, g = −v θ. v and θ are numbers. No arrays.
/// It has no curvature: step_rule::automatic is refused, give steps with step_rule::fixed.
template <class Real>
problem<Real> minimax();

/// The toy whose lower level has a continuum of solutions.
///
///     f = ½ (v − θ₁)² + ½ (θ₀ − 1)²,   g = ½ θ₀² − v θ₀
///
/// v [1], θ [2]. No arrays.
template <class Real>
problem<Real> degenerate();

/// Two quadratics.
///
///     g = ½ θᵀHθ + vᵀCθ + bᵀθ,   f = ½ θᵀPθ + ½ vᵀSv + vᵀKθ + pᵀθ + sᵀv
///
/// v [outer_dim], θ [inner_dim].
/// Arrays: "H" [inner_dim, inner_dim], symmetric positive definite (not checked: row i is read for component i of Hθ);
/// optional, zero where absent: "C" [outer_dim, inner_dim], "b" [inner_dim], "P" [inner_dim, inner_dim] and
/// "S" [outer_dim, outer_dim], both symmetric, "K" [outer_dim, inner_dim], "p" [inner_dim], "s" [outer_dim].
/// outer_dim = inner_dim ∈ {8, 16, 32} are compiled with constant extents.
/// @throws invalid_argument unless both dimensions are in [1, 2³¹ − 1024]
template <class Real>
problem<Real> quadratic(std::int64_t outer_dim, std::int64_t inner_dim);

/// What v does to the training samples of a linear model.
enum class sample_weights : std::int64_t {
    none,     ///< w_i = 1
    sigmoid,  ///< w_i = 1 / (1 + exp(−v_i))
    clip,     ///< w_i = min(max(v_i, 0), 1), with derivative 1 on the closed interval
};

/// What v does to the penalty of a linear model.
enum class penalty : std::int64_t {
    fixed,        ///< ρ_j given as the array "penalty", 0 where absent
    per_feature,  ///< ρ_j = exp(v_j)
    per_group,    ///< ρ_j = exp(v_group(j))
};

struct linear_model_options {
    sample_weights weights = sample_weights::none;
    penalty regularizer = penalty::fixed;
    std::int64_t num_groups = 0;       ///< of penalty::per_group; 0 otherwise
    bool is_penalty_averaged = false;  ///< the sum over j is divided by num_features − 1
    std::int64_t num_held_out = 0;     ///< samples of report.held_out; 0 without
};

/// Logistic regression whose sample weights, penalties, or both are learnt on validation data.
///
///     g = (1/n) Σ_i w_i(v) log(1 + exp(−y_i x_iᵀθ)) + ½ Σ_j ρ_j(v) θ_j²,   i over the n training samples
///     f = (1/m) Σ_i log(1 + exp(−y_i x_iᵀθ)) + ½ κ ‖v − v̄‖²,               i over the m validation samples
///
/// Few validation samples say little of a long v: κ keeps it near v̄, what it would be without them. report.held_out is
/// the first term of f on samples of its own.
///
/// The last column of X is 1; its θ, the bias, is not penalised, so j < num_features − 1.
/// v is [n] sample weights (unless none), followed by [num_features − 1] or [num_groups] log-penalties (unless fixed);
/// it must not be empty. θ [num_features].
/// Arrays: "train_x" [n, num_features], "train_y" [n], "validation_x" [m, num_features], "validation_y" [m], labels −1
/// and +1; optional "penalty" [num_features − 1], ρ_j ≥ 0, read where the penalty is fixed; "group" [num_features − 1],
/// whole numbers in [0, num_groups) stored as Real, required where it is per group: a feature with any other number is
/// not penalised; "outer_penalty" κ ≥ 0 [1] and "outer_center" v̄ [outer_dim], 0 where absent; with num_held_out
/// "held_out_x" [num_held_out, num_features] and "held_out_y" [num_held_out], required. A feature with ρ_j = 0 has no
/// term in g, however large its θ_j.
/// @throws invalid_argument unless n, m ≥ 1, num_features ≥ 2, each and n + num_features ≤ 2³¹ − 1024, num_groups is in
/// [1, num_features − 1] with per_group and 0 without, num_held_out in [0, 2³¹ − 1024], and v is not empty
template <class Real>
problem<Real> linear_model(std::int64_t num_train, std::int64_t num_validation, std::int64_t num_features,
                           const linear_model_options& options);

}  // namespace cubome
