// SPDX-License-Identifier: Apache-2.0
#include "experiment.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <string>

namespace fashion {
namespace {

void bind_samples(cubome::problem<float>& problem, const std::string& name, const sample_batch& set) {
    const auto num_problems = static_cast<std::int64_t>(set.num_problems());
    const auto num_samples = static_cast<std::int64_t>(set.samples_per_problem());
    problem.bind(name + "_x", cubome::per_problem(set.features(), num_problems, num_samples, num_features));
    problem.bind(name + "_y", cubome::per_problem(set.labels(), num_problems, num_samples));
}

template <class T>
cubome::batch_view<T> one_each(std::vector<T>& values) {
    return cubome::per_problem(values.data(), static_cast<std::int64_t>(values.size()));
}

std::uint64_t key_of_text(std::string_view text) {
    std::uint64_t key = 0;
    for (const char c : text) key = random_stream::key_of({key, static_cast<unsigned char>(c)});
    return key;
}

}  // namespace

std::vector<problem_record> plan_problems(const batch_plan& plan) {
    const std::vector<class_pair> pairs = all_class_pairs();
    const auto per_mille_flipped = static_cast<std::uint64_t>(std::lround(1000 * plan.flip_rate));
    std::vector<problem_record> records;
    for (std::size_t pair = 0; pair < pairs.size(); ++pair) {
        for (std::size_t replicate = 0; replicate < plan.replicates; ++replicate) {
            problem_record& record = records.emplace_back();
            record.experiment = plan.experiment;
            record.classes = pairs[pair];
            record.flip_rate = plan.flip_rate;
            record.validation_size = plan.validation_size;
            record.replicate = replicate;
            record.seed = random_stream::key_of(
                {key_of_text(plan.experiment), per_mille_flipped, plan.validation_size, pair, replicate});
        }
    }
    return records;
}

cubome::problem<float> logistic_regression(const problem_batch& batch, const cubome::linear_model_options& options) {
    auto problem = cubome::linear_model<float>(static_cast<std::int64_t>(batch.training.samples_per_problem()),
                                               static_cast<std::int64_t>(batch.validation.samples_per_problem()),
                                               num_features, options);
    bind_samples(problem, "train", batch.training);
    bind_samples(problem, "validation", batch.validation);
    return problem;
}

batch_solution::batch_solution(std::size_t num_problems, const cubome::problem<float>& problem)
    : num_problems_(num_problems),
      outer_dim_(static_cast<std::size_t>(problem.outer_dim())),
      outer_(num_problems * outer_dim_),
      inner_(num_problems * num_features),
      outcome_(num_problems),
      iterations_(num_problems),
      outer_value_(num_problems),
      gap_(num_problems),
      refined_outer_value_(num_problems) {}

void batch_solution::solve(const cubome::problem<float>& problem, const job& job, solve_totals& totals) {
    const std::int64_t num_problems = this->num_problems();
    cubome::state<float> state;
    state.outer = cubome::per_problem(outer_.data(), num_problems, problem.outer_dim());
    state.inner = cubome::per_problem(inner_.data(), num_problems, problem.inner_dim());

    cubome::report<float> report;
    report.outcome = one_each(outcome_);
    report.iterations = one_each(iterations_);
    report.outer_value = one_each(outer_value_);
    report.gap = one_each(gap_);
    report.refined_outer_value = one_each(refined_outer_value_);

    cubome::execution execution;
    execution.num_threads = job.num_threads;
    execution.progress = &job.shown.done();

    const auto start = std::chrono::steady_clock::now();
    totals.ran_by = cubome::solve(problem, job.settings, state, report, execution);
    totals.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    totals.num_problems += num_problems;
    totals.num_iterations += std::accumulate(iterations_.begin(), iterations_.end(), std::int64_t{0});
}

void batch_solution::describe(std::size_t problem, problem_record& record) const {
    record.outcome = outcome_[problem];
    record.iterations = iterations_[problem];
    record.outer_value = outer_value_[problem];
    record.gap = gap_[problem];
    record.refined_outer_value = refined_outer_value_[problem];
}

void batch_solution::set_inner(std::size_t problem, const classifier& theta) {
    float* const to = inner_.data() + problem * num_features;
    std::ranges::transform(theta, to, [](double component) { return static_cast<float>(component); });
}

classifier batch_solution::inner(std::size_t problem) const {
    classifier theta;
    std::ranges::copy(std::span(inner_).subspan(problem * num_features, num_features), theta.begin());
    return theta;
}

}  // namespace fashion
