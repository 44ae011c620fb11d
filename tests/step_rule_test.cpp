// SPDX-License-Identifier: Apache-2.0

// step_rule::automatic with one setting, the default, on problems of every scale; what it measures; and how it recovers
// where what it measured was too little.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cubome/cubome.hpp"
#include "examples/pictures/quadratics.hpp"

namespace {

using quadratics::generator;
using quadratics::random_quadratics;
using quadratics::solve_linear;
using quadratics::vec;

using cubome::outcome;
using cubome::per_problem;
using cubome::shared;

cubome::execution on_cpu() {
    cubome::execution result;
    result.where = cubome::backend::cpu;
    return result;
}

/// Shares of a batch by how far it is from the optimum: (F(v) − F*) / (F(v₀) − F*), F(v) = f(v, θ*(v)).
struct shares {
    double within_10_percent = 0, within_1_percent = 0;
    int num_diverged = 0;

    void add(double suboptimality, double of) {
        within_10_percent += suboptimality <= 0.1 ? 1 / of : 0;
        within_1_percent += suboptimality <= 0.01 ? 1 / of : 0;
        num_diverged += !(suboptimality <= 10);
    }
};

// --- random quadratics

/// The default setting, on all problems of a batch.
template <class Real>
shares solve(const random_quadratics& problems, std::int64_t inner_steps, cubome::barrier_form barrier) {
    const random_quadratics::batch<Real> batch(problems);
    constexpr std::size_t n = random_quadratics::n;
    const auto count = static_cast<std::size_t>(problems.size());
    cubome::settings<Real> settings;
    settings.inner_steps = inner_steps;
    settings.barrier = barrier;
    std::vector<Real> v(count * n, 0), theta(count * n, 0);
    cubome::state<Real> state;
    state.outer = per_problem(v.data(), problems.size(), n);
    state.inner = per_problem(theta.data(), problems.size(), n);
    cubome::solve(batch.problem(), settings, state, {}, on_cpu());
    shares result;
    for (std::size_t k = 0; k < count; ++k) {
        const auto first = v.begin() + static_cast<std::ptrdiff_t>(k * n);
        result.add(problems.suboptimality(k, vec(first, first + n)), static_cast<double>(count));
    }
    return result;
}

template <class Real>
class step_rule_test : public testing::Test {};

struct precision_names {
    template <class Real>
    static std::string GetName(int) {
        return std::is_same<Real, float>::value ? "float" : "double";
    }
};

using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(step_rule_test, precisions, precision_names);

TYPED_TEST(step_rule_test, one_setting_solves_quadratics_of_every_scale) {
    for (const bool is_scaled : {false, true}) {
        SCOPED_TRACE(is_scaled ? "f and g scaled by 10^±2" : "not scaled");
        const random_quadratics problems(500, is_scaled ? 100 : 1, 1);
        const shares ten = solve<TypeParam>(problems, 10, cubome::barrier_form::gradient_norm);
        EXPECT_GE(ten.within_10_percent, 0.99);
        EXPECT_GE(ten.within_1_percent, 0.95);
        EXPECT_EQ(ten.num_diverged, 0);
        const shares one = solve<TypeParam>(problems, 1, cubome::barrier_form::gradient_norm);
        EXPECT_GE(one.within_10_percent, 0.92);
        EXPECT_GE(one.within_1_percent, 0.60);
        EXPECT_EQ(one.num_diverged, 0);
        const shares value_gap = solve<TypeParam>(problems, 10, cubome::barrier_form::value_gap);
        EXPECT_GE(value_gap.within_10_percent, 0.97);
        EXPECT_GE(value_gap.within_1_percent, 0.83);
        EXPECT_EQ(value_gap.num_diverged, 0);
    }
}

// --- random coresets

/// The smallest c ‖Xᵀσ − x₀‖² over the simplex, by exact steps along its edges, until none moves.
double best_coreset(const vec& points, const vec& target, std::size_t num_points, std::size_t dim) {
    vec share(num_points, 1 / static_cast<double>(num_points));
    const auto mean = [&](std::size_t j) {
        double sum = 0;
        for (std::size_t i = 0; i < num_points; ++i) sum += share[i] * points[i * dim + j];
        return sum;
    };
    for (bool is_moving = true; is_moving;) {
        is_moving = false;
        for (std::size_t a = 0; a < num_points; ++a) {
            for (std::size_t b = a + 1; b < num_points; ++b) {
                double slope = 0, curvature = 0;
                for (std::size_t j = 0; j < dim; ++j) {
                    const double direction = points[a * dim + j] - points[b * dim + j];
                    slope += (mean(j) - target[j]) * direction;
                    curvature += direction * direction;
                }
                const double step = std::clamp(-slope / curvature, -share[a], share[b]);
                share[a] += step, share[b] -= step;
                is_moving = is_moving || std::abs(step) > 1e-10;
            }
        }
    }
    double sum = 0;
    for (std::size_t j = 0; j < dim; ++j) sum += (mean(j) - target[j]) * (mean(j) - target[j]);
    return 0.1 * sum;
}

TYPED_TEST(step_rule_test, one_setting_solves_coresets_of_every_scale) {
    constexpr std::size_t count = 400, num_points = 4, dim = 2;
    for (const double unit : {0.1, 1.0, 10.0}) {
        SCOPED_TRACE(unit);
        generator random(2);
        std::vector<TypeParam> points, target;
        for (std::size_t i = 0; i < count * num_points * dim; ++i)
            points.push_back(static_cast<TypeParam>(unit * 3 * random.normal()));
        for (std::size_t i = 0; i < count * dim; ++i)
            target.push_back(static_cast<TypeParam>(unit * random.uniform(-4, 4)));
        auto problem = cubome::coreset<TypeParam>(num_points, dim);
        problem.bind("points", per_problem(points.data(), count, num_points, dim));
        problem.bind("target", per_problem(target.data(), count, dim));
        std::vector<TypeParam> v(count * num_points, 0), theta(count * dim, 0);
        cubome::state<TypeParam> state;
        state.outer = per_problem(v.data(), count, num_points);
        state.inner = per_problem(theta.data(), count, dim);
        cubome::solve(problem, {}, state, {}, on_cpu());

        shares result;
        for (std::size_t k = 0; k < count; ++k) {
            const auto of = [](const std::vector<TypeParam>& all, std::size_t first, std::size_t size) {
                return vec(all.begin() + static_cast<std::ptrdiff_t>(first),
                           all.begin() + static_cast<std::ptrdiff_t>(first + size));
            };
            const vec x = of(points, k * num_points * dim, num_points * dim), to = of(target, k * dim, dim);
            const auto value = [&](const vec& outer) {
                double total = 0, sum = 0;
                const double largest = *std::max_element(outer.begin(), outer.end());
                for (const double o : outer) total += std::exp(o - largest);
                for (std::size_t j = 0; j < dim; ++j) {
                    double mean = 0;
                    for (std::size_t i = 0; i < num_points; ++i)
                        mean += x[i * dim + j] * std::exp(outer[i] - largest) / total;
                    sum += (mean - to[j]) * (mean - to[j]);
                }
                return 0.1 * sum;
            };
            const double least = best_coreset(x, to, num_points, dim), first = value(vec(num_points, 0));
            result.add((value(of(v, k * num_points, num_points)) - least) / (first - least), count);
        }
        EXPECT_GE(result.within_1_percent, 0.98);
        EXPECT_EQ(result.num_diverged, 0);
    }
}

// --- log-penalties

constexpr std::size_t num_samples = 64, num_features = 33;

/// ½ mean-loss terms aside: the value of (1/n) Σ log(1 + exp(−y_i x_iᵀθ)).
double mean_loss(const vec& x, const vec& y, const vec& theta) {
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        double margin = 0;
        for (std::size_t j = 0; j < theta.size(); ++j) margin += x[i * theta.size() + j] * theta[j];
        margin *= y[i];
        sum += margin > 0 ? std::log1p(std::exp(-margin)) : std::log1p(std::exp(margin)) - margin;
    }
    return sum / static_cast<double>(y.size());
}

