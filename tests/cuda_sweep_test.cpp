// SPDX-License-Identifier: Apache-2.0

// Sweeps over several devices and queues, on a model of the runtime: every bit against one solve of all problems by the
// host's serial lanes of the same width, whatever becomes of a device meanwhile.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/sweep.hpp"
#include "cuda_subjects.hpp"

namespace {

using namespace cuda_subjects;
using cubome::cuda_failure;
using cubome::sweep_chunk;
using cubome::sweep_execution;
using cubome::sweep_plan;
using cubome::sweep_result;

/// Rows [from, from + count) of what a sweep tells of its problems.
template <class Real>
void copy_rows(const cubome::state<Real>& state, const cubome::report<Real>& report, std::int64_t from,
               library_batch<Real>& target, std::int64_t to, std::int64_t count) {
    const auto copy = [&](const auto& x, const auto& y) {
        if (y.data == nullptr) return;
        ASSERT_EQ(x.size(), y.size());
        std::copy_n(x.data + from * x.size(), count * x.size(), y.data + to * y.size());
    };
    const auto s = target.state();
    const auto r = target.report();
    copy(state.outer, s.outer), copy(state.inner, s.inner);
    copy(report.outcome, r.outcome), copy(report.quantity, r.quantity), copy(report.iterations, r.iterations);
    copy(report.outer_value, r.outer_value), copy(report.gap, r.gap), copy(report.stationarity, r.stationarity);
    copy(report.multiplier, r.multiplier);
    copy(report.refined_outer_value, r.refined_outer_value), copy(report.refined_gap, r.refined_gap);
    copy(report.trace_outer_value, r.trace_outer_value), copy(report.trace_gap, r.trace_gap);
    copy(report.trace_stationarity, r.trace_stationarity), copy(report.trace_multiplier, r.trace_multiplier);
}

enum class ending { succeeded, unavailable, failed, lost };

struct outcome_of_sweep {
    ending end = ending::succeeded;
    sweep_result result;
    cuda_failure failure{};
    int code = 0;
    std::string message;
};

/// A sweep on a machine of its own, what one solve on the CPU makes of its problems, and what it delivers.
template <class Halves>
class sweep_trial {
public:
    using real = typename Halves::real;
    static constexpr std::int64_t num_problems = 37;

    sweep_trial(const batch& source, int num_devices)
        : start(source, false, with.model), expected(source, false, with.model), found(source, false, with.model) {
        model().num_devices = num_devices;
        expected.solve(on(cubome::backend::cpu));
        plan.problem = start.b.problem;
        plan.settings = start.b.settings;
        plan.ranges = {{0, num_problems}};
        for (int i = 0; i < plan.problem.layout().num_arrays; ++i) {
            if (!plan.problem.is_bound(i) || plan.problem.array(i).is_shared) continue;
            plan.arrays.push_back(plan.problem.layout().arrays[i].name);
            arrays_.push_back(i);
        }
        using type = cubome::settings<real>;
        for (const auto number :
             {&type::outer_step_size, &type::inner_step_size, &type::descent_step_size, &type::outer_schedule,
              &type::inner_schedule, &type::outer_momentum, &type::inner_momentum, &type::eta, &type::epsilon,
              &type::tol_stationarity, &type::tol_gap, &type::rel_tol_stationarity, &type::rel_tol_gap})
            if ((plan.settings.*number).is_per_problem()) plan.numbers.push_back(number);
        how.solve.where = cubome::backend::cuda;
        how.most_problems_per_chunk = 5;
        functions.generate = [this](const sweep_chunk<real>& chunk) { generate(chunk); };
        functions.receive = [this](const sweep_chunk<real>& chunk) { receive(chunk); };
    }

    simt_runtime::device& model() { return with.model; }

