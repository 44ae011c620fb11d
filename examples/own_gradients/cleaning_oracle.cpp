// SPDX-License-Identifier: Apache-2.0
#include "cleaning_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "fashion/parallel.hpp"

namespace own_gradients {

template <class Real>
template <class Body>
void cleaning_oracle<Real>::for_each_problem(const cubome::oracle_call& call, const Body& body) {
    fashion::parallel_for(static_cast<std::size_t>(call.num_problems), call.num_threads,
                          [&](std::size_t p) { body(static_cast<std::int64_t>(p), workspaces_[p]); });
}

// Once, before the solve writes anything: memory that cannot be had is reported here, and not in the middle.
template <class Real>
void cleaning_oracle<Real>::reserve(std::int64_t num_problems) {
    const auto num_train = static_cast<std::size_t>(data_.num_train);
    const auto num_validation = static_cast<std::size_t>(data_.validation.count);
    workspaces_.resize(static_cast<std::size_t>(num_problems));
    for (workspace& work : workspaces_) {
        work.weight.resize(num_train);
        work.start_loss.resize(num_train);
        work.loss.resize(num_train);
        work.validation_loss.resize(num_validation);
        work.validation_weight.assign(num_validation, 1 / static_cast<Real>(num_validation));
    }
}

// What depends on v alone, once per outer iteration: the weights that the T gradients of the descent use.
template <class Real>
void cleaning_oracle<Real>::prepare(const cubome::oracle_call& call, const Real* outer) {
    for_each_problem(call, [&](std::int64_t p, workspace& work) {
        const Real* const v = outer + p * outer_dim();
        for (std::int64_t i = 0; i < data_.num_train; ++i) {
            const Real clipped = v[i] < 0 ? Real(0) : v[i] > 1 ? Real(1) : v[i];  // a NaN stays one
            work.weight[static_cast<std::size_t>(i)] = clipped / static_cast<Real>(data_.num_train);
        }
    });
}

// ∇_θ g = Σ_i weight_i ∇CE_i + ρ θ. The hot one: T times in each outer iteration.
template <class Real>
void cleaning_oracle<Real>::inner_gradient(const cubome::oracle_call& call, const Real*, const Real* inner,
                                           Real* gradient) {
    for_each_problem(call, [&](std::int64_t p, workspace& work) {
        const Real* const theta = inner + p * inner_dim();
        Real* const into = gradient + p * inner_dim();
        for (std::int64_t j = 0; j < inner_dim(); ++j) into[j] = penalty * theta[j];
        // Step 0 of the descent is at θ_k, where the value gap begins: what the losses are there is kept for it.
        Real* const loss = (call.descent_step == 0 ? work.start_loss : work.loss).data();
        work.model.add_gradient(train(p), theta, work.weight.data(), loss, into);
    });
}

// q̂ = Σ_i weight_i (CE_i(θ) − CE_i(θ⁽ᵀ⁾)) + ½ ρ Σ_j (θ_j − θ_j⁽ᵀ⁾)(θ_j + θ_j⁽ᵀ⁾), term by term: as the difference of
// two sums it would drown in rounding. ∂q̂/∂v_i = (CE_i(θ) − CE_i(θ⁽ᵀ⁾)) / n, and 0 where the clip is flat.
template <class Real>
void cleaning_oracle<Real>::gap_gradient(const cubome::oracle_call& call, const Real* outer, const Real* inner,
                                         const Real* descent, Real* gap, Real* magnitude, Real* gradient) {
    for_each_problem(call, [&](std::int64_t p, workspace& work) {
        const Real* const v = outer + p * outer_dim();
        const Real* const theta = inner + p * inner_dim();
        const Real* const theta_t = descent + p * inner_dim();
        Real* const of_outer = gradient + p * outer_dim();
        work.model.losses(train(p), theta_t, work.loss.data());

        double sum = 0, subtracted = 0;
        for (std::size_t i = 0; i < work.loss.size(); ++i) {
            const Real difference = work.start_loss[i] - work.loss[i];
            sum += static_cast<double>(work.weight[i] * difference);
            subtracted += static_cast<double>(work.weight[i] * (work.start_loss[i] + work.loss[i]));
            of_outer[i] = v[i] < 0 || v[i] > 1 ? Real(0) : difference / static_cast<Real>(data_.num_train);
        }
        for (std::int64_t j = 0; j < inner_dim(); ++j) {
            sum += static_cast<double>(penalty / 2 * (theta[j] - theta_t[j]) * (theta[j] + theta_t[j]));
            subtracted += static_cast<double>(penalty / 2 * (theta[j] * theta[j] + theta_t[j] * theta_t[j]));
        }
        gap[p] = static_cast<Real>(sum);
        magnitude[p] = static_cast<Real>(subtracted);
    });
}

// f and ∇_θ f on the validation images; f does not depend on v.
template <class Real>
void cleaning_oracle<Real>::outer_gradient(const cubome::oracle_call& call, const Real*, const Real* inner, Real* value,
                                           Real* of_outer, Real* of_inner) {
    for_each_problem(call, [&](std::int64_t p, workspace& work) {
        Real* const into = of_inner + p * inner_dim();
        std::fill(into, into + inner_dim(), Real(0));
        std::fill(of_outer + p * outer_dim(), of_outer + (p + 1) * outer_dim(), Real(0));
        work.model.add_gradient(data_.validation, inner + p * inner_dim(), work.validation_weight.data(),
                                work.validation_loss.data(), into);
        double sum = 0;
        for (const Real loss : work.validation_loss) sum += static_cast<double>(loss);
        value[p] = static_cast<Real>(sum / static_cast<double>(data_.validation.count));
    });
}

template <class Real>
void cleaning_oracle<Real>::held_out(const cubome::oracle_call& call, const Real*, const Real* inner, Real* value) {
    for_each_problem(call, [&](std::int64_t p, workspace& work) {
        value[p] = static_cast<Real>(work.model.accuracy(data_.test, inner + p * inner_dim()));
    });
}

template class cleaning_oracle<float>;
template class cleaning_oracle<double>;

}  // namespace own_gradients
