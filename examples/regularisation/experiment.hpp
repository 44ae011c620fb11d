// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "options.hpp"
#include "text_data.hpp"

namespace regularisation {

/// A model, measured on all parts.
struct model_line {
    std::string name;
    quality validation, test, held_back;
};

/// θ_k of BOME at one iteration.
struct record {
    std::int64_t iteration;
    double seconds;  ///< that the solver took until then
    float outer_value, gap;
    quality test, held_back;
};

struct findings {
    /// Trained on training documents without a penalty, with each of a grid of single penalties, and with the penalties
    /// that BOME learnt; BOME's θ_K; and trained on training and validation documents: without, with the single penalty
    /// of the least validation loss, and with BOME's.
    std::vector<model_line> lines;
    std::vector<record> records;
    float least_v, largest_v;  ///< of the learnt log-penalties
    cubome::outcome outcome;   ///< of the solve
};

/// Tells on stderr what it is at.
findings run(const options& o, const text_data& text);

}  // namespace regularisation
