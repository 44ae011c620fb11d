// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/mathematics.hpp"
#include "cubome/core/problem_data.hpp"

CUBOME_BEGIN_NAMESPACE
namespace problems {

/// g = (1/n) Σ_i w_i(v) ℓ(y_i x_iᵀθ) + ½ Σ_j ρ_j(v) θ_j²,   f = (1/m) Σ ℓ(y_i x_iᵀθ) over validation + ½ κ ‖v − v̄‖²
///
/// ℓ(z) = log(1 + e^(−z)). The last column of X is 1 and its θ, the bias, is not penalised. v is the sample weights'
/// part, as long as there are any, followed by the log-penalties' part.
template <class Data>
struct linear_model {
    using data = Data;
    using group = typename Data::group;
    using real = typename Data::real;
    using scalar = scalar_of<real>;
    using train_extent = typename Data::template dim<0>;
    using validation_extent = typename Data::template dim<1>;
    using feature_extent = typename Data::template dim<2>;
    using any_extent = extent<dynamic>;
    using outer_extent_type = any_extent;
    using inner_extent_type = feature_extent;
    template <class E>
    using own = typename Data::template own<E>;
    template <class E>
    using published = typename Data::template published<E>;

    // The dimensions behind the extents, and the values of those that are the public enums of families.hpp.
    static constexpr int weights_dim = 3, penalty_dim = 4, groups_dim = 5, averaged_dim = 6, held_out_dim = 7;
    static constexpr std::int64_t no_weights = 0, sigmoid_weights = 1, clip_weights = 2;
    static constexpr std::int64_t fixed_penalty = 0, feature_penalty = 1, group_penalty = 2;

    CUBOME_HD linear_model(arena& memory, const std::int64_t* dims)
        : num_train(dims[0]),
          num_validation(dims[1]),
          num_features(dims[2]),
          weights(dims[weights_dim]),
          penalty(dims[penalty_dim]),
          num_weights(weights == no_weights ? 0 : dims[0]),
          num_penalties(count_penalties(dims)),
          num_penalised(dims[2] - 1),
          num_held_out(dims[held_out_dim]),
          penalty_scale(dims[averaged_dim] != 0 ? scalar(1) / scalar(dims[2] - 1) : scalar(1)),
          train_x(memory, num_train, num_features),
          train_y(memory, num_train),
          validation_x(memory, num_validation, num_features),
          validation_y(memory, num_validation),
          held_out_x(memory, num_held_out, num_features),
          held_out_y(memory, num_held_out),
          outer_penalty(memory, extent<1>{}),
          outer_center(memory, outer_extent()),
          fixed_rho(memory, num_penalised),
          member(memory, num_penalised),
          shared_v(memory, outer_extent()),
          weight(memory, num_train),
          weight_slope(memory, num_train),
          exp_v(memory, num_penalties),
          rho(memory, num_features),
          start(memory, num_features),
          growth(memory, num_features),
          penalty_gradient(memory, outer_extent()),
          residual(memory, num_train),
          loss(memory, num_train),
          validation_residual(memory, num_validation),
          validation_loss(memory, num_validation),
          held_out_loss(memory, num_held_out) {
        member.is_required = penalty == group_penalty;
        held_out_x.is_required = held_out_y.is_required = num_held_out > 0;
    }

    static CUBOME_HD std::int64_t count_penalties(const std::int64_t* dims) {
        if (dims[penalty_dim] == feature_penalty) return dims[2] - 1;
        return dims[penalty_dim] == group_penalty ? dims[groups_dim] : 0;
    }

    CUBOME_HD outer_extent_type outer_extent() const {
        return outer_extent_type(std::int64_t(num_weights) + num_penalties);
    }
    CUBOME_HD inner_extent_type inner_extent() const { return num_features; }

    template <class Visit>
    CUBOME_HD void visit_arrays(Visit&& visit) {
        visit("train_x", train_x);
        visit("train_y", train_y);
        visit("validation_x", validation_x);
        visit("validation_y", validation_y);
        visit("penalty", fixed_rho);
        visit("group", member);
        visit("outer_penalty", outer_penalty);
        visit("outer_center", outer_center);
        visit("held_out_x", held_out_x);
        visit("held_out_y", held_out_y);
    }

