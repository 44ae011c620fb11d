// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace own_gradients {

/// Images and the labels that a model is to give them.
template <class Real>
struct samples {
    const Real* images;          ///< [count, num_pixels]
    const std::uint8_t* labels;  ///< [count]
    std::int64_t count;
};

/// A perceptron with one hidden layer of sigmoids, and its cross-entropy, layer by layer:
///
///     H = σ(X W₁ᵀ + b₁),   Z = H W₂ᵀ + b₂,   CE_i = log Σ_c exp(z_ic) − z_{i, y_i}
///
/// θ is one vector of num_weights numbers: W₁ [num_hidden, num_pixels], b₁, W₂ [num_classes, num_hidden], b₂.
///
/// An object is workspace: one thread at a time.
template <class Real>
class perceptron {
public:
    static constexpr std::int64_t num_pixels = 784, num_hidden = 300, num_classes = 10;
    static constexpr std::int64_t num_weights = num_hidden * (num_pixels + 1) + num_classes * (num_hidden + 1);

    /// A random start: uniform within ±1/√inputs of each layer, biases 0.
    static void start(std::uint64_t seed, Real* theta);

    /// CE_i of each sample [count].
    void losses(const samples<Real>& of, const Real* theta, Real* loss);

    /// gradient += Σ_i weight_i ∇CE_i; the losses besides, because they are made on the way.
    void add_gradient(const samples<Real>& of, const Real* theta, const Real* weight, Real* loss, Real* gradient);

    /// The share of the samples whose label has the largest z.
    double accuracy(const samples<Real>& of, const Real* theta);

private:
    /// H and Z of a block of samples.
    void forward(const Real* images, std::int64_t count, const Real* theta);

    std::vector<Real> hidden_, logits_, back_;  // of one block
};

/// Where the layers' parts of θ, or of its gradient, begin.
template <class Real>
struct layers {
    explicit layers(Real* theta)
        : w1(theta),
          b1(w1 + perceptron<float>::num_hidden * perceptron<float>::num_pixels),
          w2(b1 + perceptron<float>::num_hidden),
          b2(w2 + perceptron<float>::num_classes * perceptron<float>::num_hidden) {}

    Real *w1, *b1, *w2, *b2;
};

extern template class perceptron<float>;
extern template class perceptron<double>;

}  // namespace own_gradients
