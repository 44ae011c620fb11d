// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <stdexcept>

namespace fashion {

struct options {
    std::filesystem::path data = "/usr/share/datasets/fashion-mnist";  ///< where Debian's dataset-fashion-mnist puts it
    std::filesystem::path output = "results.csv";
    int num_threads = 0;    ///< ≥ 1; 0 means all cores
    bool is_quick = false;  ///< a tiny run that shows that everything works; its figures mean nothing
    bool wants_help = false;
};

/// The command line cannot be understood; what() says why.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

extern const char* const usage;

/// @throws usage_error for an unknown option, a missing or a bad value
options parse_options(int argc, const char* const* argv);

}  // namespace fashion