    /// w_i(v), its derivative, and ρ_j(v)
    template <class V>
    CUBOME_INLINE void prepare(const group& g, const V& v) {
        const real zero(scalar(0)), one(scalar(1));
        if (weights == no_weights) {
            g.for_each(num_train, [&](auto i) { weight[i] = one; });
        } else if (weights == sigmoid_weights) {
            g.for_each(num_train, [&](auto i) {
                const real w = sigmoid(real(v[i]));
                weight[i] = w;
                weight_slope[i] = w * (one - w);
            });
        } else {
            g.for_each(num_train, [&](auto i) {
                weight[i] = min(max(real(v[i]), zero), one);
                weight_slope[i] = select((real(v[i]) >= zero) & (real(v[i]) <= one), one, zero);
            });
        }
        prepare_penalties(g, v);
    }

    /// Xᵀr + ρθ, r_i = −w_i y_i σ(−y_i x_iᵀθ) / n
    template <class V, class Theta, class Gradient>
    CUBOME_INLINE void inner_gradient(const group& g, const V&, const Theta& theta, Gradient& gradient) {
        const real scale(scalar(-1) / scalar(index(num_train)));
        for_margins(g, train_x, num_train, theta, [&](auto i, real margin) {
            const real y = real(train_y[i]);
            residual[i] = scale * real(weight[i]) * y * sigmoid(-(y * margin));
        });
        g.template sync<barrier::residual>();
        g.sum_each(
            num_features, num_train,
            [&](auto j, index i, real sum) { return fma(real(train_x.column(i, j)), real(residual[i]), sum); },
            [&](auto j, real sum) { gradient[j] = fma(real(rho[j]), real(theta[j]), sum); });
    }

    /// q̂ = (1/n) Σ w_i (ℓ_i − ℓ_i⁽ᵀ⁾) + ½ Σ ρ_j (θ_j² − θ_j⁽ᵀ⁾²)
    template <class V, class Theta, class ThetaT, class Gradient>
    CUBOME_INLINE value_gap_result<real> gap_gradient(const group& g, const V&, const Theta& theta,
                                                      const ThetaT& theta_t, Gradient& gradient) {
        const real half(scalar(0.5));
        const real scale(scalar(1) / scalar(index(num_train)));
        g.template phase<barrier::difference>(num_features, [&](auto j) {
            start[j] = real(theta[j]);
            growth[j] = half * ((real(theta[j]) - real(theta_t[j])) * (real(theta[j]) + real(theta_t[j])));
        });
        for_margins(g, train_x, num_train, start,
                    [&](auto i, real margin) { loss[i] = softplus(-(real(train_y[i]) * margin)); });
        for_margins(g, train_x, num_train, theta_t, [&](auto i, real margin) {
            const real before = real(loss[i]);
            const real after = softplus(-(real(train_y[i]) * margin));
            loss[i] = scale * (before - after);
            residual[i] = scale * (before + after);
        });
        if (num_weights > 0)
            g.for_each(num_weights, [&](auto i) { gradient[i] = real(weight_slope[i]) * real(loss[i]); });
        if (num_penalties > 0) penalty_part(g, gradient);

        const auto q = g.template sum<2>(
            num_train,
            [&](auto i, sums<real, 2> acc) {
                acc[0] = fma(real(weight[i]), real(loss[i]), acc[0]);
                acc[1] = fma(real(weight[i]), real(residual[i]), acc[1]);
                return acc;
            },
            num_features,
            [&](auto j, sums<real, 2> acc) {
                // A feature without penalty has no term: 0 times an overflowing square would be NaN.
                const auto is_free = real(rho[j]) == real(scalar(0));
                const real squares = fma(real(theta[j]), real(theta[j]), real(theta_t[j]) * real(theta_t[j]));
                acc[0] = select(is_free, acc[0], fma(real(rho[j]), real(growth[j]), acc[0]));
                acc[1] = select(is_free, acc[1], fma(half * real(rho[j]), squares, acc[1]));
                return acc;
            });
        return {q[0], q[1]};
    }

