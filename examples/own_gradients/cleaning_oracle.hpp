// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cubome/staged.hpp>
#include <vector>

#include "perceptron.hpp"

namespace own_gradients {

/// The images that all problems share, and the labels of each.
template <class Real>
struct cleaning_data {
    const Real* train_images;          ///< [num_train, num_pixels]
    const std::uint8_t* noisy_labels;  ///< [num_problems, num_train]
    std::int64_t num_train;
    samples<Real> validation;  ///< clean
    samples<Real> test;        ///< count 0: no metric on held-out data
};

/// Data hyper-cleaning of a perceptron: the functions that a `staged_solver` asks for, of all problems of a batch.
///
///     g = (1/n) Σ_i clip(v_i, 0, 1) CE_i(θ) + ½ ρ ‖θ‖²   on training images whose labels are partly wrong
///     f = mean CE(θ)                                      on validation images whose labels are right
///
/// One weight v_i per training image, n_v = n; θ is the perceptron's, n_θ = 238,510. The lower level is not convex.
/// The metric on held-out data is the accuracy on the test images.
template <class Real>
class cleaning_oracle final : public cubome::oracle<Real> {
public:
    static constexpr Real penalty = Real(1e-4);  ///< ρ

    /// What `data` points to must outlive the oracle.
    explicit cleaning_oracle(const cleaning_data<Real>& data) : data_(data) {}

    std::int64_t outer_dim() const override { return data_.num_train; }
    std::int64_t inner_dim() const override { return perceptron<Real>::num_weights; }
    bool has_held_out() const override { return data_.test.count > 0; }

    void reserve(std::int64_t num_problems) override;
    void prepare(const cubome::oracle_call& call, const Real* outer) override;
    void inner_gradient(const cubome::oracle_call& call, const Real* outer, const Real* inner, Real* gradient) override;
    void gap_gradient(const cubome::oracle_call& call, const Real* outer, const Real* inner, const Real* descent,
                      Real* gap, Real* magnitude, Real* gradient) override;
    void outer_gradient(const cubome::oracle_call& call, const Real* outer, const Real* inner, Real* value,
                        Real* of_outer, Real* of_inner) override;
    void held_out(const cubome::oracle_call& call, const Real* outer, const Real* inner, Real* value) override;

private:
    /// What one problem needs: problems are computed side by side, and share nothing that is written.
    struct workspace {
        perceptron<Real> model;
        std::vector<Real> weight;      ///< clip(v_i, 0, 1) / n, made by prepare()
        std::vector<Real> start_loss;  ///< CE_i at θ_k, from the descent's first gradient for the value gap
        std::vector<Real> loss;        ///< CE_i somewhere else
        std::vector<Real> validation_loss, validation_weight;
    };

    template <class Body>
    void for_each_problem(const cubome::oracle_call& call, const Body& body);

    samples<Real> train(std::int64_t problem) const {
        return {data_.train_images, data_.noisy_labels + problem * data_.num_train, data_.num_train};
    }

    cleaning_data<Real> data_;
    std::vector<workspace> workspaces_;
};

extern template class cleaning_oracle<float>;
extern template class cleaning_oracle<double>;

}  // namespace own_gradients
