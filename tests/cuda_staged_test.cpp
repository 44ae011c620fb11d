// SPDX-License-Identifier: Apache-2.0

// The staged engine's plan for a device, on a model of the runtime that runs the very kernels: the bits of serial lanes
// of the same width, wherever arrays lie; what is launched, waited for and allocated; calls that fail.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/problems/quadratic.hpp"
#include "cubome/staged.hpp"
#include "cuda_subjects.hpp"
#include "family_oracle.hpp"
#include "host/staged/cpu_stages.hpp"
#include "host/staged/staged_kernels.hpp"
#include "host/validate.hpp"
#include "staged_subjects.hpp"

namespace {

using namespace cuda_subjects;
using cubome::oracle_call;

constexpr cubome::index width = 64;
using family = cubome::problems::quadratic_family;

/// A family's problems as an oracle of the device: what it is asked for is enqueued.
template <class Real>
class device_oracle final : public cubome::oracle<Real> {
public:
    device_oracle(const cubome::problem<Real>& of, std::int64_t num_problems, simt_runtime::device& model)
        : there_(of, num_problems), model_(model) {}

    cubome::backend where() const override { return cubome::backend::cuda; }
    std::int64_t outer_dim() const override { return there_.outer_dim(); }
    std::int64_t inner_dim() const override { return there_.inner_dim(); }
    bool has_held_out() const override { return there_.has_held_out(); }
    void reserve(std::int64_t num_problems) override {
        num_reserved = num_problems;
        if (at_each_call) at_each_call();
    }

    void prepare(const oracle_call& call, const Real* outer) override {
        enqueue(call, [=, this] { there_.prepare(call, outer); });
    }
    void inner_gradient(const oracle_call& call, const Real* outer, const Real* inner, Real* gradient) override {
        enqueue(call, [=, this] { there_.inner_gradient(call, outer, inner, gradient); });
    }
    void gap_gradient(const oracle_call& call, const Real* outer, const Real* inner, const Real* descent, Real* gap,
                      Real* magnitude, Real* gradient) override {
        enqueue(call, [=, this] { there_.gap_gradient(call, outer, inner, descent, gap, magnitude, gradient); });
    }
    void outer_gradient(const oracle_call& call, const Real* outer, const Real* inner, Real* value, Real* of_outer,
                        Real* of_inner) override {
        enqueue(call, [=, this] { there_.outer_gradient(call, outer, inner, value, of_outer, of_inner); });
    }
    void held_out(const oracle_call& call, const Real* outer, const Real* inner, Real* value) override {
        enqueue(call, [=, this] { there_.held_out(call, outer, inner, value); });
    }

    std::int64_t num_reserved = 0;
    std::int64_t num_calls = 0;          ///< while things were enqueued or recorded
    std::int64_t failing_call = 0;       ///< which throws; 0: none
    std::function<void()> at_each_call;  ///< of the oracle
    std::function<void()> before_call;   ///< of the work, as it is done

private:
    void enqueue(const oracle_call& call, std::function<void()> work) {
        if (at_each_call) at_each_call();
        if (++num_calls == failing_call) throw std::runtime_error("the oracle's own");
        model_.enqueue(call.stream, [this, work = std::move(work)] {
            if (before_call) before_call();
            work();
        });
    }

    family_oracle::oracle<Real, width, family> there_;
    simt_runtime::device& model_;
};

/// The model's runtime and kernels, in place of the linked ones as long as the scope.
template <class Real>
struct with_stages : with_device {
    with_stages() {
        model.add(cubome::stage_kernels<Real, width>::table);
        cubome::detail::replace_staged_kernels(&cubome::stage_kernels<Real, width>::table);
    }
    ~with_stages() { cubome::detail::replace_staged_kernels<Real>(nullptr); }
};

/// A batch on a device of its own, and its solver.
template <class Real>
struct trial {
    trial(const batch& source, bool remembers)
        : b(source, remembers), oracle(b.problem, source.num_problems, with.model), copies(with.model) {}

    cubome::staged_solver<Real>& make(const cubome::execution& e = {}) {
        solver =
            std::make_unique<cubome::staged_solver<Real>>(oracle, b.settings, staged_subjects::box_of(b.problem), e);
        return *solver;
    }

