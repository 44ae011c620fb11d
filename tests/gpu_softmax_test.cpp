// SPDX-License-Identifier: Apache-2.0
// softmax_oracle on a device beside the oracle of the CPU: its kernels, and cuBLAS's products in each precision.

#include <cublas_v2.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "cubome/softmax_oracle.hpp"
#include "cubome/staged.hpp"
#include "gpu_device.hpp"
#include "softmax_subjects.hpp"

namespace gpu {
namespace {

using namespace softmax_subjects;
using cubome::product_precision;

class SoftmaxOnDevice : public Device {};

/// An array on the device, copied back by `download`.
class copy_of {
public:
    explicit copy_of(floats& array) : array_(array), memory_(array.size() * sizeof(float)) { upload(); }
    float* data() const { return reinterpret_cast<float*>(memory_.data()); }
    void upload() const { memory_.upload(array_.data()); }
    void download() const { memory_.download(array_.data()); }
    bool are_guards_whole() const { return memory_.are_guards_whole(); }

private:
    floats& array_;
    guarded_memory memory_;
};

/// Asks for everything, with all arrays on the device.
void ask_there(softmax_oracle& of, batch& b) {
    const stream on;
    const copy_of v(b.v), theta(b.theta), descent(b.descent), value(b.value), of_outer(b.of_outer),
        of_inner(b.of_inner), inner_gradient(b.inner_gradient), gap(b.gap), magnitude(b.magnitude),
        gap_gradient(b.gap_gradient), held_out(b.held_out);
    oracle_call call;
    call.num_problems = b.n;
    call.stream = on;
    of.reserve(b.n);
    of.prepare(call, v.data());
    of.outer_gradient(call, v.data(), theta.data(), value.data(), of_outer.data(), of_inner.data());
    call.descent_step = 0;
    of.inner_gradient(call, v.data(), theta.data(), inner_gradient.data());
    call.descent_step = -1;
    of.gap_gradient(call, v.data(), theta.data(), descent.data(), gap.data(), magnitude.data(), gap_gradient.data());
    of.held_out(call, v.data(), theta.data(), held_out.data());
    on.wait();
    for (const copy_of* array :
         {&value, &of_outer, &of_inner, &inner_gradient, &gap, &magnitude, &gap_gradient, &held_out}) {
        array->download();
        EXPECT_TRUE(array->are_guards_whole());
    }
}

cubome::execution on_cuda() {
    cubome::execution result;
    result.where = cubome::backend::cuda;
    return result;
}

/// Samples of the size of small drawings: several chunks of a block, and rows that end in the middle of a vector.
struct subjects {
    explicit subjects(unsigned seed) : random(seed), train(random, 3000, 61, 10), validation(random, 700, 61, 10) {}

    softmax_oracle make(const softmax_options& options, const cubome::execution& e, storage in) const {
        return {train.in(in), validation.in(in), validation.in(in), options, e};
    }

