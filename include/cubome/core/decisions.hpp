// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/mathematics.hpp"
#include "cubome/core/step_rule.hpp"
#include "cubome/problem_runner.hpp"

/// What the solver decides of an iteration's numbers, once it has summed its arrays.
CUBOME_BEGIN_NAMESPACE

/// What one evaluation at (v_k, θ_k) found.
template <class Real>
struct evaluation {
    Real outer_value;          ///< f
    value_gap_result<Real> q;  ///< q̂ and its magnitude
    Real multiplier;           ///< λ
    gradient_sums<Real> sums;
    mask_of<Real> is_rejected;  ///< by the step rule: the descent says nothing of q̂, and no update is made
    mask_of<Real> is_moderate;  ///< all of the above and θ⁽ᵀ⁾, so that `complete` would find everything finite

    // What only `complete` fills in
    Real stationarity;  ///< s
    mask_of<Real> is_descent_finite, is_value_finite, is_gap_finite, are_sums_finite;

    CUBOME_INLINE mask_of<Real> is_finite() const {
        return is_descent_finite & is_value_finite & is_gap_finite & are_sums_finite;
    }
    /// 𝒦 = s + max(q̂, 0)
    CUBOME_INLINE Real kkt() const { return stationarity + max(q.gap, Real(scalar_of<Real>(0))); }
};

/// The refined values: f and q̂ after R more descent steps.
template <class Real>
struct refinement {
    Real outer_value;
    value_gap_result<Real> q;
};

/// x is within a tolerance of a scale; one that is not set is no hurdle.
template <class Real>
CUBOME_INLINE mask_of<Real> meets(Real x, Real tolerance, Real scale) {
    return (x <= tolerance * scale) | !(tolerance > Real(scalar_of<Real>(0)));
}

/// Where each problem of a pack stands: what the loop changes besides the arrays.
template <class Real>
struct solve_progress {
    mask_of<Real> active;         ///< still iterating
    mask_of<Real> start_failed;   ///< v or θ was not finite as given
    mask_of<Real> update_failed;  ///< an update would not have been finite
    mask_of<Real> cancelled;
    mask_of<Real> no_curvature;
    Real last_multiplier;  ///< λ_{k−1}
    Real best_kkt;         ///< +Inf before the first
    Real first_stationarity;
    step_memory<Real> steps;
};

/// The first of an iteration's quantities that was not finite.
CUBOME_INLINE quantity first_failure(bool start, bool descent, bool outer_value, bool gap, bool sums, bool update) {
    return start         ? quantity::start
           : descent     ? quantity::descent
           : outer_value ? quantity::outer_value
           : gap         ? quantity::gap
           : sums        ? quantity::sums
           : update      ? quantity::update
                         : quantity::none;
}

/// How the solve of a problem ended that has been begun.
CUBOME_INLINE outcome ending(quantity failed, bool has_no_curvature, bool is_cancelled, bool has_converged,
                             bool ascends) {
    return failed != quantity::none ? outcome::non_finite
           : has_no_curvature       ? outcome::no_curvature
           : is_cancelled           ? outcome::cancelled
           : has_converged          ? outcome::converged
           : ascends                ? outcome::descent_diverged
                                    : outcome::step_limit;
}

/// The decisions of one problem, or of each problem of a pack.
///
/// @tparam Parameters problem_parameters of what converts to a Real
template <class Real, solve_text Text, class Parameters = problem_parameters<Real>>
class decisions {
    using real = Real;
    using scalar = scalar_of<real>;
    using mask = mask_of<real>;

    static constexpr bool is_full = Text == solve_text::full;

public:
    CUBOME_INLINE decisions(const Parameters& p, const batch_options& o)
        : p_(p), o_(o), descent_step_size_(real(p.descent_step_size)), eta_(real(p.eta)) {}

    /// Whether the steps are step_rule::automatic's.
    CUBOME_INLINE bool is_automatic() const {
        if constexpr (is_full) return o_.steps == step_rule::automatic;
        return Text == solve_text::plain_automatic;
    }

    /// The problems whose curvature is measured at an iteration, and those of them that start from nothing.
    struct measurements {
        mask due, begins;
    };

    /// @param fresh    the problems that have k = 0
    /// @param is_turn  those whose k is a multiple of measuring_interval
    /// @param is_first whether it is the first iteration of this call
    CUBOME_INLINE measurements measured_at(const solve_progress<real>& progress, mask fresh, mask is_turn,
                                           bool is_first) const {
        measurements m{mask(fresh | is_turn), fresh};
        // With fixed steps it is but reported, as the solve found it.
        if (!is_automatic()) {
            m.due = m.begins = mask(o_.wants_curvature && is_first);
        } else {
            // A state of fixed steps knows no curvature.
            const real zero(scalar(0));
            const step_memory<real>& s = progress.steps;
            m.begins = m.begins | !((s.inner_curvature > zero) & (s.outer_curvature > zero));
            m.due = m.due | m.begins;
        }
        // What has stopped keeps its memory.
        const mask goes = progress.active & !progress.start_failed;
        m.due = m.due & goes;
        m.begins = m.begins & goes;
        return m;
    }

    /// Notes which problems cannot be solved by the rule, and takes the steps of the others.
    CUBOME_INLINE void use_measured(solve_progress<real>& progress, mask begins) {
        const real none(scalar(0));
        progress.no_curvature =
            progress.no_curvature |
            (begins & ((progress.steps.inner_curvature == none) | (progress.steps.outer_curvature == none)));
        choose_steps(progress.steps);
        progress.last_multiplier = select(begins, eta_, progress.last_multiplier);
    }

