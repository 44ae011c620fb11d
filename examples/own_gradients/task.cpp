// SPDX-License-Identifier: Apache-2.0
#include "task.hpp"

#include <algorithm>
#include <utility>

#include "training.hpp"

namespace own_gradients {

task::task(const std::string& folder, const examples::split_sizes& sizes, std::int64_t num_problems)
    : split_(examples::read_split(folder, sizes, 1)),
      images_(normalised(split_.train)),
      test_images_(normalised(split_.test)) {
    const std::vector<float> clean = normalised(split_.validation);
    images_.insert(images_.end(), clean.begin(), clean.end());
    for (std::int64_t p = 0; p < num_problems; ++p) {
        const std::vector<std::uint8_t> labels =
            examples::with_noise(split_.train.labels, static_cast<std::uint64_t>(p) + 1);
        noisy_.insert(noisy_.end(), labels.begin(), labels.end());
    }
}

samples<float> task::validation() const {
    return {images_.data() + num_train() * examples::num_pixels, split_.validation.labels.data(),
            split_.validation.size()};
}

samples<float> task::test() const {
    return {test_images_.data(), split_.test.labels.data(), split_.test.size()};
}

std::vector<std::uint8_t> task::noisy_labels(std::size_t problem) const {
    const auto first = noisy_.begin() + static_cast<std::ptrdiff_t>(problem * true_labels().size());
    return {first, first + static_cast<std::ptrdiff_t>(true_labels().size())};
}

cleaning_data<float> task::data() const {
    return {images_.data(), noisy_.data(), num_train(), validation(), test()};
}

void task::train_on_both(std::vector<std::uint8_t> labels, std::vector<float> weights, std::int64_t steps,
                         float* theta) const {
    labels.insert(labels.end(), split_.validation.labels.begin(), split_.validation.labels.end());
    weights.resize(labels.size(), 1);
    const samples<float> both{images_.data(), labels.data(), static_cast<std::int64_t>(labels.size())};
    train(both, std::move(weights), cleaning_oracle<float>::penalty, steps, theta);
}

void task::train_on_validation(std::int64_t steps, float* theta) const {
    train(validation(), std::vector<float>(split_.validation.labels.size(), 1), cleaning_oracle<float>::penalty, steps,
          theta);
}

std::vector<float> task::normalised(const examples::image_set& images) const {
    std::vector<float> result(images.pixels.size());
    std::transform(images.pixels.begin(), images.pixels.end(), result.begin(),
                   [&](std::uint8_t pixel) { return (static_cast<float>(pixel) - split_.mean) / split_.deviation; });
    return result;
}

}  // namespace own_gradients
