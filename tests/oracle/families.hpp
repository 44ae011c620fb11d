// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

#include "oracle/oracle.hpp"

/// The shipped families, written from the formulas in cubome/families.hpp. Matrices are row-major.
namespace oracle {

/// f = c ‖θ − x₀‖²,  g = ‖θ − Xᵀ softmax(v)‖²
struct coreset final : problem {
    vec points;  ///< X [num_points, dim]
    vec target;  ///< x₀ [dim]
    double weight = 0.1;

    static vec softmax(const vec& v) {
        double largest = v[0];
        for (double x : v) largest = std::max(largest, x);
        vec result(v.size());
        double sum = 0;
        for (std::size_t i = 0; i < v.size(); ++i) sum += result[i] = std::exp(v[i] - largest);
        for (double& x : result) x /= sum;
        return result;
    }

    /// Xᵀ softmax(v)
    vec centre(const vec& v) const {
        const vec sigma = softmax(v);
        const std::size_t dim = target.size();
        vec result(dim, 0);
        for (std::size_t i = 0; i < sigma.size(); ++i) {
            for (std::size_t j = 0; j < dim; ++j) result[j] += points[i * dim + j] * sigma[i];
        }
        return result;
    }

    double f(const vec&, const vec& theta) const override {
        double sum = 0;
        for (std::size_t j = 0; j < theta.size(); ++j) sum += (theta[j] - target[j]) * (theta[j] - target[j]);
        return weight * sum;
    }
    vec f_outer(const vec& v, const vec&) const override { return vec(v.size(), 0); }
    vec f_inner(const vec&, const vec& theta) const override {
        vec result(theta.size());
        for (std::size_t j = 0; j < theta.size(); ++j) result[j] = 2 * weight * (theta[j] - target[j]);
        return result;
    }
    vec g_terms(const vec& v, const vec& theta) const override {
        const vec c = centre(v);
        vec result(theta.size());
        for (std::size_t j = 0; j < theta.size(); ++j) result[j] = (theta[j] - c[j]) * (theta[j] - c[j]);
        return result;
    }
    /// −2 J X (θ − c),  J = diag(σ) − σσᵀ
    vec g_outer(const vec& v, const vec& theta) const override {
        const vec sigma = softmax(v);
        const vec c = centre(v);
        const std::size_t dim = target.size();
        vec along(v.size(), 0);  // X (θ − c)
        for (std::size_t i = 0; i < v.size(); ++i) {
            for (std::size_t j = 0; j < dim; ++j) along[i] += points[i * dim + j] * (theta[j] - c[j]);
        }
        const double mean = dot(sigma, along);
        vec result(v.size());
        for (std::size_t i = 0; i < v.size(); ++i) result[i] = -2 * sigma[i] * (along[i] - mean);
        return result;
    }
    vec g_inner(const vec& v, const vec& theta) const override {
        const vec c = centre(v);
        vec result(theta.size());
        for (std::size_t j = 0; j < theta.size(); ++j) result[j] = 2 * (theta[j] - c[j]);
        return result;
    }
};

/// f = v θ,  g = −v θ
struct minimax final : problem {
    double f(const vec& v, const vec& theta) const override { return v[0] * theta[0]; }
    vec f_outer(const vec&, const vec& theta) const override { return {theta[0]}; }
    vec f_inner(const vec& v, const vec&) const override { return {v[0]}; }
    vec g_terms(const vec& v, const vec& theta) const override { return {-v[0] * theta[0]}; }
    vec g_outer(const vec&, const vec& theta) const override { return {-theta[0]}; }
    vec g_inner(const vec& v, const vec&) const override { return {-v[0]}; }
};

/// f = ½ (v − θ₁)² + ½ (θ₀ − 1)²,  g = ½ θ₀² − v θ₀
struct degenerate final : problem {
    double f(const vec& v, const vec& theta) const override {
        return 0.5 * (v[0] - theta[1]) * (v[0] - theta[1]) + 0.5 * (theta[0] - 1) * (theta[0] - 1);
    }
    vec f_outer(const vec& v, const vec& theta) const override { return {v[0] - theta[1]}; }
    vec f_inner(const vec& v, const vec& theta) const override { return {theta[0] - 1, theta[1] - v[0]}; }
    vec g_terms(const vec& v, const vec& theta) const override { return {0.5 * theta[0] * theta[0], -v[0] * theta[0]}; }
    vec g_outer(const vec&, const vec& theta) const override { return {-theta[0]}; }
    vec g_inner(const vec& v, const vec& theta) const override { return {theta[0] - v[0], 0}; }
};

/// g = ½ θᵀHθ + vᵀCθ + bᵀθ,  f = ½ θᵀPθ + ½ vᵀSv + vᵀKθ + pᵀθ + sᵀv;  an empty array is absent, that is zero
struct quadratic final : problem {
    vec H, C, b, P, S, K, p, s;