    with_stages<Real> with;
    library_batch<Real> b;
    device_oracle<Real> oracle;
    device_copies copies;
    std::unique_ptr<cubome::staged_solver<Real>> solver;
};

/// What the device must find, by serial lanes of its width.
template <class Real>
struct solved : library_batch<Real> {
    solved(const batch& source, bool remembers) : library_batch<Real>(source, remembers) {
        staged_subjects::solve_by_serial_lanes<Real, width, family>(*this);
    }
};

batch make_source(std::uint64_t seed, std::int64_t num_problems, variation kind, std::int64_t outer_steps,
                  bool has_tolerance = false) {
    generator random(seed);
    auto source = random_batch(random, random_problems::quadratic(3, 5), num_problems, kind, 0.5);
    source.round_to<float>();
    source.settings.outer_steps = outer_steps;
    source.settings.inner_steps = 2;
    source.settings.refine_steps = 1;
    auto& s = source.settings;
    for (auto* x : {&s.tol_stationarity, &s.tol_gap, &s.rel_tol_stationarity, &s.rel_tol_gap}) *x = {0};
    if (has_tolerance) s.tol_stationarity = {0.3};
    return source;
}

template <class Real>
class CudaStaged : public testing::Test {};
using precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaStaged, precisions);

TYPED_TEST(CudaStaged, HasTheBitsOfSerialLanesFromArraysOfTheHost) {
    for (const variation kind : {variation::plain, variation::persistent_momentum, variation::free_set_box,
                                 variation::schedules, variation::everything, variation::everything_automatic}) {
        SCOPED_TRACE(static_cast<int>(kind));
        auto source = make_source(1, 3, kind, 5);
        source.settings.trace_interval = 2;
        source.inner[static_cast<std::size_t>(2 * source.shape.inner_dim())] = std::nan("");
        const solved<TypeParam> expected(source, true);
        trial<TypeParam> t(source, true);

        const auto info = t.make().solve(t.b.state(), t.b.report());

        EXPECT_EQ(differences(t.b, expected), "");
        EXPECT_EQ(t.oracle.num_reserved, 3);
        EXPECT_EQ(info.where, cubome::backend::cuda);
        EXPECT_EQ(info.device, 0);
    }
}

TYPED_TEST(CudaStaged, MeasuresCurvaturesWhenItIsSomebodysTurn) {
    auto source = make_source(1, 3, variation::automatic, 40);
    solved<TypeParam> expected(source, true);
    trial<TypeParam> t(source, true);
    ASSERT_EQ(expected.iteration, (std::vector<std::int64_t>{40, 40, 40}));
    t.make().solve(t.b.state(), t.b.report());
    EXPECT_EQ(differences(t.b, expected), "");

    // From now on problems have turns of their own.
    for (library_batch<TypeParam>* b : {static_cast<library_batch<TypeParam>*>(&expected), &t.b})
        b->iteration = {5, 31, 40};
    staged_subjects::solve_by_serial_lanes<TypeParam, width, family>(expected);
    t.solver->solve(t.b.state(), t.b.report());
    EXPECT_EQ(differences(t.b, expected), "");
}

TYPED_TEST(CudaStaged, EndsWhenAllProblemsHaveAndCountsThem) {
    auto source = make_source(3, 4, variation::plain, 2000, true);
    source.settings.tol_stationarity = {1e3};
    const solved<TypeParam> expected(source, false);
    trial<TypeParam> t(source, false);
    std::atomic<std::int64_t> progress{0};
    cubome::execution e;
    e.progress = &progress;

    t.make(e).solve(t.b.state(), t.b.report());

    EXPECT_EQ(differences(t.b, expected), "");
    EXPECT_EQ(progress, 4);
    EXPECT_LT(t.with.model.num_calls["cudaGraphLaunch"], 40);
}

TYPED_TEST(CudaStaged, LaunchesAGraphForAnIterationAndNeitherWaitsNorAllocatesForIt) {
    std::map<std::string, std::int64_t> calls[2];
    for (const int i : {0, 1}) {
        trial<TypeParam> t(make_source(4, 2, variation::everything, i == 0 ? 10 : 20), true);
        auto& solver = t.make();
        t.with.model.num_calls.clear();
        solver.solve(t.b.state(), t.b.report());
        calls[i] = t.with.model.num_calls;
    }
    // The first of the K + 1 iterations is not a graph's.
    EXPECT_EQ(calls[0]["cudaGraphLaunch"], 10);
    EXPECT_EQ(calls[1]["cudaGraphLaunch"], 20);
    EXPECT_GT(calls[0]["cudaLaunchKernel"], 0);
    for (auto& [name, count] : calls[1])
        EXPECT_EQ(count, calls[0][name] + (name == "cudaGraphLaunch" ? 10 : 0)) << name;

    // What is solved again finds all the memory that it needs.
    trial<TypeParam> t(make_source(4, 2, variation::everything, 3), true);
    t.make().solve(t.b.state(), t.b.report());
    t.with.model.num_calls.clear();
    t.solver->solve(t.b.state(), t.b.report());
    EXPECT_EQ(t.with.model.num_calls["cudaMalloc"] + t.with.model.num_calls["cudaMallocHost"], 0);
}

