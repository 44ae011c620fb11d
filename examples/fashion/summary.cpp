// SPDX-License-Identifier: Apache-2.0
#include "summary.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string>

#include "statistics.hpp"

namespace fashion {
namespace {

/// A column of a table, and its name in a sentence.
struct method {
    metric which;
    const char* title;
};

constexpr method bome = {metric::bome, "BOME"};
constexpr method bome_filter = {metric::bome_filter, "BOME-filt"};

constexpr std::array cleaning_baselines = {
    method{metric::noisy, "noisy"},
    method{metric::noisy_and_validation, "noisy+val"},
    method{metric::validation, "valid"},
    method{metric::noisy_filter, "noisy-filt"},
    method{metric::validation_filter, "val-filt"},
};

constexpr const char* cleaning_legend =
    "LABEL CLEANING: 256 training images, a share of their labels wrong; a few clean validation images.\n"
    "All models are logistic regressions with the same penalty; figures are means over the problems of a cell.\n"
    "  noisy       trained on the training images as they are\n"
    "  noisy+val   trained on training and validation images\n"
    "  valid       trained on the validation images alone\n"
    "  noisy-filt  training labels that 'noisy' contradicts are dropped, then trained on the rest and validation\n"
    "  val-filt    the same with 'valid' as the judge\n"
    "  BOME        trained on the training images, each with the weight that BOME learnt, and validation\n"
    "  BOME-filt   training labels that 'BOME' contradicts are dropped, then trained on the rest and validation\n"
    "  BOME-theta  the model inside BOME as the solve returns it, without training again\n"
    "  clean       trained on the training images with their true labels: what cleaning aims at\n";

constexpr const char* f1_legend =
    "F1 of finding the wrong labels: 2 x flagged and wrong / (flagged + wrong). The filters flag what they\n"
    "drop, BOME the labels whose weight fell below 1/2, where it started.\n";

constexpr const char* error_legend =
    "+- is one standard error of the paired difference: a jackknife over the 10 classes, so that neither\n"
    "replicates of a pair nor pairs that share a class count as independent. Up to two of them is a tie.\n";

void print_cell(const cleaning_cell& cell) {
    std::printf("%6.2f %6zu", cell.flip_rate, cell.validation_size);
}

void print_cell_header() {
    std::printf("%6s %6s", "wrong", "clean");
}

/// One line per cell, one column per metric.
void print_means(std::span<const cleaning_result> results, std::span<const method> columns) {
    print_cell_header();
    for (const method& column : columns) std::printf(" %10s", column.title);
    std::printf("\n");
    for (const cleaning_result& result : results) {
        print_cell(result.cell);
        for (const method& column : columns) std::printf(" %10.4f", mean(result.records, column.which));
        std::printf("\n");
    }
    std::printf("\n");
}

void print_differences(std::span<const cleaning_result> results, const method& of) {
    std::printf("Accuracy of %s minus that of\n", of.title);
    print_cell_header();
    for (const method& baseline : cleaning_baselines) std::printf(" %15s", baseline.title);
    std::printf("\n");
    for (const cleaning_result& result : results) {
        print_cell(result.cell);
        for (const method& baseline : cleaning_baselines) {
            const estimate difference = paired_difference(result.records, of.which, baseline.which);
            std::printf(" %+8.4f+-%.4f", difference.value, difference.error);
        }
        std::printf("\n");
    }
    std::printf("\n");
}

const char* in_words(verdict which) {
    switch (which) {
        case verdict::better:
            return "better than";
        case verdict::tie:
            return "a tie with";
        case verdict::worse:
            return "worse than";
    }
    return "";
}

/// Appends to a list in a sentence.
void append(std::string& list, const char* separator, const std::string& entry) {
    if (!list.empty()) list += separator;
    list += entry;
}

/// "better than a, b; a tie with c", whatever of it applies.
std::string comparison_in_words(std::span<const problem_record> records, const method& of) {
    std::map<verdict, std::string> names;
    for (const method& baseline : cleaning_baselines)
        append(names[verdict_of(paired_difference(records, of.which, baseline.which))], ", ", baseline.title);

    std::string text;
    for (const auto& [which, list] : names) append(text, "; ", std::string(in_words(which)) + " " + list);
    return text;
}

metric best_baseline(std::span<const problem_record> records) {
    const auto accuracy_of = [&](const method& baseline) { return mean(records, baseline.which); };
    return std::ranges::max(cleaning_baselines, {}, accuracy_of).which;
}

/// Names each cell's verdicts, then counts those against the best baseline of each cell.
void print_verdicts(std::span<const cleaning_result> results, const method& of) {
    std::map<verdict, int> against_best;
    for (const cleaning_result& result : results) {
        std::printf("  %2.0f %% wrong, %zu clean: %s is %s.\n", 100 * result.cell.flip_rate,
                    result.cell.validation_size, of.title, comparison_in_words(result.records, of).c_str());
        const estimate difference = paired_difference(result.records, of.which, best_baseline(result.records));
        ++against_best[verdict_of(difference)];
    }
    std::printf("  Against the best baseline of each cell, chosen after the fact: %d better, %d ties, %d worse.\n\n",
                against_best[verdict::better], against_best[verdict::tie], against_best[verdict::worse]);
}

/// How far a method falls short of the best baseline of a cell, at most.
double largest_shortfall(std::span<const cleaning_result> results, metric of) {
    double largest = 0;
    for (const cleaning_result& result : results)
        largest = std::max(largest, mean(result.records, best_baseline(result.records)) - mean(result.records, of));
    return largest;
}

/// Who cleans does not know the share of wrong labels: so the worst cell of each method counts.
void print_shortfalls(std::span<const cleaning_result> results, std::span<const method> methods) {
    std::printf("How far each falls short of the best baseline of a cell, at most:\n ");
    for (const method& each : methods) std::printf(" %s %.4f", each.title, largest_shortfall(results, each.which));
    std::printf("\n\n");
}

/// A way to choose penalties, and where its accuracy and its loss are found.
struct penalty_choice {
    const char* name;
    metric accuracy;
    metric loss;
};

constexpr penalty_choice no_penalty = {"no penalty", metric::no_penalty, metric::no_penalty_loss};
constexpr penalty_choice single = {"the best single penalty", metric::single_penalty, metric::single_penalty_loss};
constexpr penalty_choice single_both = {"the best single penalty (both sets)", metric::single_penalty_both,
                                        metric::single_penalty_both_loss};
constexpr penalty_choice learnt = {"BOME's penalty per pixel", metric::pixel_penalties, metric::pixel_penalties_loss};
constexpr penalty_choice learnt_both = {"BOME's penalty per pixel (both sets)", metric::pixel_penalties_both,
                                        metric::pixel_penalties_both_loss};

constexpr const char* penalties_legend =
    "PENALTIES: 64 training and 64 validation images. The best single penalty is the one of a grid with the\n"
    "least validation loss; BOME starts from it and learns one penalty per pixel. Models are trained on the\n"
    "training images or, with the same penalties, on both sets.\n";

void print_penalty_comparison(std::span<const problem_record> records, const penalty_choice& of,
                              const penalty_choice& against) {
    const estimate gain = paired_difference(records, of.accuracy, against.accuracy);
    const estimate saving = paired_difference(records, against.loss, of.loss);
    std::printf("  %s is %s %s in accuracy (%+.4f+-%.4f) and %s it in loss (%+.4f+-%.4f).\n", of.name,
                in_words(verdict_of(gain)), against.name, gain.value, gain.error, in_words(verdict_of(saving)),
                -saving.value, saving.error);
}

}  // namespace

void print_cleaning(std::span<const cleaning_result> results) {
    std::vector<method> methods(cleaning_baselines.begin(), cleaning_baselines.end());
    methods.insert(methods.end(), {bome, bome_filter});
    std::vector<method> columns = methods;
    columns.insert(columns.end(), {{metric::bome_theta, "BOME-theta"}, {metric::clean, "clean"}});

    std::printf("%s\nAccuracy on 400 held-out images\n", cleaning_legend);
    print_means(results, columns);
    print_shortfalls(results, methods);

    std::printf("%s", f1_legend);
    print_means(results, std::array{method{metric::noisy_filter_f1, "noisy-filt"}, method{metric::bome_f1, "BOME"},
                                    method{metric::bome_filter_f1, "BOME-filt"}});

    std::printf("%s\n", error_legend);
    for (const method& of : {bome, bome_filter}) {
        print_differences(results, of);
        print_verdicts(results, of);
    }
}

void print_units(std::span<const cleaning_result> results) {
    const cleaning_cell& cell = results.front().cell;
    std::printf(
        "UNITS: the same models, %.0f %% of the labels wrong and %zu clean images, with pixels in other units. The "
        "steps\n"
        "are found for each problem, so that accuracy should not change.\n%10s %10s %10s\n",
        100 * cell.flip_rate, cell.validation_size, "pixels x", bome.title, "BOME-theta");
    for (const cleaning_result& result : results)
        std::printf("%10.3g %10.4f %10.4f\n", result.cell.pixel_unit, mean(result.records, bome.which),
                    mean(result.records, metric::bome_theta));
    std::printf("\n");
}

void print_penalties(std::span<const problem_record> records) {
    std::printf("%s\n%-48s %10s %10s\n", penalties_legend, "On 400 held-out images", "accuracy", "loss");
    for (const penalty_choice& choice : {no_penalty, single, learnt, single_both, learnt_both})
        std::printf("%-48s %10.4f %10.4f\n", choice.name, mean(records, choice.accuracy), mean(records, choice.loss));
    std::printf("\n");

    print_penalty_comparison(records, learnt, no_penalty);
    print_penalty_comparison(records, learnt, single);
    print_penalty_comparison(records, learnt_both, single_both);
    std::printf("\n");
}

void print_solves(const findings& all) {
    std::map<cubome::outcome, std::size_t> counts;
    for (const cleaning_result& result : all.cleaning) {
        for (const problem_record& record : result.records) ++counts[record.outcome];
    }
    for (const problem_record& record : all.penalties) ++counts[record.outcome];
    std::printf("Outcomes:");
    for (const auto& [outcome, count] : counts) std::printf(" %s %zu", cubome::to_string(outcome), count);

    const solve_totals& totals = all.totals;
    std::printf(
        "\ncuBOME solved %lld problems, %.3g million outer iterations, in %.2f s: %.0f problems per second,\n"
        "counting its solves alone, without reading and drawing images and training the models around them.\n",
        static_cast<long long>(totals.num_problems), 1e-6 * static_cast<double>(totals.num_iterations), totals.seconds,
        static_cast<double>(totals.num_problems) / totals.seconds);
    std::printf("backend %s, instruction set %s, threads %d, mapping %s\n", cubome::to_string(totals.ran_by.where),
                cubome::to_string(totals.ran_by.instructions), totals.ran_by.num_threads, totals.ran_by.mapping);
}

}  // namespace fashion
