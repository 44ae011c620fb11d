// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/problem_data.hpp"

CUBOME_BEGIN_NAMESPACE
namespace problems {

/// g = ½ θᵀHθ + vᵀCθ + bᵀθ,   f = ½ θᵀPθ + ½ vᵀSv + vᵀKθ + pᵀθ + sᵀv            absent arrays are zero
template <class Data>
struct quadratic {
    using data = Data;
    using group = typename Data::group;
    using real = typename Data::real;
    using scalar = scalar_of<real>;
    using outer_extent_type = typename Data::template dim<0>;
    using inner_extent_type = typename Data::template dim<1>;
    using outer_vector = typename Data::template own<outer_extent_type>;
    using inner_vector = typename Data::template own<inner_extent_type>;
    template <class R, class C>
    using stored_rows = typename Data::template stored_rows<R, C>;
    using coupling = typename Data::template matrix<outer_extent_type, inner_extent_type>;

    CUBOME_HD quadratic(arena& memory, const std::int64_t* dims)
        : outer_dim(dims[0]),
          inner_dim(dims[1]),
          H(memory, inner_dim, inner_dim),
          C(memory, outer_dim, inner_dim),
          b(memory, inner_dim),
          P(memory, inner_dim, inner_dim),
          S(memory, outer_dim, outer_dim),
          K(memory, outer_dim, inner_dim),
          p(memory, inner_dim),
          s(memory, outer_dim),
          shared_v(memory, outer_dim),
          linear(memory, inner_dim),
          difference(memory, inner_dim),
          total(memory, inner_dim),
          curvature(memory, inner_dim),
          outer_product(memory, outer_dim) {}

    CUBOME_HD outer_extent_type outer_extent() const { return outer_dim; }
    CUBOME_HD inner_extent_type inner_extent() const { return inner_dim; }

    template <class Visit>
    CUBOME_HD void visit_arrays(Visit&& visit) {
        visit("H", H);
        visit("C", C);
        visit("b", b);
        visit("P", P);
        visit("S", S);
        visit("K", K);
        visit("p", p);
        visit("s", s);
    }

    /// Cᵀv + b
    template <class V>
    CUBOME_INLINE void prepare(const group& g, const V& v) {
        g.template phase<barrier::prepared>(outer_dim, [&](auto i) { shared_v[i] = real(v[i]); });
        g.for_each(inner_dim, [&](auto i) { linear[i] = b.is_given ? real(b[i]) : real(scalar(0)); });
        if (C.is_given) {
            g.sum_each(
                inner_dim, outer_dim,
                [&](auto i, index j, real sum) { return fma(real(C.column(j, i)), real(shared_v[j]), sum); },
                [&](auto i, real sum) { linear[i] = real(linear[i]) + sum; });
        }
    }

    /// ∇_θ g = Hθ + Cᵀv + b
    template <class V, class Theta, class Gradient>
    CUBOME_INLINE void inner_gradient(const group& g, const V&, const Theta& theta, Gradient& gradient) {
        g.sum_each(
            inner_dim, inner_dim,
            [&](auto i, index j, real sum) { return fma(real(H.row(i, j)), real(theta[j]), sum); },
            [&](auto i, real sum) { gradient[i] = sum + real(linear[i]); });
    }

    /// q̂ = Σ_i (θ − θ⁽ᵀ⁾)_i (½ H(θ + θ⁽ᵀ⁾) + Cᵀv + b)_i, ∇_v q̂ = C (θ − θ⁽ᵀ⁾)
    template <class V, class Theta, class ThetaT, class Gradient>
    CUBOME_INLINE value_gap_result<real> gap_gradient(const group& g, const V&, const Theta& theta,
                                                      const ThetaT& theta_t, Gradient& gradient) {
        g.template phase<barrier::difference>(inner_dim, [&](auto i) {
            difference[i] = real(theta[i]) - real(theta_t[i]);
            total[i] = real(theta[i]) + real(theta_t[i]);
        });
        g.sum_each(
            inner_dim, inner_dim,
            [&](auto i, index j, real sum) { return fma(real(H.row(i, j)), real(total[j]), sum); },
            [&](auto i, real sum) { curvature[i] = real(scalar(0.5)) * sum; });
        if (C.is_given) {
            g.sum_each(
                outer_dim, inner_dim,
                [&](auto i, index j, real sum) { return fma(real(C.row(i, j)), real(difference[j]), sum); },
                [&](auto i, real sum) { gradient[i] = sum; });
        } else {
            g.for_each(outer_dim, [&](auto i) { gradient[i] = real(scalar(0)); });
        }
        const auto q = g.template sum<2>(inner_dim, [&](auto i, sums<real, 2> acc) {
            acc[0] = fma(real(difference[i]), real(curvature[i]) + real(linear[i]), acc[0]);
            acc[1] = fma(abs(real(difference[i])), abs(real(curvature[i])) + abs(real(linear[i])), acc[1]);
            return acc;
        });
        return {q[0], q[1]};
    }

