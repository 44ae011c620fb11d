// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "cubome/core/types.hpp"
#include "cubome/summary.hpp"
#include "host/command/sweep_results.hpp"

/// What a page about a sweep shows, gathered in two readings of the results. Memory does not grow with the number of
/// problems beyond the limits named here, and the same results give the same numbers, whatever machine reads them.
namespace cubome::command {

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
inline constexpr std::size_t num_outcomes = report_summary::num_outcomes;
inline constexpr std::size_t num_quantities = report_summary::num_quantities;

/// Limits of what is kept. Up to `most_sampled` problems all quantiles are exact; beyond, they are those of a sample.
struct aggregate_limits {
    std::size_t most_sampled = 65'536;      ///< problems in the sample that quantiles come from
    std::size_t most_traces = 4'096;        ///< traces in the sample of the whole sweep
    std::size_t most_setting_traces = 768;  ///< traces in the sample of one setting
    std::size_t most_positions = 120;       ///< iterations that a trace is read at
    std::size_t most_settings = 1 << 20;    ///< settings that are told apart
    std::size_t most_cases = 1 << 20;       ///< combinations of all grid parameters that are told apart
    std::size_t most_failures = 50;         ///< failed problems that are shown one by one
    std::size_t most_best = 100;            ///< lines of the best
    std::size_t most_others = 300;          ///< lines beside them
    std::size_t most_heat_maps = 276;
    std::size_t most_cells = 2'500;      ///< cells of one heat map
    std::size_t most_numbers = 200'000;  ///< cells of all heat maps, times metrics
    std::size_t most_bins = 10;          ///< bins of a drawn parameter
    std::size_t num_best_settings = 6;   ///< settings with curves of their own
};

/// Whether a problem's numbers enter means: it made its steps, or stopped because it had converged.
inline bool has_ended_well(outcome how) {
    return how == outcome::converged || how == outcome::step_limit;
}

/// Count, mean and spread of numbers that are added one after another (Welford's recurrence).
class moments {
public:
    void add(double x) {
        ++count_;
        const double change = x - mean_;
        mean_ += change / static_cast<double>(count_);
        squares_ += change * (x - mean_);
    }

    std::int64_t count() const { return count_; }
    /// NaN of no number.
    double mean() const { return count_ > 0 ? mean_ : not_a_number; }
    /// Σ (x − mean)²
    double squares() const { return squares_; }
    /// The standard deviation √(Σ (x − mean)² / (n − 1)); NaN of fewer than two numbers.
    double deviation() const {
        return count_ > 1 ? std::sqrt(squares_ / static_cast<double>(count_ - 1)) : not_a_number;
    }
    /// The standard error of the mean; NaN of fewer than two numbers.
    double error() const { return deviation() / std::sqrt(static_cast<double>(count_)); }

private:
    std::int64_t count_ = 0;
    double mean_ = 0, squares_ = 0;
};

/// The number at place p (n − 1) of n sorted numbers, on the straight line from one whole place to the next. NaN of
/// none.
double quantile_of(std::span<const double> sorted, double p);

/// Numbers tuples of label places in the order in which they first appear.
class tuple_index {
public:
    tuple_index(std::size_t width, std::size_t most) : width_(width), most_(most) {}

    /// The tuple's number; −1 where it is new and there is no room for it.
    std::int64_t find_or_add(std::span<const std::int32_t> tuple);

    std::size_t size() const { return size_; }
    std::span<const std::int32_t> operator[](std::size_t i) const {
        return std::span(places_).subspan(i * width_, width_);
    }

private:
    void grow();
    std::size_t slot_of(std::span<const std::int32_t> tuple) const;

    std::size_t width_, most_, size_ = 0;
    std::vector<std::int32_t> places_;
    std::vector<std::int64_t> slots_;  ///< −1 where free
};

/// Problems chosen by a hash of their index: all of them until there are too many, then every second of those, and so
/// on.
struct problem_sample {
    std::uint64_t bound = std::numeric_limits<std::uint64_t>::max();  ///< those whose hash is not above it are in
    std::vector<std::uint64_t> hashes;
    std::vector<std::int64_t> indices, iterations;
    std::vector<outcome> outcomes;
    std::vector<double> values;        ///< [size, num_fields]
    std::vector<double> numbers;       ///< [size, num_parameters]
    std::vector<std::int32_t> places;  ///< [size, num_parameters]

    std::size_t size() const { return hashes.size(); }
};

/// One setting: what its problems come to.
struct setting_record {
    moments metric;                ///< of fields[0], over the problems that ended well and have a finite one
    std::int64_t num_failed = 0;   ///< problems that did not end well
    std::int64_t num_without = 0;  ///< ended well, but without a finite metric
};

/// A parameter with a few places: the labels of a grid, or bins of equally many drawn numbers.
struct parameter_axis {
    std::size_t parameter = 0;
    bool is_binned = false;
    std::vector<std::string> labels;
    std::vector<double> edges;    ///< of bins: num_labels + 1, the first the least number, the last the greatest
    std::vector<double> centres;  ///< of bins: the median of the numbers in it