TYPED_TEST(CudaStaged, SolvesWhereArraysLieInMemoryOfTheDevice) {
    for (const variation kind : {variation::everything, variation::everything_automatic}) {
        const auto source = make_source(5, 3, kind, 4);
        const solved<TypeParam> expected(source, true);
        trial<TypeParam> t(source, true);
        {
            // Between host and device, then on the caller's workspace.
            auto state = t.b.state();
            move_to(t.copies, state.outer);
            auto& solver = t.make();
            solver.solve(state, t.b.report());
            t.copies.fetch();
            EXPECT_EQ(differences(t.b, expected), "");
        }
        trial<TypeParam> all(source, true);
        on_device<TypeParam> there(all.b, all.copies);
        cubome::staged_solver<TypeParam> solver(all.oracle, there.settings, staged_subjects::box_of(there.problem));
        const std::size_t bytes = solver.workspace_bytes(3);
        char* const workspace = all.with.model.template allocate<char>(bytes);
        solver.solve(there.state, there.report, workspace, bytes);
        all.copies.fetch();
        EXPECT_EQ(differences(all.b, expected), "");
        all.with.model.release(workspace);
    }
}

TYPED_TEST(CudaStaged, IsEnqueuedCapturedAndReplayed) {
    for (const variation kind : {variation::everything, variation::everything_automatic}) {
        const auto source = make_source(6, 2, kind, 3);
        const solved<TypeParam> expected(source, true);
        trial<TypeParam> t(source, true);
        const library_batch<TypeParam> start(source, true);
        on_device<TypeParam> there(t.b, t.copies);
        cubome::staged_solver<TypeParam> solver(t.oracle, there.settings, staged_subjects::box_of(there.problem));
        const std::size_t bytes = solver.workspace_bytes(2);
        simt_runtime::device& model = t.with.model;
        char* const workspace = model.template allocate<char>(bytes);
        CUstream_st* const stream = model.make_stream();

        const std::int64_t allocations = model.num_allocations();
        model.num_calls.clear();
        model.begin_capture(stream);
        solver.enqueue(stream, there.state, there.report, workspace, bytes);
        const auto graph = model.end_capture(stream);
        EXPECT_EQ(model.num_allocations(), allocations);
        EXPECT_EQ(model.num_calls["cudaStreamSynchronize"], 0);

        for (int replay = 0; replay < 3; ++replay) {
            const auto put = [&](auto& view, const auto& from) {
                model.copy(view.data, from.data(), from.size() * sizeof from[0]);
            };
            put(there.state.outer, start.outer), put(there.state.inner, start.inner);
            put(there.state.iteration, start.iteration);
            model.replay(graph);
            t.copies.fetch();
            EXPECT_EQ(differences(t.b, expected), "");
        }
        model.release(workspace);
    }
}

TYPED_TEST(CudaStaged, IsMadeStepByStepOnAStream) {
    auto source = make_source(12, 2, variation::persistent_momentum, 4);
    auto& s = source.settings;
    for (auto* x : {&s.tol_gap, &s.rel_tol_gap}) *x = {0};
    solved<TypeParam> expected(source, true);
    trial<TypeParam> t(source, true);
    for (library_batch<TypeParam>* b : {static_cast<library_batch<TypeParam>*>(&expected), &t.b}) {
        std::fill(b->refined_outer_value.begin(), b->refined_outer_value.end(), TypeParam(0));
        std::fill(b->refined_gap.begin(), b->refined_gap.end(), TypeParam(0));
    }
    simt_runtime::device& model = t.with.model;
    on_device<TypeParam> there(t.b, t.copies);
    there.report.refined_outer_value = there.report.refined_gap = {};
    cubome::staged_iteration<TypeParam> steps(3, 5, there.settings, staged_subjects::box_of(there.problem),
                                              on(cubome::backend::cuda));
    const std::size_t bytes = steps.workspace_bytes(2);
    std::vector<void*> memory;
    const auto allocate = [&](std::int64_t count) {
        auto* const result = model.template allocate<TypeParam>(static_cast<std::size_t>(count));
        memory.push_back(result);
        return result;
    };
    const staged_subjects::pipeline_arrays<TypeParam> x(2, 3, 5, allocate);
    void* const workspace = allocate(static_cast<std::int64_t>(bytes / sizeof(TypeParam)) + 1);
    CUstream_st* const stream = model.make_stream();
    model.num_calls.clear();

    // One iteration is captured, and replayed K + 1 times.
    steps.begin(stream, there.state, there.report, workspace, bytes);
    model.begin_capture(stream);
    staged_subjects::iterate_step_by_step(steps, t.oracle, there.settings, there.state, x, stream);
    const auto graph = model.end_capture(stream);
    EXPECT_EQ(model.num_calls["cudaStreamSynchronize"] + model.num_calls["cudaMalloc"], 0);
    model.synchronize(stream);
    for (std::int64_t k = 0; k <= there.settings.outer_steps; ++k) model.replay(graph);
    steps.report(stream);
    model.synchronize(stream);
    t.copies.fetch();
    EXPECT_EQ(differences(t.b, expected), "");
    for (void* m : memory) model.release(m);
}

