// SPDX-License-Identifier: Apache-2.0

// The stages on a device made of host threads: with the kernels' text on blocks of it a staged solve has every bit that
// serial lanes of the same width give it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/cuda/stage_kernel.cuh"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/linear_model.hpp"
#include "cubome/problems/quadratic.hpp"
#include "library_outputs.hpp"
#include "random_problems.hpp"
#include "staged_subjects.hpp"

namespace {

using cubome::index;
using cubome::stage;
using cubome::staged_arguments;
using library_outputs::differences;
using random_problems::batch;
using random_problems::generator;
using random_problems::library_batch;
using random_problems::variation;

constexpr index width = 64;

cubome::simt::device_model& device() {
    static cubome::simt::device_model model(width);
    return model;
}

/// Fewer blocks than items, so that blocks have several.
template <class Real>
void run_on_device(stage which, const staged_arguments<Real>& a, std::int64_t first, std::int64_t last) noexcept {
    EXPECT_EQ(first, 0);
    EXPECT_EQ(last, num_items(which, a));
    staged_subjects::with_stage(which, [&](auto constant) {
        device().launch(std::max<std::int64_t>(1, last / 2), cubome::stage_shared_bytes<Real, width>,
                        [&] { cubome::stage_kernel<decltype(constant)::value, Real, width>(a); });
    });
}

template <class Real, class Family>
void expect_the_bits_of_serial_lanes(const random_problems::shape& shape, std::uint64_t seed, std::int64_t num_problems,
                                     const std::vector<variation>& kinds) {
    for (const variation kind : kinds) {
        SCOPED_TRACE(static_cast<int>(kind));
        generator random(seed + static_cast<std::uint64_t>(kind));
        auto source = random_batch(random, shape, num_problems, kind, 0.5);
        source.template round_to<Real>();
        source.settings.outer_steps = 2;
        source.settings.inner_steps = 2;
        source.settings.refine_steps = 1;
        source.settings.trace_interval = 2;
        if (num_problems > 2) source.inner[static_cast<std::size_t>(2 * shape.inner_dim())] = std::nan("");
        library_batch<Real> expected(source, true), found(source, true);

        staged_subjects::solve_by_serial_lanes<Real, width, Family>(expected);
        family_oracle::oracle<Real, width, Family> oracle(found.problem, found.num_problems);
        staged_subjects::solve<Real>(found, oracle, {sizeof(cubome::staged_record<Real>), &run_on_device<Real>});

        EXPECT_EQ(differences(found, expected), "");
    }
}

template <class Real>
class StagedOnDevice : public testing::Test {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(StagedOnDevice, precisions);

TYPED_TEST(StagedOnDevice, HasTheBitsOfSerialLanesOnSmallProblems) {
    expect_the_bits_of_serial_lanes<TypeParam, cubome::problems::quadratic_family>(
        random_problems::quadratic(5, 70), 1, 5,
        {variation::persistent_momentum, variation::free_set_box, variation::value_gap, variation::schedules,
         variation::everything, variation::everything_automatic});
}
TYPED_TEST(StagedOnDevice, HasTheBitsOfSerialLanesOnSeveralChunks) {
    cubome::linear_model_options options;
    options.weights = cubome::sample_weights::sigmoid;
    options.regularizer = cubome::penalty::per_feature;
    expect_the_bits_of_serial_lanes<TypeParam, cubome::problems::linear_model_family>(
        random_problems::linear_model(2100, 3, 3, options), 2, 2, {variation::plain, variation::everything});
    expect_the_bits_of_serial_lanes<TypeParam, cubome::problems::coreset_family>(
        random_problems::coreset(3, 2100), 3, 2, {variation::everything, variation::everything_automatic});
}

}  // namespace
