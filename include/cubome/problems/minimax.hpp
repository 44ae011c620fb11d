// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/problem_data.hpp"

CUBOME_BEGIN_NAMESPACE
namespace problems {

/// f = v θ,   g = −v θ,   v and θ numbers            arXiv 2209.08709, toy mini-max
template <class Data>
struct minimax {
    using data = Data;
    using group = typename Data::group;
    using real = typename Data::real;
    using outer_extent_type = extent<1>;
    using inner_extent_type = extent<1>;

    CUBOME_HD minimax(arena&, const std::int64_t*) {}

    CUBOME_HD outer_extent_type outer_extent() const { return {}; }
    CUBOME_HD inner_extent_type inner_extent() const { return {}; }

    template <class Visit>
    CUBOME_HD void visit_arrays(Visit&&) {}

    template <class V>
    CUBOME_INLINE void prepare(const group&, const V&) {}

    /// ∇_θ g = −v
    template <class V, class Theta, class Gradient>
    CUBOME_INLINE void inner_gradient(const group& g, const V& v, const Theta&, Gradient& gradient) {
        g.for_each(inner_extent(), [&](auto i) { gradient[i] = -real(v[i]); });
    }

    /// q̂ = −v (θ − θ⁽ᵀ⁾), ∇_v q̂ = −(θ − θ⁽ᵀ⁾)
    template <class V, class Theta, class ThetaT, class Gradient>
    CUBOME_INLINE value_gap_result<real> gap_gradient(const group& g, const V& v, const Theta& theta,
                                                      const ThetaT& theta_t, Gradient& gradient) {
        const auto s = g.template sum<2>(inner_extent(), [&](auto i, sums<real, 2> acc) {
            const real difference = real(theta[i]) - real(theta_t[i]);
            gradient[i] = -difference;
            acc[0] = fma(-real(v[i]), difference, acc[0]);
            acc[1] = fma(abs(real(v[i])), abs(real(theta[i])) + abs(real(theta_t[i])), acc[1]);
            return acc;
        });
        return {s[0], s[1]};
    }

    /// ∇_v f = θ, ∇_θ f = v
    template <class V, class Theta, class GradientV, class GradientTheta>
    CUBOME_INLINE real outer_gradient(const group& g, const V& v, const Theta& theta, GradientV& gradient_v,
                                      GradientTheta& gradient_theta) {
        return g.template sum<1>(inner_extent(), [&](auto i, sums<real, 1> acc) {
            gradient_v[i] = real(theta[i]);
            gradient_theta[i] = real(v[i]);
            acc[0] = fma(real(v[i]), real(theta[i]), acc[0]);
            return acc;
        })[0];
    }
};

struct minimax_family {
    static constexpr const char* name = "minimax";
    static constexpr int num_dims = 0;
    static constexpr int num_extents = 0;
    static constexpr const char* const* dim_names = nullptr;
    static constexpr bool has_curvature = false;
    template <class Data>
    using problem = minimax<Data>;

    static const char* check(const std::int64_t* dims, int* wrong) noexcept {
        return check_positive(dims, num_dims, wrong);
    }
};

}  // namespace problems
CUBOME_END_NAMESPACE