TYPED_TEST(CudaStaged, GoesOnWhereItWasCancelled) {
    const auto source = make_source(1, 2, variation::automatic, 70);
    const solved<TypeParam> expected(source, true);
    ASSERT_EQ(expected.iteration, (std::vector<std::int64_t>{70, 70}));
    trial<TypeParam> t(source, true);
    std::atomic<bool> cancel{false};
    std::atomic<std::int64_t> progress{0};
    cubome::execution e;
    e.cancel = &cancel;
    e.progress = &progress;
    std::int64_t num_calls = 0;
    t.oracle.before_call = [&] { cancel = ++num_calls > 60; };

    t.make(e).solve(t.b.state(), t.b.report());

    EXPECT_EQ(t.b.outcome[0], cubome::outcome::cancelled);
    EXPECT_EQ(t.b.iteration[0], 32);
    EXPECT_EQ(progress, 0) << "nobody is done";
    t.oracle.before_call = nullptr;
    cancel = false;
    auto rest = t.b.settings;
    rest.outer_steps = 70 - 32;
    cubome::staged_solver<TypeParam> again(t.oracle, rest, staged_subjects::box_of(t.b.problem), e);
    again.solve(t.b.state(), t.b.report());
    EXPECT_EQ(differences(t.b, expected), "");
    cancel = true;
    t.b.outcome.assign(2, cubome::outcome::converged);
    again.solve(t.b.state(), t.b.report());
    EXPECT_EQ(t.b.outcome[1], cubome::outcome::not_run);
}

TYPED_TEST(CudaStaged, AnOracleThatThrowsLeavesTheUpdatesThatWereMade) {
    for (const variation kind : {variation::momentum, variation::automatic}) {
        const auto source = make_source(1, 2, kind, 4);
        const solved<TypeParam> expected(source, true);
        ASSERT_EQ(expected.iteration, (std::vector<std::int64_t>{4, 4}));
        for (std::int64_t k = 1;; ++k) {
            SCOPED_TRACE(testing::Message() << "variation " << static_cast<int>(kind) << ", call " << k);
            trial<TypeParam> t(source, true);
            t.oracle.failing_call = k;
            try {
                t.make().solve(t.b.state(), t.b.report());
                EXPECT_EQ(differences(t.b, expected), "");
                break;
            } catch (const std::runtime_error& e) {
                EXPECT_STREQ(e.what(), "the oracle's own");
            }
            EXPECT_EQ(t.with.model.num_graphs(), 0);
            // The calls of iterations 3 to K are made while the second is recorded.
            for (int p = 0; p < 2; ++p) {
                const auto done = t.b.iteration[static_cast<std::size_t>(p)];
                EXPECT_TRUE(t.b.outcome[static_cast<std::size_t>(p)] == cubome::outcome::cancelled || done == 4);
            }
            auto rest = t.b.settings;
            rest.outer_steps = 4 - t.b.iteration[0];
            cubome::staged_solver<TypeParam> again(t.oracle, rest, staged_subjects::box_of(t.b.problem));
            again.solve(t.b.state(), t.b.report());
            EXPECT_EQ(differences(t.b, expected), "");
        }
    }
}

