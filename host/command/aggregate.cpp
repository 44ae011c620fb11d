// SPDX-License-Identifier: Apache-2.0
#include "host/command/aggregate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "host/command/page_text.hpp"

namespace cubome::command {
namespace {

/// Scatters whole numbers (the finaliser of splitmix64).
std::uint64_t hash_of(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

template <class T>
void append(std::vector<T>& to, std::span<const T> from, std::size_t width, T otherwise) {
    for (std::size_t i = 0; i < width; ++i) to.push_back(i < from.size() ? from[i] : otherwise);
}

/// Keeps rows [kept] of an array of `width` numbers per row.
template <class T>
void keep_rows(std::vector<T>& rows, std::size_t width, const std::vector<std::size_t>& kept) {
    for (std::size_t to = 0; to < kept.size(); ++to)
        for (std::size_t i = 0; i < width; ++i) rows[to * width + i] = rows[kept[to] * width + i];
    rows.resize(kept.size() * width);
}

double value_at(std::span<const double> values, std::size_t i) {
    return i < values.size() ? values[i] : not_a_number;
}

std::int32_t place_at(std::span<const std::int32_t> places, std::size_t i) {
    return i < places.size() ? places[i] : -1;
}

/// The quantiles of the finite ones among these numbers; the least and the most are given, as a sample may lack them.
quantiles quantiles_of(std::vector<double> numbers, std::int64_t count, double least, double most) {
    std::sort(numbers.begin(), numbers.end());
    quantiles result;
    result.num_values = count;
    if (count == 0) return result;
    result.least = least, result.most = most;
    result.lower_quartile = quantile_of(numbers, 0.25);
    result.median = quantile_of(numbers, 0.5);
    result.upper_quartile = quantile_of(numbers, 0.75);
    return result;
}

struct extremes {
    std::int64_t count = 0;
    double least = std::numeric_limits<double>::infinity();
    double most = -std::numeric_limits<double>::infinity();

    void add(double x) { ++count, least = std::min(least, x), most = std::max(most, x); }
};

/// The traces of some problems at the positions, chosen by hash as in problem_sample.
struct trace_sample {
    std::int64_t setting = -1;
    std::size_t most = 0;
    std::uint64_t bound = std::numeric_limits<std::uint64_t>::max();
    bool is_part = false;
    std::vector<std::uint64_t> hashes;
    std::vector<double> values;  ///< [size, num_trace_fields, num_positions]
};

class gatherer {
public:
    gatherer(const sweep_results& results, const aggregate_limits& limits)
        : results_(results),
          limits_(limits),
          num_parameters_(results.parameters.size()),
          num_fields_(results.fields.size()),
          fields_(num_fields_),
          numbers_(num_parameters_) {
        choose_settings();
        choose_lines();
    }

    aggregate gather() {
        a_.field_moments.resize(num_fields_);
        results_.for_each([&](const problem_row& row) { read_first(row); });
        finish_first();
        results_.for_each([&](const problem_row& row) { read_second(row); });
        finish_second();
        return std::move(a_);
    }

private:
    using kind = parameter::kind;

    void choose_settings() {
        const auto choose = [&](bool with_prefix) {
            for (std::size_t p = 0; p < num_parameters_; ++p) {
                const parameter& it = results_.parameters[p];
                if (it.is == kind::grid && (!with_prefix || it.name.starts_with("settings.")))
                    a_.setting_parameters.push_back(p);
            }
        };
        choose(true);
        a_.has_settings_prefix = !a_.setting_parameters.empty();
        if (a_.setting_parameters.empty()) choose(false);
        settings_ = tuple_index(a_.setting_parameters.size(), limits_.most_settings);
        setting_places_.resize(a_.setting_parameters.size());
    }

    /// A problem with numbers of its own is a line of its own; else replicates are put together.
    void choose_lines() {
        bool has_drawn = false, has_replicates = false;
        for (std::size_t p = 0; p < num_parameters_; ++p) {
            const parameter& it = results_.parameters[p];
            has_drawn |= it.is == kind::drawn;
            has_replicates |= it.is == kind::replicate && it.labels.size() > 1;
            if (it.is == kind::grid) case_parameters_.push_back(p);
        }
        a_.are_lines_problems = has_drawn || !has_replicates;
        cases_ = tuple_index(case_parameters_.size(), limits_.most_cases);
        case_places_.resize(case_parameters_.size());
    }

    bool is_better(double a, double b) const { return results_.fields[0].is_best_greatest ? a > b : a < b; }

    /// fields[0] where it counts, else NaN.
    double metric_of(const problem_row& row) const {
        const double value = value_at(row.values, 0);
        return num_fields_ > 0 && has_ended_well(row.outcome) && std::isfinite(value) ? value : not_a_number;
    }

    // --- the first reading

    void read_first(const problem_row& row) {
        ++a_.num_seen;
        const auto how = std::min(static_cast<std::size_t>(row.outcome), num_outcomes - 1);
        const auto what = std::min(static_cast<std::size_t>(row.quantity), num_quantities - 1);
        ++a_.outcomes[how][what];
        if (row.outcome != outcome::not_run) {
            iterations_.add(static_cast<double>(row.iterations));
            a_.iteration_moments.add(static_cast<double>(row.iterations));
        }
        for (std::size_t f = 0; f < num_fields_; ++f) {
            const double value = value_at(row.values, f);
            if (!std::isfinite(value)) continue;
            fields_[f].add(value);
            a_.field_moments[f].add(value);
        }
        for (std::size_t p = 0; p < num_parameters_; ++p) {
            const double number = value_at(row.numbers, p);
            if (results_.parameters[p].is == kind::drawn && std::isfinite(number)) numbers_[p].add(number);
        }
        const bool has_failed = !has_ended_well(row.outcome);
        if (has_failed) add_failure(row);
        const double metric = metric_of(row);
        add_to_setting(row, metric, has_failed);
        if (!std::isnan(metric)) add_to_lines(row, metric);
        const std::uint64_t hash = hash_of(static_cast<std::uint64_t>(row.index));
        if (hash <= sample_.bound) add_to_sample(row, hash);
    }

    void add_failure(const problem_row& row) {
        ++a_.num_failed;
        if (a_.failures.size() == limits_.most_failures) return;
        failure it{row.index, row.iterations, row.outcome, row.quantity, {}, {}};
        append(it.places, row.places, num_parameters_, -1);
        append(it.numbers, row.numbers, num_parameters_, not_a_number);
        a_.failures.push_back(std::move(it));
    }

    std::int64_t setting_of(const problem_row& row) {
        for (std::size_t i = 0; i < setting_places_.size(); ++i)
            setting_places_[i] = place_at(row.places, a_.setting_parameters[i]);
        return settings_.find_or_add(setting_places_);
    }

    void add_to_setting(const problem_row& row, double metric, bool has_failed) {
        const std::int64_t found = setting_of(row);
        if (found < 0) {
            ++a_.num_unranked;
            return;
        }
        a_.settings.resize(settings_.size());
        setting_record& setting = a_.settings[static_cast<std::size_t>(found)];
        if (has_failed)
            ++setting.num_failed;
        else if (std::isnan(metric))
            ++setting.num_without;
        else
            setting.metric.add(metric);
    }

    void add_to_lines(const problem_row& row, double metric) {
        if (!a_.are_lines_problems) {
            for (std::size_t i = 0; i < case_places_.size(); ++i)
                case_places_[i] = place_at(row.places, case_parameters_[i]);
            const std::int64_t found = cases_.find_or_add(case_places_);
            if (found < 0) return;
            case_metrics_.resize(cases_.size());
            case_metrics_[static_cast<std::size_t>(found)].add(metric);
            return;
        }
        ++a_.num_lines;
        if (a_.best.size() == limits_.most_best && !is_better(metric, a_.best.back().metric)) return;
        parallel_line line;
        line.index = row.index, line.metric = metric;
        append(line.places, row.places, num_parameters_, -1);
        append(line.numbers, row.numbers, num_parameters_, not_a_number);
        insert(std::move(line));
    }

    /// Into the best, behind those that are as good.
    void insert(parallel_line line) {
        const auto at = std::upper_bound(a_.best.begin(), a_.best.end(), line,
                                         [&](const auto& a, const auto& b) { return is_better(a.metric, b.metric); });
        a_.best.insert(at, std::move(line));
        if (a_.best.size() > limits_.most_best) a_.best.pop_back();
    }

    void add_to_sample(const problem_row& row, std::uint64_t hash) {
        if (sample_.size() == limits_.most_sampled) halve_sample();
        if (hash > sample_.bound) return;
        sample_.hashes.push_back(hash);
        sample_.indices.push_back(row.index);
        sample_.iterations.push_back(row.iterations);
        sample_.outcomes.push_back(row.outcome);
        append(sample_.values, row.values, num_fields_, not_a_number);
        append(sample_.numbers, row.numbers, num_parameters_, not_a_number);
        append(sample_.places, row.places, num_parameters_, -1);
        if (!results_.trace_fields.empty() && row.num_trace_rows > 0) read_extent(row);
    }

    void halve_sample() {
        std::vector<std::size_t> kept;
        while (sample_.size() == limits_.most_sampled) {
            sample_.bound >>= 1;
            kept.clear();
            for (std::size_t i = 0; i < sample_.size(); ++i)
                if (sample_.hashes[i] <= sample_.bound) kept.push_back(i);
            keep_rows(sample_.hashes, 1, kept);
            keep_rows(sample_.indices, 1, kept);
            keep_rows(sample_.iterations, 1, kept);
            keep_rows(sample_.outcomes, 1, kept);
            keep_rows(sample_.values, num_fields_, kept);
            keep_rows(sample_.numbers, num_parameters_, kept);
            keep_rows(sample_.places, num_parameters_, kept);
        }
    }

    /// How far traces go, and in what steps.
    void read_extent(const problem_row& row) {
        const std::int64_t step = std::max<std::int64_t>(row.trace_interval, 1);
        trace_step_ = trace_step_ == 0 ? step : std::min(trace_step_, step);
        const auto num_rows = static_cast<std::size_t>(row.num_trace_rows);
        for (std::size_t f = 0; (f + 1) * num_rows <= row.trace.size() && f < results_.trace_fields.size(); ++f) {
            std::int64_t last = row.num_trace_rows - 1;
            while (last * step > last_iteration_ &&
                   !std::isfinite(row.trace[f * num_rows + static_cast<std::size_t>(last)]))
                --last;
            last_iteration_ = std::max(last_iteration_, last * step);
        }
    }

    // --- between the two

    void finish_first() {
        a_.sample_size = sample_.size();
        a_.is_sampled = static_cast<std::int64_t>(sample_.size()) < a_.num_seen;
        std::vector<double> numbers;
        for (std::size_t i = 0; i < sample_.size(); ++i)
            if (sample_.outcomes[i] != outcome::not_run) numbers.push_back(static_cast<double>(sample_.iterations[i]));
        a_.iterations = quantiles_of(std::move(numbers), iterations_.count, iterations_.least, iterations_.most);
        for (std::size_t f = 0; f < num_fields_; ++f) {
            numbers.clear();
            for (std::size_t i = 0; i < sample_.size(); ++i) {
                const double value = sample_.values[i * num_fields_ + f];
                if (std::isfinite(value)) numbers.push_back(value);
            }
            a_.field_numbers.push_back(quantiles_of(numbers, fields_[f].count, fields_[f].least, fields_[f].most));
        }
        for (std::size_t s = 0; s < settings_.size(); ++s)
            a_.setting_places.emplace_back(settings_[s].begin(), settings_[s].end());
        rank();
        finish_lines();
        make_axes();
        make_heat_maps();
        make_positions();
    }

    void rank() {
        if (num_fields_ == 0) return;
        a_.ranking.resize(a_.settings.size());
        std::iota(a_.ranking.begin(), a_.ranking.end(), std::size_t{0});
        std::stable_sort(a_.ranking.begin(), a_.ranking.end(), [&](std::size_t i, std::size_t j) {
            const moments &a = a_.settings[i].metric, &b = a_.settings[j].metric;
            if (a.count() == 0 || b.count() == 0) return a.count() > 0 && b.count() == 0;
            return is_better(a.mean(), b.mean());
        });
    }

    void finish_lines() {
        if (num_fields_ == 0) return;
        if (!a_.are_lines_problems) {
            a_.num_lines = static_cast<std::int64_t>(cases_.size());
            for (std::size_t c = 0; c < cases_.size(); ++c) {
                const double metric = case_metrics_[c].mean();
                if (a_.best.size() < limits_.most_best || is_better(metric, a_.best.back().metric))
                    insert(case_line(c));
            }
        }
        // Of a few lines not all are the best.
        a_.best.resize(std::min(a_.best.size(), static_cast<std::size_t>((a_.num_lines + 4) / 5)));
        if (a_.best.empty()) return;
        const double least = a_.best.back().metric;
        std::vector<std::pair<std::uint64_t, std::size_t>> others;
        const auto consider = [&](std::uint64_t hash, std::size_t i) {
            others.emplace_back(hash, i);
            if (others.size() >= 2 * limits_.most_others + 2) keep_first(others);
        };
        if (a_.are_lines_problems) {
            std::vector<std::int64_t> taken;
            for (const parallel_line& line : a_.best) taken.push_back(line.index);
            std::sort(taken.begin(), taken.end());
            for (std::size_t i = 0; i < sample_.size(); ++i)
                if (!std::isnan(sampled_metric(i)) &&
                    !std::binary_search(taken.begin(), taken.end(), sample_.indices[i]))
                    consider(sample_.hashes[i], i);
        } else {
            // Those that are as good as the last of the best may be among them: they are told apart by their places.
            for (std::size_t c = 0; c < cases_.size(); ++c) {
                const double metric = case_metrics_[c].mean();
                if (is_better(metric, least)) continue;
                if (metric == least && is_among_best(c)) continue;
                consider(hash_of(c), c);
            }
        }
        keep_first(others);
        for (const auto& [hash, i] : others)
            a_.others.push_back(a_.are_lines_problems ? sampled_line(i) : case_line(i));
    }

    void keep_first(std::vector<std::pair<std::uint64_t, std::size_t>>& others) const {
        std::sort(others.begin(), others.end());
        if (others.size() > limits_.most_others) others.resize(limits_.most_others);
    }

    double sampled_metric(std::size_t i) const {
        const double value = num_fields_ > 0 ? sample_.values[i * num_fields_] : not_a_number;
        return has_ended_well(sample_.outcomes[i]) && std::isfinite(value) ? value : not_a_number;
    }

    parallel_line case_line(std::size_t c) const {
        parallel_line line;
        line.places.assign(num_parameters_, -1);
        line.numbers.assign(num_parameters_, not_a_number);
        for (std::size_t i = 0; i < case_parameters_.size(); ++i) line.places[case_parameters_[i]] = cases_[c][i];
        line.metric = case_metrics_[c].mean(), line.count = case_metrics_[c].count();
        return line;
    }

    bool is_among_best(std::size_t c) const {
        return std::any_of(a_.best.begin(), a_.best.end(), [&](const parallel_line& line) {
            for (std::size_t i = 0; i < case_parameters_.size(); ++i)
                if (line.places[case_parameters_[i]] != cases_[c][i]) return false;
            return true;
        });
    }

    parallel_line sampled_line(std::size_t i) const {
        parallel_line line;
        line.index = sample_.indices[i], line.metric = sampled_metric(i);
        const auto places = std::span(sample_.places).subspan(i * num_parameters_, num_parameters_);
        const auto numbers = std::span(sample_.numbers).subspan(i * num_parameters_, num_parameters_);
        line.places.assign(places.begin(), places.end());
        line.numbers.assign(numbers.begin(), numbers.end());
        return line;
    }

    void make_axes() {
        for (std::size_t p = 0; p < num_parameters_; ++p) {
            const parameter& it = results_.parameters[p];
            if (it.is == kind::grid && it.labels.size() > 1) {
                parameter_axis axis;
                axis.parameter = p, axis.labels = it.labels;
                a_.axes.push_back(std::move(axis));
            } else if (it.is == kind::drawn && numbers_[p].most > numbers_[p].least) {
                parameter_axis axis = bins_of(p);
                if (axis.labels.size() > 1) a_.axes.push_back(std::move(axis));
            }
        }
        for (parameter_axis& axis : a_.axes) {
            axis.metric.resize(axis.labels.size());
            axis.num_failed.resize(axis.labels.size());
            axis.num_problems.resize(axis.labels.size());
            axis.ways.resize(axis.labels.size());
        }
        places_.resize(a_.axes.size());
    }

    /// Bins of equally many of the sampled numbers; equal numbers are in one bin.
    parameter_axis bins_of(std::size_t p) const {
        std::vector<double> sorted;
        for (std::size_t i = 0; i < sample_.size(); ++i) {
            const double number = sample_.numbers[i * num_parameters_ + p];
            if (std::isfinite(number)) sorted.push_back(number);
        }
        std::sort(sorted.begin(), sorted.end());
        const std::size_t num_bins = std::clamp<std::size_t>(sorted.size() / 8, 2, limits_.most_bins);
        parameter_axis axis;
        axis.parameter = p, axis.is_binned = true;
        axis.edges.push_back(numbers_[p].least);
        for (std::size_t b = 1; b < num_bins; ++b) {
            const double edge = quantile_of(sorted, static_cast<double>(b) / static_cast<double>(num_bins));
            if (edge > axis.edges.back() && edge <= numbers_[p].most) axis.edges.push_back(edge);
        }
        // Where the greatest number is a frequent one it has a bin of its own.
        axis.edges.push_back(numbers_[p].most);
        for (std::size_t b = 0; b + 1 < axis.edges.size(); ++b) {
            const auto from = std::lower_bound(sorted.begin(), sorted.end(), axis.edges[b]);
            const auto to = b + 2 == axis.edges.size()
                                ? sorted.end()
                                : std::lower_bound(sorted.begin(), sorted.end(), axis.edges[b + 1]);
            const std::span<const double> inside(sorted.data() + (from - sorted.begin()),
                                                 static_cast<std::size_t>(std::max<std::ptrdiff_t>(to - from, 0)));
            const double middle = quantile_of(inside, 0.5);
            axis.centres.push_back(std::isnan(middle) ? (axis.edges[b] + axis.edges[b + 1]) / 2 : middle);
            axis.labels.push_back(spell_number(axis.edges[b], 3) + " … " + spell_number(axis.edges[b + 1], 3));
        }
        return axis;
    }

    void make_heat_maps() {
        for (std::size_t f = 0; f < num_fields_; ++f) {
            const field& it = results_.fields[f];
            a_.metrics.push_back({it.name, heat_metric::kind::field, f, it.is_best_greatest});
            if (f == 0) a_.metrics.push_back({"share that failed", heat_metric::kind::share_failed, 0, false});
        }
        if (num_fields_ == 0) a_.metrics.push_back({"share that failed", heat_metric::kind::share_failed, 0, false});
        a_.metrics.push_back({"iterations", heat_metric::kind::iterations, 0, false});

        // Parameters of settings come first: where there is no room for all pairs, theirs are kept.
        std::vector<std::size_t> order;
        for (const bool of_settings : {true, false})
            for (std::size_t i = 0; i < a_.axes.size(); ++i)
                if (results_.parameters[a_.axes[i].parameter].name.starts_with("settings.") == of_settings)
                    order.push_back(i);
        std::vector<std::pair<std::size_t, std::size_t>> pairs;
        std::size_t num_cells = 0;
        const auto cells_of = [&](std::size_t i, std::size_t j) {
            return a_.axes[i].labels.size() * a_.axes[j].labels.size();
        };
        for (std::size_t j = 1; j < order.size(); ++j) {
            for (std::size_t i = 0; i < j; ++i) {
                const auto [first, second] = std::minmax(order[i], order[j]);
                if (pairs.size() < limits_.most_heat_maps && cells_of(first, second) <= limits_.most_cells) {
                    pairs.emplace_back(first, second);
                    num_cells += cells_of(first, second);
                } else {
                    ++a_.num_heat_maps_left_out;
                }
            }
        }
        std::size_t num_metrics = a_.metrics.size();
        if (num_cells * num_metrics > limits_.most_numbers) {
            num_metrics = std::min<std::size_t>(num_metrics, 2);
            a_.has_fewer_metrics = num_metrics < a_.metrics.size();
        }
        std::size_t num_numbers = 0;
        for (const auto& [first, second] : pairs) {
            const std::size_t cells = cells_of(first, second);
            num_numbers += cells * num_metrics;
            if (num_numbers > limits_.most_numbers) {
                ++a_.num_heat_maps_left_out;
                continue;
            }
            heat_map map;
            map.down = first, map.across = second, map.num_metrics = num_metrics;
            map.num_problems.resize(cells);
            map.sums.resize(cells * num_metrics);
            map.counts.resize(cells * num_metrics);
            a_.heat_maps.push_back(std::move(map));
        }
        metric_values_.resize(num_metrics);
        metric_counts_.resize(num_metrics);
    }

    /// All rows of the traces, or some that lie evenly on both a linear and a logarithmic axis.
    void make_positions() {
        if (trace_step_ == 0) return;
        a_.trace_step = trace_step_;
        const std::int64_t num_steps = last_iteration_ / trace_step_;
        const auto most = static_cast<std::int64_t>(limits_.most_positions);
        std::vector<std::int64_t> rows;
        if (num_steps < most) {
            for (std::int64_t r = 0; r <= num_steps; ++r) rows.push_back(r);
        } else {
            const std::int64_t half = most / 2;
            for (std::int64_t i = 0; i <= half; ++i) {
                rows.push_back(num_steps * i / half);
                const double share = static_cast<double>(i) / static_cast<double>(half);
                rows.push_back(std::llround(std::expm1(share * std::log1p(static_cast<double>(num_steps)))));
            }
            std::sort(rows.begin(), rows.end());
            rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
        }
        for (const std::int64_t r : rows) a_.positions.push_back(r * trace_step_);
        traces_.push_back({-1, limits_.most_traces, std::numeric_limits<std::uint64_t>::max(), false, {}, {}});
        std::size_t num_ranked = 0;
        for (const std::size_t s : a_.ranking) num_ranked += a_.settings[s].metric.count() > 0 ? 1 : 0;
        if (a_.settings.size() < 2) return;
        for (std::size_t i = 0; i < std::min(num_ranked, limits_.num_best_settings); ++i)
            traces_.push_back({static_cast<std::int64_t>(a_.ranking[i]),
                               limits_.most_setting_traces,
                               std::numeric_limits<std::uint64_t>::max(),
                               false,
                               {},
                               {}});
    }

    // --- the second reading

    void read_second(const problem_row& row) {
        const bool has_failed = !has_ended_well(row.outcome);
        const double metric = metric_of(row);
        const auto how = std::min(static_cast<std::size_t>(row.outcome), num_outcomes - 1);
        const auto what = std::min(static_cast<std::size_t>(row.quantity), num_quantities - 1);
        for (std::size_t i = 0; i < a_.axes.size(); ++i) {
            parameter_axis& axis = a_.axes[i];
            places_[i] = place_on(axis, row.places, row.numbers);
            if (places_[i] < 0) continue;
            const auto place = static_cast<std::size_t>(places_[i]);
            ++axis.num_problems[place];
            if (!std::isnan(metric)) axis.metric[place].add(metric);
            if (!has_failed) continue;
            ++axis.num_failed[place];
            std::vector<std::int64_t>& ways = axis.ways[place];
            if (ways.empty()) ways.resize(num_outcomes * num_quantities);
            ++ways[how * num_quantities + what];
        }
        add_to_heat_maps(row, has_failed);
        if (!traces_.empty() && row.num_trace_rows > 0) add_to_traces(row);
    }

    void add_to_heat_maps(const problem_row& row, bool has_failed) {
        for (std::size_t m = 0; m < metric_values_.size(); ++m) {
            double value = not_a_number;
            if (a_.metrics[m].is == heat_metric::kind::share_failed)
                value = has_failed ? 1 : 0;
            else if (!has_failed && a_.metrics[m].is == heat_metric::kind::iterations)
                value = static_cast<double>(row.iterations);
            else if (!has_failed)
                value = value_at(row.values, a_.metrics[m].field);
            metric_counts_[m] = std::isfinite(value) ? 1 : 0;
            metric_values_[m] = std::isfinite(value) ? value : 0;
        }
        for (heat_map& map : a_.heat_maps) {
            if (places_[map.down] < 0 || places_[map.across] < 0) continue;
            const std::size_t cell = static_cast<std::size_t>(places_[map.down]) * a_.axes[map.across].labels.size() +
                                     static_cast<std::size_t>(places_[map.across]);
            ++map.num_problems[cell];
            double* sums = map.sums.data() + cell * map.num_metrics;
            double* counts = map.counts.data() + cell * map.num_metrics;
            for (std::size_t m = 0; m < map.num_metrics; ++m) sums[m] += metric_values_[m];
            for (std::size_t m = 0; m < map.num_metrics; ++m) counts[m] += metric_counts_[m];
        }
    }

    void add_to_traces(const problem_row& row) {
        const std::uint64_t hash = hash_of(static_cast<std::uint64_t>(row.index));
        const std::int64_t setting = traces_.size() > 1 ? setting_of(row) : -1;
        for (trace_sample& sample : traces_)
            if (hash <= sample.bound && (sample.setting < 0 || sample.setting == setting)) add_trace(sample, row, hash);
    }

    void add_trace(trace_sample& sample, const problem_row& row, std::uint64_t hash) const {
        const std::size_t num_positions = a_.positions.size();
        const std::size_t width = results_.trace_fields.size() * num_positions;
        while (sample.hashes.size() == sample.most) {
            sample.bound >>= 1, sample.is_part = true;
            std::vector<std::size_t> kept;
            for (std::size_t i = 0; i < sample.hashes.size(); ++i)
                if (sample.hashes[i] <= sample.bound) kept.push_back(i);
            keep_rows(sample.hashes, 1, kept);
            keep_rows(sample.values, width, kept);
        }
        if (hash > sample.bound) return;
        sample.hashes.push_back(hash);
        const auto num_rows = static_cast<std::size_t>(row.num_trace_rows);
        const std::int64_t step = std::max<std::int64_t>(row.trace_interval, 1);
        const bool goes_on = has_ended_well(row.outcome);
        for (std::size_t f = 0; f < results_.trace_fields.size(); ++f) {
            double last = not_a_number;
            std::size_t next = 0;  // the first row that has not been read
            for (const std::int64_t position : a_.positions) {
                const auto at = static_cast<std::size_t>(position / step);
                double here = at < num_rows ? value_at(row.trace, f * num_rows + at) : not_a_number;
                for (; next <= at && next < num_rows; ++next)
                    if (std::isfinite(value_at(row.trace, f * num_rows + next))) last = row.trace[f * num_rows + next];
                if (goes_on) here = last;
                sample.values.push_back(std::isfinite(here) ? here : not_a_number);
            }
        }
    }

    void finish_second() {
        finish_quartiles();
        for (parameter_axis& axis : a_.axes) axis.share = share_of(a_.is_heavy_tailed ? ranks_on(axis) : axis.metric);
        a_.by_share.resize(a_.axes.size());
        std::iota(a_.by_share.begin(), a_.by_share.end(), std::size_t{0});
        std::stable_sort(a_.by_share.begin(), a_.by_share.end(), [&](std::size_t i, std::size_t j) {
            const double a = a_.axes[i].share, b = a_.axes[j].share;
            if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
            return a > b;
        });
        for (trace_sample& sample : traces_) a_.bands.push_back(bands_of(sample));
    }

    /// ε² of a one-way analysis of variance, at least 0: (S_between − (L − 1) S_within/(n − L)) / S_total.
    static double share_of(const std::vector<moments>& groups) {
        double count = 0, sum = 0, within = 0, num_labels = 0;
        for (const moments& m : groups) {
            if (m.count() == 0) continue;
            const auto n = static_cast<double>(m.count());
            num_labels += 1, count += n, sum += n * m.mean(), within += m.squares();
        }
        double between = 0;
        for (const moments& m : groups)
            if (m.count() > 0) between += static_cast<double>(m.count()) * std::pow(m.mean() - sum / count, 2);
        const double total = between + within;
        if (num_labels < 2 || count <= num_labels || !(total > 0)) return not_a_number;
        return std::max(0.0, (between - (num_labels - 1) * within / (count - num_labels)) / total);
    }

    std::int32_t sampled_place(const parameter_axis& axis, std::size_t i) const {
        return place_on(axis, std::span(sample_.places).subspan(i * num_parameters_, num_parameters_),
                        std::span(sample_.numbers).subspan(i * num_parameters_, num_parameters_));
    }

    /// The ranks of fields[0] among the sampled problems by label; equal ones share the middle of their ranks.
    std::vector<moments> ranks_on(const parameter_axis& axis) const {
        std::vector<moments> result(axis.labels.size());
        for (std::size_t i = 0; i < sample_.size(); ++i) {
            const std::int32_t place = sampled_place(axis, i);
            const double metric = sampled_metric(i);
            if (place < 0 || std::isnan(metric)) continue;
            const auto [first, last] = std::equal_range(sorted_.begin(), sorted_.end(), metric);
            result[static_cast<std::size_t>(place)].add(
                static_cast<double>((first - sorted_.begin()) + (last - sorted_.begin())) / 2);
        }
        return result;
    }

    void finish_quartiles() {
        for (std::size_t i = 0; i < sample_.size(); ++i)
            if (!std::isnan(sampled_metric(i))) sorted_.push_back(sampled_metric(i));
        std::sort(sorted_.begin(), sorted_.end());
        moments spread;
        for (const double x : sorted_) spread.add(x);
        // Of a normal distribution the interquartile range is 1.35 standard deviations.
        const double range = quantile_of(sorted_, 0.75) - quantile_of(sorted_, 0.25);
        a_.is_heavy_tailed = sorted_.size() >= 20 && range > 0 && spread.deviation() > 4 * range / 1.35;
        for (parameter_axis& axis : a_.axes) {
            std::vector<std::vector<double>> numbers(axis.labels.size());
            for (std::size_t i = 0; i < sample_.size(); ++i) {
                const std::int32_t place = sampled_place(axis, i);
                const double metric = sampled_metric(i);
                if (place >= 0 && !std::isnan(metric)) numbers[static_cast<std::size_t>(place)].push_back(metric);
            }
            for (std::vector<double>& sorted : numbers) {
                std::sort(sorted.begin(), sorted.end());
                axis.quartiles.push_back(
                    {quantile_of(sorted, 0.25), quantile_of(sorted, 0.5), quantile_of(sorted, 0.75)});
            }
        }
    }

    trace_bands bands_of(const trace_sample& sample) {
        a_.is_trace_sampled |= sample.is_part;
        trace_bands bands;
        bands.setting = sample.setting;
        bands.num_traces = static_cast<std::int64_t>(sample.hashes.size());
        const std::size_t width = results_.trace_fields.size() * a_.positions.size();
        std::vector<double> sorted;
        for (std::size_t at = 0; at < width; ++at) {
            sorted.clear();
            for (std::size_t i = 0; i < sample.hashes.size(); ++i) {
                const double value = sample.values[i * width + at];
                if (!std::isnan(value)) sorted.push_back(value);
            }
            std::sort(sorted.begin(), sorted.end());
            for (const double level : trace_bands::levels) bands.quantiles.push_back(quantile_of(sorted, level));
        }
        return bands;
    }

    const sweep_results& results_;
    const aggregate_limits limits_;
    const std::size_t num_parameters_, num_fields_;
    aggregate a_;

    extremes iterations_;
    std::vector<extremes> fields_, numbers_;
    problem_sample sample_;
    std::vector<double> sorted_;  ///< fields[0] of the sample where it counts
    tuple_index settings_{0, 0}, cases_{0, 0};
    std::vector<std::size_t> case_parameters_;
    std::vector<moments> case_metrics_;
    std::int64_t trace_step_ = 0, last_iteration_ = 0;
    std::vector<trace_sample> traces_;

    std::vector<std::int32_t> setting_places_, case_places_, places_;  ///< of one row
    std::vector<double> metric_values_, metric_counts_;                ///< of one row
};

}  // namespace

double quantile_of(std::span<const double> sorted, double p) {
    if (sorted.empty()) return not_a_number;
    const double at = p * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const double low = sorted[below], high = sorted[std::min(below + 1, sorted.size() - 1)];
    return low + (at - static_cast<double>(below)) * (high - low);
}

std::int64_t tuple_index::find_or_add(std::span<const std::int32_t> tuple) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    const std::size_t slot = slot_of(tuple);
    if (slots_[slot] >= 0) return slots_[slot];
    if (size_ == most_) return -1;
    slots_[slot] = static_cast<std::int64_t>(size_++);
    places_.insert(places_.end(), tuple.begin(), tuple.end());
    return slots_[slot];
}

void tuple_index::grow() {
    slots_.assign(std::max<std::size_t>(64, 2 * slots_.size()), -1);
    for (std::size_t i = 0; i < size_; ++i) slots_[slot_of((*this)[i])] = static_cast<std::int64_t>(i);
}

/// Where the tuple is, or the free slot for it.
std::size_t tuple_index::slot_of(std::span<const std::int32_t> tuple) const {
    std::uint64_t hash = 0;
    for (const std::int32_t place : tuple) hash = hash_of(hash ^ static_cast<std::uint32_t>(place));
    std::size_t slot = hash & (slots_.size() - 1);
    while (slots_[slot] >= 0) {
        const auto there = (*this)[static_cast<std::size_t>(slots_[slot])];
        if (std::equal(there.begin(), there.end(), tuple.begin(), tuple.end())) break;
        slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
}

std::int32_t place_on(const parameter_axis& axis, std::span<const std::int32_t> places,
                      std::span<const double> numbers) {
    if (!axis.is_binned) {
        const std::int32_t place = place_at(places, axis.parameter);
        return place >= 0 && static_cast<std::size_t>(place) < axis.labels.size() ? place : -1;
    }
    const double number = value_at(numbers, axis.parameter);
    if (!std::isfinite(number)) return -1;
    // Only the inner edges divide: numbers beyond the outer ones belong to the outer bins.
    const auto first = axis.edges.begin() + 1, last = axis.edges.end() - 1;
    return static_cast<std::int32_t>(std::upper_bound(first, last, number) - first);
}

aggregate aggregated(const sweep_results& results, const aggregate_limits& limits) {
    return gatherer(results, limits).gather();
}

}  // namespace cubome::command
