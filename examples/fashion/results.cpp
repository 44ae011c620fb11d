// SPDX-License-Identifier: Apache-2.0
#include "results.hpp"

#include <cmath>
#include <stdexcept>

namespace fashion {
namespace {

constexpr std::string_view fixed_columns =
    "experiment,class_a,class_b,flip_rate,validation_size,replicate,seed,outcome,iterations,outer_value,gap,"
    "refined_outer_value";

/// In the order of `metric`.
constexpr std::array<std::string_view, num_metrics> metric_columns = {
    "noisy",
    "noisy_and_validation",
    "validation",
    "noisy_filter",
    "validation_filter",
    "bome",
    "bome_filter",
    "bome_theta",
    "clean",
    "noisy_filter_f1",
    "bome_f1",
    "bome_filter_f1",
    "no_penalty",
    "single_penalty",
    "single_penalty_both",
    "pixel_penalties",
    "pixel_penalties_both",
    "no_penalty_loss",
    "single_penalty_loss",
    "single_penalty_both_loss",
    "pixel_penalties_loss",
    "pixel_penalties_both_loss",
};

/// Enough to tell two floats apart.
constexpr int significant_digits = 9;

}  // namespace

results_file::results_file(const std::filesystem::path& path) : path_(path), stream_(path) {
    stream_.precision(significant_digits);
    stream_ << fixed_columns;
    for (const std::string_view column : metric_columns) stream_ << ',' << column;
    stream_ << '\n';
    flush_or_throw();
}

void results_file::append(std::span<const problem_record> records) {
    for (const problem_record& record : records) write_row(record);
    flush_or_throw();
}

void results_file::write_row(const problem_record& record) {
    stream_ << record.experiment << ',' << record.classes.first << ',' << record.classes.second << ','
            << record.flip_rate << ',' << record.validation_size << ',' << record.replicate << ',' << record.seed << ','
            << cubome::to_string(record.outcome) << ',' << record.iterations << ',' << record.outer_value << ','
            << record.gap << ',' << record.refined_outer_value;
    for (std::size_t i = 0; i < num_metrics; ++i) {
        stream_ << ',';
        const double value = record.metrics[static_cast<metric>(i)];
        if (!std::isnan(value)) stream_ << value;
    }
    stream_ << '\n';
}

void results_file::flush_or_throw() {
    if (!stream_.flush()) throw std::runtime_error(path_.string() + ": cannot be written");
}

}  // namespace fashion
