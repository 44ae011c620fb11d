// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "host/cuda_arrays.hpp"
#include "host/cuda_calls.hpp"
#include "host/cuda_memory.hpp"
#include "host/staged/staged_run.hpp"

/// The staged engine on a CUDA device.
namespace cubome::detail {

/// The stages as kernels that are enqueued on a stream of one device. What has to be asked of it before a launch is
/// asked by the constructor.
template <class Real>
class cuda_stages {
public:
    cuda_stages(cuda_runtime& runtime, const staged_kernels<Real>& kernels, int device);

    void enqueue(stage which, const staged_arguments<Real>& a, CUstream_st* stream) const;
    std::size_t record_bytes() const { return kernels_.record_bytes; }

private:
    cuda_runtime& runtime_;
    const staged_kernels<Real>& kernels_;
    std::int64_t most_blocks_[num_stages];  ///< that the device holds at a time
};

/// The iterations in which some problem may have its curvature measured: by k modulo measuring_interval.
using measured_iterations = std::array<bool, measuring_interval>;

/// The stages of one solve on a stream. The host cannot look at flags, and says what may be.
template <class Real>
class stream_stages final : public stage_runner<Real> {
public:
    /// @param measured for step_rule::automatic
    stream_stages(const cuda_stages<Real>& stages, CUstream_st* stream, const measured_iterations& measured = {})
        : stages_(stages), stream_(stream), measured_(measured) {}

    void go_to(CUstream_st* stream) { stream_ = stream; }

    void run(stage which, const staged_arguments<Real>& a) override { stages_.enqueue(which, a, stream_); }
    bool may_have(stage_flag flag, const staged_arguments<Real>& a, std::int64_t step) const override;

private:
    const cuda_stages<Real>& stages_;
    CUstream_st* stream_;
    measured_iterations measured_;
};

/// The plan of a staged_solver on a device. One thread at a time.
template <class Real>
class staged_cuda {
public:
    /// @param layout with the box's arrays
    /// @param device −1: the calling thread's current one
    /// @throws as cuda_backend's
    staged_cuda(cuda_runtime& runtime, const staged_kernels<Real>& kernels, const problem_layout& layout, int device);

    int device() const noexcept { return device_; }
    std::size_t record_bytes() const noexcept { return stages_.record_bytes(); }

    /// Whether the host can read this address.
    bool can_host_read(const void* address) const;

    /// Enqueues all iterations. Allocates nothing, waits for nothing.
    /// @param arguments cut out of a workspace on the device
    void enqueue(oracle<Real>& of, const staged_arguments<Real>& arguments, const void* workspace, CUstream_st* stream);

    /// Solves a batch, and waits for it. Arrays in host memory are copied to the device and back.
    ///
    /// @param cut       cuts a workspace for a batch
    /// @param bytes     of workspace
    /// @param workspace null: its own; else the caller's, and then all arrays must be the device's
    template <class Cut>
    void solve(oracle<Real>& of, const batch_arguments<Real>& batch, std::int64_t num_problems, const Cut& cut,
               std::size_t bytes, void* workspace, const std::atomic<bool>* cancel,
               std::atomic<std::int64_t>* progress) {
        const profiler_range range(runtime_, "cubome::staged solve");
        const device_scope scope(runtime_, device_);
        if (workspace != nullptr) places_.expect_on_device("solve", batch, workspace);
        const host_arrays arrays = places_.find(batch, workspace == nullptr);
        if (is_any_on_device(arrays)) {
            // What the caller copied there or computed without naming a stream.
            CUstream_st* const legacy = nullptr;
            runtime_.call(&cuda_calls::synchronize, "waiting for the default stream", legacy);
        }
        const staging place = stage_arrays(arrays, num_problems, false), shared_place = stage_arrays(arrays, 1, true);
        of.reserve(num_problems);
        reserve(place, shared_place, num_problems, workspace == nullptr ? bytes : 0);
        try {
            load(batch, num_problems, arrays, place, shared_place);
            const auto there = places_.on_device(batch, arrays, 0, shared_.data(), shared_place, own_.data(), place);
            run(of, cut(there, workspace != nullptr ? workspace : own_.data() + place.end), cancel, progress);
            fetch(num_problems, arrays, place);
        } catch (...) {
            // What an oracle left behind is there all the same.
            try {
                if (is_abandoned_) fetch(num_problems, arrays, place);
            } catch (...) {
                // The first failure is the one to be told of.
            }
            // Nothing may still be at work when the caller's memory, or ours, is given back.
            runtime_.try_call(&cuda_calls::synchronize, stream_.get());
            throw;
        }
    }

private:
    void reserve(const staging& place, const staging& shared_place, std::int64_t num_problems,
                 std::size_t workspace_bytes);
    void load(const batch_arguments<Real>& batch, std::int64_t num_problems, const host_arrays& arrays,
              const staging& place, const staging& shared_place);
    void fetch(std::int64_t num_problems, const host_arrays& arrays, const staging& place);
    void run(oracle<Real>& of, const staged_arguments<Real>& arguments, const std::atomic<bool>* cancel,
             std::atomic<std::int64_t>* progress);
    void iterate(staged_run<Real>& run, const std::atomic<bool>* cancel, std::atomic<std::int64_t>* progress);
    measured_iterations find_measured(const staged_arguments<Real>& arguments);

    cuda_runtime& runtime_;
    int device_;
    array_places places_;
    cuda_stages<Real> stages_;
    kept_memory own_;     ///< the host's arrays, then the workspace
    kept_memory shared_;  ///< what all problems share of the host's
    kept_memory staged_;  ///< pinned: the host's arrays
    kept_memory status_;  ///< pinned: flags or iteration numbers of all problems
    kept_stream stream_;
    bool is_abandoned_ = false;  ///< the last run, with all that a report says
};

extern template class cuda_stages<float>;
extern template class cuda_stages<double>;
extern template class stream_stages<float>;
extern template class stream_stages<double>;
extern template class staged_cuda<float>;
extern template class staged_cuda<double>;

}  // namespace cubome::detail