TEST(CudaStagedContract, RefusesByName) {
    trial<float> t(make_source(9, 2, variation::plain, 2), true);
    const auto expect = [](const std::string& text, const std::function<void()>& call) {
        try {
            call();
            FAIL() << text;
        } catch (const cubome::invalid_argument& e) {
            EXPECT_EQ(std::string(e.what()), text);
        }
    };
    expect("solve: 'execution.where' is 'cpu', expected 'cuda', where the oracle works",
           [&] { t.make(on(cubome::backend::cpu)); });
    cubome::execution second;
    second.device = 1;
    expect("solve: 'execution.device' is 1, expected less than the number of devices, 1", [&] { t.make(second); });
    auto& solver = t.make();
    const std::size_t bytes = solver.workspace_bytes(2);
    std::vector<char> here(bytes + 64);
    void* const aligned = reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(here.data()) + 63) / 64 * 64);
    expect("enqueue: 'state.outer' lies in pageable host memory, expected memory that the device can reach",
           [&] { solver.enqueue(nullptr, t.b.state(), t.b.report(), aligned, bytes); });
    expect("enqueue: 'workspace' has 0 bytes, expected at least " + std::to_string(bytes),
           [&] { solver.enqueue(nullptr, t.b.state(), t.b.report(), nullptr, 0); });

    family_oracle::oracle<float, width, family> of_host(t.b.problem, 2);
    expect("solve: 'execution.where' is 'cuda', expected 'cpu', where the oracle works",
           [&] { cubome::staged_solver<float>(of_host, t.b.settings, {}, on(cubome::backend::cuda)); });
    cubome::staged_solver<float> host(of_host, t.b.settings, staged_subjects::box_of(t.b.problem));
    expect("enqueue: 'oracle' works on the cpu, expected one that works on 'cuda'",
           [&] { host.enqueue(nullptr, t.b.state(), t.b.report(), aligned, bytes); });
}

TEST(CudaStagedContract, TheOracleFindsTheSolversDevice) {
    trial<float> t(make_source(12, 2, variation::plain, 2), false);
    t.with.model.num_devices = 2;
    cubome::execution second;
    second.device = 1;
    auto& solver = t.make(second);
    t.oracle.at_each_call = [&] { EXPECT_EQ(t.with.model.current(), 1); };
    EXPECT_EQ(solver.solve(t.b.state(), t.b.report()).device, 1);
    EXPECT_EQ(t.with.model.current(), 0);
    EXPECT_EQ(t.oracle.num_reserved, 2);
}

TEST(CudaStagedContract, WithoutADriverItIsUnavailable) {
    trial<float> t(make_source(10, 2, variation::plain, 2), true);
    t.with.model.code_of_first_call = 35;
    EXPECT_THROW(t.make(), cubome::backend_unavailable);
}

TEST(CudaStagedFaults, AtEveryCallAreReportedAndNothingIsLeftBehind) {
    const auto source = make_source(11, 1, variation::momentum, 1);
    const solved<float> expected(source, true);
    const library_batch<float> start(source, true);
    std::int64_t num_trials = 0;
    for (const auto& [code, for_ever] : {std::pair(1, false), std::pair(2, true), std::pair(700, false)}) {
        for (std::int64_t k = 1;; ++k) {
            SCOPED_TRACE(testing::Message() << "code " << code << (for_ever ? " from call " : " at call ") << k);
            trial<float> t(source, true);
            simt_runtime::device& model = t.with.model;
            const std::int64_t alive = model.num_allocations() + model.num_streams();
            model.inject = {k, code, for_ever, ""};
            bool is_reported = false, is_lost = false;
            try {
                t.make().solve(t.b.state(), t.b.report());
            } catch (const cubome::device_lost& e) {
                is_reported = is_lost = true;
                EXPECT_EQ(e.code(), code);
            } catch (const cubome::cuda_error& e) {
                is_reported = true;
                EXPECT_EQ(e.code(), code);
            }
            const bool has_failed = model.num_failed > 0;
            model.inject = {};
            model.catch_up();
            ++num_trials;
            EXPECT_EQ(is_lost, is_reported && code == 700);
            if (is_lost) {
                EXPECT_THROW(t.solver ? (void)t.solver->solve(t.b.state(), t.b.report()) : (void)t.make(),
                             cubome::device_lost);
            } else {
                if (!is_reported) {
                    EXPECT_EQ(differences(t.b, expected), "");
                    EXPECT_EQ(model.num_failed, model.num_failed_releases);
                }
                const auto num_unreleased = model.num_graphs();
                EXPECT_LE(num_unreleased, model.num_failed_releases);
                // The next one is right.
                t.b.outer = start.outer, t.b.inner = start.inner, t.b.iteration = start.iteration;
                if (!t.solver) t.make();
                t.solver->solve(t.b.state(), t.b.report());
                EXPECT_EQ(differences(t.b, expected), "") << "after the failure";
                t.solver.reset();
                EXPECT_EQ(model.num_allocations() + model.num_streams() + num_unreleased,
                          alive + model.num_failed_releases)
                    << "leaked";
            }
            if (!has_failed || HasFailure()) break;
        }
        if (HasFailure()) return;
    }
    EXPECT_GT(num_trials, 200);
}

}  // namespace
