// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cubome/cuda/launch.hpp"
#include "host/cuda_arrays.hpp"
#include "host/cuda_calls.hpp"
#include "host/cuda_launches.hpp"
#include "host/cuda_memory.hpp"

/// Runs batches on a CUDA device.
namespace cubome::detail {

/// A batch to be solved, validated.
template <class Real>
struct cuda_batch {
    batch_arguments<Real> arguments;
    solve_text text = solve_text::full;
    std::int64_t num_problems = 0;
    const std::atomic<bool>* cancel = nullptr;
    std::atomic<std::int64_t>* progress = nullptr;
};

/// The plan for problems of one family and size on one device. What it has to ask of the device before a launch is
/// asked by the constructor. One thread at a time.
template <class Real>
class cuda_backend {
public:
    /// @param layout           with the box's arrays
    /// @param steps            of the batches to come
    /// @param device           −1: the calling thread's current one
    /// @param steps_per_launch outer iterations; 0: chosen for each batch
    /// @throws invalid_argument for a device that there is not; cuda_error; backend_unavailable without driver, device
    ///         or kernels for it
    cuda_backend(cuda_runtime& runtime, const cuda_functions<Real>& functions, const problem_layout& layout,
                 const std::int64_t* dims, step_rule steps, int device, std::int64_t steps_per_launch);

    int device() const noexcept { return device_; }
    const char* mapping() const noexcept { return kernels_[0].plan.mapping; }

    /// Whether so many problems keep enough of a device busy for it to be faster than a processor.
    bool is_filled_by(std::int64_t num_problems) const noexcept;

    /// Whether some array of the batch lies where only the device can read it.
    bool is_on_device(const batch_arguments<Real>& batch) const;

    /// Whether the host can read this address.
    bool can_host_read(const void* address) const;

    /// Device memory that a batch of these options needs, aligned to 64 bytes: at most, whatever text it needs and
    /// whatever arrays its state brings.
    std::size_t workspace_bytes(const cuda_batch<Real>& batch) const;

    /// Enqueues all launches of a batch. Allocates nothing, waits for nothing.
    /// @throws invalid_argument for an array that the device cannot reach; cuda_error
    void enqueue(const cuda_batch<Real>& batch, void* workspace, CUstream_st* stream);

    /// Solves a batch, and waits for it. Arrays in host memory are moved in chunks, through pinned buffers, while other
    /// chunks are being solved. Where device memory cannot be had chunks are halved, down to a single problem.
    ///
    /// @param workspace null: its own; else the caller's, and then all arrays must be the device's
    void solve(const cuda_batch<Real>& batch, void* workspace);

private:
    /// A stream with its buffers, and the chunk that it works on.
    struct slot {
        explicit slot(cuda_runtime& r)
            : device(r, kept_memory::where::device),
              staged(r, kept_memory::where::pinned),
              num_left(r, kept_memory::where::pinned),
              stream(r) {}

        kept_memory device, staged, num_left;
        kept_stream stream;  ///< destroyed first
        launch_series<Real> launches;
        staging place;
        std::int64_t first = 0, count = 0;
        std::int64_t num_unfinished = 0;
    };

    const loaded_kernel& kernel_of(const cuda_batch<Real>& batch) const {
        return kernels_[batch.text == solve_text::full];
    }
    std::int64_t steps_of(const cuda_batch<Real>& batch) const;
    launch_series<Real> make_series(const cuda_batch<Real>& batch, const batch_arguments<Real>& arguments,
                                    std::int64_t num_problems, void* workspace) const;
    void load_selection();

    std::int64_t first_chunk(const cuda_batch<Real>& batch, const host_arrays& arrays) const;
    void reserve(const cuda_batch<Real>& batch, const host_arrays& arrays, std::int64_t chunk);
    void release();
    void begin(slot& s, const cuda_batch<Real>& batch, const host_arrays& arrays, const staging& shared_place,
               std::int64_t first, std::int64_t count, void* workspace);
    void follow(slot& s);
    void finish(slot& s, const cuda_batch<Real>& batch, const host_arrays& arrays);
    void run(const cuda_batch<Real>& batch, const host_arrays& arrays, std::int64_t chunk, void* workspace);

    cuda_runtime& runtime_;
    problem_layout layout_;
    solve_text texts_[2];
    std::int64_t dims_[problem_runner<Real>::max_dims];
    std::int64_t steps_per_launch_;
    int device_;
    array_places places_;
    loaded_kernel kernels_[2];  ///< of texts_
    kept_memory shared_;        ///< what all problems share of the host's
    slot slots_[2];
};

extern template class cuda_backend<float>;
extern template class cuda_backend<double>;

}  // namespace cubome::detail
