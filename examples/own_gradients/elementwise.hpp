// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define OWN_GRADIENTS_HD __host__ __device__
#else
#define OWN_GRADIENTS_HD
#endif

/// What stands between the products of an enqueued_oracle: work on element i, in any order, by whoever there is.
namespace own_gradients {

template <class Real>
struct scaled {
    const Real* from;
    Real factor;
    Real* to;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const { to[i] = factor * from[i]; }
};

template <class Real>
struct constant {
    Real value;
    Real* to;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const { to[i] = value; }
};

/// The same row in each row of a matrix.
template <class Real>
struct repeated_row {
    const Real* row;
    std::int64_t columns;
    Real* to;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const { to[i] = row[i % columns]; }
};

template <class Real>
struct sigmoids {
    Real* x;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const { x[i] = 1 / (1 + std::exp(-x[i])); }
};

/// Back through them: b ∘ h ∘ (1 − h).
template <class Real>
struct back_through_sigmoids {
    const Real* h;
    Real* b;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const { b[i] *= h[i] * (1 - h[i]); }
};

/// clip(v, 0, 1) / n; a NaN stays one.
template <class Real>
struct clipped_weights {
    const Real* v;
    std::int64_t n;
    Real* weight;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const {
        weight[i] = (v[i] < 0 ? Real(0) : v[i] > 1 ? Real(1) : v[i]) / static_cast<Real>(n);
    }
};

/// CE of sample i; where there are weights, its z become weight · (probability − [class is the label]).
template <class Real>
struct cross_entropies {
    Real* logits;
    std::int64_t classes;
    const std::uint8_t* labels;
    const Real* weight;
    Real* loss;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const {
        Real* const z = logits + i * classes;
        Real largest = z[0];
        for (std::int64_t c = 1; c < classes; ++c) largest = z[c] > largest ? z[c] : largest;
        Real sum = 0;
        for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(z[c] - largest);
        loss[i] = std::log(sum) + largest - z[labels[i]];
        if (weight == nullptr) return;
        for (std::int64_t c = 0; c < classes; ++c)
            z[c] = weight[i] * (std::exp(z[c] - largest) / sum - (c == labels[i] ? Real(1) : Real(0)));
    }
};

/// `share` where the label has the largest z, else 0.
template <class Real>
struct hits {
    const Real* logits;
    std::int64_t classes;
    const std::uint8_t* labels;
    Real share;
    Real* to;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const {
        const Real* const z = logits + i * classes;
        std::int64_t likeliest = 0;
        for (std::int64_t c = 1; c < classes; ++c) likeliest = z[c] > z[likeliest] ? c : likeliest;
        to[i] = likeliest == labels[i] ? share : Real(0);
    }
};

/// Sample i's terms of q̂ and of its magnitude, and ∂q̂/∂v_i, which is 0 where the clip is flat.
template <class Real>
struct gap_of_samples {
    const Real *v, *weight, *start, *loss;
    std::int64_t n;
    Real *difference, *magnitude, *of_outer;
    OWN_GRADIENTS_HD void operator()(std::int64_t i) const {
        const Real change = start[i] - loss[i];
        difference[i] = weight[i] * change;
        magnitude[i] = weight[i] * (start[i] + loss[i]);
        of_outer[i] = v[i] < 0 || v[i] > 1 ? Real(0) : change / static_cast<Real>(n);
    }
};

/// Those of ½ ρ (θ_j² − θ_j⁽ᵀ⁾²).
template <class Real>
struct gap_of_penalties {
    const Real *theta, *descent;
    Real half_rho;
    Real *difference, *magnitude;
    OWN_GRADIENTS_HD void operator()(std::int64_t j) const {
        difference[j] = half_rho * (theta[j] - descent[j]) * (theta[j] + descent[j]);
        magnitude[j] = half_rho * (theta[j] * theta[j] + descent[j] * descent[j]);
    }
};

}  // namespace own_gradients
