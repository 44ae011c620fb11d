// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cubome/softmax_oracle.hpp"
#include "oracle/oracle.hpp"

/// Softmax regression on random data, and a float64 reference that is written from the formulas and shares no code with
/// the library.
namespace softmax_subjects {

using cubome::oracle_call;
using cubome::penalty;
using cubome::sample_weights;
using cubome::softmax_options;
using cubome::softmax_oracle;
using cubome::softmax_samples;
using storage = cubome::softmax_samples::storage;
using oracle::vec;
using floats = std::vector<float>;

inline std::size_t size(std::int64_t n) {
    return static_cast<std::size_t>(n);
}

/// Samples in every storage.
struct data_set {
    data_set(std::mt19937& random, std::int64_t num_samples, std::int64_t num_features, std::int64_t num_classes)
        : n(num_samples), d(num_features), pixels(size(n * d)), x(size(n * d)), labels(size(n)), starts{0} {
        std::uniform_int_distribution<int> any(0, 255);
        for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(any(random) < 120 ? any(random) : 0);
        for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random() % size(num_classes));
        for (std::size_t k = 0; k < x.size(); ++k) x[k] = (static_cast<float>(pixels[k]) - shift) * scale;
        for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t j = d - 1; j >= 0; --j) {
                if (x[size(i * d + j)] == 0) continue;
                columns.push_back(static_cast<std::int32_t>(j));
                values.push_back(x[size(i * d + j)]);
            }
            starts.push_back(static_cast<std::int64_t>(values.size()));
        }
    }

    softmax_samples in(storage kind) const {
        switch (kind) {
            case storage::dense:
                return cubome::dense_samples(x.data(), labels.data(), n, d);
            case storage::bytes:
                return cubome::byte_samples(pixels.data(), labels.data(), n, d, shift, scale);
            default:
                return cubome::sparse_samples(starts.data(), columns.data(), values.data(), labels.data(), n, d);
        }
    }

    // Sparse samples want zeros: no shift here.
    static constexpr float shift = 0, scale = 1.0F / 100;
    std::int64_t n, d;
    std::vector<std::uint8_t> pixels;
    floats x;
    std::vector<std::int32_t> labels;
    std::vector<std::int64_t> starts;
    std::vector<std::int32_t> columns;
    floats values;
};

/// The reference: sums over samples, then over features, as the header's formulas have them.
struct reference final : oracle::problem {
    reference(const data_set& training, const data_set& validating, const softmax_options& settings, double rho)
        : train(training), validation(validating), options(settings), fixed_rho(rho) {}

    std::size_t features() const { return size(train.d); }
    std::size_t classes() const { return size(options.num_classes); }
    std::size_t num_weights() const { return options.weights == sample_weights::none ? 0 : size(train.n); }

    vec probabilities(const data_set& data, std::size_t i, const vec& theta, double& loss) const {
        const std::size_t d = features();
        vec z(classes());
        for (std::size_t c = 0; c < z.size(); ++c) {
            z[c] = theta[c * (d + 1) + d];
            for (std::size_t j = 0; j < d; ++j) z[c] += static_cast<double>(data.x[i * d + j]) * theta[c * (d + 1) + j];
        }
        const double of_label = z[size(data.labels[i])];
        const double largest = *std::max_element(z.begin(), z.end());
        double sum = 0;
        for (double& value : z) sum += value = std::exp(value - largest);
        for (double& value : z) value /= sum;
        loss = std::log(sum) + largest - of_label;
        return z;
    }
    double weight(const vec& v, std::size_t i) const {
        if (options.weights == sample_weights::none) return 1;
        if (options.weights == sample_weights::sigmoid) return 1 / (1 + std::exp(-v[i]));
        return std::min(std::max(v[i], 0.0), 1.0);
    }
    double weight_slope(const vec& v, std::size_t i) const {
        const double w = weight(v, i);
        if (options.weights == sample_weights::sigmoid) return w * (1 - w);
        return v[i] >= 0 && v[i] <= 1 ? 1 : 0;
    }
    double rho(const vec& v, std::size_t j) const {
        const double scale = options.is_penalty_averaged ? 1.0 / static_cast<double>(classes() * features()) : 1;
        return scale * (options.regularizer == penalty::fixed ? fixed_rho : std::exp(v[num_weights() + j]));
    }