/// Newton's method on mean_loss + ½ Σ_j ρ_j θ_j²; the last feature is the bias.
vec train(const vec& x, const vec& y, const vec& rho) {
    const std::size_t d = num_features;
    vec theta(d, 0);
    for (int round = 0; round < 50; ++round) {
        vec gradient(d, 0), hessian(d * d, 0);
        for (std::size_t i = 0; i < y.size(); ++i) {
            double margin = 0;
            for (std::size_t j = 0; j < d; ++j) margin += x[i * d + j] * theta[j];
            const double p = 1 / (1 + std::exp(y[i] * margin)), n = static_cast<double>(y.size());
            for (std::size_t j = 0; j < d; ++j) {
                gradient[j] -= p * y[i] * x[i * d + j] / n;
                for (std::size_t l = 0; l < d; ++l) hessian[j * d + l] += p * (1 - p) * x[i * d + j] * x[i * d + l] / n;
            }
        }
        for (std::size_t j = 0; j < d; ++j) {
            const double r = j + 1 < d ? rho[j] : 1e-9;
            gradient[j] += r * theta[j];
            hessian[j * d + j] += r;
        }
        const vec step = solve_linear(hessian, gradient);
        double square = 0, decrement = 0;
        for (std::size_t j = 0; j < d; ++j) square += step[j] * step[j], decrement += step[j] * gradient[j];
        const double damping = 1 / (1 + std::sqrt(std::max(0.0, decrement)));
        for (std::size_t j = 0; j < d; ++j) theta[j] -= (decrement > 0.1 ? damping : 1) * step[j];
        if (square < 1e-20) break;
    }
    return theta;
}

