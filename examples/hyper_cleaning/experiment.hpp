// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "options.hpp"

namespace hyper_cleaning {

/// What a model is worth.
struct scores {
    double test_loss, test_accuracy;
    double held_back_loss;  ///< for the choice among settings
    double f1;              ///< of the images that are called clean; NaN where none are
};

/// One measurement of one run.
struct record {
    std::int64_t seed;
    configuration settings;
    std::int64_t inner_steps, iteration;
    double seconds;  ///< that the solver took for the whole batch until then
    float outer_value, gap;
    scores found;
};

/// Ordinary training, of one seed.
struct reference_lines {
    scores noisy;  ///< noisy labels and validation: where BOME starts
    scores validation_only;
    scores filtered;  ///< training labels that `noisy` contradicts dropped, the rest and validation
    scores clean;     ///< true labels and validation: out of reach
};

struct findings {
    std::vector<reference_lines> lines;  ///< [seeds]
    std::vector<record> records;         ///< in the order of seed, T, iteration, configuration
};

/// Runs everything; tells on stderr what it is at.
findings run(const options& o);

}  // namespace hyper_cleaning
