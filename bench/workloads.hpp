// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "cubome/cubome.hpp"

/// The reference workloads: float, T = 10, and problem i is the same whatever the size of the batch.
namespace bench {

inline constexpr std::int64_t inner_steps = 10;

/// splitmix64: a sequence of its own for every problem.
class generator {
public:
    explicit generator(std::int64_t problem) : state_(static_cast<std::uint64_t>(problem) * 0x632be59bd9b4e019U + 1) {}

    float uniform(float low, float high) {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        z ^= z >> 31;
        return low + (high - low) * static_cast<float>(z >> 40) * 0x1p-24F;
    }
    /// About normal: a sum of four, of mean 0 and variance 1.
    float normal() {
        const float r = std::sqrt(3.0F) / 2;
        return uniform(-r, r) + uniform(-r, r) + uniform(-r, r) + uniform(-r, r);
    }

private:
    std::uint64_t state_;
};

/// ξ_v, ξ_θ and α.
struct step_sizes {
    float outer, inner, descent;
};

/// Fixed steps, as the peers have them.
inline cubome::settings<float> fixed_settings(std::int64_t outer_steps, const step_sizes& steps, float epsilon) {
    cubome::settings<float> result;
    result.outer_steps = outer_steps;
    result.inner_steps = inner_steps;
    result.steps = cubome::step_rule::fixed;
    result.outer_step_size = steps.outer;
    result.inner_step_size = steps.inner;
    result.descent_step_size = steps.descent;
    result.epsilon = epsilon;
    return result;
}

/// v and θ of a batch at the start.
struct start {
    std::vector<float> outer, inner;
};

/// Weights of 4 points in the plane, from random starts; the points and the target are everybody's.
struct coreset_workload {
    static constexpr std::int64_t num_points = 4, dim = 2;
    static constexpr std::int64_t outer_steps = 5000;
    std::int64_t outer_dim = num_points, inner_dim = dim;
    std::vector<float> points{1, 3, 3, 1, -2, 2, -3, -2};
    std::vector<float> target{3, -2};
    static constexpr float weight = 0.1F;

    std::int64_t bytes_per_problem() const { return 64; }
    void resize(std::int64_t) {}
    cubome::problem<float> problem(std::int64_t) const {
        return cubome::coreset<float>(num_points, dim)
            .bind("points", cubome::shared(points.data(), num_points, dim))
            .bind("target", cubome::shared(target.data(), dim));
    }
    cubome::settings<float> settings() const { return fixed_settings(outer_steps, {0.05F, 0.05F, 0.05F}, 1e-4F); }
    start make_start(std::int64_t num_problems) const {
        start s;
        for (std::int64_t i = 0; i < num_problems; ++i) {
            generator random(i);
            for (std::int64_t j = 0; j < num_points; ++j) s.outer.push_back(random.uniform(-1, 1));
            for (std::int64_t j = 0; j < dim; ++j) s.inner.push_back(random.uniform(-3, 3));
        }
        return s;
    }
    /// An addition or a multiplication is one, exp and division are 20.
    double flops() const {
        const double n = num_points, d = dim;
        const double prepare = 24 * n + 2 * n * d + d;
        const double gap = 14 * d + 2 * n * d + 2 * n;
        return prepare + inner_steps * 4 * d + gap + 4 * d + 10 * (n + d) + 40;
    }
};

/// Weights of 64 points in 16 dimensions, of which each problem has its own.
struct wide_coreset_workload {
    static constexpr std::int64_t num_points = 64, dim = 16;
    static constexpr std::int64_t outer_steps = 5000;
    std::int64_t outer_dim = num_points, inner_dim = dim;
    std::vector<float> points, target;

