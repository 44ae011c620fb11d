// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

#include "workloads.hpp"

/// The peer: the same algorithm as one writes it down, in float, one problem after another, loops over rows and
/// columns. Threads take problems from a common counter.
namespace bench::scalar {

using vec = std::vector<float>;

inline const float* part(const vec& all, std::int64_t problem, std::int64_t size) {
    return all.data() + problem * size;
}

/// y = Mx
inline void multiply(const float* m, const float* x, std::int64_t rows, std::int64_t columns, float* y) {
    for (std::int64_t i = 0; i < rows; ++i) {
        float sum = 0;
        for (std::int64_t j = 0; j < columns; ++j) sum += m[i * columns + j] * x[j];
        y[i] = sum;
    }
}

/// y = Mᵀx
inline void multiply_transposed(const float* m, const float* x, std::int64_t rows, std::int64_t columns, float* y) {
    for (std::int64_t j = 0; j < columns; ++j) y[j] = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) y[j] += m[i * columns + j] * x[i];
    }
}

// Each problem has prepare(v), inner_gradient(θ, ∇_θ g), gap_gradient(θ, θ⁽ᵀ⁾, ∇_v q̂) and
// outer_gradient(θ, ∇_v f, ∇_θ f), which returns f. The gradient_norm barrier does not need q̂ itself.

class coreset {
public:
    coreset(const coreset_workload& w, std::int64_t) : w_(w), share_(w.num_points), mean_(w.dim) {}

    void prepare(const vec& v) {
        const float largest = *std::max_element(v.begin(), v.end());
        float total = 0;
        for (std::size_t i = 0; i < v.size(); ++i) total += share_[i] = std::exp(v[i] - largest);
        for (float& s : share_) s /= total;
        multiply_transposed(w_.points.data(), share_.data(), w_.num_points, w_.dim, mean_.data());
    }
    void inner_gradient(const vec& theta, vec& gradient) const {
        for (std::size_t j = 0; j < theta.size(); ++j) gradient[j] = 2 * (theta[j] - mean_[j]);
    }
    void gap_gradient(const vec& theta, const vec& theta_t, vec& gradient) const {
        const auto d = theta.size();
        float center = 0;
        for (std::size_t j = 0; j < d; ++j) center += mean_[j] * -2 * (theta[j] - theta_t[j]);
        for (std::size_t i = 0; i < gradient.size(); ++i) {
            float sum = 0;
            for (std::size_t j = 0; j < d; ++j) sum += w_.points[i * d + j] * -2 * (theta[j] - theta_t[j]);
            gradient[i] = share_[i] * (sum - center);
        }
    }
    float outer_gradient(const vec& theta, vec& of_v, vec& of_theta) const {
        float f = 0;
        for (float& x : of_v) x = 0;
        for (std::size_t j = 0; j < theta.size(); ++j) {
            const float offset = theta[j] - w_.target[j];
            of_theta[j] = 2 * w_.weight * offset;
            f += offset * offset;
        }
        return w_.weight * f;
    }

private:
    const coreset_workload& w_;
    vec share_, mean_;
};

class quadratic {
public:
    quadratic(const quadratic_workload& w, std::int64_t k)
        : n_(w.inner_dim),
          H_(part(w.H, k, n_ * n_)),
          C_(part(w.C, k, n_ * n_)),
          b_(part(w.b, k, n_)),
          p_(part(w.p, k, n_)),
          P_(w.identity.data()),
          linear_(static_cast<std::size_t>(n_)),
          product_(static_cast<std::size_t>(n_)) {}

    void prepare(const vec& v) {
        multiply_transposed(C_, v.data(), n_, n_, linear_.data());
        for (std::size_t i = 0; i < linear_.size(); ++i) linear_[i] += b_[i];
    }
    void inner_gradient(const vec& theta, vec& gradient) const {
        multiply(H_, theta.data(), n_, n_, gradient.data());
        for (std::size_t i = 0; i < linear_.size(); ++i) gradient[i] += linear_[i];
    }
    void gap_gradient(const vec& theta, const vec& theta_t, vec& gradient) {
        for (std::size_t i = 0; i < theta.size(); ++i) product_[i] = theta[i] - theta_t[i];
        multiply(C_, product_.data(), n_, n_, gradient.data());
    }
    float outer_gradient(const vec& theta, vec& of_v, vec& of_theta) const {
        float f = 0;
        for (float& x : of_v) x = 0;
        multiply(P_, theta.data(), n_, n_, of_theta.data());
        for (std::size_t i = 0; i < theta.size(); ++i) {
            f += theta[i] * (0.5F * of_theta[i] + p_[i]);
            of_theta[i] += p_[i];
        }
        return f;
    }

private:
    std::int64_t n_;
    const float *H_, *C_, *b_, *p_, *P_;
    vec linear_, product_;
};

class logistic {
public:
    logistic(const logistic_workload& w, std::int64_t k)
        : n_(w.num_samples),
          d_(w.num_features),
          train_x_(part(w.train_x, k, n_ * d_)),
          train_y_(part(w.train_y, k, n_)),
          validation_x_(part(w.validation_x, k, n_ * d_)),
          validation_y_(part(w.validation_y, k, n_)),
          rho_(static_cast<std::size_t>(d_), 0.0F),
          margin_(static_cast<std::size_t>(n_)) {}