    double mean_loss(const data_set& data, const vec& theta) const {
        double sum = 0, loss = 0;
        for (std::size_t i = 0; i < size(data.n); ++i) {
            probabilities(data, i, theta, loss);
            sum += loss;
        }
        return sum / static_cast<double>(data.n);
    }
    template <class Weight>
    vec gradient(const data_set& data, const vec& theta, Weight&& weight_of) const {
        const std::size_t d = features();
        vec result(theta.size(), 0);
        for (std::size_t i = 0; i < size(data.n); ++i) {
            double loss = 0;
            vec residual = probabilities(data, i, theta, loss);
            residual[size(data.labels[i])] -= 1;
            for (std::size_t c = 0; c < classes(); ++c) {
                const double r = residual[c] * weight_of(i) / static_cast<double>(data.n);
                for (std::size_t j = 0; j < d; ++j)
                    result[c * (d + 1) + j] += r * static_cast<double>(data.x[i * d + j]);
                result[c * (d + 1) + d] += r;
            }
        }
        return result;
    }

    double f(const vec&, const vec& theta) const override { return mean_loss(validation, theta); }
    vec f_outer(const vec& v, const vec&) const override { return vec(v.size(), 0); }
    vec f_inner(const vec&, const vec& theta) const override {
        return gradient(validation, theta, [](std::size_t) { return 1; });
    }
    vec g_terms(const vec& v, const vec& theta) const override {
        vec result;
        double loss = 0;
        for (std::size_t i = 0; i < size(train.n); ++i) {
            probabilities(train, i, theta, loss);
            result.push_back(weight(v, i) * loss / static_cast<double>(train.n));
        }
        for (std::size_t c = 0; c < classes(); ++c)
            for (std::size_t j = 0; j < features(); ++j)
                result.push_back(0.5 * rho(v, j) * std::pow(theta[c * (features() + 1) + j], 2));
        return result;
    }
    vec g_outer(const vec& v, const vec& theta) const override {
        vec result(v.size(), 0);
        double loss = 0;
        for (std::size_t i = 0; i < num_weights(); ++i) {
            probabilities(train, i, theta, loss);
            result[i] = weight_slope(v, i) * loss / static_cast<double>(train.n);
        }
        if (options.regularizer == penalty::fixed) return result;
        for (std::size_t c = 0; c < classes(); ++c)
            for (std::size_t j = 0; j < features(); ++j)
                result[num_weights() + j] += 0.5 * rho(v, j) * std::pow(theta[c * (features() + 1) + j], 2);
        return result;
    }
    vec g_inner(const vec& v, const vec& theta) const override {
        vec result = gradient(train, theta, [&](std::size_t i) { return weight(v, i); });
        for (std::size_t c = 0; c < classes(); ++c)
            for (std::size_t j = 0; j < features(); ++j)
                result[c * (features() + 1) + j] += rho(v, j) * theta[c * (features() + 1) + j];
        return result;
    }

    const data_set &train, &validation;
    softmax_options options;
    double fixed_rho;
};

/// What an oracle is asked at, and what it answers.
struct batch {
    batch(const softmax_oracle& of, std::int64_t num_problems)
        : n(num_problems),
          n_v(of.outer_dim()),
          n_theta(of.inner_dim()),
          v(size(n * n_v)),
          theta(size(n * n_theta)),
          descent(size(n * n_theta)),
          inner_gradient(size(n * n_theta), unset),
          value(size(n), unset),
          of_outer(size(n * n_v), unset),
          of_inner(size(n * n_theta), unset),
          gap(size(n), unset),
          magnitude(size(n), unset),
          gap_gradient(size(n * n_v), unset),
          held_out(size(of.has_held_out() ? n : 0), unset) {}

    void draw(std::mt19937& random) {
        std::normal_distribution<float> normal;
        for (float& x : v) x = 0.5F + normal(random);
        for (float& x : theta) x = 0.3F * normal(random);
        for (std::size_t i = 0; i < theta.size(); ++i) descent[i] = theta[i] + 0.1F * normal(random);
    }

    /// All functions, in the order of an iteration.
    void ask(softmax_oracle& of, int num_threads = 1) {
        oracle_call call;
        call.num_problems = n;
        call.num_threads = num_threads;
        of.reserve(n);
        of.prepare(call, v.data());
        of.outer_gradient(call, v.data(), theta.data(), value.data(), of_outer.data(), of_inner.data());
        call.descent_step = 0;
        of.inner_gradient(call, v.data(), theta.data(), inner_gradient.data());
        call.descent_step = -1;
        of.gap_gradient(call, v.data(), theta.data(), descent.data(), gap.data(), magnitude.data(),
                        gap_gradient.data());
        if (of.has_held_out()) of.held_out(call, v.data(), theta.data(), held_out.data());
    }

