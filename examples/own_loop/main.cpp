// SPDX-License-Identifier: Apache-2.0

// BOME's steps called one by one, from a loop of one's own: 64 signals of 1,000 numbers, each with noise, are to be
// shrunk by factors that are learnt from a second look at the signal.
//
//     g = ½ Σ (θ_j − a_j)² + ½ Σ e^(v_j) θ_j²,   f = ½ Σ (θ_j − b_j)²
//
// θ(v)_j = a_j / (1 + e^(v_j)): where b_j lies between 0 and a_j it can be reached, elsewhere 0 or a_j is nearest.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <random>
#include <vector>

#include "cubome/staged.hpp"

namespace {

constexpr std::int64_t num_signals = 64, dim = 1000;
constexpr std::size_t size = num_signals * dim;
using array = std::vector<float>;

/// Uniform in [low, high), the same numbers with every standard library.
float uniform(std::mt19937& random, float low, float high) {
    return low + (high - low) * static_cast<float>(random() >> 8) * 0x1p-24f;
}

struct signals {
    array a = array(size), b = array(size);

    signals() {
        std::mt19937 random(1);
        for (std::size_t i = 0; i < size; ++i) {
            const float truth = uniform(random, 0.5f, 1.5f);
            a[i] = truth + uniform(random, 0.3f, 1.3f);
            b[i] = truth + uniform(random, -0.2f, 0.2f);
        }
    }

    /// f at the best factors there are, without noise of the solver's: a number per signal.
    array optimum() const {
        array result(num_signals);
        for (std::size_t i = 0; i < size; ++i) {
            const float nearest = std::clamp(b[i], 0.0f, a[i]), miss = nearest - b[i];
            result[i / dim] += 0.5f * miss * miss;
        }
        return result;
    }

    /// ∇_θ g
    void inner_gradient(const array& v, const array& theta, array& to) const {
        for (std::size_t i = 0; i < size; ++i) to[i] = theta[i] - a[i] + std::exp(v[i]) * theta[i];
    }
    /// f and ∇_θ f; ∇_v f is 0.
    void outer_gradient(const array& theta, array& value, array& to) const {
        std::fill(value.begin(), value.end(), 0.0f);
        for (std::size_t i = 0; i < size; ++i) {
            to[i] = theta[i] - b[i];
            value[i / dim] += 0.5f * to[i] * to[i];
        }
    }
    /// q̂ and its magnitude, summed from the differences of terms, and ∇_v q̂.
    void gap_gradient(const array& v, const array& theta, const array& descent, array& gap, array& magnitude,
                      array& to) const {
        std::fill(gap.begin(), gap.end(), 0.0f);
        std::fill(magnitude.begin(), magnitude.end(), 0.0f);
        for (std::size_t i = 0; i < size; ++i) {
            const float shrink = std::exp(v[i]), here = theta[i], there = descent[i];
            const float fit = 0.5f * (here - a[i]) * (here - a[i]), fit_there = 0.5f * (there - a[i]) * (there - a[i]);
            const float penalty = 0.5f * shrink * here * here, penalty_there = 0.5f * shrink * there * there;
            gap[i / dim] += (fit - fit_there) + (penalty - penalty_there);
            magnitude[i / dim] += fit + fit_there + penalty + penalty_there;
            to[i] = penalty - penalty_there;
        }
    }
};

/// Memory aligned to 64 bytes.
struct workspace {
    explicit workspace(std::size_t n) : data(::operator new(n, std::align_val_t(64))), bytes(n) {}
    workspace(const workspace&) = delete;
    workspace& operator=(const workspace&) = delete;
    ~workspace() { ::operator delete(data, std::align_val_t(64)); }
    void* data;
    std::size_t bytes;
};

int run() {
    const signals data;

    // 1. The steps: how far each goes, and how often.
    cubome::settings<float> settings;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_steps = 1000;
    settings.inner_steps = 3;
    settings.outer_step_size = 0.3f;
    settings.inner_step_size = 0.3f;
    settings.descent_step_size = 0.3f;  // g bends by 1 + e^v, which stays below 2/0.3
    cubome::staged_iteration<float> steps(dim, dim, settings);

    // 2. The start and what is to be reported, [num_signals, dim] and [num_signals].
    array v(size, 0.0f), theta = data.a, outer_value(num_signals);
    std::vector<cubome::outcome> outcome(num_signals);
    cubome::state<float> state;
    state.outer = cubome::per_problem(v.data(), num_signals, dim);
    state.inner = cubome::per_problem(theta.data(), num_signals, dim);
    cubome::report<float> report;
    report.outcome = cubome::per_problem(outcome.data(), num_signals);
    report.outer_value = cubome::per_problem(outer_value.data(), num_signals);
    const workspace memory(steps.workspace_bytes(num_signals));

    // 3. The loop. Gradients are computed here, the rest is cuBOME's; on the CPU there is no stream.
    array descent(size), gradient(size), f_of_theta(size), q_of_v(size), q_of_theta(size), f(num_signals),
        q(num_signals), m(num_signals);
    const array f_of_v(size, 0.0f);
    CUstream_st* const stream = nullptr;
    steps.begin(stream, state, report, memory.data, memory.bytes);
    for (std::int64_t k = 0; k <= settings.outer_steps; ++k) {
        data.inner_gradient(v, theta, q_of_theta);
        steps.descend(stream, 0, q_of_theta.data(), descent.data());
        for (std::int64_t t = 1; t < settings.inner_steps; ++t) {
            data.inner_gradient(v, descent, gradient);
            steps.descend(stream, t, gradient.data(), descent.data());
        }
        data.outer_gradient(theta, f, f_of_theta);
        data.gap_gradient(v, theta, descent, q, m, q_of_v);
        steps.balance(
            stream, {f.data(), f_of_v.data(), f_of_theta.data(), q.data(), m.data(), q_of_v.data(), q_of_theta.data()});
        steps.update(stream);
    }
    steps.report(stream);

    // 4. What came of it: f at θ(v), where the descent would end, beside the least that there is.
    const array optimum = data.optimum();
    double worst = 0;
    for (std::size_t s = 0; s < num_signals; ++s) {
        double found = 0;
        for (std::size_t i = s * dim; i < (s + 1) * dim; ++i) {
            const double miss = data.a[i] / (1 + std::exp(static_cast<double>(v[i]))) - data.b[i];
            found += 0.5 * miss * miss;
        }
        worst = std::max(worst, found - optimum[s]);
        if (outcome[s] != cubome::outcome::step_limit) worst = HUGE_VAL;
    }
    std::printf(
        "%lld signals of %lld numbers: f is at most %.4f above the least there is, of which the first is %.4f\n",
        static_cast<long long>(num_signals), static_cast<long long>(dim), worst, static_cast<double>(optimum[0]));
    return worst > 0.1;
}

}  // namespace

int main() {
    try {
        return run();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "own_loop: %s\n", e.what());
        return 1;
    }
}
