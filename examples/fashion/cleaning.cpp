// SPDX-License-Identifier: Apache-2.0
#include "cleaning.hpp"

#include <algorithm>
#include <cmath>

namespace fashion {
namespace {

constexpr std::size_t training_size = 256;
constexpr std::array flip_rates = {0.10, 0.25, 0.40};
constexpr std::array<std::size_t, 3> validation_sizes = {8, 16, 128};

/// Of every model here, BOME's inner one included. Of .003, .01, .03, .1 and .3 the largest that costs a model trained
/// on clean labels no more than .004 of its accuracy; a larger one would flatter the models trained on noisy labels.
constexpr double penalty = 0.03;

/// κ, which keeps the weights near the ½ that they start from: without it v is fitted to the few validation images. One
/// for all cells, found on images that no reported figure uses: problems drawn from the first 50,000 images of the
/// training set and judged by the other 10,000.
constexpr float outer_penalty = 1e-3f;

/// The data of a cell, and the models that are trained before the solve.
struct cleaning_data {
    cleaning_data(std::size_t num_problems, const cleaning_cell& cell)
        : pixel_unit(cell.pixel_unit),
          samples(num_problems, training_size, cell.validation_size),
          true_labels(num_problems * training_size),
          noisy_models(num_problems) {}

    double penalty_in_units() const { return penalty * pixel_unit * pixel_unit; }

    std::span<float> true_labels_of(std::size_t problem) {
        return std::span(true_labels).subspan(problem * training_size, training_size);
    }
    std::span<const float> true_labels_of(std::size_t problem) const {
        return std::span(true_labels).subspan(problem * training_size, training_size);
    }