    std::vector<std::pair<const char*, floats batch::*>> outputs() const {
        return {{"inner_gradient", &batch::inner_gradient},
                {"value", &batch::value},
                {"of_outer", &batch::of_outer},
                {"of_inner", &batch::of_inner},
                {"gap", &batch::gap},
                {"magnitude", &batch::magnitude},
                {"gap_gradient", &batch::gap_gradient},
                {"held_out", &batch::held_out}};
    }

    vec row(const floats& array, std::int64_t p) const {
        const auto dim = static_cast<std::ptrdiff_t>(array.size()) / n;
        return {array.begin() + p * dim, array.begin() + (p + 1) * dim};
    }

    static constexpr float unset = -12345;
    std::int64_t n, n_v, n_theta;
    floats v, theta, descent;
    floats inner_gradient, value, of_outer, of_inner, gap, magnitude, gap_gradient, held_out;
};

/// Problem p of `of` alone, or several from there on.
inline batch part(const softmax_oracle& by, const batch& of, std::int64_t first, std::int64_t num) {
    batch result(by, num);
    const auto copy = [&](floats& to, const floats& from, std::int64_t dim) {
        std::copy_n(from.begin() + first * dim, num * dim, to.begin());
    };
    copy(result.v, of.v, of.n_v);
    copy(result.theta, of.theta, of.n_theta);
    copy(result.descent, of.descent, of.n_theta);
    return result;
}

/// The outputs of problems of `of`, from `at` on, that have not the bits of those of `expected`, from `first` on.
inline std::string different(const batch& of, std::int64_t at, const batch& expected, std::int64_t first,
                             std::int64_t num) {
    std::string names;
    for (const auto& [name, member] : of.outputs()) {
        const floats &a = of.*member, &b = expected.*member;
        const auto dim = static_cast<std::int64_t>(a.size()) / of.n;
        for (std::int64_t k = 0; k < num * dim; ++k) {
            const float x = a[size(at * dim + k)], y = b[size(first * dim + k)];
            if (std::memcmp(&x, &y, sizeof x) == 0 || (x != x && y != y)) continue;
            names += std::string(" ") + name;
            break;
        }
    }
    return names;
}

inline void expect_close(const vec& found, const vec& expected, double tolerance, const char* name) {
    ASSERT_EQ(found.size(), expected.size());
    double largest = 0;
    for (const double x : expected) largest = std::max(largest, std::abs(x));
    for (std::size_t i = 0; i < found.size(); ++i)
        ASSERT_NEAR(found[i], expected[i], tolerance * largest + 1e-9) << name << " " << i;
}

/// Every output of every problem within a share of its largest element; gaps of their magnitude.
inline void expect_close_batches(const batch& found, const batch& expected, double tolerance) {
    for (const auto& [name, member] : found.outputs()) {
        if ((found.*member).empty()) continue;
        for (std::int64_t p = 0; p < found.n; ++p) {
            SCOPED_TRACE(testing::Message() << name << " of problem " << p);
            const vec a = found.row(found.*member, p), b = expected.row(expected.*member, p);
            double size = member == &batch::gap ? static_cast<double>(expected.magnitude[p]) : 0;
            for (const double x : b) size = std::max(size, std::abs(x));
            for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance * size + 1e-9) << i;
        }
    }
}

struct kind_of_problem {
    sample_weights weights;
    penalty regularizer;
    bool is_penalty_averaged;
    float fixed_rho;
};

inline constexpr kind_of_problem kinds[] = {
    {sample_weights::clip, penalty::fixed, false, 0.0F},
    {sample_weights::clip, penalty::fixed, false, 0.02F},
    {sample_weights::sigmoid, penalty::fixed, true, 2.0F},
    {sample_weights::none, penalty::per_feature, true, 0.0F},
    {sample_weights::none, penalty::per_feature, false, 0.0F},
    {sample_weights::sigmoid, penalty::per_feature, true, 0.0F},
};

inline softmax_options options_of(const kind_of_problem& kind, std::int64_t num_classes) {
    softmax_options result;
    result.num_classes = num_classes;
    result.weights = kind.weights;
    result.regularizer = kind.regularizer;
    result.is_penalty_averaged = kind.is_penalty_averaged;
    result.fixed_rho = kind.fixed_rho;
    return result;
}

}  // namespace softmax_subjects
