// SPDX-License-Identifier: Apache-2.0
#include "experiment.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cubome/softmax_oracle.hpp>
#include <limits>
#include <thread>

#include "common/noisy_images.hpp"
#include "fashion/parallel.hpp"
#include "model.hpp"
#include "training.hpp"

namespace hyper_cleaning {
namespace {

/// α = ξ_θ, and the momentum of v and θ.
constexpr float inner_step_size = 0.01f, outer_momentum = 0.9f;

/// One draw of images and of wrong labels.
struct task {
    task(const options& o, std::uint64_t seed)
        : images(examples::read_split(o.data, o.sizes, seed)),
          noisy(examples::with_noise(images.train.labels, seed)),
          num_threads(o.num_threads > 0 ? static_cast<int>(o.num_threads)
                                        : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))),
          training_steps(o.training_steps) {}

    /// g on training images with these labels, f on validation images.
    cubome::softmax_oracle oracle_of(const std::vector<std::uint8_t>& labels,
                                     cubome::backend where = cubome::backend::cpu,
                                     cubome::product_precision precision = cubome::product_precision::fp32) const {
        const auto samples = [&](const examples::image_set& set, const std::vector<std::uint8_t>& classes) {
            return cubome::byte_samples(set.pixels.data(), classes.data(), set.size(), examples::num_pixels,
                                        images.mean, 1 / images.deviation);
        };
        cubome::softmax_options options;
        options.num_classes = examples::num_classes;
        options.weights = cubome::sample_weights::clip;
        options.fixed_rho = 2 * l2_penalty;
        options.precision = precision;
        cubome::execution execution;
        execution.where = where;
        return {samples(images.train, labels), samples(images.validation, images.validation.labels), options,
                execution};
    }

    std::vector<float> trained(cubome::oracle<float>& oracle, std::vector<float> weights) const {
        return train(oracle, std::move(weights), images.validation.size(), training_steps, num_threads);
    }

    /// @param weights of the training images; null where no image is called clean
    scores score(const float* theta, const float* weights) const {
        const model judge(theta, images.mean, images.deviation);
        const model::quality test = judge.measure(images.test);
        return {test.loss, test.accuracy, judge.measure(images.held_back).loss,
                weights ? examples::clean_f1(weights, noisy, images.train.labels)
                        : std::numeric_limits<double>::quiet_NaN()};
    }

    examples::image_split images;
    std::vector<std::uint8_t> noisy;
    int num_threads;
    std::int64_t training_steps;
};

/// @param start receives the model of noisy labels
reference_lines train_lines(const task& t, cubome::oracle<float>& oracle, std::vector<float>& start) {
    const std::size_t n = t.noisy.size();
    std::vector<float> weights(2 * n, 1);  // two models at once: all training images, and none
    std::fill(weights.begin() + static_cast<std::ptrdiff_t>(n), weights.end(), 0.0f);
    const std::vector<float> both = t.trained(oracle, weights);
    start.assign(both.begin(), both.begin() + num_theta);

    const std::vector<std::uint8_t> predicted =
        model(start.data(), t.images.mean, t.images.deviation).predict(t.images.train);
    std::vector<float> kept(n);
    for (std::size_t i = 0; i < n; ++i) kept[i] = predicted[i] == t.noisy[i];
    const std::vector<float> filtered = t.trained(oracle, kept);

    cubome::softmax_oracle of_truth = t.oracle_of(t.images.train.labels);
    const std::vector<float> clean = t.trained(of_truth, std::vector<float>(n, 1));
    return {t.score(start.data(), nullptr), t.score(both.data() + num_theta, nullptr),
            t.score(filtered.data(), kept.data()), t.score(clean.data(), nullptr)};
}

/// The configurations of one T, a problem each: v, θ and all that one part of the solve leaves to the next.
class batch {
public:
    batch(const task& t, const std::vector<configuration>& configurations, const std::vector<float>& start)
        : task_(t),
          configurations_(configurations),
          count_(static_cast<std::int64_t>(configurations.size())),
          n_(static_cast<std::int64_t>(t.noisy.size())),
          v_(static_cast<std::size_t>(count_ * n_), 0.5f),
          v_velocity_(v_.size()),
          theta_velocity_(static_cast<std::size_t>(count_ * num_theta)),
          multiplier_(configurations.size()),
          value_(configurations.size()),
          gap_(configurations.size()),
          iteration_(configurations.size(), 0) {
        for (const configuration& c : configurations) {
            theta_.insert(theta_.end(), start.begin(), start.end());
            step_size_.push_back(c.outer_step_size);
            eta_.push_back(c.eta);
        }
    }