    double pixel_unit;
    problem_batch samples;           ///< whose training labels are partly wrong
    std::vector<float> true_labels;  ///< [num_problems, training_size]
    std::vector<classifier> noisy_models;
};

/// Turns the given share of labels, drawn from both classes alike, into wrong ones.
void flip_labels(std::span<float> labels, double share, random_stream& random) {
    const auto count = static_cast<std::size_t>(std::lround(share * static_cast<double>(labels.size())));
    for (const std::size_t i : draw_distinct(labels.size(), count, random)) labels[i] = -labels[i];
}

void draw_problem(const problem_record& record, const fashion_mnist& images, cleaning_data& data, std::size_t problem) {
    random_stream random(record.seed);
    draw_images(images, record.classes, random, data.samples, problem);
    scale_pixels(data.samples, problem, static_cast<float>(data.pixel_unit));
    const auto labels = data.samples.training.labels_of(problem);
    std::ranges::copy(labels, data.true_labels_of(problem).begin());
    flip_labels(labels, record.flip_rate, random);
    data.noisy_models[problem] = train({{data.samples.training[problem]}}, same_penalty(data.penalty_in_units()));
}

/// Starts at the model of the noisy labels with all weights ½, and solves.
batch_solution solve(const cleaning_data& data, const job& job, solve_totals& totals) {
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::sigmoid;
    const std::vector<float> penalties(num_pixels, static_cast<float>(data.penalty_in_units()));
    auto problem = logistic_regression(data.samples, options);
    problem.bind("penalty", cubome::shared(penalties.data(), num_pixels));
    problem.bind("outer_penalty", cubome::shared(&outer_penalty, 1));

    batch_solution solution(data.noisy_models.size(), problem);
    for (std::size_t i = 0; i < data.noisy_models.size(); ++i) solution.set_inner(i, data.noisy_models[i]);
    solution.solve(problem, job, totals);
    return solution;
}

std::vector<float> weights_of(std::span<const float> v) {
    std::vector<float> weights(v.size());
    std::ranges::transform(v, weights.begin(), [](float x) { return 1 / (1 + std::exp(-x)); });
    return weights;
}

/// 1 for each sample whose label is the classifier's own opinion, 0 for the others.
std::vector<float> agreement(const samples& data, const classifier& theta) {
    std::vector<float> result(data.size());
    for (std::size_t i = 0; i < data.size(); ++i) result[i] = data.labels[i] * score(data, i, theta) > 0 ? 1.0f : 0.0f;
    return result;
}

/// F1 of finding the wrong labels: a label is flagged if its weight is below ½, and a hit if it is wrong indeed.
///
///     F1 = 2 · hits / (number flagged + number wrong)
double f1_of_flags(std::span<const float> weights, std::span<const float> labels, std::span<const float> true_labels) {
    int flagged = 0;
    int wrong = 0;
    int hits = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const bool is_flagged = weights[i] < 0.5f;
        const bool is_wrong = labels[i] != true_labels[i];
        flagged += is_flagged;
        wrong += is_wrong;
        hits += is_flagged && is_wrong;
    }
    return 2.0 * hits / (flagged + wrong);
}

/// Trains and judges everything that a problem is compared with.
metric_values judge(const cleaning_data& data, std::size_t problem, std::span<const float> v, const classifier& theta) {
    const samples training = data.samples.training[problem];
    const samples validation = data.samples.validation[problem];
    const samples held_out = data.samples.held_out[problem];
    const samples clean_training = {training.features, data.true_labels_of(problem)};
    const penalty_vector penalties = same_penalty(data.penalty_in_units());

    const auto with_validation = [&](std::span<const float> weights) {
        return train({{training, weights}, {validation}}, penalties);
    };
    const auto f1 = [&](std::span<const float> weights) {
        return f1_of_flags(weights, training.labels, clean_training.labels);
    };

    const classifier& noisy_model = data.noisy_models[problem];
    const classifier validation_model = train({{validation}}, penalties);
    const std::vector<float> bome_weights = weights_of(v);
    const classifier bome_model = with_validation(bome_weights);
    const std::vector<float> noisy_kept = agreement(training, noisy_model);
    const std::vector<float> bome_kept = agreement(training, bome_model);

    metric_values result;
    result[metric::noisy] = accuracy(held_out, noisy_model);
    result[metric::noisy_and_validation] = accuracy(held_out, with_validation({}));
    result[metric::validation] = accuracy(held_out, validation_model);
    result[metric::noisy_filter] = accuracy(held_out, with_validation(noisy_kept));
    result[metric::validation_filter] = accuracy(held_out, with_validation(agreement(training, validation_model)));
    result[metric::bome] = accuracy(held_out, bome_model);
    result[metric::bome_filter] = accuracy(held_out, with_validation(bome_kept));
    result[metric::bome_theta] = accuracy(held_out, theta);
    result[metric::clean] = accuracy(held_out, train({{clean_training}}, penalties));
    result[metric::noisy_filter_f1] = f1(noisy_kept);
    result[metric::bome_f1] = f1(bome_weights);
    result[metric::bome_filter_f1] = f1(bome_kept);
    return result;
}

}  // namespace

std::vector<cleaning_cell> all_cleaning_cells() {
    std::vector<cleaning_cell> cells;
    for (const double flip_rate : flip_rates) {
        for (const std::size_t size : validation_sizes) cells.push_back({flip_rate, size});
    }
    return cells;
}

std::vector<problem_record> run_cleaning(const cleaning_cell& cell, const job& job, solve_totals& totals) {
    std::vector<problem_record> records =
        plan_problems({"cleaning", cell.flip_rate, cell.validation_size, job.replicates});
    cleaning_data data(records.size(), cell);
    for_each_problem(records.size(), job, [&](std::size_t i) { draw_problem(records[i], job.images, data, i); });

    batch_solution solution = solve(data, job, totals);

    for_each_problem(records.size(), job, [&](std::size_t i) {
        solution.describe(i, records[i]);
        records[i].metrics = judge(data, i, solution.outer(i), solution.inner(i));
    });
    return records;
}

}  // namespace fashion
