// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

/// Fashion-MNIST at full size, cut as data hyper-cleaning takes it: many training images with labels half of which are
/// redrawn, few images that are known to be right.
namespace examples {

constexpr std::int64_t num_pixels = 784;  ///< 28 × 28
constexpr std::int64_t num_classes = 10;

/// Where Debian's dataset-fashion-mnist puts it.
inline const std::string fashion_mnist_folder = "/usr/share/datasets/fashion-mnist";

struct image_set {
    std::vector<std::uint8_t> pixels;  ///< [size, num_pixels]
    std::vector<std::uint8_t> labels;  ///< [size], below num_classes

    std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

/// How many images each part has; train, validation and held_back come from the training file, 60,000 in all.
struct split_sizes {
    std::int64_t train = 50000;
    std::int64_t validation = 5000;  ///< clean, and known to be
    std::int64_t held_back = 5000;   ///< clean, for the choice among settings
    std::int64_t test = 10000;
};

/// The parts, with their true labels.
struct image_split {
    image_set train, validation, held_back, test;
    float mean = 0;       ///< of all pixels of `train`
    float deviation = 1;  ///< their standard deviation
};

/// Reads the four files of the distribution and deals the training file's images out in an order that the seed
/// determines; of the test file it takes the first.
/// @throws no_data if there is no such folder; std::runtime_error or cubome::error if a file is not what it should be
image_split read_split(const std::filesystem::path& folder, const split_sizes& sizes, std::uint64_t seed);

/// Redraws half of the labels uniformly over all classes: a tenth of those are drawn right again.
std::vector<std::uint8_t> with_noise(const std::vector<std::uint8_t>& labels, std::uint64_t seed);

/// F1 of calling image i clean where weights[i] > ½, against where the noisy label is the true one:
/// 2 · hits / (called clean + truly clean).
double clean_f1(const float* weights, const std::vector<std::uint8_t>& noisy, const std::vector<std::uint8_t>& truth);

}  // namespace examples
