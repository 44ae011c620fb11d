// SPDX-License-Identifier: Apache-2.0
#include "perceptron.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "blas.hpp"
#include "fashion/random.hpp"

namespace own_gradients {
namespace {

/// Samples that go through the layers together: enough for a matrix product, few enough for the cache.
constexpr std::int64_t block_size = 500;

template <class Real>
void copy_to_rows(const Real* row, std::int64_t rows, std::int64_t columns, Real* matrix) {
    for (std::int64_t i = 0; i < rows; ++i) std::copy(row, row + columns, matrix + i * columns);
}

template <class Real>
void add_column_sums(const Real* matrix, std::int64_t rows, std::int64_t columns, Real* sums) {
    for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < columns; ++j) sums[j] += matrix[i * columns + j];
}

/// CE of one sample: z becomes the probabilities of the classes.
template <class Real>
Real softmax(Real* z, std::int64_t classes, std::uint8_t label) {
    const Real largest = *std::max_element(z, z + classes);
    const Real of_label = z[label] - largest;
    Real sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += z[c] = std::exp(z[c] - largest);
    for (std::int64_t c = 0; c < classes; ++c) z[c] /= sum;
    return std::log(sum) - of_label;
}

template <class Visit>
void for_each_block(std::int64_t count, Visit&& visit) {
    for (std::int64_t first = 0; first < count; first += block_size) visit(first, std::min(block_size, count - first));
}

}  // namespace

template <class Real>
void perceptron<Real>::start(std::uint64_t seed, Real* theta) {
    fashion::random_stream random(fashion::random_stream::key_of({seed}));
    const auto fill = [&](Real* first, std::int64_t count, std::int64_t inputs) {
        const double reach = 1 / std::sqrt(static_cast<double>(inputs));
        for (std::int64_t i = 0; i < count; ++i)
            first[i] = static_cast<Real>(reach * (static_cast<double>(random.next() >> 11) * 0x1p-52 - 1));
    };
    std::fill(theta, theta + num_weights, Real(0));
    const layers<Real> parts(theta);
    fill(parts.w1, num_hidden * num_pixels, num_pixels);
    fill(parts.w2, num_classes * num_hidden, num_hidden);
}

template <class Real>
void perceptron<Real>::forward(const Real* images, std::int64_t count, const Real* theta) {
    hidden_.resize(static_cast<std::size_t>(block_size * num_hidden));
    logits_.resize(static_cast<std::size_t>(block_size * num_classes));
    const layers<const Real> parts(theta);
    const matrix<const Real> x{images, count, num_pixels};
    const matrix<const Real> w1{parts.w1, num_hidden, num_pixels}, w2{parts.w2, num_classes, num_hidden};
    const matrix<Real> h{hidden_.data(), count, num_hidden}, z{logits_.data(), count, num_classes};

    copy_to_rows(parts.b1, count, num_hidden, h.data);
    multiply(x, w1.transposed(), 1, h);
    for (std::int64_t i = 0; i < count * num_hidden; ++i) h.data[i] = 1 / (1 + std::exp(-h.data[i]));
    copy_to_rows(parts.b2, count, num_classes, z.data);
    multiply({h.data, count, num_hidden}, w2.transposed(), 1, z);
}

template <class Real>
void perceptron<Real>::losses(const samples<Real>& of, const Real* theta, Real* loss) {
    for_each_block(of.count, [&](std::int64_t first, std::int64_t count) {
        forward(of.images + first * num_pixels, count, theta);
        for (std::int64_t i = 0; i < count; ++i)
            loss[first + i] = softmax(logits_.data() + i * num_classes, num_classes, of.labels[first + i]);
    });
}

template <class Real>
void perceptron<Real>::add_gradient(const samples<Real>& of, const Real* theta, const Real* weight, Real* loss,
                                    Real* gradient) {
    back_.resize(static_cast<std::size_t>(block_size * num_hidden));
    const layers<const Real> parts(theta);
    const layers<Real> into(gradient);
    for_each_block(of.count, [&](std::int64_t first, std::int64_t count) {
        const Real* const images = of.images + first * num_pixels;
        forward(images, count, theta);

        // ∂/∂Z: R = weight · (probability − [class is the label])
        for (std::int64_t i = 0; i < count; ++i) {
            Real* const z = logits_.data() + i * num_classes;
            loss[first + i] = softmax(z, num_classes, of.labels[first + i]);
            z[of.labels[first + i]] -= 1;
            for (std::int64_t c = 0; c < num_classes; ++c) z[c] *= weight[first + i];
        }
        const matrix<const Real> x{images, count, num_pixels}, h{hidden_.data(), count, num_hidden};
        const matrix<const Real> r{logits_.data(), count, num_classes}, w2{parts.w2, num_classes, num_hidden};

        // ∂/∂W₂ = Rᵀ H, ∂/∂b₂ = Rᵀ 1
        multiply(r.transposed(), h, 1, {into.w2, num_classes, num_hidden});
        add_column_sums(r.data, count, num_classes, into.b2);

        // through the sigmoids: B = R W₂ ∘ H ∘ (1 − H); ∂/∂W₁ = Bᵀ X, ∂/∂b₁ = Bᵀ 1
        const matrix<Real> b{back_.data(), count, num_hidden};
        multiply(r, w2, 0, b);
        for (std::int64_t i = 0; i < count * num_hidden; ++i) b.data[i] *= h.data[i] * (1 - h.data[i]);
        multiply(matrix<const Real>{b.data, count, num_hidden}.transposed(), x, 1, {into.w1, num_hidden, num_pixels});
        add_column_sums(b.data, count, num_hidden, into.b1);
    });
}

template <class Real>
double perceptron<Real>::accuracy(const samples<Real>& of, const Real* theta) {
    std::int64_t hits = 0;
    for_each_block(of.count, [&](std::int64_t first, std::int64_t count) {
        forward(of.images + first * num_pixels, count, theta);
        for (std::int64_t i = 0; i < count; ++i) {
            const Real* const z = logits_.data() + i * num_classes;
            hits += std::max_element(z, z + num_classes) - z == of.labels[first + i];
        }
    });
    return static_cast<double>(hits) / static_cast<double>(of.count);
}

template class perceptron<float>;
template class perceptron<double>;

}  // namespace own_gradients
