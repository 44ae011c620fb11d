// SPDX-License-Identifier: Apache-2.0
#include "common/noisy_images.hpp"

#include <cmath>
#include <cstddef>
#include <cubome/readers.hpp>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "common/arguments.hpp"
#include "fashion/random.hpp"

namespace examples {
namespace {

/// Streams of one seed that must not be the same.
enum class purpose : std::uint64_t { order = 1, wrong, labels };

fashion::random_stream stream_of(std::uint64_t seed, purpose what) {
    return fashion::random_stream(fashion::random_stream::key_of({seed, static_cast<std::uint64_t>(what)}));
}

image_set read_images(const std::filesystem::path& images, const std::filesystem::path& labels) {
    cubome::idx_array pixels = cubome::read_idx(images.string());
    cubome::idx_array classes = cubome::read_idx(labels.string());
    if (pixels.extents.size() != 3 || pixels.extents[1] * pixels.extents[2] != num_pixels)
        throw std::runtime_error(images.string() + ": expected images of 784 pixels");
    if (classes.extents.size() != 1 || classes.extents[0] != pixels.extents[0])
        throw std::runtime_error(labels.string() + ": expected one label for each image of " + images.string());
    for (const std::uint8_t label : classes.values)
        if (label >= num_classes) throw std::runtime_error(labels.string() + ": expected labels from 0 to 9");
    return {std::move(pixels.values), std::move(classes.values)};
}

/// 0 … count − 1 in random order (Fisher and Yates).
std::vector<std::size_t> shuffled(std::size_t count, fashion::random_stream random) {
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t(0));
    for (std::size_t left = count; left > 1; --left)
        std::swap(order[left - 1], order[static_cast<std::size_t>(random.below(left))]);
    return order;
}

image_set take(const image_set& from, const std::size_t* order, std::int64_t count) {
    image_set result;
    result.pixels.reserve(static_cast<std::size_t>(count * num_pixels));
    for (std::int64_t i = 0; i < count; ++i) {
        const auto first = from.pixels.begin() + static_cast<std::ptrdiff_t>(order[i] * std::size_t(num_pixels));
        result.pixels.insert(result.pixels.end(), first, first + num_pixels);
        result.labels.push_back(from.labels[order[i]]);
    }
    return result;
}

void measure_pixels(image_split& split) {
    std::uint64_t sum = 0, squares = 0;
    for (const std::uint8_t pixel : split.train.pixels) sum += pixel, squares += std::uint64_t(pixel) * pixel;
    const auto count = static_cast<double>(split.train.pixels.size());
    const double mean = static_cast<double>(sum) / count;
    split.mean = static_cast<float>(mean);
    split.deviation = static_cast<float>(std::sqrt(static_cast<double>(squares) / count - mean * mean));
}

}  // namespace

image_split read_split(const std::filesystem::path& folder, const split_sizes& sizes, std::uint64_t seed) {
    if (!std::filesystem::is_directory(folder))
        throw no_data("no folder " + folder.string() + ": install Debian's dataset-fashion-mnist, or give --data");
    const image_set all = read_images(folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte.gz");
    const image_set test = read_images(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz");
    if (sizes.train + sizes.validation + sizes.held_back > all.size() || sizes.test > test.size())
        throw std::runtime_error(folder.string() + ": fewer images than the parts need");

    const std::vector<std::size_t> order = shuffled(all.labels.size(), stream_of(seed, purpose::order));
    image_split result;
    const std::size_t* next = order.data();
    result.train = take(all, next, sizes.train);
    result.validation = take(all, next += sizes.train, sizes.validation);
    result.held_back = take(all, next += sizes.validation, sizes.held_back);
    std::vector<std::size_t> in_order(test.labels.size());
    std::iota(in_order.begin(), in_order.end(), std::size_t(0));
    result.test = take(test, in_order.data(), sizes.test);
    measure_pixels(result);
    return result;
}

std::vector<std::uint8_t> with_noise(const std::vector<std::uint8_t>& labels, std::uint64_t seed) {
    const std::vector<std::size_t> order = shuffled(labels.size(), stream_of(seed, purpose::wrong));
    fashion::random_stream random = stream_of(seed, purpose::labels);
    std::vector<std::uint8_t> result = labels;
    for (std::size_t i = 0; i < labels.size() / 2; ++i)
        result[order[i]] = static_cast<std::uint8_t>(random.below(num_classes));
    return result;
}

double clean_f1(const float* weights, const std::vector<std::uint8_t>& noisy, const std::vector<std::uint8_t>& truth) {
    std::int64_t called = 0, clean = 0, hits = 0;
    for (std::size_t i = 0; i < noisy.size(); ++i) {
        const bool is_called = weights[i] > 0.5f, is_clean = noisy[i] == truth[i];
        called += is_called, clean += is_clean, hits += is_called && is_clean;
    }
    return called + clean > 0 ? 2 * static_cast<double>(hits) / static_cast<double>(called + clean) : 0;
}

}  // namespace examples
