// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace regularisation {

struct options {
    std::string output = "regularisation.csv";
    std::int64_t documents = 18846;  ///< as many as 20 Newsgroups has; 0 means all
    std::int64_t seed = 1;
    std::int64_t steps = 300;      ///< K
    std::int64_t inner_steps = 1;  ///< T
    std::int64_t every = 20;
    std::int64_t training_steps = 300;
    float step_size = 100;        ///< of θ, of the descent and of ordinary training
    float outer_step_size = 100;  ///< of v
    float eta = 1e-4f;
    std::int64_t num_threads = 0;  ///< 0 means all cores
    bool is_automatic = false;     ///< steps by the automatic rule instead
    bool is_synthetic = false;     ///< made-up documents
    bool wants_help = false;
};

extern const char* const usage;

/// @throws examples::usage_error
options parse_options(int argc, const char* const* argv);

}  // namespace regularisation
