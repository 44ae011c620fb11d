// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cubome/core/mathematics.hpp"
#include "cubome/core/problem_data.hpp"

/// A family of one's own, written as the shipped ones are: one template over `Data`, which brings the group of lanes
/// that works on a problem and the storage that suits it, and one small struct that names the family.
namespace own_problem {

// Overloads for scalars; those for SIMD packs are found by their arguments' namespace. Without these lines a plain
// `sin(float)` would be the C library's.
using cubome::abs;
using cubome::cos;
using cubome::fma;
using cubome::log;
using cubome::sigmoid;
using cubome::sin;

/// Two waves: the lower level's only solution is y = −x, and along it f has three minima.
///
///     f = cos(4y + 2) / (1 + e^(2 − 4x)) + ½ ln((4x − 2)² + 1),   g = (y + x)² + x sin²(y + x),   0 ≤ x ≤ 3
///
/// v = x and θ = y are numbers. The box on x is bound by the caller, as for any family. No arrays.
template <class Data>
struct waves {
    using data = Data;
    using group = typename Data::group;
    using real = typename Data::real;
    using scalar = cubome::scalar_of<real>;
    using outer_extent_type = cubome::extent<1>;
    using inner_extent_type = cubome::extent<1>;

    CUBOME_HD waves(cubome::arena&, const std::int64_t*) {}

    CUBOME_HD outer_extent_type outer_extent() const { return {}; }
    CUBOME_HD inner_extent_type inner_extent() const { return {}; }

    template <class Visit>
    CUBOME_HD void visit_arrays(Visit&&) {}

    template <class V>
    CUBOME_INLINE void prepare(const group&, const V&) {}

    /// ∇_θ g = 2w + x sin 2w,   w = y + x
    template <class V, class Theta, class Gradient>
    CUBOME_INLINE void inner_gradient(const group& g, const V& v, const Theta& theta, Gradient& gradient) {
        g.for_each(inner_extent(), [&](auto i) {
            const real x = v[i];
            const real twice = real(scalar(2)) * (real(theta[i]) + x);
            gradient[i] = fma(x, sin(twice), twice);
        });
    }

    /// With d = y − y⁽ᵀ⁾ and a = w + w⁽ᵀ⁾, from differences of each term (sin²w − sin²w⁽ᵀ⁾ = sin a sin d):
    ///
    ///     q̂ = d a + x sin a sin d,   ∇_v q̂ = 2d + sin d (sin a + 2x cos a)
    template <class V, class Theta, class ThetaT, class Gradient>
    CUBOME_INLINE cubome::value_gap_result<real> gap_gradient(const group& g, const V& v, const Theta& theta,
                                                              const ThetaT& theta_t, Gradient& gradient) {
        const auto s = g.template sum<2>(inner_extent(), [&](auto i, cubome::sums<real, 2> acc) {
            const real two(scalar(2));
            const real x = v[i];
            const real w = real(theta[i]) + x;
            const real w_t = real(theta_t[i]) + x;
            const real d = real(theta[i]) - real(theta_t[i]);
            const real a = w + w_t;
            const real sin_a = sin(a);
            const real sin_d = sin(d);
            gradient[i] = fma(two, d, sin_d * fma(two * x, cos(a), sin_a));
            acc[0] = acc[0] + fma(d, a, x * sin_a * sin_d);
            // what was subtracted: the terms of g at both points
            const real sin_w = sin(w);
            const real sin_w_t = sin(w_t);
            acc[1] = acc[1] + fma(w, w, w_t * w_t) + abs(x) * fma(sin_w, sin_w, sin_w_t * sin_w_t);
            return acc;
        });
        return {s[0], s[1]};
    }

    /// With u = 4x − 2 and σ = 1 / (1 + e^(−u)):
    ///
    ///     ∇_v f = 4 σ (1 − σ) cos(4y + 2) + 4u / (u² + 1),   ∇_θ f = −4 σ sin(4y + 2)
    template <class V, class Theta, class GradientV, class GradientTheta>
    CUBOME_INLINE real outer_gradient(const group& g, const V& v, const Theta& theta, GradientV& gradient_v,
                                      GradientTheta& gradient_theta) {
        // One element is a sum too: that is how every lane gets f.
        return g.template sum<1>(inner_extent(), [&](auto i, cubome::sums<real, 1> acc) {
            const real one(scalar(1));
            const real four(scalar(4));
            const real u = fma(four, real(v[i]), real(scalar(-2)));
            const real angle = fma(four, real(theta[i]), real(scalar(2)));
            const real share = sigmoid(u);
            const real wave = cos(angle);
            const real square = fma(u, u, one);
            gradient_v[i] = four * fma(share * (one - share), wave, u / square);
            gradient_theta[i] = -(four * share * sin(angle));
            acc[0] = acc[0] + fma(share, wave, real(scalar(0.5)) * log(square));
            return acc;
        })[0];
    }
};

struct waves_family {
    static constexpr const char* name = "waves";
    static constexpr int num_dims = 0;
    static constexpr int num_extents = 0;
    static constexpr const char* const* dim_names = nullptr;
    template <class Data>
    using problem = waves<Data>;

    static const char* check(const std::int64_t*, int*) noexcept { return nullptr; }
};

}  // namespace own_problem
