// SPDX-License-Identifier: Apache-2.0
#include "draw.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace fashion {
namespace {

/// Writes the chosen images of a class as every other sample of a problem's set, from `start` on.
void write_class(std::span<const float> images, std::span<const std::size_t> chosen, float label, std::size_t start,
                 sample_batch& set, std::size_t problem) {
    const auto features = set.features_of(problem);
    const auto labels = set.labels_of(problem);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        const std::size_t sample = start + 2 * i;
        const auto row = features.subspan(sample * num_features, num_features);
        std::ranges::copy(images.subspan(chosen[i] * num_pixels, num_pixels), row.begin());
        row.back() = 1;
        labels[sample] = label;
    }
}

/// Half of the samples of a balanced set.
std::size_t half_of(const sample_batch& set) {
    return set.samples_per_problem() / 2;
}

void draw_class(const fashion_mnist& images, int label, float sign, std::size_t start, random_stream& random,
                problem_batch& batch, std::size_t problem) {
    const auto pool = images.train.of_class(label);
    const std::size_t num_training = half_of(batch.training);
    const auto chosen = draw_distinct(pool.size() / num_pixels, num_training + half_of(batch.validation), random);
    write_class(pool, std::span(chosen).first(num_training), sign, start, batch.training, problem);
    write_class(pool, std::span(chosen).subspan(num_training), sign, start, batch.validation, problem);

    const auto test_pool = images.test.of_class(label);
    const auto held_out = draw_distinct(test_pool.size() / num_pixels, half_of(batch.held_out), random);
    write_class(test_pool, held_out, sign, start, batch.held_out, problem);
}

struct standardisation {
    float mean;
    float inverse_deviation;
};

standardisation standardisation_of(std::span<const float> features) {
    double sum = 0;
    double sum_of_squares = 0;
    double count = 0;
    for (std::size_t at = 0; at < features.size(); ++at) {
        if (at % num_features == num_pixels) continue;  // the bias
        sum += features[at];
        sum_of_squares += static_cast<double>(features[at]) * features[at];
        ++count;
    }
    const double mean = sum / count;
    const double variance = sum_of_squares / count - mean * mean;
    return {static_cast<float>(mean), static_cast<float>(1 / std::sqrt(variance))};
}

void standardise(std::span<float> features, standardisation by) {
    for (std::size_t at = 0; at < features.size(); ++at) {
        if (at % num_features != num_pixels) features[at] = (features[at] - by.mean) * by.inverse_deviation;
    }
}

void standardise(problem_batch& batch, std::size_t problem, standardisation by) {
    for (sample_batch* set : {&batch.training, &batch.validation, &batch.held_out})
        standardise(set->features_of(problem), by);
}

}  // namespace

std::vector<class_pair> all_class_pairs() {
    std::vector<class_pair> pairs;
    for (int first = 0; first < num_classes; ++first) {
        for (int second = first + 1; second < num_classes; ++second) pairs.push_back({first, second});
    }
    return pairs;
}

void draw_images(const fashion_mnist& images, class_pair classes, random_stream& random, problem_batch& batch,
                 std::size_t problem) {
    draw_class(images, classes.first, -1.0f, 0, random, batch, problem);
    draw_class(images, classes.second, 1.0f, 1, random, batch, problem);

    const standardisation by = standardisation_of(batch.training.features_of(problem));
    standardise(batch, problem, by);
}

void scale_pixels(problem_batch& batch, std::size_t problem, float factor) {
    standardise(batch, problem, {.mean = 0, .inverse_deviation = factor});
}

std::vector<std::size_t> draw_distinct(std::size_t bound, std::size_t count, random_stream& random) {
    if (count > bound)
        throw std::runtime_error("the data set is too small: " + std::to_string(count) + " of " +
                                 std::to_string(bound) + " images of a class are wanted");
    std::vector<std::size_t> numbers(bound);
    std::iota(numbers.begin(), numbers.end(), std::size_t{0});
    for (std::size_t i = 0; i < count; ++i) std::swap(numbers[i], numbers[i + random.below(bound - i)]);
    numbers.resize(count);
    return numbers;
}

}  // namespace fashion
