// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/problem_data.hpp"

CUBOME_BEGIN_NAMESPACE
namespace problems {

/// f = ½ (v − θ₁)² + ½ (θ₀ − 1)²,   g = ½ θ₀² − v θ₀            arXiv 2209.08709, toy with a degenerate lower level
template <class Data>
struct degenerate {
    using data = Data;
    using group = typename Data::group;
    using real = typename Data::real;
    using scalar = scalar_of<real>;
    using outer_extent_type = extent<1>;
    using inner_extent_type = extent<2>;

    CUBOME_HD degenerate(arena& memory, const std::int64_t*) : shared_v(memory, outer_extent()) {}

    CUBOME_HD outer_extent_type outer_extent() const { return {}; }
    CUBOME_HD inner_extent_type inner_extent() const { return {}; }

    template <class Visit>
    CUBOME_HD void visit_arrays(Visit&&) {}

    template <class V>
    CUBOME_INLINE void prepare(const group& g, const V& v) {
        g.template phase<barrier::prepared>(outer_extent(), [&](auto i) { shared_v[i] = real(v[i]); });
    }

    /// ∇_θ g = (θ₀ − v, 0)
    template <class V, class Theta, class Gradient>
    CUBOME_INLINE void inner_gradient(const group& g, const V&, const Theta& theta, Gradient& gradient) {
        g.for_each(inner_extent(), [&](auto i) {
            gradient[i] = select(g.is(i, 0), real(theta[i]) - real(shared_v[index(0)]), real(scalar(0)));
        });
    }

    /// q̂ = (θ₀ − θ₀⁽ᵀ⁾) (½ (θ₀ + θ₀⁽ᵀ⁾) − v), ∇_v q̂ = −(θ₀ − θ₀⁽ᵀ⁾)
    template <class V, class Theta, class ThetaT, class Gradient>
    CUBOME_INLINE value_gap_result<real> gap_gradient(const group& g, const V& v, const Theta& theta,
                                                      const ThetaT& theta_t, Gradient& gradient) {
        const auto s = g.template sum<2>(outer_extent(), [&](auto i, sums<real, 2> acc) {
            const real half(scalar(0.5));
            const real difference = real(theta[i]) - real(theta_t[i]);
            const real middle = half * (real(theta[i]) + real(theta_t[i]));
            gradient[i] = -difference;
            acc[0] = fma(difference, middle - real(v[i]), acc[0]);
            acc[1] = fma(abs(difference), abs(middle) + abs(real(v[i])), acc[1]);
            return acc;
        });
        return {s[0], s[1]};
    }

    /// ∇_v f = v − θ₁, ∇_θ f = (θ₀ − 1, θ₁ − v)
    template <class V, class Theta, class GradientV, class GradientTheta>
    CUBOME_INLINE real outer_gradient(const group& g, const V& v, const Theta& theta, GradientV& gradient_v,
                                      GradientTheta& gradient_theta) {
        g.for_each(outer_extent(), [&](auto i) { gradient_v[i] = real(v[i]) - real(theta[index(1)]); });
        return g.template sum<1>(inner_extent(), [&](auto i, sums<real, 1> acc) {
            const real goal = select(g.is(i, 0), real(scalar(1)), real(shared_v[index(0)]));
            const real offset = real(theta[i]) - goal;
            gradient_theta[i] = offset;
            acc[0] = fma(real(scalar(0.5)) * offset, offset, acc[0]);
            return acc;
        })[0];
    }

    typename Data::template published<outer_extent_type> shared_v;
};

struct degenerate_family {
    static constexpr const char* name = "degenerate";
    static constexpr int num_dims = 0;
    static constexpr int num_extents = 0;
    static constexpr const char* const* dim_names = nullptr;
    template <class Data>
    using problem = degenerate<Data>;

    static const char* check(const std::int64_t* dims, int* wrong) noexcept {
        return check_positive(dims, num_dims, wrong);
    }
};

}  // namespace problems
CUBOME_END_NAMESPACE