    /// ∇_θ f = Xᵀr with r_i = −y_i σ(−y_i x_iᵀθ) / m, over validation; ∇_v f = κ (v − v̄)
    template <class V, class Theta, class GradientV, class GradientTheta>
    CUBOME_INLINE real outer_gradient(const group& g, const V& v, const Theta& theta, GradientV& gradient_v,
                                      GradientTheta& gradient_theta) {
        const real scale(scalar(1) / scalar(index(num_validation)));
        real prior(scalar(0));
        if (outer_penalty.is_given) {
            // One element that every lane needs: its sum is the way to share it.
            const auto kappa = g.template sum<1>(extent<1>{}, [&](auto i, sums<real, 1> acc) {
                acc[0] = acc[0] + real(outer_penalty[i]);
                return acc;
            });
            const auto squares = g.template sum<1>(outer_extent(), [&](auto i, sums<real, 1> acc) {
                const real offset = outer_center.is_given ? real(v[i]) - real(outer_center[i]) : real(v[i]);
                gradient_v[i] = kappa[0] * offset;
                acc[0] = fma(offset, offset, acc[0]);
                return acc;
            });
            prior = real(scalar(0.5)) * kappa[0] * squares[0];
        } else {
            g.for_each(outer_extent(), [&](auto i) { gradient_v[i] = real(scalar(0)); });
        }
        for_margins(g, validation_x, num_validation, theta, [&](auto i, real margin) {
            const real y = real(validation_y[i]);
            const real z = y * margin;
            validation_loss[i] = softplus(-z);
            validation_residual[i] = -(scale * y * sigmoid(-z));
        });
        g.template sync<barrier::residual>();
        g.sum_each(
            num_features, num_validation,
            [&](auto j, index i, real sum) {
                return fma(real(validation_x.column(i, j)), real(validation_residual[i]), sum);
            },
            [&](auto j, real sum) { gradient_theta[j] = sum; });
        const auto total = g.template sum<1>(num_validation, [&](auto i, sums<real, 1> acc) {
            acc[0] = acc[0] + real(validation_loss[i]);
            return acc;
        });
        return fma(scale, total[0], prior);
    }

    /// The mean of ℓ over the held-out samples.
    template <class V, class Theta>
    CUBOME_INLINE real held_out(const group& g, const V&, const Theta& theta) {
        for_margins(g, held_out_x, num_held_out, theta,
                    [&](auto i, real margin) { held_out_loss[i] = softplus(-(real(held_out_y[i]) * margin)); });
        const auto total = g.template sum<1>(num_held_out, [&](auto i, sums<real, 1> acc) {
            acc[0] = acc[0] + real(held_out_loss[i]);
            return acc;
        });
        return total[0] / real(scalar(index(num_held_out)));
    }
    CUBOME_HD any_extent held_out_extent() const { return num_held_out; }

    train_extent num_train;
    validation_extent num_validation;
    feature_extent num_features;
    std::int64_t weights, penalty;
    any_extent num_weights, num_penalties, num_penalised, num_held_out;
    real penalty_scale;
    typename Data::template matrix<train_extent, feature_extent> train_x;
    own<train_extent> train_y;
    typename Data::template matrix<validation_extent, feature_extent> validation_x;
    own<validation_extent> validation_y;
    optional<typename Data::template stored_rows<any_extent, feature_extent>> held_out_x;
    optional<own<any_extent>> held_out_y;
    optional<own<extent<1>>> outer_penalty;         ///< κ
    optional<own<outer_extent_type>> outer_center;  ///< v̄
    optional<own<any_extent>> fixed_rho;
    optional<published<any_extent>> member;  ///< group(j)

    published<outer_extent_type> shared_v;
    own<train_extent> weight, weight_slope;
    published<any_extent> exp_v;       ///< exp of the log-penalties
    own<feature_extent> rho;           ///< 0 for the bias, averaged where asked
    published<feature_extent> start;   ///< θ_k
    published<feature_extent> growth;  ///< ½ (θ² − θ⁽ᵀ⁾²)
    published<outer_extent_type> penalty_gradient;
    published<train_extent> residual;
    own<train_extent> loss;
    published<validation_extent> validation_residual;
    own<validation_extent> validation_loss;
    own<any_extent> held_out_loss;

private:
    /// use(i, x_iᵀθ) for each row of X.
    template <class X, class Rows, class Theta, class Use>
    CUBOME_INLINE void for_margins(const group& g, const X& x, Rows n, const Theta& theta, Use&& use) const {
        g.sum_each(
            n, num_features, [&](auto i, index j, real sum) { return fma(real(x.row(i, j)), real(theta[j]), sum); },
            use);
    }

