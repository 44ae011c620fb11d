// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cubome/staged.hpp>
#include <stdexcept>

#include "cleaning_oracle.hpp"
#include "elementwise.hpp"
#include "matrix.hpp"

namespace own_gradients {

/// The functions of cleaning_oracle for a machine with memory of its own, to which work is handed in order: products of
/// matrices, and elementwise work. Sums are products with ones, so there is nothing else. What a machine is:
///
///     real, where                    its numbers, and where cubome finds it
///     allocate<T>(count)             memory that is there as long as the machine
///     upload(to, from, count)        copies into it, and waits
///     follow(stream)                 what comes next is enqueued there
///     multiply(a, b, keep, c)        c ← a b + keep · c
///     for_each(count, work)          work(i) for each i in [0, count)
///
/// host_machine is one that does at once what it is given: with it the text is checked where there is no device.
template <class Machine>
class enqueued_oracle final : public cubome::oracle<typename Machine::real> {
    using real = typename Machine::real;
    using model = perceptron<real>;
    static constexpr std::int64_t num_pixels = model::num_pixels, num_hidden = model::num_hidden,
                                  num_classes = model::num_classes, num_weights = model::num_weights;

public:
    /// Copies the data to the machine.
    enqueued_oracle(const cleaning_data<real>& data, std::int64_t num_problems)
        : num_problems_(num_problems),
          train_{uploaded(data.train_images, data.num_train * num_pixels),
                 uploaded(data.noisy_labels, num_problems * data.num_train), data.num_train},
          validation_(uploaded(data.validation)),
          test_(uploaded(data.test)) {
        const std::int64_t longest = std::max({train_.count, validation_.count, test_.count});
        hidden_ = machine_.template allocate<real>(longest * num_hidden);
        back_ = machine_.template allocate<real>(longest * num_hidden);
        logits_ = machine_.template allocate<real>(longest * num_classes);
        loss_ = machine_.template allocate<real>(longest);
        const std::int64_t most_terms = std::max(longest, num_weights);
        difference_ = machine_.template allocate<real>(most_terms);
        magnitude_ = machine_.template allocate<real>(most_terms);
        ones_ = machine_.template allocate<real>(most_terms);
        share_ = machine_.template allocate<real>(validation_.count);
        machine_.for_each(most_terms, constant<real>{1, ones_});
        machine_.for_each(validation_.count, constant<real>{1 / static_cast<real>(validation_.count), share_});
    }

    cubome::backend where() const override { return Machine::where; }
    std::int64_t outer_dim() const override { return train_.count; }
    std::int64_t inner_dim() const override { return num_weights; }
    bool has_held_out() const override { return test_.count > 0; }

    void reserve(std::int64_t num_problems) override {
        if (num_problems <= reserved_) return;
        if (num_problems > num_problems_) throw std::invalid_argument("more problems than there are labels for");
        weight_ = machine_.template allocate<real>(num_problems * train_.count);
        start_loss_ = machine_.template allocate<real>(num_problems * train_.count);
        reserved_ = num_problems;
    }

    void prepare(const cubome::oracle_call& call, const real* outer) override {
        machine_.follow(call.stream);
        machine_.for_each(call.num_problems * train_.count, clipped_weights<real>{outer, train_.count, weight_});
    }

    void inner_gradient(const cubome::oracle_call& call, const real*, const real* inner, real* gradient) override {
        machine_.follow(call.stream);
        machine_.for_each(call.num_problems * num_weights, scaled<real>{inner, penalty, gradient});
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            // The losses at θ_k are kept for the gap.
            real* const loss = call.descent_step == 0 ? start_loss_ + p * train_.count : loss_;
            add_gradient(train(p), inner + p * num_weights, weight_ + p * train_.count, loss,
                         gradient + p * num_weights);
        }
    }

