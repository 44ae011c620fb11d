// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "images.hpp"
#include "logistic.hpp"
#include "random.hpp"

namespace fashion {

/// Images that judge each problem's classifiers: one accuracy then has a standard error of about .01 on its own.
constexpr std::size_t held_out_size = 400;

/// Two classes to be told apart: `first` is labelled −1, `second` +1.
struct class_pair {
    int first;
    int second;
};

/// All 45 pairs, first < second, in lexicographic order.
std::vector<class_pair> all_class_pairs();

/// One set of samples for each problem of a batch, all of one size, laid out as cuBOME takes them.
class sample_batch {
public:
    sample_batch(std::size_t num_problems, std::size_t samples_per_problem)
        : per_problem_(samples_per_problem),
          features_(num_problems * samples_per_problem * num_features),
          labels_(num_problems * samples_per_problem) {}

    std::size_t num_problems() const { return labels_.size() / per_problem_; }
    std::size_t samples_per_problem() const { return per_problem_; }
    const float* features() const { return features_.data(); }  ///< [num_problems, samples_per_problem, num_features]
    const float* labels() const { return labels_.data(); }      ///< [num_problems, samples_per_problem]

    std::span<float> features_of(std::size_t problem) {
        return std::span(features_).subspan(problem * per_problem_ * num_features, per_problem_ * num_features);
    }
    std::span<float> labels_of(std::size_t problem) {
        return std::span(labels_).subspan(problem * per_problem_, per_problem_);
    }
    samples operator[](std::size_t problem) const {
        return {std::span(features_).subspan(problem * per_problem_ * num_features, per_problem_ * num_features),
                std::span(labels_).subspan(problem * per_problem_, per_problem_)};
    }

private:
    std::size_t per_problem_;
    std::vector<float> features_;
    std::vector<float> labels_;
};

/// The data of a batch of problems.
struct problem_batch {
    problem_batch(std::size_t num_problems, std::size_t training_size, std::size_t validation_size)
        : training(num_problems, training_size),
          validation(num_problems, validation_size),
          held_out(num_problems, held_out_size) {}

    sample_batch training;
    sample_batch validation;
    sample_batch held_out;
};

/// Draws the images of one problem: training and validation images, all different, from the training set of
/// Fashion-MNIST, held-out images from its test set. Half of each set shows either class; labels are the true ones.
///
/// Pixels are standardised by one mean and one standard deviation, those of all pixels of the problem's training
/// images: nothing else is known when a user trains. One of each per pixel would blow up the pixels near the border,
/// which are almost constant in a small sample.
void draw_images(const fashion_mnist& images, class_pair classes, random_stream& random, problem_batch& batch,
                 std::size_t problem);

/// Multiplies every pixel of a problem's samples, the bias not.
void scale_pixels(problem_batch& batch, std::size_t problem, float factor);

/// `count` different numbers from [0, bound), in random order.
std::vector<std::size_t> draw_distinct(std::size_t bound, std::size_t count, random_stream& random);

}  // namespace fashion
