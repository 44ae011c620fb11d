// SPDX-License-Identifier: Apache-2.0

// Calls of the CUDA runtime that fail: each one, with codes of every class, once and for ever. No hang, no wrong
// result, nothing leaked, the right class; and the next solve is right, or says that the device is lost.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cubome/cubome.hpp"
#include "cuda_subjects.hpp"

namespace {

using namespace cuda_subjects;
using cubome::cuda_failure;

enum class ending { succeeded, unavailable, failed, lost };

struct result {
    ending end = ending::succeeded;
    cuda_failure failure{};
    int code = 0;
    std::string call, message;
};

template <class F>
result run(F&& f) {
    try {
        f();
        return {};
    } catch (const cubome::device_lost& e) {
        return {ending::lost, e.failure(), e.code(), e.call(), e.what()};
    } catch (const cubome::cuda_error& e) {
        return {ending::failed, e.failure(), e.code(), e.call(), e.what()};
    } catch (const cubome::backend_unavailable& e) {
        return {ending::unavailable, cuda_failure::unavailable, 0, "", e.what()};
    }
}

/// What is made to fail: a solve of host arrays in chunks and launches, one of device arrays, or an enqueue.
enum class job { staged, on_device, enqueued };

struct trial {
    using real = coreset_by_thread::real;

    trial(job j, const batch& source) : what(j), b(source, true, with.model), copies(with.model) {
        with.model.free_bytes = 4096;  // some chunks
        if (what == job::staged) return;
        there = std::make_unique<on_device<real>>(b.b, copies);
        stream = with.model.make_stream();
        workspace_bytes = std::size_t(1) << 16;
        workspace = with.model.allocate<char>(workspace_bytes);
    }
    trial(const trial&) = delete;
    trial& operator=(const trial&) = delete;
    ~trial() {
        if (workspace != nullptr) with.model.release(workspace);
    }

    void make() {
        const auto& problem = there ? there->problem : b.b.problem;
        const auto& settings = there ? there->settings : b.b.settings;
        solver = std::make_unique<cubome::solver<real>>(problem, settings, on(cubome::backend::cuda, 4));
    }
    void solve() {
        switch (what) {
            case job::staged:
                solver->solve(b.b.state(), b.b.report());
                break;
            case job::on_device:
                solver->solve(there->state, there->report);
                break;
            case job::enqueued:
                solver->enqueue(stream, there->state, there->report, workspace, workspace_bytes);
                break;
        }
    }
    /// Puts the start back.
    void restart(const library_batch<real>& start) {
        with.model.catch_up();
        b.b.outer = start.outer, b.b.inner = start.inner;
        std::fill(b.b.iteration.begin(), b.b.iteration.end(), 0);
        if (!there) return;
        const auto put = [&](auto& view, const auto& from) {
            with.model.copy(view.data, from.data(), from.size() * sizeof from[0]);
        };
        put(there->state.outer, start.outer), put(there->state.inner, start.inner);
        put(there->state.iteration, start.iteration);
    }
    void fetch() {
        with.model.synchronize(stream);
        copies.fetch();
    }

    job what;
    with_device with;
    subject<coreset_by_thread> b;
    device_copies copies;
    std::unique_ptr<on_device<real>> there;
    CUstream_st* stream = nullptr;
    char* workspace = nullptr;
    std::size_t workspace_bytes = 0;
    std::unique_ptr<cubome::solver<real>> solver;
};

class CudaFaults : public testing::TestWithParam<job> {
protected:
    CudaFaults()
        : source(random_source<coreset_by_thread>(3, 3, variation::everything)), expected(source, true, device.model) {
        expected.solve(on(cubome::backend::cpu));
    }