    std::int64_t bytes_per_problem() const { return 4 * (num_points * dim + dim); }
    void resize(std::int64_t num_problems) {
        points.clear(), target.clear();
        for (std::int64_t k = 0; k < num_problems; ++k) {
            generator random(k);
            for (std::int64_t i = 0; i < num_points * dim; ++i) points.push_back(random.normal());
            for (std::int64_t j = 0; j < dim; ++j) target.push_back(0.3F * random.normal());
        }
    }
    cubome::problem<float> problem(std::int64_t num_problems) const {
        return cubome::coreset<float>(num_points, dim)
            .bind("points", cubome::per_problem(points.data(), num_problems, num_points, dim))
            .bind("target", cubome::per_problem(target.data(), num_problems, dim));
    }
    cubome::settings<float> settings() const { return fixed_settings(outer_steps, {0.05F, 0.05F, 0.05F}, 1e-4F); }
    start make_start(std::int64_t num_problems) const {
        start s;
        for (std::int64_t i = 0; i < num_problems; ++i) {
            generator random(~i);
            for (std::int64_t j = 0; j < num_points; ++j) s.outer.push_back(random.uniform(-1, 1));
            for (std::int64_t j = 0; j < dim; ++j) s.inner.push_back(random.uniform(-3, 3));
        }
        return s;
    }
};

/// Two dense quadratics, own H, C, b and p, and P the identity. H has the eigenvalues 1/30 … 1.
struct quadratic_workload {
    static constexpr std::int64_t outer_steps = 1000;
    std::int64_t outer_dim, inner_dim;
    std::vector<float> identity, H, C, b, p;

    explicit quadratic_workload(std::int64_t n)
        : outer_dim(n), inner_dim(n), identity(static_cast<std::size_t>(n * n), 0.0F) {
        for (std::int64_t i = 0; i < n; ++i) identity[static_cast<std::size_t>(i * n + i)] = 1;
    }

    std::int64_t bytes_per_problem() const { return 4 * (2 * inner_dim * inner_dim + 6 * inner_dim); }

    void resize(std::int64_t num_problems) {
        const std::int64_t n = inner_dim;
        for (auto* array : {&H, &C, &b, &p}) array->clear();
        for (std::int64_t k = 0; k < num_problems; ++k) {
            generator random(k);
            add_positive_definite(random);
            for (std::int64_t i = 0; i < n; ++i) {
                for (std::int64_t j = 0; j < n; ++j)
                    C.push_back((i == j ? 1.0F : 0.0F) + 0.3F * random.normal() / std::sqrt(static_cast<float>(n)));
            }
            for (std::int64_t i = 0; i < n; ++i) b.push_back(random.normal());
            for (std::int64_t i = 0; i < n; ++i) p.push_back(random.normal());
        }
    }
    cubome::problem<float> problem(std::int64_t num_problems) const {
        const std::int64_t n = inner_dim;
        return cubome::quadratic<float>(n, n)
            .bind("H", cubome::per_problem(H.data(), num_problems, n, n))
            .bind("C", cubome::per_problem(C.data(), num_problems, n, n))
            .bind("b", cubome::per_problem(b.data(), num_problems, n))
            .bind("P", cubome::shared(identity.data(), n, n))
            .bind("p", cubome::per_problem(p.data(), num_problems, n));
    }
    cubome::settings<float> settings() const { return fixed_settings(outer_steps, {0.01F, 0.01F, 0.5F}, 1e-8F); }
    start make_start(std::int64_t num_problems) const {
        start s;
        for (std::int64_t i = 0; i < num_problems; ++i) {
            generator random(~i);
            for (std::int64_t j = 0; j < outer_dim; ++j) s.outer.push_back(random.normal());
            for (std::int64_t j = 0; j < inner_dim; ++j) s.inner.push_back(random.normal());
        }
        return s;
    }
    double flops() const {
        const double n = static_cast<double>(inner_dim);
        return inner_steps * (2 * n * n + 3 * n) + 2 * n * n + 4 * n * n + 2 * n * n + 40 * n;
    }

private:
    /// Two reflections of a diagonal matrix: H = R D R, R = (I − 2uuᵀ)(I − 2wwᵀ), with the eigenvalues of D.
    void add_positive_definite(generator& random) {
        const auto n = static_cast<std::size_t>(inner_dim);
        std::vector<float> m(n * n, 0.0F), u(n), product(n);
        for (std::size_t i = 0; i < n; ++i)
            m[i * n + i] = std::pow(30.0F, -static_cast<float>(i) / static_cast<float>(n - 1));
        for (int reflection = 0; reflection < 2; ++reflection) {
            float norm = 0;
            for (float& x : u) {
                x = random.normal();
                norm += x * x;
            }
            for (float& x : u) x /= std::sqrt(norm);
            // M − 2u(Mu)ᵀ − 2(Mu)uᵀ + 4(uᵀMu)uuᵀ
            float form = 0;
            for (std::size_t i = 0; i < n; ++i) {
                product[i] = 0;
                for (std::size_t j = 0; j < n; ++j) product[i] += m[i * n + j] * u[j];
                form += u[i] * product[i];
            }
            for (std::size_t i = 0; i < n; ++i) {
                for (std::size_t j = 0; j < n; ++j)
                    m[i * n + j] += 4 * form * u[i] * u[j] - 2 * (u[i] * product[j] + product[i] * u[j]);
            }
        }
        H.insert(H.end(), m.begin(), m.end());
    }
};

/// Logistic regression with a log-penalty per feature, 256 + 256 samples of 32 features, own data.
struct logistic_workload {
    static constexpr std::int64_t outer_steps = 1000;
    static constexpr std::int64_t num_samples = 256, num_features = 32;
    std::int64_t outer_dim = num_features - 1, inner_dim = num_features;
    std::vector<float> train_x, train_y, validation_x, validation_y;