    std::mt19937 random;
    data_set train, validation;
};

TEST_F(SoftmaxOnDevice, HasTheValuesAndGradientsOfTheCpu) {
    const subjects s(1);
    std::mt19937 random(2);
    for (const kind_of_problem& kind : kinds) {
        for (const auto& [precision, tolerance] :
             {std::pair(product_precision::fp32, 1e-5), std::pair(product_precision::tf32, 4e-3),
              std::pair(product_precision::bf16x3, 1e-4)}) {
            for (const storage in : {storage::dense, storage::bytes}) {
                SCOPED_TRACE(testing::Message() << "kind " << &kind - kinds << ", precision "
                                                << static_cast<int>(precision) << ", storage " << static_cast<int>(in));
                softmax_options options = options_of(kind, 10);
                softmax_oracle here = s.make(options, {}, in);
                options.precision = precision;
                softmax_oracle there = s.make(options, on_cuda(), in);
                batch expected(here, 7);
                expected.draw(random);
                batch found = part(here, expected, 0, 7);
                expected.ask(here);
                ask_there(there, found);
                expect_close_batches(found, expected, tolerance);
                if (HasFailure()) return;
            }
        }
    }
}

TEST_F(SoftmaxOnDevice, AProblemHasItsBitsInEveryBatchOfProductsOfOneWidth) {
    const subjects s(3);
    std::mt19937 random(4);
    for (const auto precision : {product_precision::fp32, product_precision::tf32, product_precision::bf16x3}) {
        softmax_options options = options_of(kinds[5], 10);
        options.problems_per_product = 6;
        options.precision = precision;
        softmax_oracle subject = s.make(options, on_cuda(), storage::bytes);
        batch all(subject, 40);
        all.draw(random);
        all.theta[size(20 * all.n_theta)] = std::nanf("");
        ask_there(subject, all);
        for (const std::int64_t num : {1, 2, 5, 6, 7, 13}) {
            for (std::int64_t first = 0; first + num <= 40; first += 3) {
                batch some = part(subject, all, first, num);
                ask_there(subject, some);
                EXPECT_EQ(different(some, 0, all, first, num), "") << num << " from " << first;
            }
        }
    }
}

TEST_F(SoftmaxOnDevice, RepeatsTheSameBatchToTheBit) {
    const subjects s(5);
    std::mt19937 random(6);
    softmax_oracle subject = s.make(options_of(kinds[1], 10), on_cuda(), storage::dense);
    batch first(subject, 64);
    first.draw(random);
    ask_there(subject, first);
    for (int again = 0; again < 10; ++again) {
        batch next = part(subject, first, 0, 64);
        ask_there(subject, next);
        EXPECT_EQ(different(next, 0, first, 0, 64), "");
    }
}

TEST_F(SoftmaxOnDevice, AStagedSolveIsThatOfTheCpu) {
    const subjects s(7);
    for (const std::size_t kind : {std::size_t(1), std::size_t(5)}) {
        softmax_oracle here = s.make(options_of(kinds[kind], 10), {}, storage::bytes);
        softmax_oracle there = s.make(options_of(kinds[kind], 10), on_cuda(), storage::bytes);
        cubome::settings<float> settings;
        settings.outer_steps = 30;
        settings.inner_steps = 5;
        settings.steps = cubome::step_rule::fixed;
        settings.barrier = cubome::barrier_form::value_gap;
        settings.outer_step_size = 2;
        settings.inner_step_size = settings.descent_step_size = 0.05F;
        batch start(here, 5);
        std::mt19937 random(8);
        start.draw(random);
        std::vector<floats> results;
        for (softmax_oracle* by : {&here, &there}) {
            floats v = start.v, theta = start.theta, f(5);
            cubome::state<float> state;
            state.outer = cubome::per_problem(v.data(), 5, start.n_v);
            state.inner = cubome::per_problem(theta.data(), 5, start.n_theta);
            cubome::report<float> report;
            report.outer_value = cubome::per_problem(f.data(), 5);
            cubome::staged_solver<float>(*by, settings).solve(state, report);
            for (const floats* array : {&v, &theta, &f}) results.push_back(*array);
        }
        for (std::size_t k = 0; k < 3; ++k)
            for (std::size_t i = 0; i < results[k].size(); ++i)
                ASSERT_NEAR(results[3 + k][i], results[k][i], 2e-3) << k << " " << i;
    }
}

TEST_F(SoftmaxOnDevice, IsCapturedByACallerAndReplayedWithALentHandle) {
    const subjects s(9);
    cublasHandle_t handle = nullptr;
    ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    {
        softmax_options options = options_of(kinds[1], 10);
        options.blas = handle;
        softmax_oracle subject = s.make(options, on_cuda(), storage::bytes);
        cubome::settings<float> settings;
        settings.outer_steps = 5;
        settings.inner_steps = 3;
        settings.steps = cubome::step_rule::fixed;
        settings.outer_step_size = 2;
        settings.inner_step_size = settings.descent_step_size = 0.05F;
        cubome::staged_solver<float> solver(subject, settings);
        batch b(subject, 3);
        std::mt19937 random(10);
        b.draw(random);
        const floats v = b.v, theta = b.theta;
        const copy_of there_v(b.v), there_theta(b.theta);
        cubome::state<float> state;
        state.outer = cubome::per_problem(there_v.data(), 3, b.n_v);
        state.inner = cubome::per_problem(there_theta.data(), 3, b.n_theta);
        solver.solve(state);
        there_v.download(), there_theta.download();
        const floats expected_v = b.v, expected_theta = b.theta;

        const guarded_memory workspace(solver.workspace_bytes(3));
        const stream on;
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t executable = nullptr;
        check(cudaStreamBeginCapture(on, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
        solver.enqueue(on, state, {}, workspace.data(), workspace.bytes());
        check(cudaStreamEndCapture(on, &graph), "cudaStreamEndCapture");
        check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
        for (int replay = 0; replay < 3; ++replay) {
            b.v = v, b.theta = theta;
            there_v.upload(), there_theta.upload();
            check(cudaGraphLaunch(executable, on), "cudaGraphLaunch");
            on.wait();
            there_v.download(), there_theta.download();
            EXPECT_EQ(b.v, expected_v);
            EXPECT_EQ(b.theta, expected_theta);
        }
        EXPECT_TRUE(workspace.are_guards_whole());
        EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
        EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    }
    cudaStream_t left = nullptr;
    EXPECT_EQ(cublasGetStream(handle, &left), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(left, nullptr);
    EXPECT_EQ(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}

}  // namespace
}  // namespace gpu
