// SPDX-License-Identifier: Apache-2.0
#include "images.hpp"

#include <cstdint>
#include <cubome/readers.hpp>
#include <stdexcept>
#include <string>

namespace fashion {
namespace {

constexpr int image_side = 28;
constexpr int block_side = 4;
constexpr int pooled_side = image_side / block_side;
static_assert(pooled_side * pooled_side == num_pixels);

using image = std::span<const std::uint8_t, image_side * image_side>;

float block_mean(image pixels, int block_row, int block_column) {
    int sum = 0;
    for (int row = 0; row < block_side; ++row) {
        for (int column = 0; column < block_side; ++column) {
            const int at = (block_row * block_side + row) * image_side + block_column * block_side + column;
            sum += pixels[static_cast<std::size_t>(at)];
        }
    }
    return static_cast<float>(sum) / (block_side * block_side);
}

void append_pooled(image pixels, std::vector<float>& pooled) {
    for (int row = 0; row < pooled_side; ++row) {
        for (int column = 0; column < pooled_side; ++column) pooled.push_back(block_mean(pixels, row, column));
    }
}

}  // namespace

image_set::image_set(const std::filesystem::path& image_file, const std::filesystem::path& label_file) {
    const cubome::idx_array images = cubome::read_idx(image_file.string());
    const cubome::idx_array labels = cubome::read_idx(label_file.string());
    if (images.extents.size() != 3 || images.extents[1] != image_side || images.extents[2] != image_side)
        throw std::runtime_error(image_file.string() + ": expected images of 28 x 28 pixels");
    if (labels.extents.size() != 1 || labels.extents[0] != images.extents[0])
        throw std::runtime_error(label_file.string() + ": expected one label for each image of " + image_file.string());

    for (std::size_t i = 0; i < labels.values.size(); ++i) {
        const std::size_t label = labels.values[i];
        if (label >= num_classes) throw std::runtime_error(label_file.string() + ": expected labels from 0 to 9");
        append_pooled(image(images.values.data() + i * image::extent, image::extent), by_class_[label]);
    }
}

fashion_mnist::fashion_mnist(const std::filesystem::path& folder)
    : train(folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte.gz"),
      test(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz") {}

}  // namespace fashion
