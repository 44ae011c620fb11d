// SPDX-License-Identifier: Apache-2.0
// The staged engine on a device has the bits of the host's serial lanes, with an oracle that enqueues multiplications
// and additions alone.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>

#include "cubome/staged.hpp"
#include "gpu_device.hpp"
#include "gpu_staged.hpp"
#include "library_outputs.hpp"
#include "random_problems.hpp"
#include "staged_subjects.hpp"

namespace gpu {
namespace {

using random_problems::generator;
using random_problems::library_batch;
using random_problems::variation;

/// The threads of a block.
constexpr cubome::index width = 128;

template <class Real>
class host_springs final : public cubome::oracle<Real> {
public:
    explicit host_springs(std::int64_t dim) : springs_{dim} {}

    std::int64_t outer_dim() const override { return springs_.dim; }
    std::int64_t inner_dim() const override { return springs_.dim; }

    void inner_gradient(const cubome::oracle_call& call, const Real* v, const Real* theta, Real* to) override {
        for (std::int64_t e = 0; e < call.num_problems * springs_.dim; ++e) springs_.inner_gradient(e, v, theta, to);
    }
    void gap_gradient(const cubome::oracle_call& call, const Real* v, const Real* theta, const Real* descent, Real* gap,
                      Real* magnitude, Real* to) override {
        for (std::int64_t e = 0; e < call.num_problems * springs_.dim; ++e)
            springs_.gap_gradient(e, theta, descent, to);
        for (std::int64_t p = 0; p < call.num_problems; ++p) springs_.gap(p, v, theta, descent, gap, magnitude);
    }
    void outer_gradient(const cubome::oracle_call& call, const Real* v, const Real* theta, Real* value, Real* of_outer,
                        Real* of_inner) override {
        for (std::int64_t e = 0; e < call.num_problems * springs_.dim; ++e)
            springs_.outer_gradient(e, v, theta, of_outer, of_inner);
        for (std::int64_t p = 0; p < call.num_problems; ++p) value[p] = springs_.value(p, v, theta);
    }

private:
    springs<Real> springs_;
};

template <class Real>
void expect_equal_bits(std::int64_t num_problems, const random_problems::shape& shape, variation kind,
                       std::int64_t outer_steps) {
    const std::int64_t dim = shape.inner_dim();
    SCOPED_TRACE(testing::Message() << num_problems << " problems of " << dim << ", variation "
                                    << static_cast<int>(kind));
    generator random(1);
    // Settings, boxes and starts; the family's own data are not looked at.
    auto source = random_batch(random, shape, num_problems, kind, 0.5);
    source.template round_to<Real>();
    source.settings.outer_steps = outer_steps;
    source.settings.outer_schedule = source.settings.inner_schedule = {0};  // whose powers are CUDA's on the device
    source.settings.trace_interval = 3;
    if (num_problems > 2) source.inner[static_cast<std::size_t>(2 * dim)] = std::nan("");
    library_batch<Real> on_device(source, true), on_host(source, true);
    host_springs<Real> host(dim);
    const auto device = make_device_springs<Real>(dim);

    staged_subjects::solve_by_serial_lanes<Real, width>(on_host, host);
    cubome::staged_solver<Real> solver(*device, on_device.settings, staged_subjects::box_of(on_device.problem));
    solver.solve(on_device.state(), on_device.report());

    EXPECT_EQ(library_outputs::differences(on_device, on_host), "");
}

template <class Real>
class StagedOnDevice : public DeviceBesideHost {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(StagedOnDevice, precisions);

TYPED_TEST(StagedOnDevice, HasTheBitsOfTheHost) {
    for (const variation kind :
         {variation::plain, variation::persistent_momentum, variation::free_set_box, variation::clip_box,
          variation::value_gap, variation::everything, variation::automatic, variation::everything_automatic})
        expect_equal_bits<TypeParam>(5, random_problems::quadratic(20, 20), kind, 40);
}
TYPED_TEST(StagedOnDevice, HasTheBitsOfTheHostOnSeveralChunks) {
    for (const variation kind : {variation::persistent_momentum, variation::automatic})
        expect_equal_bits<TypeParam>(2, random_problems::coreset(2100, 2100), kind, 20);
}
TYPED_TEST(StagedOnDevice, HasTheBitsOfTheHostInLargeBatches) {
    expect_equal_bits<TypeParam>(3000, random_problems::quadratic(7, 7), variation::momentum, 20);
}

}  // namespace
}  // namespace gpu
