// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "lane_blocks.hpp"

/// The gradients of every problem against differences of f and g, which are written here once more, as plain sums.
namespace lane_blocks {
namespace {

using group = cubome::serial_group<double>;
using vec = std::vector<double>;
using value = std::function<double(const vec& v, const vec& theta)>;

/// f and g of one block, whose arrays are in the order of visit_arrays.
struct two_levels {
    value f, g;
    value held_out = nullptr;  ///< where there is one
};

/// ∂h/∂x_i, of fourth order.
vec gradient_of(const std::function<double(const vec&)>& h, const vec& x) {
    vec result;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double step = 1e-3;
        const auto at = [&](double offset) {
            vec moved = x;
            moved[i] += offset;
            return h(moved);
        };
        result.push_back((8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step));
    }
    return result;
}

void expect_near(const vec& found, const vec& expected, const char* which) {
    SCOPED_TRACE(which);
    ASSERT_EQ(found.size(), expected.size());
    double largest = 0;
    for (const double x : expected) largest = std::max(largest, std::abs(x));
    for (std::size_t i = 0; i < found.size(); ++i)
        EXPECT_NEAR(found[i], expected[i], 1e-6 * std::max(std::abs(expected[i]), 1e-4 * largest) + 1e-13)
            << "component " << i;
}

template <class Family>
void check(const block<double>& b, const two_levels& values, generator& random) {
    using problem_type = typename problem_on<Family, group>::type;
    using vector = group::own<cubome::extent<cubome::dynamic>>;
    constexpr std::size_t workspace_bytes = 1 << 20;
    struct alignas(cubome::workspace_alignment) pieces {
        std::byte bytes[workspace_bytes] = {};
    };
    const auto workspace = std::make_unique<pieces>();
    cubome::arena memory(workspace.get());
    const group g;
    problem_type problem(memory, b.dims);
    std::size_t which = 0;
    problem.visit_arrays([&](const char*, auto& storage) {
        const vec& array = b.arrays[which++];
        if constexpr (requires { storage.is_given; }) storage.is_given = !array.empty();
        if (!array.empty()) fill(storage, [&](std::int64_t e) { return array[std::size_t(e)]; });
    });
    const auto make = [&](const vec& from) {
        vector to(memory, cubome::extent<cubome::dynamic>(std::int64_t(from.size())));
        fill(to, [&](std::int64_t e) { return from[std::size_t(e)]; });
        return to;
    };
    const auto take = [](const vector& from) {
        vec to;
        for (index i = 0; i < from.rows(); ++i) to.push_back(from[i]);
        return to;
    };

    vec theta_t = b.inner;
    for (double& x : theta_t) x += random.uniform(-0.5, 0.5);
    const vector v = make(b.outer), theta = make(b.inner), descended = make(theta_t);
    vector of_v = make(vec(b.outer.size(), NAN)), of_theta = make(vec(b.inner.size(), NAN));
    ASSERT_LE(memory.used(), workspace_bytes);

    problem.prepare(g, v);
    problem.inner_gradient(g, v, theta, of_theta);
    expect_near(take(of_theta), gradient_of([&](const vec& x) { return values.g(b.outer, x); }, b.inner), "inner");

    const auto q = problem.gap_gradient(g, v, theta, descended, of_v);
    const auto gap = [&](const vec& x) { return values.g(x, b.inner) - values.g(x, theta_t); };
    expect_near(take(of_v), gradient_of(gap, b.outer), "gap");
    EXPECT_NEAR(q.gap, gap(b.outer), 1e-13 * q.magnitude);
    EXPECT_GE(q.magnitude, std::abs(q.gap));

    const double f = problem.outer_gradient(g, v, theta, of_v, of_theta);
    EXPECT_NEAR(f, values.f(b.outer, b.inner), 1e-12 * std::max(1.0, std::abs(f)));
    expect_near(take(of_v), gradient_of([&](const vec& x) { return values.f(x, b.inner); }, b.outer), "outer, v");
    expect_near(take(of_theta), gradient_of([&](const vec& x) { return values.f(b.outer, x); }, b.inner),
                "outer, theta");

    if constexpr (requires { problem.held_out(g, v, theta); }) {
        if (!values.held_out) return;
        const double found = problem.held_out(g, v, theta), expected = values.held_out(b.outer, b.inner);
        EXPECT_NEAR(found, expected, 1e-12 * std::max(1.0, std::abs(expected)));
    }
}

constexpr int tries = 20;
constexpr auto plain = cubome::solve_text::plain;

class Gradients : public testing::TestWithParam<std::uint64_t> {
protected:
    generator random{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Seeds, Gradients, testing::Values(1, 2));

TEST_P(Gradients, OfTheCoresetAreThoseOfItsValues) {
    using family = cubome::problems::coreset_family;
    for (int t = 0; t < tries; ++t) {
        const auto b = make_block<family, double>(random_dims<family>(1, 9, random), plain, 0.5, random);
        const std::size_t points = b.outer.size(), dim = b.inner.size();
        const vec &X = b.arrays[0], &target = b.arrays[1];
        const double c = b.arrays[2].empty() ? 0.1 : b.arrays[2][0];
        const value f = [&](const vec&, const vec& theta) {
            double sum = 0;
            for (std::size_t j = 0; j < dim; ++j) sum += (theta[j] - target[j]) * (theta[j] - target[j]);
            return c * sum;
        };
        const value g = [&](const vec& v, const vec& theta) {
            double total = 0, sum = 0;
            for (std::size_t i = 0; i < points; ++i) total += std::exp(v[i]);
            for (std::size_t j = 0; j < dim; ++j) {
                double mean = 0;
                for (std::size_t i = 0; i < points; ++i) mean += X[i * dim + j] * std::exp(v[i]) / total;
                sum += (theta[j] - mean) * (theta[j] - mean);
            }
            return sum;
        };
        check<family>(b, {f, g}, random);
    }
}

TEST_P(Gradients, OfTheMinimaxAreThoseOfItsValues) {
    using family = cubome::problems::minimax_family;
    for (int t = 0; t < tries; ++t) {
        const auto b = make_block<family, double>({}, plain, 1, random);
        check<family>(b,
                      {[](const vec& v, const vec& theta) { return v[0] * theta[0]; },
                       [](const vec& v, const vec& theta) { return -v[0] * theta[0]; }},
                      random);
    }
}

TEST_P(Gradients, OfTheDegenerateProblemAreThoseOfItsValues) {
    using family = cubome::problems::degenerate_family;
    for (int t = 0; t < tries; ++t) {
        const auto b = make_block<family, double>({}, plain, 1, random);
        const value f = [](const vec& v, const vec& theta) {
            return 0.5 * (v[0] - theta[1]) * (v[0] - theta[1]) + 0.5 * (theta[0] - 1) * (theta[0] - 1);
        };
        const value g = [](const vec& v, const vec& theta) { return 0.5 * theta[0] * theta[0] - v[0] * theta[0]; };
        check<family>(b, {f, g}, random);
    }
}

/// xᵀMy; 0 where M is not given.
double form(const vec& matrix, const vec& x, const vec& y) {
    double sum = 0;
    for (std::size_t i = 0; !matrix.empty() && i < x.size(); ++i)
        for (std::size_t j = 0; j < y.size(); ++j) sum += x[i] * matrix[i * y.size() + j] * y[j];
    return sum;
}

TEST_P(Gradients, OfTheQuadraticAreThoseOfItsValues) {
    using family = cubome::problems::quadratic_family;
    for (int t = 0; t < 2 * tries; ++t) {
        const double given = t == 0 ? 0 : t == 1 ? 1 : 0.6;
        const auto b = make_block<family, double>(random_dims<family>(1, 9, random), plain, given, random);
        enum { H, C, linear, P, S, K, p, s };
        const auto& a = b.arrays;
        const vec one{1};
        const value f = [&](const vec& v, const vec& theta) {
            return 0.5 * form(a[P], theta, theta) + 0.5 * form(a[S], v, v) + form(a[K], v, theta) +
                   form(a[p], one, theta) + form(a[s], one, v);
        };
        const value g = [&](const vec& v, const vec& theta) {
            return 0.5 * form(a[H], theta, theta) + form(a[C], v, theta) + form(a[linear], one, theta);
        };
        check<family>(b, {f, g}, random);
    }
}

/// (1/n) Σ w_i log(1 + exp(−y_i x_iᵀθ))
double loss(const vec& x, const vec& y, const vec& theta, const std::function<double(std::size_t)>& weight) {
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        double margin = 0;
        for (std::size_t j = 0; j < theta.size(); ++j) margin += x[i * theta.size() + j] * theta[j];
        sum += weight(i) * std::log(1 + std::exp(-y[i] * margin));
    }
    return sum / static_cast<double>(y.size());
}

TEST_P(Gradients, OfEveryLinearModelAreThoseOfItsValues) {
    using family = cubome::problems::linear_model_family;
    for (const linear_kind kind : linear_kinds) {
        SCOPED_TRACE("weights " + std::to_string(kind.weights) + ", penalty " + std::to_string(kind.penalty));
        for (int t = 0; t < tries; ++t) {
            auto b = make_block<family, double>(random_linear_dims(kind, 2, 9, random), plain, 0.5, random);
            enum { train_x, train_y, validation_x, validation_y, fixed, member, kappa, center, held_out_x, held_out_y };
            const auto& a = b.arrays;
            const std::size_t samples = a[train_y].size(), penalised = b.inner.size() - 1;
            const std::size_t first_penalty = kind.weights == 0 ? 0 : samples;
            if (kind.weights == 2) {  // some beyond both ends of [0, 1], none near its kinks
                for (std::size_t i = 0; i < samples; ++i) {
                    double& v = b.outer[i] = random.uniform(-0.5, 1.5);
                    if (std::abs(v) < 0.01 || std::abs(v - 1) < 0.01) v = 0.5;
                }
            }
            const double scale = b.dims[6] != 0 ? 1 / static_cast<double>(penalised) : 1;
            const value f = [&](const vec& v, const vec& theta) {
                double squares = 0;
                for (std::size_t i = 0; !a[kappa].empty() && i < v.size(); ++i) {
                    const double offset = v[i] - (a[center].empty() ? 0 : a[center][i]);
                    squares += a[kappa][0] * offset * offset;
                }
                return 0.5 * squares + loss(a[validation_x], a[validation_y], theta, [](std::size_t) { return 1; });
            };
            const value held_out = [&](const vec&, const vec& theta) {
                return loss(a[held_out_x], a[held_out_y], theta, [](std::size_t) { return 1; });
            };
            const value g = [&](const vec& v, const vec& theta) {
                double sum = loss(a[train_x], a[train_y], theta, [&](std::size_t i) {
                    return kind.weights == 0   ? 1
                           : kind.weights == 1 ? 1 / (1 + std::exp(-v[i]))
                                               : std::clamp(v[i], 0.0, 1.0);
                });
                for (std::size_t j = 0; j < penalised; ++j) {
                    double rho = 0;
                    if (kind.penalty == 0) {
                        if (!a[fixed].empty()) rho = a[fixed][j];
                    } else if (kind.penalty == 1) {
                        rho = std::exp(v[first_penalty + j]);
                    } else if (a[member][j] < static_cast<double>(b.dims[5])) {
                        rho = std::exp(v[first_penalty + static_cast<std::size_t>(a[member][j])]);
                    }
                    sum += 0.5 * scale * rho * theta[j] * theta[j];
                }
                return sum;
            };
            check<family>(b, {f, g, b.dims[7] > 0 ? held_out : nullptr}, random);
        }
    }
}

}  // namespace
}  // namespace lane_blocks
