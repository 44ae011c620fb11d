// SPDX-License-Identifier: Apache-2.0
#include "experiment.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cubome/softmax_oracle.hpp>
#include <limits>
#include <thread>
#include <utility>

#include "training.hpp"

namespace regularisation {
namespace {

constexpr float momentum = 0.9f;

/// ρ of g = mean CE + ½ ρ ‖θ‖²; the first is none.
constexpr std::array single_penalties = {0.0f, 1e-6f, 3e-6f, 1e-5f, 3e-5f, 1e-4f, 3e-4f, 1e-3f};

class experiment {
public:
    experiment(const options& o, const text_data& text)
        : o_(o),
          text_(text),
          num_threads_(o.num_threads > 0 ? static_cast<int>(o.num_threads)
                                         : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {}

    findings run() {
        say("single penalties");
        const std::vector<float> grid(single_penalties.begin(), single_penalties.end());
        const std::vector<float> single = train_single(text_.train, grid);
        std::size_t best = 1;
        for (std::size_t p = 0; p < grid.size(); ++p) {
            add(name_of(grid[p]), single.data() + p * dim());
            if (p > 0 && found_.lines[p].validation.loss < found_.lines[best].validation.loss) best = p;
        }
        solve();
        const auto [least, largest] = std::minmax_element(v_.begin(), v_.end());
        found_.least_v = *least, found_.largest_v = *largest;
        say("training with what was learnt");
        add("penalties of BOME", train_learnt(text_.train).data());
        add("BOME's theta", theta_.data());
        const std::vector<float> both = train_single(text_.both, {0, grid[best]});
        add("both: no penalty", both.data());
        add("both: " + name_of(grid[best]), both.data() + dim());
        add("both: penalties of BOME", train_learnt(text_.both).data());
        std::fputs("\n", stderr);
        return std::move(found_);
    }

private:
    static std::string name_of(float rho) {
        char text[40];
        std::snprintf(text, sizeof text, rho > 0 ? "penalty %g" : "no penalty", static_cast<double>(rho));
        return text;
    }
    static void say(const char* what) { std::fprintf(stderr, "\r%-60s", what); }

    std::size_t dim() const { return static_cast<std::size_t>(text_.num_classes * (text_.num_words + 1)); }

    /// One model for each ρ, all at once. The oracle wants something to learn: sample weights, which stay at 1.
    std::vector<float> train_single(const labelled_rows& part, const std::vector<float>& rho) const {
        const auto count = static_cast<std::int64_t>(rho.size());
        cubome::softmax_options options;
        options.num_classes = text_.num_classes;
        options.weights = cubome::sample_weights::clip;
        options.fixed_rho = cubome::per_problem(rho.data(), count);
        cubome::softmax_oracle oracle(text_.samples(part), text_.samples(text_.validation), options);
        return train(oracle, std::vector<float>(static_cast<std::size_t>(count * part.size()), 1), text_.num_classes,
                     o_.step_size, o_.training_steps, num_threads_);
    }

    cubome::softmax_oracle oracle_of(const labelled_rows& part) const {
        cubome::softmax_options options;
        options.num_classes = text_.num_classes;
        options.is_penalty_averaged = true;
        options.regularizer = cubome::penalty::per_feature;
        return {text_.samples(part), text_.samples(text_.validation), options};
    }

    std::vector<float> train_learnt(const labelled_rows& part) const {
        cubome::softmax_oracle oracle = oracle_of(part);
        return train(oracle, v_, text_.num_classes, o_.step_size, o_.training_steps, num_threads_);
    }

    cubome::settings<float> settings() const {
        cubome::settings<float> s;
        s.inner_steps = o_.inner_steps;
        s.refine_steps = 0;
        if (o_.is_automatic) return s;
        s.steps = cubome::step_rule::fixed;
        s.barrier = cubome::barrier_form::value_gap;
        s.outer_step_size = o_.outer_step_size;
        s.inner_step_size = s.descent_step_size = o_.step_size;
        s.outer_momentum = s.inner_momentum = momentum;
        s.inner_momentum_reset = false;
        s.eta = o_.eta;
        return s;
    }

    /// v = 0, one penalty for each word, and θ = 0. A box of no width keeps the biases at 0.
    void solve() {
        const auto n_v = static_cast<std::size_t>(text_.num_words);
        const std::int64_t n_theta = static_cast<std::int64_t>(dim());
        v_.assign(n_v, 0);
        theta_.assign(dim(), 0);
        constexpr float unbounded = std::numeric_limits<float>::infinity();
        std::vector<float> lower(dim(), -unbounded), upper(dim(), unbounded);
        for (std::size_t bias = n_v; bias < dim(); bias += n_v + 1) lower[bias] = upper[bias] = 0;
        cubome::box<float> box;
        box.inner_lower = cubome::shared(lower.data(), n_theta);
        box.inner_upper = cubome::shared(upper.data(), n_theta);

        // All that one part of the solve leaves to the next, whatever the settings.
        std::vector<float> v_velocity(n_v), theta_velocity(dim()), descent_velocity(dim()), probe_g(dim()),
            probe_f(dim());
        std::array<float, cubome::step_memory_size> step_memory{};
        float multiplier = 0, value = 0, gap = 0;
        std::int64_t iteration = 0;
        cubome::state<float> state;
        state.outer = cubome::per_problem(v_.data(), 1, text_.num_words);
        state.inner = cubome::per_problem(theta_.data(), 1, n_theta);
        state.iteration = cubome::per_problem(&iteration, 1);
        state.multiplier = cubome::per_problem(&multiplier, 1);
        state.outer_velocity = cubome::per_problem(v_velocity.data(), 1, text_.num_words);
        state.inner_velocity = cubome::per_problem(theta_velocity.data(), 1, n_theta);
        if (o_.is_automatic) {
            state.step_memory = cubome::per_problem(step_memory.data(), 1, cubome::step_memory_size);
            state.inner_probe = cubome::per_problem(probe_g.data(), 1, n_theta);
            state.outer_probe = cubome::per_problem(probe_f.data(), 1, n_theta);
        } else {
            state.descent_velocity = cubome::per_problem(descent_velocity.data(), 1, n_theta);
        }
        cubome::report<float> report;
        report.outer_value = cubome::per_problem(&value, 1);
        report.gap = cubome::per_problem(&gap, 1);
        report.outcome = cubome::per_problem(&found_.outcome, 1);

        cubome::softmax_oracle oracle = oracle_of(text_.train);
        cubome::settings<float> how = settings();
        cubome::execution execution;
        execution.num_threads = num_threads_;
        double seconds = 0;
        for (std::int64_t done = 0; done < o_.steps;) {
            how.outer_steps = std::min(o_.every, o_.steps - done);
            cubome::staged_solver<float> solver(oracle, how, box, execution);
            const auto begin = std::chrono::steady_clock::now();
            solver.solve(state, report);
            seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
            done += how.outer_steps;
            found_.records.push_back({iteration, seconds, value, gap, measure(text_, text_.test, theta_.data()),
                                      measure(text_, text_.held_back, theta_.data())});
            const record& last = found_.records.back();
            std::fprintf(stderr, "\riteration %lld, %.0f s: f %.4f, gap %.1e, test loss %.4f, accuracy %.4f ",
                         static_cast<long long>(last.iteration), seconds, static_cast<double>(value),
                         static_cast<double>(gap), last.test.loss, last.test.accuracy);
            if (found_.outcome != cubome::outcome::step_limit) break;
        }
    }

    void add(const std::string& name, const float* theta) {
        found_.lines.push_back({name, measure(text_, text_.validation, theta), measure(text_, text_.test, theta),
                                measure(text_, text_.held_back, theta)});
    }

    const options& o_;
    const text_data& text_;
    int num_threads_;
    std::vector<float> v_, theta_;  // of BOME
    findings found_{};
};

}  // namespace

findings run(const options& o, const text_data& text) {
    return experiment(o, text).run();
}

}  // namespace regularisation
