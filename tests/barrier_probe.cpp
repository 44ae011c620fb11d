// SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <cstdlib>

#include "lane_blocks.hpp"
#include "staged_lanes.hpp"

/// barrier_probe <number> [<blocks>]: solves problems on 32 threads that pass the named barrier of this number without
/// waiting, or with every barrier where there is none of this number. It is for ThreadSanitizer to say what it saw.
/// With 0 blocks it is a batch of the staged engine.
namespace lane_blocks {
namespace {

using threads = thread_model::lane_threads<float, 32>;

/// All arrays given, because some barriers publish what only products with them read.
template <class Family, cubome::solve_text Text>
float solve_one(threads& lanes, const std::vector<std::int64_t>& dims, generator& random) {
    const auto b = make_block<Family, float>(dims, Text, 1, random);
    return solve<Family, Text>(lanes, b).reports[0].numbers[0];
}

float solve_some(threads& lanes, int blocks) {
    generator random(1);
    float total = 0;
    for (int b = 0; b < blocks; ++b) {
        // Matrices in both levels need what is published of v and θ. A linear model whose v holds sample weights alone
        // has no barrier in `prepare`, so that only `evaluation_read` keeps the next start from overwriting θ⁽ᵀ⁾.
        using quadratic = cubome::problems::quadratic_family;
        using linear_model = cubome::problems::linear_model_family;
        // Both rules: the automatic one has more barriers, some of which could stand in for those of the other.
        constexpr auto plain = cubome::solve_text::plain, automatic = cubome::solve_text::plain_automatic;
        total += solve_one<quadratic, automatic>(lanes, random_dims<quadratic>(31, 40, random), random);
        total += solve_one<quadratic, plain>(lanes, random_dims<quadratic>(31, 40, random), random);
        total += solve_one<linear_model, plain>(lanes, random_linear_dims({1, 0}, 31, 40, random), random);
    }
    return total;
}

}  // namespace
}  // namespace lane_blocks

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: barrier_probe <number of the barrier to leave out> [<blocks>]\n");
        return 2;
    }
    const int blocks = argc > 2 ? std::atoi(argv[2]) : 20;
    thread_model::left_out = static_cast<cubome::barrier>(std::atoi(argv[1]));
    lane_blocks::threads lanes;
    const float f =
        blocks > 0 ? lane_blocks::solve_some(lanes, blocks) : staged_lanes::batch<lane_blocks::threads>(lanes).solve();
    std::printf("solved, f sums to %g\n", static_cast<double>(f));
    return 0;
}
