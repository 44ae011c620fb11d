// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cubome/cubome.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "draw.hpp"
#include "parallel.hpp"
#include "progress.hpp"
#include "results.hpp"

namespace fashion {

/// What both experiments need.
struct job {
    const fashion_mnist& images;
    std::size_t replicates;  ///< problems per cell and pair of classes
    cubome::settings<float> settings;
    int num_threads;
    progress& shown;
};

/// Each problem is counted once when it is drawn, once when it is solved and once when it is judged.
constexpr std::int64_t progress_units_per_problem = 3;

/// What cuBOME did for the whole job. The seconds are those of its solves alone, without drawing data and baselines.
struct solve_totals {
    std::int64_t num_problems = 0;
    std::int64_t num_iterations = 0;
    double seconds = 0;
    cubome::run_info ran_by{};
};

/// What one batch has in common: all pairs of classes, each with the same number of replicates.
struct batch_plan {
    std::string_view experiment;
    double flip_rate;
    std::size_t validation_size;
    std::size_t replicates;
};

/// One record per problem, pair by pair, the replicates of a pair together. Each has a seed of its own, which depends
/// on what the problem is and on nothing else.
std::vector<problem_record> plan_problems(const batch_plan& plan);

/// Calls body(i) for each problem i, on the job's threads, and counts it as progress.
template <class Body>
void for_each_problem(std::size_t num_problems, const job& job, const Body& body) {
    parallel_for(num_problems, job.num_threads, [&](std::size_t i) {
        body(i);
        ++job.shown.done();
    });
}

/// A logistic regression per problem, bound to the training and validation samples of a batch.
cubome::problem<float> logistic_regression(const problem_batch& batch, const cubome::linear_model_options& options);

/// The variables and the report of a batch.
class batch_solution {
public:
    /// All variables start at 0.
    batch_solution(std::size_t num_problems, const cubome::problem<float>& problem);

    void set_inner(std::size_t problem, const classifier& theta);

    std::int64_t num_problems() const { return static_cast<std::int64_t>(num_problems_); }

    /// v of all problems, [num_problems, outer_dim].
    const std::vector<float>& all_outer() const { return outer_; }

    /// v of a problem.
    std::span<float> outer(std::size_t problem) { return std::span(outer_).subspan(problem * outer_dim_, outer_dim_); }

    /// θ of a problem, as the classifier that it is.
    classifier inner(std::size_t problem) const;

    /// Solves the batch from the variables' present values, which it replaces, with the job's settings.
    void solve(const cubome::problem<float>& problem, const job& job, solve_totals& totals);

    /// Copies what the solve said about a problem into its record.
    void describe(std::size_t problem, problem_record& record) const;

private:
    std::size_t num_problems_;
    std::size_t outer_dim_;
    std::vector<float> outer_;
    std::vector<float> inner_;
    std::vector<cubome::outcome> outcome_;
    std::vector<std::int64_t> iterations_;
    std::vector<float> outer_value_;
    std::vector<float> gap_;
    std::vector<float> refined_outer_value_;
};

}  // namespace fashion