    /// Whether the descent has left the numbers from an iterate where all is finite.
    CUBOME_INLINE mask is_lost(const evaluation<real>& e) const {
        if (!is_automatic()) return mask(false);
        return isfinite(e.outer_value) & isfinite(e.sums.value_norm) & isfinite(e.sums.inner_gap_norm) &
               (descent_step_size_ > real(scalar(0))) & !(isfinite(e.q.gap) & isfinite(e.q.magnitude));
    }

    /// Whether a tolerance is set: where none is, nothing converges.
    CUBOME_INLINE mask has_tolerance() const {
        const real zero(scalar(0));
        const mask result = (real(p_.tol_stationarity) > zero) | (real(p_.tol_gap) > zero);
        if constexpr (is_full) {
            if (o_.has_relative_tolerance)
                return result | (real(p_.rel_tol_stationarity) > zero) | (real(p_.rel_tol_gap) > zero);
        }
        return result;
    }

    /// Whether every tolerance that is set is met, and at least one is.
    CUBOME_INLINE mask has_converged(const evaluation<real>& e, const solve_progress<real>& progress) const {
        const real one(scalar(1));
        mask result = has_tolerance() & meets(e.stationarity, real(p_.tol_stationarity), one) &
                      meets(e.q.gap, real(p_.tol_gap), one) & !is_ascent(e.q) & !e.is_rejected & e.is_finite();
        if constexpr (is_full) {
            if (o_.has_relative_tolerance)
                result = result & meets(e.stationarity, real(p_.rel_tol_stationarity), progress.first_stationarity) &
                         meets(e.q.gap, real(p_.rel_tol_gap), abs(e.outer_value));
        }
        return result;
    }

    /// Whether the refined gap meets the tolerances that there are for the gap.
    CUBOME_INLINE mask meets_gap(const refinement<real>& refined) const {
        const real zero(scalar(0)), one(scalar(1));
        mask is_any = real(p_.tol_gap) > zero;
        mask result = meets(refined.q.gap, real(p_.tol_gap), one);
        if constexpr (is_full) {
            if (o_.has_relative_tolerance) {
                is_any = is_any | (real(p_.rel_tol_gap) > zero);
                result = result & meets(refined.q.gap, real(p_.rel_tol_gap), abs(refined.outer_value));
            }
        }
        return result & !(is_any & is_ascent(refined.q));
    }

    /// The steps of one update.
    struct step_sizes {
        real outer, inner;  ///< ξ_v, ξ_θ
        real travelled;     ///< Σ ‖d_v‖² with this update
    };

    /// @param number k + 1, for schedules
    CUBOME_INLINE step_sizes steps_of(const evaluation<real>& e, const step_memory<real>& m, real number,
                                      scalar outer_dim) const {
        step_sizes result{real(p_.outer_step_size), real(p_.inner_step_size), m.travelled};
        if (is_automatic()) {
            result.travelled = m.travelled + outer_direction_norm(e.sums, e.multiplier);
            const real reach = (real(scalar(1)) - real(p_.outer_momentum)) * sqrt(real(outer_dim));
            result.outer = reach * inverse_or_zero(sqrt(result.travelled));
            result.inner = inverse_or_zero(fma(e.multiplier, m.inner_curvature, m.outer_curvature));
        } else if (o_.has_schedule) {
            // ξ (k + 1)^(−p); exp(−0) is exactly 1
            const real log_number = log(number);
            result.outer = result.outer * exp(-(real(p_.outer_schedule) * log_number));
            result.inner = result.inner * exp(-(real(p_.inner_schedule) * log_number));
        }
        return result;
    }

    /// α and the η in use.
    CUBOME_INLINE void choose_steps(const step_memory<real>& m) {
        descent_step_size_ = inverse_or_zero(m.inner_curvature);
        eta_ = real(p_.eta) * m.outer_curvature;
        if (o_.barrier == barrier_form::gradient_norm) eta_ = eta_ * descent_step_size_;
    }

    /// Whether `is_rejected` asks what the first step promises. Momentum promises less: that g does not increase.
    CUBOME_INLINE bool needs_promise() const {
        if constexpr (is_full) return is_automatic() && !o_.has_inner_momentum;
        return is_automatic();
    }

    /// Whether q̂ is, beyond rounding, less than what steps of α ≤ 1/L decrease g by.
    ///
    /// @param promise what the first of them does at least; 0, that g does not increase
    CUBOME_INLINE mask is_rejected(const evaluation<real>& e, const solve_progress<real>& progress,
                                   real promise) const {
        if (!is_automatic()) return mask(false);
        const real rounding = real(gap_rounding<scalar>) * e.q.magnitude;
        return (e.q.gap < promise - rounding) | is_lost(e) | progress.no_curvature;
    }

    /// What an iteration that was tried leaves behind.
    ///
    /// @param moved the problems that made the update, `stays` those that go on
    CUBOME_INLINE void settle(solve_progress<real>& progress, const evaluation<real>& e, const step_sizes& steps,
                              mask goes_on, mask moved, mask stays) const {
        progress.update_failed = progress.update_failed | (goes_on & !stays);
        progress.last_multiplier = select(moved, e.multiplier, progress.last_multiplier);
        if constexpr (Text != solve_text::plain) {
            step_memory<real>& m = progress.steps;
            m.travelled = select(moved, steps.travelled, m.travelled);
            m.inner_curvature =
                select(goes_on & e.is_rejected, m.inner_curvature + m.inner_curvature, m.inner_curvature);
            m.is_measured = m.is_measured & !stays;
        }
    }

    CUBOME_INLINE real descent_step_size() const { return descent_step_size_; }  ///< α of this iteration
    CUBOME_INLINE real eta() const { return eta_; }                              ///< η of this iteration

protected:
    const Parameters& p_;
    const batch_options& o_;
    real descent_step_size_, eta_;
};

CUBOME_END_NAMESPACE
