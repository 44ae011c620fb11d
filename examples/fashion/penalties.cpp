// SPDX-License-Identifier: Apache-2.0
#include "penalties.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace fashion {
namespace {

constexpr std::size_t training_size = 64;
constexpr std::size_t validation_size = 64;

/// What the best single penalty is chosen from: √10 apart, from almost none to far too much.
constexpr std::array grid = {1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 1e-1, 0.316, 1.0, 3.16};

/// Stands for no penalty: without any, two classes that a plane separates have no best model.
constexpr double no_penalty = 1e-6;

/// κ, which keeps the log-penalties near that of the best single penalty. Found on images that no reported figure uses,
/// as that of the cleaning.
constexpr float outer_penalty = 1e-3f;

struct penalty_data {
    explicit penalty_data(std::size_t num_problems)
        : samples(num_problems, training_size, validation_size), single_penalties(num_problems) {}

    problem_batch samples;
    std::vector<double> single_penalties;  ///< the best of the grid, for each problem
};

/// The penalty of the grid whose model has the least loss on the validation images.
double best_single_penalty(const samples& training, const samples& validation) {
    const auto validation_loss = [&](double penalty) {
        return mean_loss(validation, train({{training}}, same_penalty(penalty)));
    };
    return std::ranges::min(grid, {}, validation_loss);
}

void draw_problem(const problem_record& record, const fashion_mnist& images, penalty_data& data, std::size_t problem) {
    random_stream random(record.seed);
    draw_images(images, record.classes, random, data.samples, problem);
    data.single_penalties[problem] =
        best_single_penalty(data.samples.training[problem], data.samples.validation[problem]);
}

/// Starts at the best single penalty and its model, and solves within the range of the grid.
batch_solution solve(const penalty_data& data, const job& job, solve_totals& totals) {
    cubome::linear_model_options options;
    options.regularizer = cubome::penalty::per_feature;
    const std::vector<float> lower(num_pixels, static_cast<float>(std::log(grid.front())));
    const std::vector<float> upper(num_pixels, static_cast<float>(std::log(grid.back())));
    auto problem = logistic_regression(data.samples, options);
    problem.bind("outer_lower", cubome::shared(lower.data(), num_pixels));
    problem.bind("outer_upper", cubome::shared(upper.data(), num_pixels));

    problem.bind("outer_penalty", cubome::shared(&outer_penalty, 1));

    batch_solution solution(data.single_penalties.size(), problem);
    parallel_for(data.single_penalties.size(), job.num_threads, [&](std::size_t i) {
        const double penalty = data.single_penalties[i];
        std::ranges::fill(solution.outer(i), static_cast<float>(std::log(penalty)));
        solution.set_inner(i, train({{data.samples.training[i]}}, same_penalty(penalty)));
    });
    const std::vector<float> center = solution.all_outer();
    problem.bind("outer_center", cubome::per_problem(center.data(), solution.num_problems(), problem.outer_dim()));
    solution.solve(problem, job, totals);
    return solution;
}

penalty_vector penalties_of(std::span<const float> v) {
    penalty_vector penalties;
    std::ranges::transform(v, penalties.begin(), [](float x) { return std::exp(static_cast<double>(x)); });
    return penalties;
}

/// Judges a model on the held-out images of a problem.
void judge(const samples& held_out, const classifier& model, metric accuracy_metric, metric loss_metric,
           metric_values& result) {
    result[accuracy_metric] = accuracy(held_out, model);
    result[loss_metric] = mean_loss(held_out, model);
}

/// Trains with each kind of penalty, on the training images and on both sets, and judges the models.
metric_values judge_all(const penalty_data& data, std::size_t problem, std::span<const float> v) {
    const samples training = data.samples.training[problem];
    const samples validation = data.samples.validation[problem];
    const samples held_out = data.samples.held_out[problem];
    const penalty_vector single = same_penalty(data.single_penalties[problem]);
    const penalty_vector learnt = penalties_of(v);

    metric_values result;
    judge(held_out, train({{training}}, same_penalty(no_penalty)), metric::no_penalty, metric::no_penalty_loss, result);
    judge(held_out, train({{training}}, single), metric::single_penalty, metric::single_penalty_loss, result);
    judge(held_out, train({{training}, {validation}}, single), metric::single_penalty_both,
          metric::single_penalty_both_loss, result);
    judge(held_out, train({{training}}, learnt), metric::pixel_penalties, metric::pixel_penalties_loss, result);
    judge(held_out, train({{training}, {validation}}, learnt), metric::pixel_penalties_both,
          metric::pixel_penalties_both_loss, result);
    return result;
}

}  // namespace

std::vector<problem_record> run_penalties(const job& job, solve_totals& totals) {
    std::vector<problem_record> records = plan_problems({"penalties", 0, validation_size, job.replicates});
    penalty_data data(records.size());
    for_each_problem(records.size(), job, [&](std::size_t i) { draw_problem(records[i], job.images, data, i); });

    batch_solution solution = solve(data, job, totals);

    for_each_problem(records.size(), job, [&](std::size_t i) {
        solution.describe(i, records[i]);
        records[i].metrics = judge_all(data, i, solution.outer(i));
    });
    return records;
}

}  // namespace fashion