TYPED_TEST(step_rule_test, one_setting_learns_better_penalties_than_the_best_single_one) {
    constexpr std::size_t count = 60;
    for (const double unit : {0.1, 1.0, 10.0}) {
        SCOPED_TRACE(unit);
        generator random(3);
        std::vector<TypeParam> x[2], y[2];
        for (std::size_t k = 0; k < count; ++k) {
            vec truth(num_features, 0);  // a few features matter
            for (std::size_t j = 0; j < 6; ++j) truth[j] = 1.5 * random.normal();
            for (int set = 0; set < 2; ++set) {
                for (std::size_t i = 0; i < num_samples; ++i) {
                    double margin = 0.5 * random.normal();
                    for (std::size_t j = 0; j < num_features; ++j) {
                        const double value = j + 1 < num_features ? random.normal() : 1;
                        margin += value * truth[j];
                        x[set].push_back(static_cast<TypeParam>(j + 1 < num_features ? unit * value : 1));
                    }
                    y[set].push_back(margin < 0 ? TypeParam(-1) : TypeParam(1));
                }
            }
        }
        cubome::linear_model_options options;
        options.regularizer = cubome::penalty::per_feature;
        auto problem = cubome::linear_model<TypeParam>(num_samples, num_samples, num_features, options);
        problem.bind("train_x", per_problem(x[0].data(), count, num_samples, num_features));
        problem.bind("train_y", per_problem(y[0].data(), count, num_samples));
        problem.bind("validation_x", per_problem(x[1].data(), count, num_samples, num_features));
        problem.bind("validation_y", per_problem(y[1].data(), count, num_samples));
        std::vector<TypeParam> v(count * (num_features - 1), TypeParam(std::log(0.1 * unit * unit)));
        std::vector<TypeParam> theta(count * num_features, 0);
        std::vector<outcome> outcomes(count);
        cubome::state<TypeParam> state;
        state.outer = per_problem(v.data(), count, num_features - 1);
        state.inner = per_problem(theta.data(), count, num_features);
        cubome::report<TypeParam> report;
        report.outcome = per_problem(outcomes.data(), count);
        cubome::solve(problem, {}, state, report, on_cpu());

        int num_better = 0;
        for (std::size_t k = 0; k < count; ++k) {
            EXPECT_EQ(outcomes[k], outcome::step_limit) << k;
            const auto of = [&](const std::vector<TypeParam>& all, std::size_t size) {
                return vec(all.begin() + static_cast<std::ptrdiff_t>(k * size),
                           all.begin() + static_cast<std::ptrdiff_t>((k + 1) * size));
            };
            const vec train_x = of(x[0], num_samples * num_features), train_y = of(y[0], num_samples);
            const vec valid_x = of(x[1], num_samples * num_features), valid_y = of(y[1], num_samples);
            const auto value = [&](const vec& rho) {
                return mean_loss(valid_x, valid_y, train(train_x, train_y, rho));
            };
            double single = std::numeric_limits<double>::infinity();
            for (double log_rho = -4; log_rho <= 1; log_rho += 0.25)
                single = std::min(single, value(vec(num_features - 1, unit * unit * std::pow(10, log_rho))));
            vec learnt = of(v, num_features - 1);
            for (double& rho : learnt) rho = std::exp(rho);
            num_better += value(learnt) < single;
        }
        EXPECT_GE(num_better, 58);
    }
}

