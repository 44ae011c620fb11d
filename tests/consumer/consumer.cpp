// SPDX-License-Identifier: Apache-2.0

// What a user of the shipped families writes, in C++17: a batch of toys whose solution is known. Then the same toys
// with gradients of one's own.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/staged.hpp"

static_assert(__cplusplus == 201703L, "this consumer stands for users who stay with C++17");

namespace {

/// f = ½(v − θ₁)² + ½(θ₀ − 1)², g = ½θ₀² − v θ₀.
class toy : public cubome::oracle<double> {
public:
    std::int64_t outer_dim() const override { return 1; }
    std::int64_t inner_dim() const override { return 2; }

    void inner_gradient(const cubome::oracle_call& call, const double* v, const double* theta,
                        double* gradient) override {
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            gradient[2 * p] = theta[2 * p] - v[p];
            gradient[2 * p + 1] = 0;
        }
    }
    void gap_gradient(const cubome::oracle_call& call, const double* v, const double* theta, const double* descent,
                      double* gap, double* magnitude, double* gradient) override {
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            const double from = theta[2 * p], to = descent[2 * p];
            const double square = 0.5 * (from * from - to * to), product = v[p] * (from - to);
            gap[p] = square - product;
            magnitude[p] = 0.5 * to * to + std::abs(v[p] * to);
            gradient[p] = to - from;
        }
    }
    void outer_gradient(const cubome::oracle_call& call, const double* v, const double* theta, double* value,
                        double* of_v, double* of_theta) override {
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            const double apart = v[p] - theta[2 * p + 1], from_one = theta[2 * p] - 1;
            value[p] = 0.5 * (apart * apart + from_one * from_one);
            of_v[p] = apart;
            of_theta[2 * p] = from_one;
            of_theta[2 * p + 1] = -apart;
        }
    }
};

constexpr std::size_t num_problems = 100;

/// Starts, and what of them is solved.
struct batch {
    batch() : v(num_problems), theta(2 * num_problems) {
        constexpr auto n = static_cast<std::int64_t>(num_problems);
        for (std::size_t i = 0; i < num_problems; ++i) v[i] = static_cast<double>(i) / num_problems;
        state.outer = cubome::per_problem(v.data(), n, 1);
        state.inner = cubome::per_problem(theta.data(), n, 2);
    }
    bool is_solved() const {
        for (std::size_t i = 0; i < num_problems; ++i) {
            const bool is_one =
                std::abs(v[i] - 1) < 1e-9 && std::abs(theta[2 * i] - 1) < 1e-9 && std::abs(theta[2 * i + 1] - 1) < 1e-9;
            if (is_one) continue;
            std::printf("problem %zu ended at v = %g, theta = (%g, %g), expected 1 everywhere\n", i, v[i], theta[2 * i],
                        theta[2 * i + 1]);
            return false;
        }
        return true;
    }

    std::vector<double> v, theta;
    cubome::state<double> state;
};

}  // namespace

int main() {
    cubome::settings<double> settings;
    settings.outer_steps = 2000;
    settings.inner_steps = 1;
    settings.steps = cubome::step_rule::fixed;
    settings.outer_step_size = settings.inner_step_size = settings.descent_step_size = 0.5;

    const batch shipped;
    const cubome::run_info info = cubome::solve(cubome::degenerate<double>(), settings, shipped.state);
    if (!shipped.is_solved()) return 1;

    const batch own;
    toy oracle;
    cubome::staged_solver<double>(oracle, settings).solve(own.state);
    if (!own.is_solved()) return 1;

    std::printf("consumer: cuBOME " CUBOME_VERSION_STRING " on %s, %s: all %zu problems solved, twice\n",
                cubome::to_string(info.where), cubome::to_string(info.instructions), num_problems);
}