    void gap_gradient(const cubome::oracle_call& call, const real* outer, const real* inner, const real* descent,
                      real* gap, real* magnitude, real* gradient) override {
        machine_.follow(call.stream);
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            const std::int64_t of_outer = p * train_.count, of_inner = p * num_weights;
            forward(train(p), descent + of_inner);
            machine_.for_each(train_.count,
                              cross_entropies<real>{logits_, num_classes, train(p).labels, nullptr, loss_});
            machine_.for_each(train_.count,
                              gap_of_samples<real>{outer + of_outer, weight_ + of_outer, start_loss_ + of_outer, loss_,
                                                   train_.count, difference_, magnitude_, gradient + of_outer});
            add_up(ones_, difference_, train_.count, 0, gap + p);
            add_up(ones_, magnitude_, train_.count, 0, magnitude + p);
            machine_.for_each(num_weights, gap_of_penalties<real>{inner + of_inner, descent + of_inner, penalty / 2,
                                                                  difference_, magnitude_});
            add_up(ones_, difference_, num_weights, 1, gap + p);
            add_up(ones_, magnitude_, num_weights, 1, magnitude + p);
        }
    }

    void outer_gradient(const cubome::oracle_call& call, const real*, const real* inner, real* value, real* of_outer,
                        real* of_inner) override {
        machine_.follow(call.stream);
        machine_.for_each(call.num_problems * train_.count, constant<real>{0, of_outer});
        machine_.for_each(call.num_problems * num_weights, constant<real>{0, of_inner});
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            add_gradient(validation_, inner + p * num_weights, share_, loss_, of_inner + p * num_weights);
            add_up(share_, loss_, validation_.count, 0, value + p);
        }
    }

    void held_out(const cubome::oracle_call& call, const real*, const real* inner, real* value) override {
        machine_.follow(call.stream);
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            forward(test_, inner + p * num_weights);
            machine_.for_each(test_.count, hits<real>{logits_, num_classes, test_.labels,
                                                      1 / static_cast<real>(test_.count), difference_});
            add_up(ones_, difference_, test_.count, 0, value + p);
        }
    }

private:
    static constexpr real penalty = cleaning_oracle<real>::penalty;

    template <class T>
    const T* uploaded(const T* from, std::int64_t count) {
        T* const there = machine_.template allocate<T>(count);
        machine_.upload(there, from, count);
        return there;
    }
    samples<real> uploaded(const samples<real>& from) {
        if (from.count == 0) return {nullptr, nullptr, 0};
        return {uploaded(from.images, from.count * num_pixels), uploaded(from.labels, from.count), from.count};
    }
    samples<real> train(std::int64_t p) const {
        return {train_.images, train_.labels + p * train_.count, train_.count};
    }

    /// to ← Σ_i weight_i term_i + keep · to
    void add_up(const real* weight, const real* term, std::int64_t count, real keep, real* to) {
        machine_.multiply(matrix<const real>{weight, 1, count}, matrix<const real>{term, count, 1}, keep, {to, 1, 1});
    }

    /// H and Z.
    void forward(const samples<real>& of, const real* theta) {
        const std::int64_t n = of.count;
        const layers<const real> parts(theta);
        const matrix<const real> w1{parts.w1, num_hidden, num_pixels}, w2{parts.w2, num_classes, num_hidden};
        machine_.for_each(n * num_hidden, repeated_row<real>{parts.b1, num_hidden, hidden_});
        machine_.multiply(matrix<const real>{of.images, n, num_pixels}, w1.transposed(), 1, {hidden_, n, num_hidden});
        machine_.for_each(n * num_hidden, sigmoids<real>{hidden_});
        machine_.for_each(n * num_classes, repeated_row<real>{parts.b2, num_classes, logits_});
        machine_.multiply(matrix<const real>{hidden_, n, num_hidden}, w2.transposed(), 1, {logits_, n, num_classes});
    }

    /// gradient += Σ_i weight_i ∇CE_i, as perceptron::add_gradient.
    void add_gradient(const samples<real>& of, const real* theta, const real* weight, real* loss, real* gradient) {
        const std::int64_t n = of.count;
        const layers<const real> parts(theta);
        const layers<real> into(gradient);
        forward(of, theta);
        machine_.for_each(n, cross_entropies<real>{logits_, num_classes, of.labels, weight, loss});

        const matrix<const real> x{of.images, n, num_pixels}, h{hidden_, n, num_hidden}, r{logits_, n, num_classes},
            b{back_, n, num_hidden}, w2{parts.w2, num_classes, num_hidden}, ones{ones_, 1, n};
        machine_.multiply(r.transposed(), h, 1, {into.w2, num_classes, num_hidden});
        machine_.multiply(ones, r, 1, {into.b2, 1, num_classes});
        machine_.multiply(r, w2, 0, {back_, n, num_hidden});
        machine_.for_each(n * num_hidden, back_through_sigmoids<real>{hidden_, back_});
        machine_.multiply(b.transposed(), x, 1, {into.w1, num_hidden, num_pixels});
        machine_.multiply(ones, b, 1, {into.b1, 1, num_hidden});
    }

    Machine machine_;
    std::int64_t num_problems_;  ///< with labels
    samples<real> train_;        ///< with the labels of all problems
    samples<real> validation_, test_;
    real *hidden_, *back_, *logits_, *loss_;  ///< of one problem
    real *difference_, *magnitude_;           ///< terms
    real *ones_, *share_;
    real *weight_ = nullptr, *start_loss_ = nullptr;  ///< of all problems
    std::int64_t reserved_ = 0;
};

}  // namespace own_gradients
