// SPDX-License-Identifier: Apache-2.0
#include "statistics.hpp"

#include <cmath>

namespace fashion {
namespace {

constexpr double tie_width = 2;  // in standard errors

/// Leaves out nothing.
constexpr int no_class = -1;

bool shows(const problem_record& record, int label) {
    return record.classes.first == label || record.classes.second == label;
}

/// The mean difference over the problems that do not show one class.
double mean_difference(std::span<const problem_record> records, metric of, metric against, int left_out) {
    double sum = 0;
    double count = 0;
    for (const problem_record& record : records) {
        if (shows(record, left_out)) continue;
        sum += record.metrics[of] - record.metrics[against];
        ++count;
    }
    return sum / count;
}

}  // namespace

double mean(std::span<const problem_record> records, metric which) {
    double sum = 0;
    for (const problem_record& record : records) sum += record.metrics[which];
    return sum / static_cast<double>(records.size());
}

verdict verdict_of(const estimate& difference) {
    if (std::abs(difference.value) <= tie_width * difference.error) return verdict::tie;
    return difference.value > 0 ? verdict::better : verdict::worse;
}

estimate paired_difference(std::span<const problem_record> records, metric of, metric against) {
    const double difference = mean_difference(records, of, against, no_class);
    double sum_of_squares = 0;
    for (int label = 0; label < num_classes; ++label) {
        const double change = mean_difference(records, of, against, label) - difference;
        sum_of_squares += change * change;
    }
    return {difference, std::sqrt((num_classes - 2.0) / (2.0 * num_classes) * sum_of_squares)};
}

}  // namespace fashion
