// SPDX-License-Identifier: Apache-2.0

// The plan behind `solve` and `enqueue` on CUDA, on a model of the runtime that runs the kernels' text on host threads:
// every bit of every output against the host's serial lanes of the same width.

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "cuda_subjects.hpp"

namespace {

using namespace cuda_subjects;

template <class Halves>
class CudaPlan : public testing::Test {};
using families = testing::Types<coreset_by_thread, minimax_by_thread, quadratic_by_tile, quadratic_by_block>;
TYPED_TEST_SUITE(CudaPlan, families);

TYPED_TEST(CudaPlan, SolvesBatchesOfTheHostWithTheBitsOfSerialLanes) {
    std::uint64_t seed = 1;
    for (const variation kind : {variation::plain, variation::persistent_momentum, variation::free_set_box,
                                 variation::automatic, variation::everything, variation::everything_automatic}) {
        for (const bool remembers : {false, true}) {
            const auto source = random_source<TypeParam>(++seed, TypeParam::few, kind, remembers ? 3 : 0);
            with_device with;
            subject<TypeParam> expected(source, remembers, with.model);
            expected.solve(on(cubome::backend::cpu));
            for (const std::int64_t steps : {0, 1, 4}) {
                SCOPED_TRACE(testing::Message() << "variation " << static_cast<int>(kind) << ", " << steps << " steps");
                subject<TypeParam> found(source, remembers, with.model);

                const auto info = found.solve(on(cubome::backend::cuda, steps));

                EXPECT_EQ(info.where, cubome::backend::cuda);
                EXPECT_EQ(differences(found.b, expected.b), "");
                EXPECT_EQ(with.model.num_allocations(), 0);
                EXPECT_EQ(with.model.num_streams(), 0);
            }
        }
    }
}

TYPED_TEST(CudaPlan, CutsABatchIntoChunksWithoutChangingABit) {
    const auto source = random_source<TypeParam>(5, TypeParam::many, variation::everything_automatic);
    with_device with;
    subject<TypeParam> expected(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    for (const std::size_t free_bytes : {std::size_t(1), std::size_t(16) << 10, std::size_t(64) << 10}) {
        for (const std::int64_t steps : {0, 3}) {
            SCOPED_TRACE(testing::Message() << free_bytes << " bytes free, " << steps << " steps");
            subject<TypeParam> found(source, true, with.model);
            with.model.free_bytes = free_bytes;

            found.solve(on(cubome::backend::cuda, steps));

            EXPECT_EQ(differences(found.b, expected.b), "");
        }
    }
}

TYPED_TEST(CudaPlan, HalvesChunksUntilTheirMemoryCanBeHad) {
    const auto source = random_source<TypeParam>(6, TypeParam::many, variation::everything);
    with_device with;
    subject<TypeParam> expected(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    // From what the whole batch takes down to where not even one problem has room.
    bool was_halved = false, was_refused = false;
    for (std::size_t most = std::size_t(1) << 17; most > 32; most = most * 3 / 4) {
        subject<TypeParam> found(source, true, with.model);
        cubome::solver<typename TypeParam::real> solver(found.b.problem, found.b.settings, on(cubome::backend::cuda));
        with.model.most_bytes = most;
        with.model.num_calls.clear();
        try {
            solver.solve(found.b.state(), found.b.report());
            EXPECT_EQ(differences(found.b, expected.b), "") << most;
            was_halved = was_halved || with.model.num_calls["cudaMalloc"] > 3;
            EXPECT_FALSE(was_refused);
        } catch (const cubome::cuda_error& e) {
            was_refused = true;
            EXPECT_EQ(e.failure(), cubome::cuda_failure::out_of_memory);
            with.model.most_bytes = ~std::size_t(0);
            solver.solve(found.b.state(), found.b.report());
            EXPECT_EQ(differences(found.b, expected.b), "") << "after " << e.what();
        }
        with.model.most_bytes = ~std::size_t(0);
    }
    EXPECT_TRUE(was_halved);
    EXPECT_TRUE(was_refused);
}

// --- arrays of the device

TYPED_TEST(CudaPlan, SolvesBatchesOfTheDeviceWhereTheyLie) {
    using real = typename TypeParam::real;
    for (const bool remembers : {false, true}) {
        const auto source = random_source<TypeParam>(
            7, TypeParam::few, remembers ? variation::everything_automatic : variation::automatic, remembers ? 2 : 0);
        with_device with;
        subject<TypeParam> expected(source, remembers, with.model);
        expected.solve(on(cubome::backend::cpu));
        for (const std::int64_t steps : {0, 2}) {
            subject<TypeParam> found(source, remembers, with.model);
            device_copies copies(with.model);
            const on_device<real> there(found.b, copies);
            with.model.num_calls.clear();

            cubome::solve(there.problem, there.settings, there.state, there.report, on(cubome::backend::cuda, steps));

            copies.fetch();
            EXPECT_EQ(differences(found.b, expected.b), "") << steps;
            EXPECT_LE(with.model.num_calls["cudaMemcpyAsync"], steps == 0 ? 0 : source.settings.outer_steps / steps + 1)
                << "no problem moves";
        }
    }
}

TYPED_TEST(CudaPlan, SolvesWhereSomeArraysLieHereAndOthersThere) {
    const auto source = random_source<TypeParam>(8, TypeParam::few, variation::everything);
    with_device with;
    subject<TypeParam> expected(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    for (const std::size_t free_bytes : {std::size_t(1) << 30, std::size_t(4) << 10}) {
        subject<TypeParam> found(source, true, with.model);
        device_copies copies(with.model);
        move_to(copies, found.b.problem);
        auto state = found.b.state();
        auto report = found.b.report();
        move_to(copies, state.inner), move_to(copies, state.iteration), move_to(copies, state.best_kkt);
        move_to(copies, report.outcome), move_to(copies, report.gap);
        with.model.free_bytes = free_bytes;

        cubome::solve(found.b.problem, found.b.settings, state, report, on(cubome::backend::cuda));

        copies.fetch();
        EXPECT_EQ(differences(found.b, expected.b), "");
    }
}

TYPED_TEST(CudaPlan, EnqueuesIntoACapturedGraphThatCanBeReplayed) {
    using real = typename TypeParam::real;
    const auto source = random_source<TypeParam>(9, TypeParam::few, variation::everything, 2);
    with_device with;
    subject<TypeParam> expected(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    for (const std::int64_t steps : {0, 3, 1000}) {
        SCOPED_TRACE(steps);
        subject<TypeParam> found(source, true, with.model);
        device_copies copies(with.model);
        const on_device<real> there(found.b, copies);
        cubome::solver<real> solver(there.problem, there.settings, on(cubome::backend::cuda, steps));
        const std::size_t bytes = solver.workspace_bytes(TypeParam::few);
        char* const workspace = with.model.allocate<char>(bytes);
        CUstream_st* const stream = with.model.make_stream();
        const auto start_outer = found.b.outer, start_inner = found.b.inner;
        with.model.begin_capture(stream);
        with.model.num_calls.clear();

        solver.enqueue(stream, there.state, there.report, workspace, bytes);

        const auto graph = with.model.end_capture(stream);
        auto& calls = with.model.num_calls;
        EXPECT_EQ(calls["cudaMalloc"] + calls["cudaMallocHost"] + calls["cudaFree"] + calls["cudaStreamSynchronize"],
                  0);
        EXPECT_EQ(calls["cudaLaunchKernel"], steps == 3 ? 4 : 1);
        for (int replay = 0; replay < 3; ++replay) {
            with.model.copy(there.state.outer.data, start_outer.data(), start_outer.size() * sizeof(real));
            with.model.copy(there.state.inner.data, start_inner.data(), start_inner.size() * sizeof(real));
            const std::vector<std::int64_t> zeros(TypeParam::few, 0);
            with.model.copy(there.state.iteration.data, zeros.data(), zeros.size() * sizeof zeros[0]);
            with.model.replay(graph);
            copies.fetch();
            EXPECT_EQ(differences(found.b, expected.b), "") << "replay " << replay;
        }
        with.model.release(workspace);
    }
}

TYPED_TEST(CudaPlan, SolvesOnTheCallersWorkspaceWhateverMemoryTheDeviceReaches) {
    using real = typename TypeParam::real;
    const auto source = random_source<TypeParam>(12, TypeParam::few, variation::everything);
    with_device with;
    subject<TypeParam> expected(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    for (const bool is_pinned : {false, true}) {
        SCOPED_TRACE(is_pinned ? "v in pinned memory" : "all on the device");
        subject<TypeParam> found(source, true, with.model);
        device_copies copies(with.model);
        const on_device<real> there(found.b, copies);
        auto state = there.state;
        real* pinned = nullptr;
        if (is_pinned) {
            state.outer.data = pinned = with.model.template allocate_pinned<real>(found.b.outer.size());
            std::copy(found.b.outer.begin(), found.b.outer.end(), pinned);
        }
        cubome::solver<real> solver(there.problem, there.settings, on(cubome::backend::cuda, 3));
        // Its own memory first, so that there is some to be mistaken for the caller's.
        subject<TypeParam> before(source, true, with.model);
        solver.solve(before.b.state(), before.b.report());
        const std::size_t bytes = solver.workspace_bytes(TypeParam::few);
        char* const workspace = with.model.template allocate<char>(bytes);
        with.model.num_calls.clear();

        solver.solve(state, there.report, workspace, bytes);

        EXPECT_EQ(with.model.num_calls["cudaMalloc"] + with.model.num_calls["cudaMallocHost"], 0);
        copies.fetch();
        if (is_pinned) found.b.outer.assign(pinned, pinned + found.b.outer.size());
        EXPECT_EQ(differences(found.b, expected.b), "");
        with.model.release(workspace);
    }
}

TYPED_TEST(CudaPlan, WaitsForTheDefaultStreamWhereArraysAreTheDevices) {
    using real = typename TypeParam::real;
    const auto source = random_source<TypeParam>(13, TypeParam::few, variation::plain);
    with_device with;
    subject<TypeParam> expected(source, true, with.model), found(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    device_copies copies(with.model);
    const on_device<real> there(found.b, copies);
    real* const v = there.state.outer.data;
    const auto right = found.b.outer;
    const std::vector<real> wrong(right.size(), real(7));
    with.model.copy(v, wrong.data(), wrong.size() * sizeof(real));
    with.model.enqueue(nullptr, [=] { std::memcpy(v, right.data(), right.size() * sizeof(real)); });

    cubome::solve(there.problem, there.settings, there.state, there.report, on(cubome::backend::cuda));

    copies.fetch();
    EXPECT_EQ(differences(found.b, expected.b), "");
}

TYPED_TEST(CudaPlan, GoesOnWhereASolveStopped) {
    const auto source = random_source<TypeParam>(10, TypeParam::few, variation::everything);
    with_device with;
    subject<TypeParam> expected(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    subject<TypeParam> found(source, true, with.model);
    const std::int64_t all = found.b.settings.outer_steps;
    for (const std::int64_t part : {all / 3, all - all / 3}) {
        found.b.settings.outer_steps = part;
        found.solve(on(cubome::backend::cuda, 2));
    }
    EXPECT_EQ(differences(found.b, expected.b), "");
}

TYPED_TEST(CudaPlan, CountsProgressAndStopsWhenCancelled) {
    const auto source = random_source<TypeParam>(11, TypeParam::many, variation::plain);
    with_device with;
    with.model.free_bytes = 4096;  // some chunks
    subject<TypeParam> expected(source, true, with.model), found(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    std::atomic<std::int64_t> progress{0};
    std::atomic<bool> cancel{false};
    auto e = on(cubome::backend::cuda, 2);
    e.progress = &progress;
    e.cancel = &cancel;
    found.solve(e);
    EXPECT_EQ(progress, TypeParam::many);
    EXPECT_EQ(differences(found.b, expected.b), "");

    // From the start nothing is begun; later, every problem is as it was, done, or cancelled and can go on.
    for (std::int64_t calls_before = 0; calls_before < 40; calls_before += 3) {
        subject<TypeParam> stopped(source, true, with.model);
        const auto outer = stopped.b.outer;
        cancel = false, progress = 0;
        auto table = with.model.calls();
        std::int64_t num_launches = 0;
        auto launch = std::move(table.launch.function);
        table.launch.function = [&](auto... arguments) {
            if (num_launches++ == calls_before) cancel = true;
            return launch(arguments...);
        };
        cuda_runtime runtime(std::move(table));
        cubome::detail::replace_cuda_runtime(&runtime);
        if (calls_before == 0) cancel = true;

        stopped.solve(e);

        if (calls_before == 0) {
            EXPECT_EQ(num_launches, 0);
            EXPECT_EQ(progress, 0);
        }
        std::int64_t num_done = 0;
        for (std::size_t i = 0; i < static_cast<std::size_t>(TypeParam::many); ++i) {
            const auto how = stopped.b.outcome[i];
            num_done += how != cubome::outcome::not_run && how != cubome::outcome::cancelled;
            if (how != cubome::outcome::not_run) continue;
            EXPECT_EQ(stopped.b.outer[i * static_cast<std::size_t>(stopped.b.outer_dim)],
                      outer[i * static_cast<std::size_t>(stopped.b.outer_dim)]);
            EXPECT_EQ(stopped.b.iterations[i], -1);
            EXPECT_TRUE(std::isnan(stopped.b.gap[i]));
        }
        EXPECT_LE(progress, num_done);  // the last launch of a cancelled solve may end some more
        cubome::detail::replace_cuda_runtime(&with.runtime);
    }
}

TEST(CudaPlans, OfOneKernelDoNotDisturbEachOther) {
    with_device with;
    const auto make = [&](std::int64_t dim) {
        generator random(4);
        auto source = random_batch(random, random_problems::quadratic(dim, dim), 2, variation::plain);
        source.settings.outer_steps = 1, source.settings.inner_steps = 1;
        return std::make_unique<subject<quadratic_by_block>>(source, false, with.model);
    };
    // The first needs more shared memory than every kernel has unasked, the last hardly any.
    const auto expected = make(60), large = make(60), small = make(2);
    expected->solve(on(cubome::backend::cpu));
    cubome::solver<double> solver(large->b.problem, large->b.settings, on(cubome::backend::cuda));
    small->solve(on(cubome::backend::cuda));

    solver.solve(large->b.state(), large->b.report());

    EXPECT_EQ(differences(large->b, expected->b), "");
}

// --- who runs what

TEST(CudaBackend, IsUnavailableWithoutADriver) {
    for (const int code : {35, 100}) {
        with_device with;
        with.model.code_of_first_call = code;
        const auto source = random_source<coreset_by_thread>(1, 300, variation::plain);
        subject<coreset_by_thread> b(source, false, with.model);

        EXPECT_THROW(b.solve(on(cubome::backend::cuda)), cubome::backend_unavailable);
        const auto info = b.solve(on(cubome::backend::automatic));

        EXPECT_EQ(info.where, cubome::backend::cpu);
    }
}

TEST(CudaBackend, IsDoneWithoutWhereTheDeviceCannotBeUsed) {
    const auto source = random_source<coreset_by_thread>(1, 300, variation::plain);
    for (const int code : {2, 46, 304, 999}) {
        for (const char* call : {"cudaGetDeviceCount", "cudaMalloc"}) {
            with_device with;
            with.model.inject = {1, code, true, call};
            subject<coreset_by_thread> b(source, false, with.model);

            EXPECT_THROW(b.solve(on(cubome::backend::cuda)), cubome::cuda_error) << code;
            EXPECT_EQ(b.solve(on(cubome::backend::automatic)).where, cubome::backend::cpu) << code;
        }
    }
    with_device with;
    with.model.inject = {1, 719, false, "cudaGetDeviceCount"};
    subject<coreset_by_thread> b(source, false, with.model);
    EXPECT_THROW(b.solve(on(cubome::backend::automatic)), cubome::device_lost);
}

TEST(CudaBackend, IsUnavailableWhereTheBuildHasNoKernelsForTheDevice) {
    with_device with;
    with.model.inject = {1, 209, true, "cudaFuncSetAttribute"};
    const auto source = random_source<coreset_by_thread>(1, 300, variation::plain);
    subject<coreset_by_thread> b(source, false, with.model);

    EXPECT_THROW(b.solve(on(cubome::backend::cuda)), cubome::backend_unavailable);
    EXPECT_EQ(b.solve(on(cubome::backend::automatic)).where, cubome::backend::cpu);
}

TEST(CudaBackend, IsChosenForBatchesThatFillADevice) {
    with_device with;
    const auto small = random_source<coreset_by_thread>(1, 255, variation::plain);
    const auto large = random_source<coreset_by_thread>(1, 256, variation::plain);
    subject<coreset_by_thread> a(small, false, with.model), b(large, false, with.model);

    EXPECT_EQ(a.solve(on(cubome::backend::automatic)).where, cubome::backend::cpu);
    EXPECT_EQ(b.solve(on(cubome::backend::automatic)).where, cubome::backend::cuda);

    // However few, problems in device memory are the device's.
    const auto few = random_source<coreset_by_thread>(1, 3, variation::plain);
    subject<coreset_by_thread> c(few, false, with.model);
    device_copies copies(with.model);
    const on_device<float> there(c.b, copies);
    EXPECT_EQ(cubome::solve(there.problem, there.settings, there.state, there.report).where, cubome::backend::cuda);
}

TEST(CudaBackend, RefusesWhatTheDeviceCannotReach) {
    with_device with;
    const auto source = random_source<coreset_by_thread>(1, 3, variation::plain);
    subject<coreset_by_thread> b(source, false, with.model);
    device_copies copies(with.model);
    const on_device<float> there(b.b, copies);
    cubome::solver<float> solver(there.problem, there.settings, on(cubome::backend::cuda));
    const std::size_t bytes = solver.workspace_bytes(3);
    std::vector<char> workspace(bytes + 64);
    char* aligned = workspace.data();
    while (reinterpret_cast<std::uintptr_t>(aligned) % 64 != 0) ++aligned;
    auto state = there.state;
    state.inner = b.b.state().inner;
    try {
        solver.enqueue(nullptr, state, there.report, aligned, bytes);
        FAIL() << "took an array in pageable memory";
    } catch (const cubome::invalid_argument& e) {
        EXPECT_STREQ(e.what(),
                     "enqueue: 'state.inner' lies in pageable host memory, expected memory that the device can reach");
    }
    try {
        solver.enqueue(nullptr, there.state, there.report, aligned, bytes);
        FAIL() << "took a workspace in pageable memory";
    } catch (const cubome::invalid_argument& e) {
        EXPECT_STREQ(e.what(),
                     "enqueue: 'workspace' lies in pageable host memory, expected memory that the device can reach");
    }
    try {
        state.inner = cubome::per_problem(there.state.inner.data, 3, 5);
        solver.enqueue(nullptr, state, there.report, aligned, bytes);
        FAIL() << "took a state of other dimensions";
    } catch (const cubome::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "enqueue: 'state.inner' has extents [3, 5], expected [num_problems = 3, inner_dim = 2]");
    }
    EXPECT_FALSE(with.model.is_anything_pending());
}

TEST(CudaBackend, TellsOfAnErrorThatTheCallerLeftBehind) {
    with_device with;
    const auto source = random_source<coreset_by_thread>(1, 3, variation::plain);
    subject<coreset_by_thread> b(source, false, with.model), expected(source, false, with.model);
    expected.solve(on(cubome::backend::cpu));
    cubome::solver<float> solver(b.b.problem, b.b.settings, on(cubome::backend::cuda, 2));
    with.model.pending_error = 2;
    try {
        solver.solve(b.b.state(), b.b.report());
        FAIL() << "went on";
    } catch (const cubome::cuda_error& e) {
        EXPECT_EQ(e.call(), "cudaPeekAtLastError");
        EXPECT_EQ(e.code(), 2);
    }
    solver.solve(b.b.state(), b.b.report());
    EXPECT_EQ(differences(b.b, expected.b), "");
}

TEST(CudaBackend, RunsTheExampleOfTheReadme) {
    constexpr std::int64_t n = 20;
    with_device with;
    const auto source = random_source<coreset_by_thread>(1, n, variation::plain);
    subject<coreset_by_thread> expected(source, true, with.model), b(source, true, with.model);
    expected.solve(on(cubome::backend::cpu));
    device_copies copies(with.model);
    const on_device<float> there(b.b, copies);
    const auto& [problem, settings, state, report] = there;
    CUstream_st* const stream = with.model.make_stream();
    const auto allocate_on_device = [&](std::size_t count) { return with.model.allocate<char>(count); };

    // [readme]
    cubome::execution on_device;
    on_device.where = cubome::backend::cuda;
    cubome::solver<float> solver(problem, settings, on_device);  // validates, loads the kernels: outside any capture
    const std::size_t bytes = solver.workspace_bytes(n);
    void* workspace = allocate_on_device(bytes);              // yours, from cudaMalloc or a pool
    solver.enqueue(stream, state, report, workspace, bytes);  // only launches: a graph can capture it
    // [/readme]

    with.model.synchronize(stream);
    copies.fetch();
    with.model.release(workspace);
    EXPECT_EQ(differences(b.b, expected.b), "");
}

TEST(CudaBackend, EnqueuesNothingForTheCpu) {
    const auto source = random_source<coreset_by_thread>(1, 3, variation::plain);
    library_batch<float> b(source);
    cubome::solver<float> solver(b.problem, b.settings, on(cubome::backend::cpu));
    try {
        solver.enqueue(nullptr, b.state(), b.report(), nullptr, 0);
        FAIL();
    } catch (const cubome::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "enqueue: 'execution.where' is cpu, expected cuda: a stream is a device's");
    }
}

TEST(CudaBackend, NamesTheFamilyThatHasNoHalfForIt) {
    with_device with;
    auto runner = coreset_by_thread::runner();
    runner.cuda = nullptr;
    cubome::problem<float> problem(runner, {4, 2});
    float points[8] = {}, target[2] = {};
    problem.bind("points", cubome::shared<const float>(points, 4, 2));
    problem.bind("target", cubome::shared<const float>(target, 2));
    try {
        cubome::solver<float>(problem, {}, on(cubome::backend::cuda));
        FAIL();
    } catch (const cubome::not_compiled& e) {
        EXPECT_STREQ(e.what(), "solve: 'coreset' is not compiled for the backend 'cuda'");
    }
}

TEST(CudaBackend, RefusesADeviceThatThereIsNot) {
    with_device with;
    const auto source = random_source<coreset_by_thread>(1, 3, variation::plain);
    subject<coreset_by_thread> b(source, false, with.model);
    auto e = on(cubome::backend::cuda);
    e.device = 1;
    try {
        b.solve(e);
        FAIL();
    } catch (const cubome::invalid_argument& error) {
        EXPECT_STREQ(error.what(), "solve: 'execution.device' is 1, expected less than the number of devices, 1");
    }
}

}  // namespace
