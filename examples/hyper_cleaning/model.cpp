// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace hyper_cleaning {

using examples::num_classes;
using examples::num_pixels;

model::model(const float* theta, float mean, float deviation)
    : by_pixel_(num_pixels * num_classes), bias_(num_classes) {
    for (std::int64_t c = 0; c < num_classes; ++c) {
        const float* const row = theta + c * num_features;
        double bias = static_cast<double>(row[num_pixels]);
        for (std::int64_t j = 0; j < num_pixels; ++j) {
            by_pixel_[static_cast<std::size_t>(j * num_classes + c)] = row[j] / deviation;
            bias -= static_cast<double>(row[j]) * static_cast<double>(mean / deviation);
        }
        bias_[static_cast<std::size_t>(c)] = static_cast<float>(bias);
    }
}

void model::apply(const examples::image_set& images, std::int64_t i, float* logits) const {
    const std::uint8_t* const pixels = images.pixels.data() + i * num_pixels;
    std::copy(bias_.begin(), bias_.end(), logits);
    for (std::int64_t j = 0; j < num_pixels; ++j) {
        if (pixels[j] == 0) continue;
        const auto pixel = static_cast<float>(pixels[j]);
        const float* const weights = by_pixel_.data() + j * num_classes;
        for (std::int64_t c = 0; c < num_classes; ++c) logits[c] += pixel * weights[c];
    }
}

model::quality model::measure(const examples::image_set& images) const {
    double loss = 0;
    std::int64_t hits = 0;
    std::array<float, num_classes> z;
    for (std::int64_t i = 0; i < images.size(); ++i) {
        apply(images, i, z.data());
        const std::uint8_t label = images.labels[static_cast<std::size_t>(i)];
        const auto likeliest = std::max_element(z.begin(), z.end());
        double sum = 0;
        for (const float logit : z) sum += std::exp(static_cast<double>(logit - *likeliest));
        loss += std::log(sum) + static_cast<double>(*likeliest - z[label]);
        hits += likeliest - z.begin() == label;
    }
    const auto count = static_cast<double>(images.size());
    return {loss / count, static_cast<double>(hits) / count};
}

std::vector<std::uint8_t> model::predict(const examples::image_set& images) const {
    std::vector<std::uint8_t> result;
    std::array<float, num_classes> z;
    for (std::int64_t i = 0; i < images.size(); ++i) {
        apply(images, i, z.data());
        result.push_back(static_cast<std::uint8_t>(std::max_element(z.begin(), z.end()) - z.begin()));
    }
    return result;
}

}  // namespace hyper_cleaning