    with_device device;
    batch source;
    subject<coreset_by_thread> expected;
};

TEST_P(CudaFaults, AtEveryCallAreReportedAndNothingIsLeftBehind) {
    const library_batch<trial::real> start(source, true);
    std::int64_t num_trials = 0;
    for (const int code : {1, 2, 46, 700}) {
        for (const bool for_ever : {false, true}) {
            for (std::int64_t k = 1;; ++k) {
                SCOPED_TRACE(testing::Message() << "code " << code << (for_ever ? " from call " : " at call ") << k);
                trial t(GetParam(), source);
                simt_runtime::device& model = t.with.model;
                const std::int64_t alive = model.num_allocations() + model.num_streams();
                model.inject = {k, code, for_ever, ""};
                const result r = run([&] { t.make(), t.solve(); });
                const bool has_failed = model.num_failed > 0;
                model.inject = {};
                model.catch_up();
                ++num_trials;

                if (r.end == ending::succeeded) {
                    t.fetch();
                    EXPECT_EQ(differences(t.b.b, expected.b), "");
                    // Told are all failures but memory that could be had in smaller pieces, or not be given back.
                    EXPECT_TRUE(!has_failed || code == 2 || model.num_failed == model.num_failed_releases);
                } else {
                    EXPECT_TRUE(has_failed);
                    EXPECT_EQ(r.code, code);
                    EXPECT_EQ(r.failure, cubome::detail::classify(code));
                    EXPECT_EQ(r.end, code == 700 ? ending::lost : ending::failed);
                    EXPECT_NE(r.message.find(r.call + " returned "), std::string::npos) << r.message;
                }

                if (r.end == ending::lost) {
                    const std::int64_t before = model.num_counted;
                    const result again = run([&] { t.solver ? t.solve() : t.make(); });
                    EXPECT_EQ(again.end, ending::lost);
                    EXPECT_EQ(again.message, r.message);
                    t.solver.reset();
                    EXPECT_EQ(model.num_counted, before) << "a call after the device was lost";
                } else {
                    const result again = run([&] {
                        if (!t.solver) t.make();
                        t.restart(start);
                        t.solve();
                    });
                    EXPECT_EQ(again.end, ending::succeeded) << again.message;
                    t.fetch();
                    EXPECT_EQ(differences(t.b.b, expected.b), "") << "after the failure";
                    t.solver.reset();
                    EXPECT_EQ(model.num_allocations() + model.num_streams(), alive + model.num_failed_releases)
                        << "leaked";
                }
                if (!has_failed || HasFailure()) break;
            }
            if (HasFailure()) return;
        }
    }
    EXPECT_GT(num_trials, 100);
    RecordProperty("trials", static_cast<int>(num_trials));
}

INSTANTIATE_TEST_SUITE_P(Jobs, CudaFaults, testing::Values(job::staged, job::on_device, job::enqueued),
                         [](const auto& which) {
                             return which.param == job::staged      ? "Staged"
                                    : which.param == job::on_device ? "OnDevice"
                                                                    : "Enqueued";
                         });

/// The codes by class: what ends a process's use of its device, what passes with time, what a machine says that has no
/// usable device.
const std::set<int> fatal{214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911};
const std::set<int> passing{46, 216, 600, 802, 805, 806, 807, 808, 809, 909};
const std::set<int> unavailable{3, 34, 35, 36, 100, 101, 102, 103, 127, 209, 222, 803, 804};

/// Those of the runtime's header, or some where it is not there.
std::set<int> runtime_codes() {
    std::set<int> codes;
#ifdef CUBOME_DRIVER_TYPES
    std::ifstream file(CUBOME_DRIVER_TYPES);
    std::stringstream text;
    text << file.rdbuf();
    const std::string all = text.str();
    const std::regex code("cudaError[A-Za-z]+ *= *([0-9]+)");
    for (std::sregex_iterator i(all.begin(), all.end(), code), end; i != end; ++i) codes.insert(std::stoi((*i)[1]));
    EXPECT_GT(codes.size(), 100u) << CUBOME_DRIVER_TYPES;
#else
    for (const auto& some : {fatal, passing, unavailable}) codes.insert(some.begin(), some.end());
    codes.insert({1, 2, 9, 98, 400, 701, 720, 900, 999});
#endif
    return codes;
}

TEST(CudaFaultClasses, CoverEveryCodeOfTheRuntime) {
    const auto source = random_source<coreset_by_thread>(1, 3, variation::plain);
    for (const int code : runtime_codes()) {
        SCOPED_TRACE(code);
        const cuda_failure expected = fatal.count(code) == 1         ? cuda_failure::device_lost
                                      : passing.count(code) == 1     ? cuda_failure::retry
                                      : unavailable.count(code) == 1 ? cuda_failure::unavailable
                                      : code == 2                    ? cuda_failure::out_of_memory
                                                                     : cuda_failure::contract;
        EXPECT_EQ(cubome::detail::classify(code), expected);

        // The first call of a plan, and the first that waits for the work.
        for (const char* call : {"cudaGetDeviceCount", "cudaStreamSynchronize"}) {
            with_device with;
            subject<coreset_by_thread> b(source, false, with.model);
            with.model.inject = {1, code, false, call};
            const result r = run([&] { b.solve(on(cubome::backend::cuda)); });
            EXPECT_EQ(r.failure, expected);
            EXPECT_EQ(r.end, expected == cuda_failure::device_lost   ? ending::lost
                             : expected == cuda_failure::unavailable ? ending::unavailable
                                                                     : ending::failed);
        }
    }
}

TEST(CudaFaultClasses, ComeWithTheCallAndWhatItWasFor) {
    with_device with;
    const auto source = random_source<coreset_by_thread>(1, 3, variation::plain);
    subject<coreset_by_thread> b(source, false, with.model);
    with.model.inject = {2, 719, false, "cudaStreamSynchronize"};  // after that of the plan
    try {
        b.solve(on(cubome::backend::cuda));
        FAIL();
    } catch (const cubome::device_lost& e) {
        EXPECT_STREQ(e.what(),
                     "cuda: cudaStreamSynchronize returned cudaErrorOfTheModel (719) while waiting for the solve");
        EXPECT_EQ(e.code(), 719);
        EXPECT_EQ(e.call(), "cudaStreamSynchronize");
        EXPECT_EQ(e.place(), "waiting for the solve");
    }
}

}  // namespace