// --- what it measures

/// g = ½ Σ h_i θ_i² − θ₀, f = ½ Σ p_i (θ_i − 1)², v without effect: curvatures as given.
template <class Real>
struct diagonal {
    std::vector<Real> H, P, C, b, p, v, theta, inner_curvature, outer_curvature;
    std::vector<outcome> outcomes;
    std::int64_t n, dim;
    cubome::settings<Real> settings;

    diagonal(const std::vector<Real>& h, const std::vector<Real>& of_f, std::int64_t count = 1)
        : n(count), dim(static_cast<std::int64_t>(h.size())) {
        const std::size_t d = h.size();
        for (std::int64_t k = 0; k < n; ++k) {
            for (std::size_t i = 0; i < d; ++i) {
                for (std::size_t j = 0; j < d; ++j) {
                    H.push_back(i == j ? h[i] : 0), P.push_back(i == j ? of_f[i] : 0), C.push_back(i == j ? h[i] : 0);
                }
                b.push_back(i == 0 ? -h[i] : 0), p.push_back(-of_f[i]);
            }
        }
        const auto size = static_cast<std::size_t>(n);
        v.assign(size * d, 0), theta.assign(size * d, 0);
        inner_curvature.assign(size, -1), outer_curvature.assign(size, -1), outcomes.resize(size);
    }

    cubome::report<Real> report() {
        cubome::report<Real> r;
        r.outcome = per_problem(outcomes.data(), n);
        r.inner_curvature = per_problem(inner_curvature.data(), n);
        r.outer_curvature = per_problem(outer_curvature.data(), n);
        return r;
    }
    /// @param state what it has besides v and θ
    void solve(const cubome::report<Real>& report, cubome::state<Real> state = {}) {
        auto problem = cubome::quadratic<Real>(dim, dim);
        problem.bind("H", per_problem(H.data(), n, dim, dim)).bind("P", per_problem(P.data(), n, dim, dim));
        problem.bind("C", per_problem(C.data(), n, dim, dim));
        problem.bind("b", per_problem(b.data(), n, dim)).bind("p", per_problem(p.data(), n, dim));
        state.outer = per_problem(v.data(), n, dim);
        state.inner = per_problem(theta.data(), n, dim);
        cubome::solve(problem, settings, state, report, on_cpu());
    }
};

