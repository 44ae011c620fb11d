// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cubome/softmax_oracle.hpp>
#include <string>
#include <vector>

#include "common/noisy_images.hpp"

namespace hyper_cleaning {

/// The step size of v and η of one run: what the problems of a batch differ in.
struct configuration {
    float outer_step_size;
    float eta;
};

struct options {
    std::string data = examples::fashion_mnist_folder;
    std::string output = "hyper_cleaning.csv";
    std::string picture = "hyper_cleaning.svg";
    std::vector<configuration> configurations;  ///< one batch has all of them
    std::vector<std::int64_t> inner_steps;      ///< T: a batch for each
    std::int64_t steps = 300;
    std::int64_t every = 10;  ///< iterations between measurements
    std::int64_t seeds = 3;
    std::int64_t num_threads = 0;  ///< 0 means all cores
    cubome::backend where = cubome::backend::cpu;
    cubome::product_precision precision = cubome::product_precision::fp32;
    examples::split_sizes sizes;
    std::int64_t training_steps = 400;
    bool wants_help = false;
};

extern const char* const usage;

/// @throws examples::usage_error
options parse_options(int argc, const char* const* argv);

}  // namespace hyper_cleaning
