// SPDX-License-Identifier: Apache-2.0
// What `enqueue` promises on a device: a graph can capture it and replay it to the same bits, and it neither allocates
// nor waits.

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "gpu_batch.hpp"
#include "host/cuda_calls.hpp"
#include "random_problems.hpp"

namespace gpu {
namespace {

using random_problems::generator;
using random_problems::shape;
using random_problems::variation;

/// The CUDA runtime with its calls counted, in place of itself as long as the scope.
class counted_runtime {
public:
    counted_runtime() : runtime_(counting(cubome::detail::linked_cuda_calls())) {
        cubome::detail::replace_cuda_runtime(&runtime_);
    }
    counted_runtime(const counted_runtime&) = delete;
    counted_runtime& operator=(const counted_runtime&) = delete;
    ~counted_runtime() { cubome::detail::replace_cuda_runtime(nullptr); }

    std::map<std::string, std::int64_t> num_calls;  ///< by the runtime's names

private:
    cubome::detail::cuda_calls counting(cubome::detail::cuda_calls calls) {
        calls.for_each([this](auto& call) {
            call.function = [this, name = call.name, made = call.function](auto... arguments) {
                ++num_calls[name];
                return made(arguments...);
            };
        });
        return calls;
    }

    cubome::detail::cuda_runtime runtime_;  // behind what its calls refer to
};

/// Random problems without a tolerance: with all iterations in one launch, a solve is that launch.
random_problems::batch make_source(const shape& dims, std::int64_t num_problems, variation kind) {
    generator random(11);
    auto source = random_problems::random_batch(random, dims, num_problems, kind, 0.3);
    source.settings.outer_steps = 20;
    source.round_to<float>();
    return source;
}

cubome::execution on_device(std::int64_t steps_per_launch) {
    cubome::execution e;
    e.where = cubome::backend::cuda;
    e.steps_per_launch = steps_per_launch;
    return e;
}

struct subject {
    const char* name;
    shape dims;
    std::int64_t num_problems;
};
std::vector<subject> subjects() {
    return {{"thread", random_problems::coreset(4, 2), 1000},
            {"tile", random_problems::quadratic(16, 16), 300},
            {"block", random_problems::quadratic(70, 65), 40}};
}

using DeviceEnqueue = Device;

TEST_F(DeviceEnqueue, NeitherAllocatesNorWaits) {
    counted_runtime runtime;
    for (const subject& s : subjects()) {
        for (const std::int64_t steps : {0, 7}) {
            for (const auto kind : random_problems::one_of_each_text) {
                SCOPED_TRACE(std::string(s.name) + ", " + std::to_string(steps) + " steps per launch, variation " +
                             std::to_string(static_cast<int>(kind)));
                library_batch<float> on_host(make_source(s.dims, s.num_problems, kind), kind != variation::plain);
                device_batch<float> batch(on_host);
                const auto part = batch.part(0, s.num_problems);
                cubome::solver<float> solver(part.problem, part.settings, on_device(steps));
                const guarded_memory workspace(solver.workspace_bytes(s.num_problems));
                const stream work;
                for (int again = 0; again < 3; ++again) {
                    runtime.num_calls.clear();
                    solver.enqueue(work, part.state, part.report, workspace.data(), workspace.bytes());
                    const auto made = runtime.num_calls;
                    work.wait();
                    EXPECT_EQ(made.count("cudaMalloc") + made.count("cudaFree") + made.count("cudaMallocHost") +
                                  made.count("cudaFreeHost"),
                              0u);
                    EXPECT_EQ(made.count("cudaStreamSynchronize") + made.count("cudaStreamCreateWithFlags") +
                                  made.count("cudaStreamDestroy"),
                              0u);
                    const auto launches = made.find("cudaLaunchKernel");
                    ASSERT_NE(launches, made.end());
                    EXPECT_EQ(launches->second, steps == 0 ? 1 : 3);
                }
                EXPECT_TRUE(workspace.are_guards_whole());
            }
        }
    }
}

/// A captured graph, ready to be launched.
class graph {
public:
    /// @param enqueue puts the work on the stream
    template <class Enqueue>
    graph(cudaStream_t on, Enqueue&& enqueue) {
        // The strictest mode: while it lasts no thread may do what could disturb a capture.
        check(cudaStreamBeginCapture(on, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
        cudaGraph_t captured = nullptr;
        try {
            enqueue();
        } catch (...) {
            cudaStreamEndCapture(on, &captured);
            if (captured != nullptr) cudaGraphDestroy(captured);
            throw;
        }
        check(cudaStreamEndCapture(on, &captured), "cudaStreamEndCapture");
        const cudaError_t code = cudaGraphInstantiate(&graph_, captured, 0);
        EXPECT_EQ(cudaGraphDestroy(captured), cudaSuccess);
        check(code, "cudaGraphInstantiate");
    }
    graph(const graph&) = delete;
    graph& operator=(const graph&) = delete;
    ~graph() { EXPECT_EQ(cudaGraphExecDestroy(graph_), cudaSuccess); }

    void launch(cudaStream_t on) const { check(cudaGraphLaunch(graph_, on), "cudaGraphLaunch"); }

private:
    cudaGraphExec_t graph_ = nullptr;
};

TEST_F(DeviceEnqueue, IsCapturedAndReplayedAThousandTimesToTheSameBits) {
    constexpr int num_replays = 1000;
    for (const subject& s : subjects()) {
        for (const std::int64_t steps : {0, 7}) {
            SCOPED_TRACE(std::string(s.name) + ", " + std::to_string(steps) + " steps per launch");
            const auto source = make_source(s.dims, s.num_problems, variation::plain);
            library_batch<float> expected(source), found(source);
            device_batch<float> batch(expected);
            const auto part = batch.part(0, s.num_problems);
            cubome::solver<float> solver(part.problem, part.settings, on_device(steps));
            const guarded_memory workspace(solver.workspace_bytes(s.num_problems));
            const guarded_memory outer_start(expected.outer.size() * sizeof(float));
            const guarded_memory inner_start(expected.inner.size() * sizeof(float));
            outer_start.upload(expected.outer.data()), inner_start.upload(expected.inner.data());
            const stream work;
            const auto enqueue = [&] {
                check(cudaMemcpyAsync(part.state.outer.data, outer_start.data(), outer_start.bytes(),
                                      cudaMemcpyDeviceToDevice, work),
                      "cudaMemcpyAsync");
                check(cudaMemcpyAsync(part.state.inner.data, inner_start.data(), inner_start.bytes(),
                                      cudaMemcpyDeviceToDevice, work),
                      "cudaMemcpyAsync");
                solver.enqueue(work, part.state, part.report, workspace.data(), workspace.bytes());
            };
            check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
            enqueue();
            work.wait();
            batch.fetch(expected);

            const graph captured(work, enqueue);
            std::int64_t num_compared = 0, num_different = 0;
            for (int replay = 0; replay < num_replays; ++replay) {
                if (replay % 100 == 0) batch.restart();  // the report is unwritten again
                captured.launch(work);
                work.wait();
                batch.fetch(found);
                const comparison result = compare(found, expected, 0, s.num_problems);
                num_compared += result.num_compared;
                num_different += result.num_different;
            }
            EXPECT_GE(num_compared, num_replays * s.num_problems);
            EXPECT_EQ(num_different, 0);
        }
    }
}

}  // namespace
}  // namespace gpu