    /// M x, M [rows, x.size()]; zero where M is absent
    static vec product(const vec& matrix, std::size_t rows, const vec& x) {
        vec result(rows, 0);
        if (matrix.empty()) return result;
        for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < x.size(); ++j) result[i] += matrix[i * x.size() + j] * x[j];
        }
        return result;
    }
    /// Mᵀ x, M [x.size(), columns]
    static vec transposed_product(const vec& matrix, std::size_t columns, const vec& x) {
        vec result(columns, 0);
        if (matrix.empty()) return result;
        for (std::size_t i = 0; i < x.size(); ++i) {
            for (std::size_t j = 0; j < columns; ++j) result[j] += matrix[i * columns + j] * x[i];
        }
        return result;
    }
    static void add(vec& sum, const vec& x) {
        if (x.empty()) return;
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += x[i];
    }

    double f(const vec& v, const vec& theta) const override {
        double value = 0.5 * dot(theta, product(P, theta.size(), theta)) + 0.5 * dot(v, product(S, v.size(), v)) +
                       dot(v, product(K, v.size(), theta));
        if (!p.empty()) value += dot(p, theta);
        if (!s.empty()) value += dot(s, v);
        return value;
    }
    vec f_outer(const vec& v, const vec& theta) const override {
        vec result = product(S, v.size(), v);
        add(result, product(K, v.size(), theta));
        add(result, s);
        return result;
    }
    vec f_inner(const vec& v, const vec& theta) const override {
        vec result = product(P, theta.size(), theta);
        add(result, transposed_product(K, theta.size(), v));
        add(result, p);
        return result;
    }
    vec g_terms(const vec& v, const vec& theta) const override {
        const vec h_theta = product(H, theta.size(), theta);
        const vec c_v = transposed_product(C, theta.size(), v);
        vec result(theta.size());
        for (std::size_t i = 0; i < theta.size(); ++i) {
            result[i] = theta[i] * (0.5 * h_theta[i] + c_v[i] + (b.empty() ? 0 : b[i]));
        }
        return result;
    }
    vec g_outer(const vec& v, const vec& theta) const override { return product(C, v.size(), theta); }
    vec g_inner(const vec& v, const vec& theta) const override {
        vec result = product(H, theta.size(), theta);
        add(result, transposed_product(C, theta.size(), v));
        add(result, b);
        return result;
    }
};

enum class weight_kind { none, sigmoid, clip };
enum class penalty_kind { fixed, per_feature, per_group };

/// g = (1/n) Σ_i w_i(v) log(1 + exp(−y_i x_iᵀθ)) + ½ Σ_j ρ_j(v) θ_j²,
/// f = (1/m) Σ_i log(1 + exp(−y_i x_iᵀθ)) + ½ κ ‖v − v̄‖²
struct linear_model final : problem {
    weight_kind weights = weight_kind::none;
    penalty_kind regularizer = penalty_kind::fixed;
    std::size_t num_groups = 0;
    bool is_penalty_averaged = false;
    vec train_x, train_y, validation_x, validation_y;
    vec penalty;                      ///< [num_features − 1], empty: zero
    vec group;                        ///< [num_features − 1]
    vec outer_penalty, outer_center;  ///< κ [1] and v̄ [outer_dim], empty: zero
    vec held_out_x, held_out_y;

    /// log(1 + exp(−z))
    static double loss(double z) { return (z < 0 ? -z : 0) + std::log1p(std::exp(-std::abs(z))); }
    static double sigmoid(double z) {
        if (z >= 0) return 1 / (1 + std::exp(-z));
        return std::exp(z) / (1 + std::exp(z));
    }
    /// d loss / dz
    static double loss_slope(double z) { return -sigmoid(-z); }

    static vec margins(const vec& x, const vec& y, const vec& theta) {
        vec result(y.size(), 0);
        for (std::size_t i = 0; i < y.size(); ++i) {
            for (std::size_t j = 0; j < theta.size(); ++j) result[i] += x[i * theta.size() + j] * theta[j];
            result[i] *= y[i];
        }
        return result;
    }

    double weight(const vec& v, std::size_t i) const {
        switch (weights) {
            case weight_kind::none:
                return 1;
            case weight_kind::sigmoid:
                return sigmoid(v[i]);
            case weight_kind::clip:
                return v[i] < 0 ? 0 : v[i] > 1 ? 1 : v[i];
        }
        return 0;
    }
    double weight_slope(const vec& v, std::size_t i) const {
        switch (weights) {
            case weight_kind::none:
                return 0;
            case weight_kind::sigmoid:
                return sigmoid(v[i]) * sigmoid(-v[i]);
            case weight_kind::clip:
                return v[i] < 0 || v[i] > 1 ? 0 : 1;
        }
        return 0;
    }

