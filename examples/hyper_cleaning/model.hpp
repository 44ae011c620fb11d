// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "common/noisy_images.hpp"

namespace hyper_cleaning {

constexpr std::int64_t num_features = examples::num_pixels + 1;  ///< and the bias, which is last
constexpr std::int64_t num_theta = examples::num_classes * num_features;

/// Softmax regression with weights θ [num_classes, num_features], made ready for images as bytes: what normalises the
/// pixels is folded in, and black ones are left out.
class model {
public:
    model(const float* theta, float mean, float deviation);

    struct quality {
        double loss;      ///< mean cross-entropy
        double accuracy;  ///< share of the images whose label is the likeliest class
    };
    quality measure(const examples::image_set& images) const;

    /// The likeliest class of each image.
    std::vector<std::uint8_t> predict(const examples::image_set& images) const;

private:
    /// The logits of image i.
    void apply(const examples::image_set& images, std::int64_t i, float* logits) const;

    std::vector<float> by_pixel_;  ///< [num_pixels, num_classes]
    std::vector<float> bias_;      ///< [num_classes]
};

}  // namespace hyper_cleaning
