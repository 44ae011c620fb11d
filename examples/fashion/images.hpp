// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace fashion {

constexpr int num_classes = 10;
constexpr int num_pixels = 49;                ///< 28 × 28 pixels averaged in 4 × 4 blocks
constexpr int num_features = num_pixels + 1;  ///< and a last one that is 1, the bias

/// What the classes of Fashion-MNIST show, for messages.
constexpr std::array<std::string_view, num_classes> class_names = {
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"};

/// Pooled images of all classes.
class image_set {
public:
    /// Reads one IDX file of images and one of labels, gzip or not.
    /// @throws std::runtime_error, or cubome::error, if they cannot be read or do not belong together
    image_set(const std::filesystem::path& image_file, const std::filesystem::path& label_file);

    /// The images of one class, [count, num_pixels], each pixel in [0, 255].
    std::span<const float> of_class(int label) const { return by_class_[static_cast<std::size_t>(label)]; }

private:
    std::array<std::vector<float>, num_classes> by_class_;
};

/// Fashion-MNIST as it is distributed: problems are drawn from `train`, what they are judged by from `test`.
struct fashion_mnist {
    image_set train;
    image_set test;

    /// Reads the four files of the distribution, `train-images-idx3-ubyte.gz` and so on, from a folder.
    explicit fashion_mnist(const std::filesystem::path& folder);
};

}  // namespace fashion
