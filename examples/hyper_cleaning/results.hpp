// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "experiment.hpp"

namespace hyper_cleaning {

/// One row per measurement, and one for each line of ordinary training; the columns are in README.md.
void write_csv(const findings& all, const std::filesystem::path& file);

/// Lines of ordinary training, then runs at their last iteration, means over seeds. The run of a grid that one would
/// choose, by the loss on held-back images, is marked.
void print_table(const findings& all);

/// Accuracy and F1 over time, means over seeds, an accuracy and an F1 chart for each T.
void write_picture(const findings& all, const std::filesystem::path& file);

}  // namespace hyper_cleaning