    outcome_of_sweep run() {
        num_received = 0;
        try {
            return {ending::succeeded, cubome::sweep(plan, functions, how), {}, 0, ""};
        } catch (const cubome::device_lost& e) {
            return {ending::lost, {}, e.failure(), e.code(), e.what()};
        } catch (const cubome::cuda_error& e) {
            return {ending::failed, {}, e.failure(), e.code(), e.what()};
        } catch (const cubome::backend_unavailable& e) {
            return {ending::unavailable, {}, cuda_failure::unavailable, 0, e.what()};
        }
    }

    /// Calls that a sweep makes before its queues begin.
    std::int64_t num_calls_before(const simt_runtime::device::injection& counted) {
        model().inject = counted;
        model().inject.k = 0;
        model().num_counted = 0;
        cubome::schedule(plan, how);
        const std::int64_t result = model().num_counted;
        model().inject = {};
        model().num_counted = 0;
        return result;
    }

    /// Makes calls of the queues fail; k counts from 1 there.
    void inject(simt_runtime::device::injection failure) {
        const std::int64_t before = num_calls_before(failure);
        model().inject = failure;
        model().inject.k += before;
    }

    void expect_right_prefix() {
        copy_rows(expected.b.state(), expected.b.report(), num_received, found.b, num_received,
                  num_problems - num_received);
        EXPECT_EQ(differences(found.b, expected.b), "") << num_received << " received";
    }
    void expect_all() {
        EXPECT_EQ(num_received, num_problems);
        EXPECT_EQ(differences(found.b, expected.b), "");
    }
    /// But for what could not be given back.
    void expect_nothing_left() {
        EXPECT_EQ(model().num_allocations() + model().num_streams(), model().num_failed_releases) << "leaked";
        EXPECT_TRUE(model().num_failed > 0 || !model().is_anything_pending());
    }
    std::set<int> devices_with_launches() {
        std::set<int> result;
        for (const auto& [device, count] : model().num_launches) result.insert(device);
        return result;
    }

    with_device with;
    subject<Halves> start, expected, found;
    sweep_plan<real> plan{start.b.problem, {}, {}, {}, {}};
    cubome::sweep_functions<real> functions;
    sweep_execution how;
    std::int64_t num_received = 0;

private:
    /// By several threads at once.
    void generate(const sweep_chunk<real>& chunk) {
        const auto copy = [&](const auto& all, const auto& part) {
            std::copy_n(all.data + chunk.first * part.size(), chunk.count * part.size(), part.data);
        };
        for (std::size_t i = 0; i < arrays_.size(); ++i) copy(start.b.problem.array(arrays_[i]), chunk.arrays[i]);
        for (std::size_t i = 0; i < plan.numbers.size(); ++i)
            copy((start.b.settings.*plan.numbers[i]).values(), chunk.numbers[i]);
        const std::int64_t n_v = start.b.outer_dim, n_theta = start.b.inner_dim;
        std::copy_n(start.b.outer.data() + chunk.first * n_v, chunk.count * n_v, chunk.state.outer.data);
        std::copy_n(start.b.inner.data() + chunk.first * n_theta, chunk.count * n_theta, chunk.state.inner.data);
    }
    void receive(const sweep_chunk<real>& chunk) {
        EXPECT_EQ(chunk.first, num_received) << "out of order";
        copy_rows(chunk.state, chunk.report, 0, found.b, chunk.first, chunk.count);
        num_received += chunk.count;
    }

    std::vector<int> arrays_;  ///< of plan.arrays
};

template <class Halves>
class CudaSweep : public testing::Test {
protected:
    using trial = sweep_trial<Halves>;