    /// Which of the log-penalties feature j has; none: it is not penalised, or by the fixed ρ_j.
    std::optional<std::size_t> log_penalty_of(std::size_t j) const {
        if (regularizer == penalty_kind::per_feature) return j;
        if (regularizer == penalty_kind::per_group) {
            for (std::size_t k = 0; k < num_groups; ++k) {
                if (group[j] == static_cast<double>(k)) return k;
            }
        }
        return std::nullopt;
    }
    std::size_t first_log_penalty() const { return weights == weight_kind::none ? 0 : train_y.size(); }
    /// A feature that is not penalised, or with ρ_j = 0, has no term.
    bool has_term(const vec& v, std::size_t j, std::size_t num_features) const {
        if (regularizer == penalty_kind::fixed ? penalty.empty() : !log_penalty_of(j).has_value()) return false;
        return rho(v, j, num_features) != 0;
    }
    /// ρ_j, divided by num_features − 1 where the sum is averaged
    double rho(const vec& v, std::size_t j, std::size_t num_features) const {
        const auto k = log_penalty_of(j);
        const double value = k ? std::exp(v[first_log_penalty() + *k]) : penalty[j];
        return is_penalty_averaged ? value / static_cast<double>(num_features - 1) : value;
    }

    static double mean_loss(const vec& x, const vec& y, const vec& theta) {
        double sum = 0;
        for (double z : margins(x, y, theta)) sum += loss(z);
        return sum / static_cast<double>(y.size());
    }
    double offset(const vec& v, std::size_t i) const { return v[i] - (outer_center.empty() ? 0 : outer_center[i]); }
    /// κ (v − v̄)
    vec f_outer(const vec& v, const vec&) const override {
        vec result(v.size(), 0);
        for (std::size_t i = 0; i < v.size() && !outer_penalty.empty(); ++i)
            result[i] = outer_penalty[0] * offset(v, i);
        return result;
    }
    double f(const vec& v, const vec& theta) const override {
        double squares = 0;
        for (std::size_t i = 0; i < v.size(); ++i) squares += offset(v, i) * offset(v, i);
        const double prior = outer_penalty.empty() ? 0 : 0.5 * outer_penalty[0] * squares;
        return mean_loss(validation_x, validation_y, theta) + prior;
    }
    double held_out(const vec& theta) const { return mean_loss(held_out_x, held_out_y, theta); }
    vec f_inner(const vec&, const vec& theta) const override {
        const vec z = margins(validation_x, validation_y, theta);
        vec result(theta.size(), 0);
        for (std::size_t i = 0; i < z.size(); ++i) {
            const double slope = loss_slope(z[i]) * validation_y[i] / static_cast<double>(z.size());
            for (std::size_t j = 0; j < theta.size(); ++j) result[j] += slope * validation_x[i * theta.size() + j];
        }
        return result;
    }
    vec g_terms(const vec& v, const vec& theta) const override {
        const vec z = margins(train_x, train_y, theta);
        vec result;
        for (std::size_t i = 0; i < z.size(); ++i) {
            result.push_back(weight(v, i) * loss(z[i]) / static_cast<double>(z.size()));
        }
        for (std::size_t j = 0; j + 1 < theta.size(); ++j) {
            if (has_term(v, j, theta.size())) result.push_back(0.5 * rho(v, j, theta.size()) * theta[j] * theta[j]);
        }
        return result;
    }
    vec g_outer(const vec& v, const vec& theta) const override {
        const vec z = margins(train_x, train_y, theta);
        vec result(v.size(), 0);
        if (weights != weight_kind::none) {
            for (std::size_t i = 0; i < z.size(); ++i) {
                result[i] = weight_slope(v, i) * loss(z[i]) / static_cast<double>(z.size());
            }
        }
        for (std::size_t j = 0; j + 1 < theta.size(); ++j) {
            if (const auto k = log_penalty_of(j)) {
                result[first_log_penalty() + *k] += 0.5 * rho(v, j, theta.size()) * theta[j] * theta[j];
            }
        }
        return result;
    }
    vec g_inner(const vec& v, const vec& theta) const override {
        const vec z = margins(train_x, train_y, theta);
        vec result(theta.size(), 0);
        for (std::size_t i = 0; i < z.size(); ++i) {
            const double slope = weight(v, i) * loss_slope(z[i]) * train_y[i] / static_cast<double>(z.size());
            for (std::size_t j = 0; j < theta.size(); ++j) result[j] += slope * train_x[i * theta.size() + j];
        }
        for (std::size_t j = 0; j + 1 < theta.size(); ++j) {
            if (has_term(v, j, theta.size())) result[j] += rho(v, j, theta.size()) * theta[j];
        }
        return result;
    }
};

}  // namespace oracle
