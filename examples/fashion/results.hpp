// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cubome/cubome.hpp>
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "draw.hpp"

namespace fashion {

/// What is measured on a problem. Accuracies and losses are those on the held-out images.
enum class metric : std::size_t {
    noisy,
    noisy_and_validation,
    validation,
    noisy_filter,
    validation_filter,
    bome,
    bome_filter,
    bome_theta,
    clean,
    noisy_filter_f1,
    bome_f1,
    bome_filter_f1,
    no_penalty,
    single_penalty,
    single_penalty_both,
    pixel_penalties,
    pixel_penalties_both,
    no_penalty_loss,
    single_penalty_loss,
    single_penalty_both_loss,
    pixel_penalties_loss,
    pixel_penalties_both_loss,
    count,
};

constexpr std::size_t num_metrics = static_cast<std::size_t>(metric::count);

/// The value of each metric; NaN where the experiment does not measure it.
class metric_values {
public:
    metric_values() { values_.fill(std::numeric_limits<double>::quiet_NaN()); }
    double& operator[](metric which) { return values_[static_cast<std::size_t>(which)]; }
    double operator[](metric which) const { return values_[static_cast<std::size_t>(which)]; }

private:
    std::array<double, num_metrics> values_;
};

/// One problem: how it was made, how its solve ended, what came out.
struct problem_record {
    std::string_view experiment;
    class_pair classes{};
    double flip_rate = 0;
    std::size_t validation_size = 0;
    std::size_t replicate = 0;
    std::uint64_t seed = 0;  ///< the key of the random stream that drew it
    cubome::outcome outcome = cubome::outcome::not_run;
    std::int64_t iterations = 0;
    float outer_value = 0;
    float gap = 0;
    float refined_outer_value = 0;
    metric_values metrics;
};

/// Writes one CSV row per problem, under a header. What an experiment does not measure is an empty cell.
class results_file {
public:
    /// @throws std::runtime_error if the file cannot be written
    explicit results_file(const std::filesystem::path& path);

    /// @throws std::runtime_error if the rows cannot be written
    void append(std::span<const problem_record> records);

private:
    void write_row(const problem_record& record);
    void flush_or_throw();

    std::filesystem::path path_;
    std::ofstream stream_;
};

}  // namespace fashion
