// SPDX-License-Identifier: Apache-2.0

// The stages on a device made of host threads: with the kernels' text on blocks of it a staged solve has every bit that
// serial lanes of the same width give it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/cuda/stage_kernel.cuh"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/linear_model.hpp"
#include "cubome/problems/quadratic.hpp"
#include "family_oracle.hpp"
#include "host/batch_arrays.hpp"
#include "host/staged/staged_run.hpp"
#include "host/validate.hpp"
#include "library_outputs.hpp"
#include "random_problems.hpp"

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

/// use(constant) of this stage, as a constant.
template <class Use>
void with_stage(stage which, Use&& use) {
    constexpr auto num_stages = static_cast<std::size_t>(stage::report) + 1;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (void)(... ||
               (which == static_cast<stage>(I) && (use(std::integral_constant<stage, static_cast<stage>(I)>{}), true)));
    }
    (std::make_index_sequence<num_stages>{});
}

template <class Real>
void run_serially(stage which, const staged_arguments<Real>& a, std::int64_t first, std::int64_t last) noexcept {
    using group = cubome::serial_group<Real, width>;
    const group g;
    const cubome::stages<group> all(g, a);
    with_stage(which, [&](auto constant) {
        for (std::int64_t i = first; i < last; ++i) all.template run<decltype(constant)::value>(i);
    });
}

/// Fewer blocks than items, so that blocks have several.
template <class Real>
void run_on_device(stage which, const staged_arguments<Real>& a, std::int64_t first, std::int64_t last) noexcept {
    EXPECT_EQ(first, 0);
    EXPECT_EQ(last, num_items(which, a));
    with_stage(which, [&](auto constant) {
        device().launch(std::max<std::int64_t>(1, last / 2), cubome::stage_shared_bytes<Real, width>,
                        [&] { cubome::stage_kernel<decltype(constant)::value, Real, width>(a); });
    });
}

template <class Real, class Family>
void solve(library_batch<Real>& b, const cubome::staged_functions<Real>& functions) {
    namespace detail = cubome::detail;
    family_oracle::oracle<Real, width, Family> oracle(b.problem, b.num_problems);
    const auto arguments = detail::validate_batch(b.problem, b.settings, b.state(), b.report(), {});
    const auto cut = [&](detail::piece_cutter pieces) {
        const auto a =
            detail::cut_pieces(pieces, arguments, b.num_problems, b.outer_dim, b.inner_dim, functions.record_bytes);
        return std::pair(a, pieces.used());
    };
    const detail::aligned_memory memory(cut(detail::piece_cutter(nullptr)).second);
    detail::clear_report(arguments, b.problem.layout(), b.num_problems);
    detail::thread_team nobody(1);
    detail::staged_run<Real>(oracle, functions, nobody, cut(detail::piece_cutter(memory.data())).first)
        .solve(nullptr, nullptr);
}

template <class Real, class Family>
void expect_the_bits_of_serial_lanes(const random_problems::shape& shape, std::uint64_t seed, std::int64_t num_problems,
                                     const std::vector<variation>& kinds) {
    constexpr auto record_bytes = sizeof(cubome::staged_record<Real>);
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

        solve<Real, Family>(expected, {record_bytes, &run_serially<Real>});
        solve<Real, Family>(found, {record_bytes, &run_on_device<Real>});

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