TYPED_TEST(step_rule_test, reports_the_largest_curvatures_whatever_the_rule) {
    for (const auto rule : {cubome::step_rule::automatic, cubome::step_rule::fixed}) {
        for (const TypeParam scale : {TypeParam(1e-3), TypeParam(1), TypeParam(1e3)}) {
            diagonal<TypeParam> d({scale, scale * TypeParam(0.5), scale * TypeParam(0.1)}, {3, 2, 7});
            d.settings.steps = rule;
            d.settings.outer_steps = 3;
            if (rule == cubome::step_rule::fixed)
                d.settings.outer_step_size = d.settings.inner_step_size = d.settings.descent_step_size =
                    TypeParam(0.01) / scale;
            d.solve(d.report());
            EXPECT_NEAR(d.inner_curvature[0] / scale, 1, 0.02);
            EXPECT_NEAR(d.outer_curvature[0], 7, 0.1);
        }
    }
}

TYPED_TEST(step_rule_test, says_so_where_there_is_no_curvature) {
    for (const bool is_of_f : {false, true}) {
        // Beside problems that have some, in the same pack.
        constexpr std::int64_t n = 40;
        diagonal<TypeParam> with({2, 1}, {1, 1}, n), all({2, 1}, {1, 1}, n);
        for (std::size_t k = 0; k < n; k += 3)
            for (std::size_t e = 0; e < 4; ++e) (is_of_f ? with.P : with.H)[4 * k + e] = 0;
        std::vector<TypeParam> gap(n, 0), value(n, -1), refined(n, 0);
        auto report = with.report();
        report.inner_curvature = {}, report.outer_curvature = {};
        report.gap = per_problem(gap.data(), n);
        report.outer_value = per_problem(value.data(), n);
        report.refined_gap = per_problem(refined.data(), n);
        with.solve(report);
        all.solve({});
        for (std::size_t k = 0; k < n; ++k) {
            SCOPED_TRACE(k);
            const bool is_flat = k % 3 == 0;
            EXPECT_EQ(with.outcomes[k], is_flat ? outcome::no_curvature : outcome::step_limit);
            EXPECT_EQ(std::isnan(gap[k]), is_flat);
            EXPECT_EQ(std::isnan(refined[k]), is_flat);
            EXPECT_FALSE(std::isnan(value[k]));
            for (std::size_t i = 2 * k; i < 2 * k + 2; ++i) {
                EXPECT_EQ(with.v[i], is_flat ? TypeParam(0) : all.v[i]);
                EXPECT_EQ(with.theta[i], is_flat ? TypeParam(0) : all.theta[i]);
            }
        }
    }
}

TYPED_TEST(step_rule_test, finds_the_curvature_of_a_solution_far_away) {
    // g = ½θ² − 10⁶ v θ and f = ½(θ − 10⁶)²: next to θ = 0 rounding swallows what the gradients change by.
    diagonal<TypeParam> d({1}, {1});
    d.b = {TypeParam(-1e6)}, d.p = {TypeParam(-1e6)};
    d.settings.outer_steps = 200;
    d.solve(d.report());
    EXPECT_EQ(d.outcomes[0], outcome::step_limit);
    EXPECT_NEAR(d.inner_curvature[0], 1, 0.05);
    EXPECT_NEAR(d.outer_curvature[0], 1, 0.05);
    EXPECT_NEAR(d.theta[0] / TypeParam(1e6), 1, 0.01);
}