    void prepare(const vec& v) {
        for (std::size_t j = 0; j < v.size(); ++j) rho_[j] = std::exp(v[j]);
    }
    void inner_gradient(const vec& theta, vec& gradient) {
        loss_gradient(train_x_, train_y_, theta, gradient);
        for (std::size_t j = 0; j < theta.size(); ++j) gradient[j] += rho_[j] * theta[j];
    }
    void gap_gradient(const vec& theta, const vec& theta_t, vec& gradient) const {
        for (std::size_t j = 0; j < gradient.size(); ++j)
            gradient[j] = 0.5F * rho_[j] * (theta[j] - theta_t[j]) * (theta[j] + theta_t[j]);
    }
    float outer_gradient(const vec& theta, vec& of_v, vec& of_theta) {
        for (float& x : of_v) x = 0;
        return loss_gradient(validation_x_, validation_y_, theta, of_theta);
    }

private:
    float loss_gradient(const float* x, const float* y, const vec& theta, vec& gradient) {
        multiply(x, theta.data(), n_, d_, margin_.data());
        float loss = 0;
        for (std::int64_t i = 0; i < n_; ++i) {
            float& m = margin_[static_cast<std::size_t>(i)];
            const float decay = std::exp(-std::abs(m));
            const float z = y[i] * m;
            loss += std::max(-z, 0.0F) + std::log1p(decay);
            m = -y[i] * (z > 0 ? decay : 1.0F) / (1 + decay) / static_cast<float>(n_);
        }
        multiply_transposed(x, margin_.data(), n_, d_, gradient.data());
        return loss / static_cast<float>(n_);
    }

    std::int64_t n_, d_;
    const float *train_x_, *train_y_, *validation_x_, *validation_y_;
    vec rho_, margin_;
};

inline coreset make(const coreset_workload& w, std::int64_t k) {
    return {w, k};
}
inline quadratic make(const quadratic_workload& w, std::int64_t k) {
    return {w, k};
}
inline logistic make(const logistic_workload& w, std::int64_t k) {
    return {w, k};
}

/// BOME with the gradient_norm barrier and fixed steps. Moves v and θ; returns f where it ends.
template <class Problem>
float solve(Problem& problem, const cubome::settings<float>& s, vec& v, vec& theta) {
    const float outer_step = s.outer_step_size.value(), inner_step = s.inner_step_size.value();
    const float alpha = s.descent_step_size.value(), eta = s.eta.value(), epsilon = s.epsilon.value();
    vec theta_t(theta.size()), gradient(theta.size());
    vec f_v(v.size()), f_theta(theta.size()), q_v(v.size()), q_theta(theta.size());
    for (std::int64_t k = 0; k < s.outer_steps; ++k) {
        problem.prepare(v);
        theta_t = theta;
        problem.inner_gradient(theta_t, q_theta);
        for (std::size_t i = 0; i < theta.size(); ++i) theta_t[i] -= alpha * q_theta[i];
        for (std::int64_t t = 1; t < s.inner_steps; ++t) {
            problem.inner_gradient(theta_t, gradient);
            for (std::size_t i = 0; i < theta.size(); ++i) theta_t[i] -= alpha * gradient[i];
        }
        problem.gap_gradient(theta, theta_t, q_v);
        problem.outer_gradient(theta, f_v, f_theta);
        float alignment = 0, norm = 0;
        for (std::size_t i = 0; i < v.size(); ++i) {
            alignment += f_v[i] * q_v[i];
            norm += q_v[i] * q_v[i];
        }
        for (std::size_t i = 0; i < theta.size(); ++i) {
            alignment += f_theta[i] * q_theta[i];
            norm += q_theta[i] * q_theta[i];
        }
        const float lambda = std::max(0.0F, eta - alignment / (norm + epsilon));
        for (std::size_t i = 0; i < v.size(); ++i) v[i] -= outer_step * (f_v[i] + lambda * q_v[i]);
        for (std::size_t i = 0; i < theta.size(); ++i) theta[i] -= inner_step * (f_theta[i] + lambda * q_theta[i]);
    }
    problem.prepare(v);
    return problem.outer_gradient(theta, f_v, f_theta);
}

/// Solves problems 0 … n − 1 from a start; returns their f.
template <class Workload>
vec solve_all(const Workload& w, const cubome::settings<float>& s, const start& from, std::int64_t n, int num_threads) {
    vec f(static_cast<std::size_t>(n));
    std::atomic<std::int64_t> next{0};
    const auto work = [&] {
        for (std::int64_t k; (k = next.fetch_add(1)) < n;) {
            vec v(part(from.outer, k, w.outer_dim), part(from.outer, k + 1, w.outer_dim));
            vec theta(part(from.inner, k, w.inner_dim), part(from.inner, k + 1, w.inner_dim));
            auto problem = make(w, k);
            f[static_cast<std::size_t>(k)] = solve(problem, s, v, theta);
        }
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < num_threads; ++t) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    return f;
}

}  // namespace bench::scalar
