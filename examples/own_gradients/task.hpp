// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cleaning_oracle.hpp"
#include "common/noisy_images.hpp"

namespace own_gradients {

/// The images that all problems of a batch share, a draw of wrong labels for each problem, and ordinary training.
class task {
public:
    /// Reads Fashion-MNIST, pixels normalised by the training images' one mean and standard deviation.
    task(const std::string& folder, const examples::split_sizes& sizes, std::int64_t num_problems);

    std::int64_t num_train() const { return split_.train.size(); }
    samples<float> validation() const;
    samples<float> test() const;
    const std::vector<std::uint8_t>& true_labels() const { return split_.train.labels; }
    std::vector<std::uint8_t> noisy_labels(std::size_t problem) const;

    /// What an oracle is made of; it points into the task.
    cleaning_data<float> data() const;

    /// Trains θ with full batches, from where it is: on training images, with these labels and weights, and on
    /// validation images, with weights of 1.
    void train_on_both(std::vector<std::uint8_t> labels, std::vector<float> weights, std::int64_t steps,
                       float* theta) const;

    /// On validation images alone.
    void train_on_validation(std::int64_t steps, float* theta) const;

private:
    std::vector<float> normalised(const examples::image_set& images) const;

    examples::image_split split_;
    std::vector<float> images_;  ///< of training, and behind them those of validation
    std::vector<float> test_images_;
    std::vector<std::uint8_t> noisy_;  ///< [num_problems, num_train]
};

}  // namespace own_gradients