    template <class V>
    CUBOME_INLINE void prepare_penalties(const group& g, const V& v) {
        const real zero(scalar(0));
        if (num_penalties > 0) {
            g.template phase<barrier::prepared>(outer_extent(), [&](auto i) { shared_v[i] = real(v[i]); });
            g.template phase<barrier::prepared>(
                num_penalties, [&](auto q) { exp_v[q] = exp(real(shared_v.shifted(q, num_weights))); });
        }
        if (penalty == fixed_penalty) {
            g.for_each(num_penalised, [&](auto j) { rho[j] = fixed_rho.is_given ? real(fixed_rho[j]) : zero; });
        } else if (penalty == feature_penalty) {
            g.for_each(num_penalised, [&](auto j) { rho[j] = real(exp_v[j]); });
        } else {
            g.sum_each(
                num_penalised, num_penalties,
                [&](auto j, index q, real sum) {
                    return select(real(member[j]) == g.number(q), sum + real(exp_v[q]), sum);
                },
                [&](auto j, real sum) { rho[j] = sum; });
        }
        const index bias = num_features - 1;
        g.for_each(num_features, [&](auto j) { rho[j] = select(g.is(j, bias), zero, real(rho[j]) * penalty_scale); });
    }

    /// ∂q̂/∂v of the log-penalties: ½ ρ_q Σ over the features of q of θ_j² − θ_j⁽ᵀ⁾², into its part of the gradient.
    template <class Gradient>
    CUBOME_INLINE void penalty_part(const group& g, Gradient& gradient) {
        const auto put = [&](auto q, real sum) {
            // A group without members has no term, however large its ρ.
            const real zero(scalar(0));
            const real slope = select(sum == zero, zero, penalty_scale * real(exp_v[q]) * sum);
            penalty_gradient.set_shifted(q, num_weights, slope);
        };
        if (penalty == feature_penalty) {
            g.for_each(num_penalties, [&](auto q) { put(q, real(growth[q])); });
        } else {
            g.sum_each(
                num_penalties, num_penalised,
                [&](auto q, index j, real sum) {
                    return select(g.number(q) == real(member[j]), sum + real(growth[j]), sum);
                },
                put);
        }
        g.template sync<barrier::difference>();
        g.for_each(outer_extent(), [&](auto i) {
            gradient[i] = select(g.is_below(i, num_weights), real(gradient[i]), real(penalty_gradient[i]));
        });
    }
};

struct linear_model_family {
    static constexpr const char* name = "linear_model";
    static constexpr int num_dims = 8;
    static constexpr int num_extents = 3;
    static constexpr const char* dim_names[] = {"num_train",   "num_validation", "num_features",        "weights",
                                                "regularizer", "num_groups",     "is_penalty_averaged", "num_held_out"};
    template <class Data>
    using problem = linear_model<Data>;

    static const char* check(const std::int64_t* dims, int* wrong) noexcept {
        using any = linear_model<problem_data<serial_group<float>, extent<dynamic>, extent<dynamic>, extent<dynamic>>>;
        if (const char* found = check_positive(dims, 3, wrong)) return found;
        const auto refuse = [&](int which, const char* expected) {
            *wrong = which;
            return expected;
        };
        if (dims[2] < 2) return refuse(2, "at least 2: one feature and the bias");
        if (dims[any::weights_dim] < 0 || dims[any::weights_dim] > any::clip_weights)
            return refuse(any::weights_dim, "one of sample_weights");
        if (dims[any::penalty_dim] < 0 || dims[any::penalty_dim] > any::group_penalty)
            return refuse(any::penalty_dim, "one of penalty");
        if (dims[any::penalty_dim] == any::group_penalty) {
            if (dims[any::groups_dim] < 1 || dims[any::groups_dim] > dims[2] - 1)
                return refuse(any::groups_dim, "a number in [1, num_features - 1] with penalty::per_group");
        } else if (dims[any::groups_dim] != 0) {
            return refuse(any::groups_dim, "0 without penalty::per_group");
        }
        if (dims[any::weights_dim] == any::no_weights && dims[any::penalty_dim] == any::fixed_penalty)
            return refuse(any::weights_dim, "sample weights or penalties that depend on v: there is nothing to learn");
        if (dims[any::held_out_dim] < 0 || dims[any::held_out_dim] > largest_dim)
            return refuse(any::held_out_dim, "a number in [0, 2147482624]");
        if (dims[0] + dims[2] > largest_dim) return refuse(0, "num_train + num_features of at most 2147482624");
        return nullptr;
    }
};

}  // namespace problems
CUBOME_END_NAMESPACE