    batch source = random_source<Halves>(21, trial::num_problems, variation::everything, 3);
};
using families = testing::Types<coreset_by_thread, quadratic_by_tile>;
TYPED_TEST_SUITE(CudaSweep, families);

TYPED_TEST(CudaSweep, HasTheBitsOfOneSolveHoweverManyDevicesQueuesAndChunksThereAre) {
    for (const int num_devices : {1, 2, 3}) {
        for (const int num_queues : {1, 2}) {
            for (const std::int64_t chunk : {1, 5, 16, 64}) {
                SCOPED_TRACE(testing::Message() << num_devices << " devices, " << num_queues << " queues, " << chunk);
                sweep_trial<TypeParam> t(this->source, num_devices);
                t.how.queues_per_device = num_queues;
                t.how.most_problems_per_chunk = chunk;
                t.how.solve.steps_per_launch = chunk == 5 ? 4 : 0;

                const auto r = t.run();

                ASSERT_EQ(r.end, ending::succeeded) << r.message;
                t.expect_all();
                t.expect_nothing_left();
                EXPECT_EQ(r.result.num_received, t.num_problems);
                EXPECT_FALSE(r.result.is_cancelled);
                EXPECT_EQ(r.result.ran_by.where, cubome::backend::cuda);
                EXPECT_EQ(r.result.num_devices, num_devices);
                EXPECT_EQ(r.result.num_queues, num_devices * num_queues);
                EXPECT_EQ(r.result.problems_per_chunk, chunk);
                // At first each queue gets a chunk, as far as there are any.
                std::set<int> expected;
                const std::int64_t num_chunks = (t.num_problems + chunk - 1) / chunk;
                for (int device = 0; device < num_devices && device * num_queues < num_chunks; ++device)
                    expected.insert(device);
                EXPECT_EQ(t.devices_with_launches(), expected);
                EXPECT_EQ(t.model().current(), 0);
                if (this->HasFailure()) return;
            }
        }
    }
}

TYPED_TEST(CudaSweep, UsesTheDeviceThatIsNamedAlone) {
    for (const int device : {0, 1, 2}) {
        sweep_trial<TypeParam> t(this->source, 3);
        t.how.solve.device = device;

        const auto r = t.run();

        ASSERT_EQ(r.end, ending::succeeded) << r.message;
        t.expect_all();
        t.expect_nothing_left();
        EXPECT_EQ(r.result.num_devices, 1);
        EXPECT_EQ(r.result.num_queues, 2);
        EXPECT_EQ(r.result.ran_by.device, device);
        EXPECT_EQ(t.devices_with_launches(), std::set<int>{device});
        EXPECT_EQ(t.model().current(), 0);
    }
}

TYPED_TEST(CudaSweep, LeavesOutDevicesOfAnotherComputeCapabilityThanTheCallersOwn) {
    const std::map<int, int> capabilities{{1, 80}, {2, 91}, {4, 91}};
    const std::map<int, std::set<int>> alike{{0, {0, 3}}, {1, {1}}, {2, {2, 4}}, {3, {0, 3}}, {4, {2, 4}}};
    for (const auto& [current, expected] : alike) {
        SCOPED_TRACE(current);
        sweep_trial<TypeParam> t(this->source, 5);
        t.model().compute_capabilities = capabilities;
        t.model().make_current(current);

        const auto r = t.run();

        ASSERT_EQ(r.end, ending::succeeded) << r.message;
        t.expect_all();
        t.expect_nothing_left();
        EXPECT_EQ(r.result.num_devices, static_cast<int>(expected.size()));
        EXPECT_EQ(r.result.ran_by.device, current);
        EXPECT_EQ(t.devices_with_launches(), expected);
        EXPECT_EQ(t.model().current(), current);
    }
}

// --- devices that fail

constexpr int busy = 46, no_kernels = 209, no_memory = 2, launch_failed = 719;

TYPED_TEST(CudaSweep, LeavesTheChunksOfADeviceThatCannotBeHadToTheOthers) {
    for (const int code : {busy, no_kernels}) {
        for (const int device : {0, 1, 2}) {
            for (const bool for_ever : {true, false}) {
                for (const std::int64_t k : {1, 2, 7, 20, 33, 50}) {
                    SCOPED_TRACE(testing::Message() << "code " << code << " on device " << device
                                                    << (for_ever ? " from call " : " at call ") << k);
                    sweep_trial<TypeParam> t(this->source, 3);
                    t.inject({k, code, for_ever, "", device});

                    const auto r = t.run();

                    EXPECT_GT(t.model().num_failed, 0);
                    ASSERT_EQ(r.end, ending::succeeded) << r.message;
                    t.expect_all();
                    t.expect_nothing_left();
                    if (this->HasFailure()) return;
                }
            }
        }
    }
}

TYPED_TEST(CudaSweep, EndsWhereNoDeviceCanBeHadAnyMore) {
    for (const int code : {busy, no_kernels}) {
        for (const std::int64_t k : {1, 2, 7, 30, 90, 150, 200, 250, 300}) {
            SCOPED_TRACE(testing::Message() << "code " << code << " from call " << k);
            sweep_trial<TypeParam> t(this->source, 3);
            t.inject({k, code, true, ""});

            const auto r = t.run();

            if (r.end == ending::succeeded) {
                EXPECT_GT(k, 100) << "calls were made to fail";
                t.expect_all();
            } else {
                EXPECT_EQ(r.end, code == busy ? ending::failed : ending::unavailable);
                EXPECT_EQ(r.failure, cubome::detail::classify(code));
                t.expect_right_prefix();
            }
            t.expect_nothing_left();
            if (this->HasFailure()) return;
        }
    }
}

TYPED_TEST(CudaSweep, EndsWhereOneDeviceIsLostForTheProcessHasLostThemAll) {
    for (const char* call : {"cudaLaunchKernel", "cudaStreamSynchronize"}) {
        for (const int device : {0, 1, 2}) {
            for (const std::int64_t k : {1, 2, 3, 5}) {
                SCOPED_TRACE(testing::Message() << call << " " << k << " on device " << device);
                sweep_trial<TypeParam> t(this->source, 3);
                t.how.most_problems_per_chunk = 2;
                t.inject({k, launch_failed, false, call, device});

                const auto r = t.run();

                if (r.end == ending::succeeded) {  // others were faster
                    EXPECT_GT(k, 2);
                    EXPECT_EQ(t.model().num_failed, 0);
                    t.expect_all();
                    t.expect_nothing_left();
                    continue;
                }
                EXPECT_EQ(t.model().num_failed, 1);
                EXPECT_EQ(r.end, ending::lost);
                EXPECT_EQ(r.failure, cuda_failure::device_lost);
                EXPECT_EQ(r.code, launch_failed);
                EXPECT_NE(r.message.find(call), std::string::npos) << r.message;
                EXPECT_LT(t.num_received, t.num_problems);
                t.expect_right_prefix();

                const auto calls = t.model().num_calls;
                const auto again = t.run();
                EXPECT_EQ(again.end, ending::lost);
                EXPECT_EQ(again.message, r.message);
                EXPECT_EQ(t.num_received, 0);
                EXPECT_EQ(t.model().num_calls, calls) << "a call after the device was lost";
                if (this->HasFailure()) return;
            }
        }
    }
}

TYPED_TEST(CudaSweep, LeavesProblemsToTheOthersWhereADeviceHasNoMemory) {
    for (const char* call : {"cudaMalloc", "cudaMallocHost"}) {
        for (const int device : {0, 1}) {
            for (const std::int64_t k : {1, 2, 3, 4}) {
                SCOPED_TRACE(testing::Message() << call << " " << k << " on device " << device);
                sweep_trial<TypeParam> t(this->source, 2);
                t.inject({k, no_memory, true, call, device});

                const auto r = t.run();

                EXPECT_GT(t.model().num_failed, 0);
                ASSERT_EQ(r.end, ending::succeeded) << r.message;
                t.expect_all();
                t.expect_nothing_left();
                if (this->HasFailure()) return;
            }
        }
    }
}

TYPED_TEST(CudaSweep, SaysSoWhereNotEvenOneProblemFits) {
    bool was_refused = false, was_right = false;
    for (const std::size_t most_bytes : {256, 1024, 2048, 4096, 1 << 20}) {
        SCOPED_TRACE(most_bytes);
        sweep_trial<TypeParam> t(this->source, 2);
        t.model().most_bytes = most_bytes;

        const auto r = t.run();

        if (r.end == ending::succeeded) {
            was_right = true;
            t.expect_all();
        } else {
            was_refused = true;
            EXPECT_EQ(r.end, ending::failed);
            EXPECT_EQ(r.failure, cuda_failure::out_of_memory);
            EXPECT_EQ(t.num_received, 0);
        }
        t.expect_nothing_left();
    }
    EXPECT_TRUE(was_refused);
    EXPECT_TRUE(was_right);

    for (const std::int64_t k : {1, 8, 15, 22}) {
        SCOPED_TRACE(k);
        sweep_trial<TypeParam> t(this->source, 2);
        t.inject({k, no_memory, true, "cudaMalloc"});

        const auto r = t.run();

        if (r.end != ending::succeeded) {
            EXPECT_EQ(r.end, ending::failed);
            EXPECT_EQ(r.failure, cuda_failure::out_of_memory);
        } else {
            EXPECT_GT(k, 1);
            EXPECT_EQ(t.num_received, t.num_problems);
        }
        t.expect_right_prefix();
        t.expect_nothing_left();
    }
}

// --- sweeps that are stopped

TYPED_TEST(CudaSweep, DeliversAPrefixWhereItIsCancelled) {
    for (const std::int64_t steps : {0, 4}) {
        for (const std::int64_t num_before : {0, 1, 3, 6, 11, 100}) {
            SCOPED_TRACE(testing::Message() << "at launch " << num_before << ", " << steps << " steps");
            sweep_trial<TypeParam> t(this->source, 3);
            t.how.solve.steps_per_launch = steps;
            std::atomic<bool> cancel{false};
            t.how.solve.cancel = &cancel;
            auto table = t.model().calls();
            std::atomic<std::int64_t> num_launches{0};
            auto launch = std::move(table.launch.function);
            table.launch.function = [&](auto... arguments) {
                if (num_launches++ == num_before) cancel = true;
                return launch(arguments...);
            };
            cuda_runtime runtime(std::move(table));
            cubome::detail::replace_cuda_runtime(&runtime);

            const auto r = t.run();

            cubome::detail::replace_cuda_runtime(&t.with.runtime);
            ASSERT_EQ(r.end, ending::succeeded) << r.message;
            EXPECT_EQ(r.result.num_received, t.num_received);
            EXPECT_EQ(r.result.is_cancelled, t.num_received < t.num_problems);
            // Eight chunks for six queues: no queue that had two was through with the first.
            EXPECT_TRUE(num_before > 0 || r.result.is_cancelled);
            EXPECT_TRUE(num_before < 100 || !r.result.is_cancelled);
            t.expect_right_prefix();
            t.expect_nothing_left();
        }
    }
    // By the caller, who has seen enough.
    sweep_trial<TypeParam> t(this->source, 2);
    t.how.most_problems_per_chunk = 1;
    std::atomic<bool> cancel{false};
    t.how.solve.cancel = &cancel;
    t.functions.receive = [&, receive = t.functions.receive](const sweep_chunk<typename TypeParam::real>& chunk) {
        receive(chunk);
        cancel = true;
    };
    const auto r = t.run();
    ASSERT_EQ(r.end, ending::succeeded) << r.message;
    EXPECT_GT(r.result.num_received, 0);
    EXPECT_TRUE(r.result.is_cancelled);
    t.expect_right_prefix();
    t.expect_nothing_left();
}

}  // namespace