    std::vector<moments> metric;                  ///< of fields[0] by label, as in setting_record
    std::vector<std::vector<double>> quartiles;   ///< by label: lower, median, upper, of the sample
    std::vector<std::int64_t> num_failed;         ///< by label
    std::vector<std::int64_t> num_problems;       ///< by label
    std::vector<std::vector<std::int64_t>> ways;  ///< by label: problems by outcome · num_quantities + quantity
    double share = not_a_number;  ///< of the variance of fields[0], or of its ranks where tails are heavy, that the
                                  ///< label accounts for
};

/// The number of problems and the sums of every metric in each pair of labels.
struct heat_map {
    std::size_t down = 0, across = 0;        ///< indices of axes
    std::size_t num_metrics = 0;             ///< the first of aggregate::metrics that are kept
    std::vector<std::int64_t> num_problems;  ///< [labels down, labels across]
    std::vector<double> sums, counts;        ///< [labels down, labels across, num_metrics]

    double mean(std::size_t cell, std::size_t metric) const {
        const std::size_t i = cell * num_metrics + metric;
        return counts[i] > 0 ? sums[i] / counts[i] : not_a_number;
    }
};

/// What a heat map can show.
struct heat_metric {
    enum class kind { field, share_failed, iterations };
    std::string name;
    kind is = kind::field;
    std::size_t field = 0;
    bool is_best_greatest = false;
};

/// Quantiles along the traces of some problems: by trace field, position and one of `levels`.
struct trace_bands {
    static constexpr std::array<double, 5> levels = {0.05, 0.25, 0.5, 0.75, 0.95};

    std::int64_t setting = -1;  ///< −1 for the whole sweep
    std::int64_t num_traces = 0;
    std::vector<double> quantiles;  ///< [num_trace_fields, num_positions, levels]
};

/// A problem that failed.
struct failure {
    std::int64_t index = 0, iterations = 0;
    cubome::outcome outcome = outcome::not_run;
    cubome::quantity quantity = quantity::none;
    std::vector<std::int32_t> places;
    std::vector<double> numbers;
};

/// A line across all parameters: a problem, or a combination of grid labels with the mean over its replicates.
struct parallel_line {
    std::int64_t index = -1;  ///< of the problem; −1 for a combination
    std::vector<std::int32_t> places;
    std::vector<double> numbers;
    double metric = not_a_number;
    std::int64_t count = 1;
};

struct aggregate {
    std::int64_t num_seen = 0;    ///< problems that were shown
    std::int64_t num_failed = 0;  ///< of which did not end well
    std::array<std::array<std::int64_t, num_quantities>, num_outcomes> outcomes{};
    bool is_sampled = false;  ///< whether quantiles come from fewer problems than all
    std::size_t sample_size = 0;
    quantiles iterations;                  ///< of the problems that were begun
    moments iteration_moments;             ///< likewise
    std::vector<quantiles> field_numbers;  ///< by field, of the problems with a finite one
    std::vector<moments> field_moments;    ///< likewise
    bool is_heavy_tailed = false;          ///< fields[0] lies so far out that means say little

    bool has_settings_prefix = false;             ///< whether settings are made of the parameters "settings.…" alone
    std::vector<std::size_t> setting_parameters;  ///< what a setting is made of, indices of parameters
    std::vector<std::vector<std::int32_t>> setting_places;  ///< by setting: the label of each of those
    std::vector<setting_record> settings;
    std::vector<std::size_t> ranking;  ///< settings, the best first; those without a mean last
    std::int64_t num_unranked = 0;     ///< problems of settings there was no room for

    std::vector<parameter_axis> axes;   ///< the parameters with two places or more, in the order of the spec
    std::vector<std::size_t> by_share;  ///< axes, that with the largest share first
    std::vector<heat_metric> metrics;
    std::vector<heat_map> heat_maps;
    std::size_t num_heat_maps_left_out = 0;
    bool has_fewer_metrics = false;  ///< whether fields were left out of the heat maps for want of room

    std::vector<std::int64_t> positions;  ///< iterations of the bands
    std::int64_t trace_step = 1;          ///< the smallest trace_interval
    std::vector<trace_bands> bands;       ///< the whole sweep, then the best settings
    bool is_trace_sampled = false;

    bool are_lines_problems = true;
    std::int64_t num_lines = 0;  ///< that could be lines
    std::vector<parallel_line> best, others;

    std::vector<failure> failures;  ///< the first
};

/// Reads the results, twice.
aggregate aggregated(const sweep_results& results, const aggregate_limits& limits = {});

/// The place of a row on an axis; −1 where it has none.
std::int32_t place_on(const parameter_axis& axis, std::span<const std::int32_t> places,
                      std::span<const double> numbers);

}  // namespace cubome::command