    /// Solves in parts of `every` iterations, and measures in between: a state goes on where it stopped.
    void solve(const options& o, cubome::oracle<float>& oracle, std::int64_t inner_steps, std::int64_t seed,
               std::vector<record>& into) {
        cubome::settings<float> settings;
        settings.inner_steps = inner_steps;
        settings.refine_steps = 0;
        settings.barrier = cubome::barrier_form::value_gap;
        settings.steps = cubome::step_rule::fixed;
        settings.box = cubome::box_rule::clip;
        settings.outer_step_size = cubome::per_problem(step_size_.data(), count_);
        settings.inner_step_size = inner_step_size;
        settings.descent_step_size = inner_step_size;
        settings.outer_momentum = outer_momentum;
        settings.eta = cubome::per_problem(eta_.data(), count_);
        const std::vector<float> lower(static_cast<std::size_t>(n_), 0), upper(lower.size(), 1);
        cubome::box<float> box;
        box.outer_lower = cubome::shared(lower.data(), n_);
        box.outer_upper = cubome::shared(upper.data(), n_);
        cubome::execution execution;
        execution.num_threads = task_.num_threads;

        double seconds = 0;
        for (std::int64_t done = 0, next = 0;; next = std::min(o.every, o.steps - done)) {
            settings.outer_steps = next;  // 0 at first, for what there is before the first iteration
            cubome::staged_solver<float> solver(oracle, settings, box, execution);
            const auto begin = std::chrono::steady_clock::now();
            solver.solve(state(), report());
            const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
            if (next > 0) seconds += taken.count();
            done += next;
            measure(inner_steps, seed, seconds, into);
            if (done == o.steps) break;
        }
    }

private:
    cubome::state<float> state() {
        cubome::state<float> s;
        s.outer = cubome::per_problem(v_.data(), count_, n_);
        s.inner = cubome::per_problem(theta_.data(), count_, num_theta);
        s.iteration = cubome::per_problem(iteration_.data(), count_);
        s.multiplier = cubome::per_problem(multiplier_.data(), count_);
        s.outer_velocity = cubome::per_problem(v_velocity_.data(), count_, n_);
        s.inner_velocity = cubome::per_problem(theta_velocity_.data(), count_, num_theta);
        return s;
    }
    cubome::report<float> report() {
        cubome::report<float> r;
        r.outer_value = cubome::per_problem(value_.data(), count_);
        r.gap = cubome::per_problem(gap_.data(), count_);
        return r;
    }

    void measure(std::int64_t inner_steps, std::int64_t seed, double seconds, std::vector<record>& into) const {
        const std::size_t first = into.size();
        into.resize(first + configurations_.size());
        fashion::parallel_for(configurations_.size(), task_.num_threads, [&](std::size_t p) {
            into[first + p] = {
                seed,        configurations_[p],
                inner_steps, iteration_[p],
                seconds,     value_[p],
                gap_[p],     task_.score(theta_.data() + p * num_theta, v_.data() + p * static_cast<std::size_t>(n_))};
        });
        const record& shown = into[first];
        std::fprintf(stderr, "\rseed %lld, T = %lld, iteration %lld, %.0f s: accuracy %.4f, F1 %.4f ",
                     static_cast<long long>(seed), static_cast<long long>(inner_steps),
                     static_cast<long long>(shown.iteration), seconds, shown.found.test_accuracy, shown.found.f1);
    }

    const task& task_;
    const std::vector<configuration>& configurations_;
    std::int64_t count_, n_;
    std::vector<float> step_size_, eta_;
    std::vector<float> v_, theta_, v_velocity_, theta_velocity_, multiplier_, value_, gap_;
    std::vector<std::int64_t> iteration_;
};

}  // namespace

findings run(const options& o) {
    findings result;
    for (std::int64_t seed = 1; seed <= o.seeds; ++seed) {
        const task t(o, static_cast<std::uint64_t>(seed));
        cubome::softmax_oracle oracle = t.oracle_of(t.noisy, o.where, o.precision);
        std::fprintf(stderr, "\rseed %lld: ordinary training ", static_cast<long long>(seed));
        cubome::softmax_oracle of_cpu = t.oracle_of(t.noisy);
        std::vector<float> start;
        result.lines.push_back(train_lines(t, of_cpu, start));
        for (const std::int64_t inner_steps : o.inner_steps)
            batch(t, o.configurations, start).solve(o, oracle, inner_steps, seed, result.records);
    }
    std::fputs("\n", stderr);
    return result;
}

}  // namespace hyper_cleaning
