// SPDX-License-Identifier: Apache-2.0
// The laws of docs/design.md on the groups of a device: tiles of 2 to 32 lanes, blocks of 64 to 1024.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gpu_device.hpp"
#include "gpu_groups.hpp"
#include "random_problems.hpp"

namespace gpu {
namespace {

using any_extent = cubome::extent<cubome::dynamic>;

/// Where both are equal to the bit.
template <class T>
bool is_same(const T& a, const T& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

/// An array on the device, filled with what nobody writes, and its copy.
template <class T>
class probed {
public:
    explicit probed(std::size_t count) : memory_(std::max<std::size_t>(1, count) * sizeof(T)), values(count) {}

    T* on_device() const { return reinterpret_cast<T*>(memory_.data()); }
    void set_zero() { check(cudaMemset(memory_.data(), 0, memory_.bytes()), "cudaMemset"); }
    void upload(const std::vector<T>& from) {
        if (!from.empty())
            check(cudaMemcpy(on_device(), from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
    }
    void fetch() {
        EXPECT_TRUE(memory_.are_guards_whole());
        if (!values.empty()) memory_.download(values.data(), 0, values.size() * sizeof(T));
    }
    const T& operator[](std::size_t i) const { return values[i]; }

private:
    guarded_memory memory_;

public:
    std::vector<T> values;
};

template <class Real>
class DeviceGroups : public DeviceBesideHost {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(DeviceGroups, precisions);

template <class Real, index Width>
void expect_laws(int n, bool is_constant) {
    SCOPED_TRACE("width " + std::to_string(Width) + ", n = " + std::to_string(n) + (is_constant ? ", constant" : ""));
    constexpr auto width = static_cast<std::size_t>(Width);
    constexpr auto num_groups = static_cast<std::size_t>(threads_of(Width)) / width;
    const auto size = static_cast<std::size_t>(n);

    random_problems::generator random(static_cast<std::uint64_t>(n));
    const auto make = [&] {
        std::vector<Real> result;
        for (int i = 0; i < std::max(n, row_length); ++i)
            result.push_back(static_cast<Real>(random.normal() * std::exp2(random.uniform(-9, 9))));
        return result;
    };
    const std::vector<Real> x = make(), y = make();
    probed<Real> x_there(x.size()), y_there(y.size());
    x_there.upload(x), y_there.upload(y);
    probed<int> num_visits(num_groups * size), visitor(num_groups * size), all_hold(num_groups * width * 2);
    probed<Real> sums(num_groups * width * 6), row_sums(num_groups * size), largest(num_groups * width);
    num_visits.set_zero();

    group_probe<Real> probe;
    probe.n = n;
    probe.x = x_there.on_device(), probe.y = y_there.on_device();
    probe.num_visits = num_visits.on_device(), probe.visitor = visitor.on_device();
    probe.sums = sums.on_device(), probe.row_sums = row_sums.on_device();
    probe.largest = largest.on_device(), probe.all_hold = all_hold.on_device();
    check(static_cast<cudaError_t>(launch_probe(Width, is_constant, probe)), "launch_probe");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    num_visits.fetch(), visitor.fetch(), sums.fetch(), row_sums.fetch(), largest.fetch(), all_hold.fetch();

    const cubome::serial_group<Real, Width> serial;
    const fold<Real> forward{x.data(), y.data()}, backward{y.data(), x.data()};
    int num_wrong = 0;
    const auto expect = [&](bool holds, const char* law, std::size_t group, std::size_t at) {
        if (!holds && ++num_wrong <= 5) ADD_FAILURE() << law << ", group " << group << ", at " << at;
    };
    for (std::size_t group = 0; group < num_groups; ++group) {
        const int count = is_constant ? n : std::max(0, n - static_cast<int>(group));
        const any_extent all(count), some(count / 2);

        const auto a = serial.template sum<2>(all, forward, some, backward);
        const auto b = serial.template sum<2>(some, backward);
        const auto c = serial.template sum<2>(some, backward, all, forward);
        const Real expected_sums[6] = {a[0], a[1], b[0], b[1], c[0], c[1]};
        Real expected_largest = -std::numeric_limits<Real>::infinity();
        for (int i = 0; i < count; ++i) expected_largest = std::max(expected_largest, x[static_cast<std::size_t>(i)]);
        std::vector<Real> expected_rows(size);
        serial.sum_each(all, any_extent(row_length), row_term<Real>{x.data(), y.data()},
                        [&](index i, Real sum) { expected_rows[static_cast<std::size_t>(i)] = sum; });

        for (std::size_t i = 0; i < size; ++i) {
            const std::size_t at = group * size + i;
            const bool is_there = static_cast<int>(i) < count;
            expect(num_visits[at] == (is_there ? 1 : 0), "for_each visits each index once", group, i);
            if (!is_there) continue;
            expect(visitor[at] == static_cast<int>(i % width), "lane i mod width owns i", group, i);
            expect(is_same(row_sums[at], expected_rows[i]), "sum_each has the bits of the host's lanes", group, i);
        }
        for (std::size_t lane = 0; lane < width; ++lane) {
            const std::size_t at = group * width + lane;
            for (std::size_t k = 0; k < 6; ++k)
                expect(is_same(sums[at * 6 + k], expected_sums[k]),
                       "sum has the bits of the host's lanes in every lane", group, lane);
            expect(is_same(largest[at], expected_largest), "maximum is everybody's", group, lane);
            expect(all_hold[at * 2] == 1, "all_of what holds", group, lane);
            expect(all_hold[at * 2 + 1] == (count == 0 ? 1 : 0), "all_of what fails once", group, lane);
        }
    }
    EXPECT_EQ(num_wrong, 0);
}

template <class Real, index Width>
void expect_laws() {
    for (const int n : {0, 1, 2, 3, 4, 5, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 500, 1000, 1023, 1024, 1025, 3000})
        expect_laws<Real, Width>(n, false);
    for (const int n : constant_sizes) expect_laws<Real, Width>(n, true);
}

TYPED_TEST(DeviceGroups, OfTilesKeepTheLaws) {
    expect_laws<TypeParam, 2>();
    expect_laws<TypeParam, 4>();
    expect_laws<TypeParam, 8>();
    expect_laws<TypeParam, 16>();
    expect_laws<TypeParam, 32>();
}

TYPED_TEST(DeviceGroups, OfBlocksKeepTheLaws) {
    expect_laws<TypeParam, 64>();
    expect_laws<TypeParam, 128>();
    expect_laws<TypeParam, 256>();
    expect_laws<TypeParam, 512>();
    expect_laws<TypeParam, 1024>();
}

}  // namespace
}  // namespace gpu