    std::int64_t bytes_per_problem() const { return 4 * 2 * num_samples * (num_features + 1); }

    void resize(std::int64_t num_problems) {
        for (auto* array : {&train_x, &train_y, &validation_x, &validation_y}) array->clear();
        for (std::int64_t k = 0; k < num_problems; ++k) {
            generator random(k);
            std::vector<float> truth;  // half of the features say nothing
            for (std::int64_t j = 0; j < num_features; ++j) truth.push_back(j % 2 == 0 ? 0.5F * random.normal() : 0.0F);
            add_samples(random, truth, train_x, train_y);
            add_samples(random, truth, validation_x, validation_y);
        }
    }
    cubome::problem<float> problem(std::int64_t n) const {
        cubome::linear_model_options options;
        options.regularizer = cubome::penalty::per_feature;
        return cubome::linear_model<float>(num_samples, num_samples, num_features, options)
            .bind("train_x", cubome::per_problem(train_x.data(), n, num_samples, num_features))
            .bind("train_y", cubome::per_problem(train_y.data(), n, num_samples))
            .bind("validation_x", cubome::per_problem(validation_x.data(), n, num_samples, num_features))
            .bind("validation_y", cubome::per_problem(validation_y.data(), n, num_samples));
    }
    cubome::settings<float> settings() const { return fixed_settings(outer_steps, {0.05F, 0.05F, 0.5F}, 1e-8F); }
    start make_start(std::int64_t num_problems) const {
        start s;
        s.outer.assign(static_cast<std::size_t>(num_problems * outer_dim), -3.0F);
        s.inner.assign(static_cast<std::size_t>(num_problems * inner_dim), 0.0F);
        return s;
    }
    double flops() const {
        const double n = num_samples, d = num_features;
        const double gradient = 4 * n * d + 45 * n + 4 * d;
        const double gap = 4 * n * d + 2 * 45 * n + 12 * d;
        return inner_steps * gradient + gap + (4 * n * d + 65 * n) + 44 * d;
    }

private:
    static void add_samples(generator& random, const std::vector<float>& truth, std::vector<float>& x,
                            std::vector<float>& y) {
        for (std::int64_t i = 0; i < num_samples; ++i) {
            float margin = random.normal();
            for (std::int64_t j = 0; j < num_features; ++j) {
                const float value = j == num_features - 1 ? 1.0F : random.normal();
                margin += value * truth[static_cast<std::size_t>(j)];
                x.push_back(value);
            }
            y.push_back(margin < 0 ? -1.0F : 1.0F);
        }
    }
};

}  // namespace bench