    /// ∇_v f = Sv + Kθ + s, ∇_θ f = Pθ + Kᵀv + p;  f = Σ v_i (½ Sv + Kθ + s)_i + Σ θ_i (½ Pθ + p)_i
    template <class V, class Theta, class GradientV, class GradientTheta>
    CUBOME_INLINE real outer_gradient(const group& g, const V& v, const Theta& theta, GradientV& gradient_v,
                                      GradientTheta& gradient_theta) {
        // First what f takes whole, then the two quadratic forms, of which it takes half.
        g.for_each(outer_dim, [&](auto i) { gradient_v[i] = s.is_given ? real(s[i]) : real(scalar(0)); });
        g.for_each(inner_dim, [&](auto i) { gradient_theta[i] = p.is_given ? real(p[i]) : real(scalar(0)); });
        if (K.is_given) {
            g.sum_each(
                outer_dim, inner_dim,
                [&](auto i, index j, real sum) { return fma(real(K.row(i, j)), real(theta[j]), sum); },
                [&](auto i, real sum) { gradient_v[i] = real(gradient_v[i]) + sum; });
        }
        auto f = g.template sum<1>(
            outer_dim,
            [&](auto i, sums<real, 1> acc) {
                acc[0] = fma(real(v[i]), real(gradient_v[i]), acc[0]);
                return acc;
            },
            inner_dim,
            [&](auto i, sums<real, 1> acc) {
                acc[0] = fma(real(theta[i]), real(gradient_theta[i]), acc[0]);
                return acc;
            })[0];
        if (K.is_given) {
            g.sum_each(
                inner_dim, outer_dim,
                [&](auto i, index j, real sum) { return fma(real(K.column(j, i)), real(shared_v[j]), sum); },
                [&](auto i, real sum) { gradient_theta[i] = real(gradient_theta[i]) + sum; });
        }
        if (S.is_given) f = f + add_quadratic(g, S, outer_dim, shared_v, outer_product, gradient_v);
        if (P.is_given) f = f + add_quadratic(g, P, inner_dim, theta, curvature, gradient_theta);
        return f;
    }

    [[no_unique_address]] outer_extent_type outer_dim;
    [[no_unique_address]] inner_extent_type inner_dim;
    typename Data::template own_rows<inner_extent_type, inner_extent_type> H;
    optional<coupling> C;
    optional<inner_vector> b;
    optional<stored_rows<inner_extent_type, inner_extent_type>> P;
    optional<stored_rows<outer_extent_type, outer_extent_type>> S;
    optional<coupling> K;
    optional<inner_vector> p;
    optional<outer_vector> s;

    typename Data::template published<outer_extent_type> shared_v;
    inner_vector linear;                                              ///< Cᵀv + b
    typename Data::template published<inner_extent_type> difference;  ///< θ − θ⁽ᵀ⁾
    typename Data::template published<inner_extent_type> total;       ///< θ + θ⁽ᵀ⁾
    inner_vector curvature;                                           ///< ½ H(θ + θ⁽ᵀ⁾); Pθ
    outer_vector outer_product;                                       ///< Sv

private:
    /// Adds Mx to the gradient and returns ½ xᵀMx; M symmetric. `product` is left holding Mx.
    template <class Matrix, class Extent, class X, class Product, class Gradient>
    static CUBOME_INLINE real add_quadratic(const group& g, const Matrix& M, Extent n, const X& x, Product& product,
                                            Gradient& gradient) {
        g.sum_each(
            n, n, [&](auto i, index j, real sum) { return fma(real(M.row(i, j)), real(x[j]), sum); },
            [&](auto i, real sum) {
                product[i] = sum;
                gradient[i] = real(gradient[i]) + sum;
            });
        const auto form = g.template sum<1>(n, [&](auto i, sums<real, 1> acc) {
            acc[0] = fma(real(x[i]), real(product[i]), acc[0]);
            return acc;
        });
        return real(scalar(0.5)) * form[0];
    }
};

struct quadratic_family {
    static constexpr const char* name = "quadratic";
    static constexpr int num_dims = 2;
    static constexpr int num_extents = 2;
    static constexpr const char* dim_names[] = {"outer_dim", "inner_dim"};
    template <class Data>
    using problem = quadratic<Data>;

    static const char* check(const std::int64_t* dims, int* wrong) noexcept {
        return check_positive(dims, num_dims, wrong);
    }
};

}  // namespace problems
CUBOME_END_NAMESPACE
