// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/mathematics.hpp"
#include "cubome/core/problem_data.hpp"

CUBOME_BEGIN_NAMESPACE
namespace problems {

/// f = c ‖θ − x₀‖²,   g = ‖θ − Xᵀ softmax(v)‖²            arXiv 2209.08709, toy coreset
template <class Data>
struct coreset {
    using data = Data;
    using group = typename Data::group;
    using real = typename Data::real;
    using scalar = scalar_of<real>;
    using outer_extent_type = typename Data::template dim<0>;
    using inner_extent_type = typename Data::template dim<1>;

    CUBOME_HD coreset(arena& memory, const std::int64_t* dims)
        : num_points(dims[0]),
          dim(dims[1]),
          points(memory, num_points, dim),
          target(memory, dim),
          weight(memory, extent<1>{}),
          share(memory, num_points),
          mean(memory, dim),
          minus_twice_mean(memory, dim),
          difference(memory, dim) {}

    CUBOME_HD outer_extent_type outer_extent() const { return num_points; }
    CUBOME_HD inner_extent_type inner_extent() const { return dim; }

    template <class Visit>
    CUBOME_HD void visit_arrays(Visit&& visit) {
        visit("points", points);
        visit("target", target);
        visit("weight", weight);
    }

    /// σ = softmax(v) and c = Xᵀσ
    template <class V>
    CUBOME_INLINE void prepare(const group& g, const V& v) {
        const real largest = g.maximum(num_points, [&](auto i) { return real(v[i]); });
        g.for_each(num_points, [&](auto i) { share[i] = exp(real(v[i]) - largest); });
        const auto total = g.template sum<1>(num_points, [&](auto i, sums<real, 1> acc) {
            acc[0] = acc[0] + real(share[i]);
            return acc;
        });
        // From 1, which the largest adds, to their number.
        const real scale = reciprocal(total[0]);
        g.template phase<barrier::prepared>(num_points, [&](auto i) { share[i] = real(share[i]) * scale; });
        g.sum_each(
            dim, num_points,
            [&](auto j, index i, real sum) { return fma(real(points.column(i, j)), real(share[i]), sum); },
            [&](auto j, real sum) {
                mean[j] = sum;
                minus_twice_mean[j] = real(scalar(-2)) * sum;
            });
    }

    /// 2 (θ − c)
    template <class V, class Theta, class Gradient>
    CUBOME_INLINE void inner_gradient(const group& g, const V&, const Theta& theta, Gradient& gradient) {
        g.for_each(dim, [&](auto j) { gradient[j] = fma(real(scalar(2)), real(theta[j]), real(minus_twice_mean[j])); });
    }

    /// q̂ = Σ (a − b)(a + b), a = θ − c, b = θ⁽ᵀ⁾ − c. With u = ∂q̂/∂c = −2 (a − b):  ∂q̂/∂v_i = σ_i (x_iᵀu − cᵀu)
    template <class V, class Theta, class ThetaT, class Gradient>
    CUBOME_INLINE value_gap_result<real> gap_gradient(const group& g, const V&, const Theta& theta,
                                                      const ThetaT& theta_t, Gradient& gradient) {
        g.template phase<barrier::difference>(
            dim, [&](auto j) { difference[j] = real(scalar(-2)) * (real(theta[j]) - real(theta_t[j])); });
        const auto s = g.template sum<3>(dim, [&](auto j, sums<real, 3> acc) {
            const real a = real(theta[j]) - real(mean[j]);
            const real b = real(theta_t[j]) - real(mean[j]);
            acc[0] = fma(real(theta[j]) - real(theta_t[j]), a + b, acc[0]);
            acc[1] = fma(a, a, fma(b, b, acc[1]));
            acc[2] = fma(real(mean[j]), real(difference[j]), acc[2]);
            return acc;
        });
        g.sum_each(
            num_points, dim,
            [&](auto i, index j, real sum) { return fma(real(points.row(i, j)), real(difference[j]), sum); },
            [&](auto i, real sum) { gradient[i] = real(share[i]) * (sum - s[2]); });
        return {s[0], s[1]};
    }

    /// ∇_θ f = 2c (θ − x₀), ∇_v f = 0
    template <class V, class Theta, class GradientV, class GradientTheta>
    CUBOME_INLINE real outer_gradient(const group& g, const V&, const Theta& theta, GradientV& gradient_v,
                                      GradientTheta& gradient_theta) {
        // One element that every lane needs: its sum is the way to share it.
        const auto c = g.template sum<1>(extent<1>{}, [&](auto i, sums<real, 1> acc) {
            acc[0] = acc[0] + (weight.is_given ? real(weight[i]) : real(scalar(0.1)));
            return acc;
        });
        g.for_each(num_points, [&](auto i) { gradient_v[i] = real(scalar(0)); });
        const auto f = g.template sum<1>(dim, [&](auto j, sums<real, 1> acc) {
            const real offset = real(theta[j]) - real(target[j]);
            gradient_theta[j] = (c[0] + c[0]) * offset;
            acc[0] = fma(offset, offset, acc[0]);
            return acc;
        });
        return c[0] * f[0];
    }

    [[no_unique_address]] outer_extent_type num_points;
    [[no_unique_address]] inner_extent_type dim;
    typename Data::template matrix<outer_extent_type, inner_extent_type> points;
    typename Data::template own<inner_extent_type> target;
    optional<typename Data::template own<extent<1>>> weight;

    typename Data::template published<outer_extent_type> share;       ///< σ
    typename Data::template own<inner_extent_type> mean;              ///< c
    typename Data::template own<inner_extent_type> minus_twice_mean;  ///< −2c
    typename Data::template published<inner_extent_type> difference;  ///< u
};

struct coreset_family {
    static constexpr const char* name = "coreset";
    static constexpr int num_dims = 2;
    static constexpr int num_extents = 2;
    static constexpr const char* dim_names[] = {"num_points", "dim"};
    template <class Data>
    using problem = coreset<Data>;

    static const char* check(const std::int64_t* dims, int* wrong) noexcept {
        return check_positive(dims, num_dims, wrong);
    }
};

}  // namespace problems
CUBOME_END_NAMESPACE