TYPED_TEST(step_rule_test, measures_where_a_solve_with_fixed_steps_is_continued) {
    // What fixed steps leave of the rule's memory is what it was: zeros.
    diagonal<TypeParam> d({2, 1}, {1, 1}), whole({2, 1}, {1, 1});
    std::int64_t iteration = 0;
    std::vector<TypeParam> memory(cubome::step_memory_size, 0), probes(4, 0), velocities(4, 0);
    cubome::state<TypeParam> more;
    more.iteration = per_problem(&iteration, 1);
    more.step_memory = per_problem(memory.data(), 1, cubome::step_memory_size);
    more.inner_probe = per_problem(probes.data(), 1, 2), more.outer_probe = per_problem(probes.data() + 2, 1, 2);
    more.outer_velocity = per_problem(velocities.data(), 1, 2);
    more.inner_velocity = per_problem(velocities.data() + 2, 1, 2);
    d.settings.steps = cubome::step_rule::fixed;
    d.settings.outer_step_size = d.settings.inner_step_size = d.settings.descent_step_size = TypeParam(0.1);
    d.settings.outer_steps = 7;
    d.solve(d.report(), more);
    EXPECT_EQ(iteration, 7);
    EXPECT_EQ(memory, std::vector<TypeParam>(cubome::step_memory_size, 0));
    d.settings = {};
    d.solve(d.report(), more);
    EXPECT_EQ(iteration, 1007);
    EXPECT_NEAR(memory[0], 2, 0.05);
    whole.solve({});
    EXPECT_NEAR(d.theta[0], whole.theta[0], 0.01);
}

// --- where it measured too little

TYPED_TEST(step_rule_test, doubles_a_curvature_that_the_descent_contradicts) {
    // One sample, far on the wrong side's flat: the loss is steep there and hardly bends, nearer to 0 it does.
    const TypeParam x[] = {8, 1}, label = 1, v_start = 0;
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::sigmoid;
    const TypeParam penalty = TypeParam(1e-3);
    auto problem = cubome::linear_model<TypeParam>(1, 1, 2, options);
    problem.bind("train_x", shared(x, 1, 2)).bind("train_y", shared(&label, 1)).bind("penalty", shared(&penalty, 1));
    problem.bind("validation_x", shared(x, 1, 2)).bind("validation_y", shared(&label, 1));
    TypeParam v = v_start, theta[] = {TypeParam(-0.9), 0}, memory[cubome::step_memory_size] = {}, probes[2][2] = {};
    TypeParam velocities[3] = {}, curvature = 0;
    std::int64_t iteration = 0;
    outcome how = outcome::not_run;
    cubome::state<TypeParam> state;
    state.outer = per_problem(&v, 1, 1), state.inner = per_problem(theta, 1, 2);
    state.iteration = per_problem(&iteration, 1);
    state.step_memory = per_problem(memory, 1, cubome::step_memory_size);
    state.inner_probe = per_problem(probes[0], 1, 2), state.outer_probe = per_problem(probes[1], 1, 2);
    state.outer_velocity = per_problem(velocities, 1, 1), state.inner_velocity = per_problem(velocities + 1, 1, 2);
    cubome::report<TypeParam> report;
    report.outcome = per_problem(&how, 1);
    report.inner_curvature = per_problem(&curvature, 1);
    cubome::settings<TypeParam> settings;
    settings.outer_steps = 0;
    cubome::solve(problem, settings, state, report, on_cpu());
    const TypeParam measured = curvature;
    int num_doubled = 0;
    for (int k = 0; k < 20; ++k) {
        const TypeParam before = k == 0 ? measured : memory[0], from[] = {theta[0], theta[1], v};
        settings.outer_steps = 1;
        cubome::solve(problem, settings, state, report, on_cpu());
        if (memory[0] == 2 * before) {
            ++num_doubled;
            EXPECT_EQ(theta[0], from[0]) << "an update in an iteration whose descent is rejected";
            EXPECT_EQ(theta[1], from[1]);
            EXPECT_EQ(v, from[2]);
        }
    }
    EXPECT_EQ(iteration, 20);
    EXPECT_GE(num_doubled, 1) << "measured " << measured << ", then " << curvature;
    EXPECT_EQ(how, outcome::step_limit);
    EXPECT_GT(theta[0], 0);
}

}  // namespace
