// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "cubome/core/storage.hpp"
#include "cubome/cuda/launch.hpp"
#include "host/cuda_calls.hpp"

namespace cubome::detail {

/// A kernel on the device.
struct loaded_kernel {
    cuda_plan plan;
    std::int64_t groups_per_block = 1;
    std::int64_t most_blocks = 1;  ///< that the device holds at a time

    std::int64_t num_blocks(std::int64_t num_problems) const {
        return std::min(num_problems / groups_per_block + (num_problems % groups_per_block != 0), most_blocks);
    }
};

/// The launches of one batch whose arrays the device can reach: what they are told, and how far they have come.
template <class Real>
class launch_series {
public:
    launch_series() = default;

    /// @param workspace null: the series is only good for `bytes`
    launch_series(const batch_arguments<Real>& batch, const problem_layout& layout, const std::int64_t* dims,
                  const loaded_kernel& kernel, std::int64_t num_problems, std::int64_t steps_per_launch,
                  std::size_t selection_bytes, void* workspace)
        : kernel_(&kernel), num_problems_(num_problems), steps_(steps_per_launch), selection_bytes_(selection_bytes) {
        arguments_.batch = batch;
        arguments_.batch.dims = nullptr;
        arguments_.batch.cancel = nullptr;
        std::copy_n(dims, problem_runner<Real>::max_dims, arguments_.dims);
        arguments_.max_problems = num_problems;
        arguments_.workspace_bytes = kernel.plan.workspace_bytes;
        arguments_.near_bytes = kernel.plan.near_bytes;
        arguments_.near_limit = kernel.plan.near_limit;

        arena memory(workspace);
        const std::int64_t num_groups = kernel.num_blocks(num_problems) * kernel.groups_per_block;
        arguments_.workspace = take<char>(memory, num_groups, kernel.plan.workspace_bytes);
        if (is_bounded()) {
            // What one launch leaves to the next, where the caller has no room for it.
            const batch_options& o = batch.options;
            batch_arguments<Real>& b = arguments_.batch;
            if (b.iteration == nullptr) own_iteration_ = b.iteration = take<std::int64_t>(memory, num_problems, 1);
            const auto keep = [&](Real*& array, std::int64_t each, bool is_needed) {
                if (array == nullptr && is_needed) array = take<Real>(memory, num_problems, each);
            };
            keep(b.multiplier, 1, o.has_box && o.box == box_rule::free_set);
            keep(b.first_stationarity, 1, o.has_relative_tolerance);
            const bool is_automatic = o.steps == step_rule::automatic;
            keep(b.step_memory, step_memory_size, is_automatic);
            keep(b.inner_probe, layout.inner_dim, is_automatic);
            keep(b.outer_probe, layout.inner_dim, is_automatic);
            keep(b.outer_velocity, layout.outer_dim, o.has_outer_momentum);
            keep(b.inner_velocity, layout.inner_dim, o.has_outer_momentum);
            keep(b.descent_velocity, layout.inner_dim, o.has_inner_momentum && !o.inner_momentum_reset);
            arguments_.is_paused = take<std::uint8_t>(memory, num_problems, 1);
            problems_ = take<std::int64_t>(memory, num_problems, 1);
            num_paused_ = take<std::int64_t>(memory, 1, 1);
            selection_ = take<char>(memory, 1, selection_bytes);
        }
        bytes_ = memory.used();
    }

    /// Of workspace.
    std::size_t bytes() const { return bytes_; }

    /// Whether the last launch has been enqueued.
    bool is_over() const { return arguments_.first_step == for_ever; }

    /// How many problems the launches so far have left: on the device, once they are done. Only before the series is
    /// over.
    const std::int64_t* num_left() const { return num_paused_; }

    /// Enqueues the next launch.
    /// @param is_cancelled it is the last one: what is still under way ends as cancelled
    void launch(cuda_runtime& runtime, CUstream_st* stream, bool is_cancelled) {
        const profiler_range range(runtime, "cubome::launch");
        launch_arguments<Real>& a = arguments_;
        if (a.first_step == 0 && own_iteration_ != nullptr)
            runtime.call(&cuda_calls::set, "clearing iteration numbers", static_cast<void*>(own_iteration_), 0,
                         static_cast<std::size_t>(num_problems_) * sizeof(std::int64_t), stream);
        const bool is_last = !is_bounded() || is_cancelled || a.first_step > a.batch.options.outer_steps - steps_;
        a.end_step = is_last ? for_ever : a.first_step + steps_;
        a.is_cancelled = is_cancelled;
        void* arguments[] = {&a};
        runtime.call(&cuda_calls::launch, "launching the solve", kernel_->plan.kernel,
                     static_cast<unsigned>(kernel_->num_blocks(num_problems_)),
                     static_cast<unsigned>(kernel_->plan.threads_per_block), static_cast<void**>(arguments),
                     kernel_->plan.shared_bytes, stream);
        a.first_step = a.end_step;
        if (is_last) return;

        // The next launch is told of the paused ones alone. CUB takes an error that is pending for its own, and stops.
        runtime.call(&cuda_calls::pending_error, "looking for what earlier calls of this thread left behind");
        std::size_t bytes = selection_bytes_;
        runtime.call(&cuda_calls::select_flagged, "selecting the problems that go on", static_cast<void*>(selection_),
                     &bytes, static_cast<const std::uint8_t*>(a.is_paused), problems_, num_paused_, num_problems_,
                     stream);
        a.problems = problems_;
        a.num_problems = num_paused_;
    }

    /// There is nothing left to launch for.
    void end() { arguments_.first_step = for_ever; }

private:
    static constexpr std::int64_t for_ever = std::numeric_limits<std::int64_t>::max();

    bool is_bounded() const { return steps_ > 0; }

    /// Room for `each` elements of every problem. A size beyond what memory can have stays beyond it.
    template <class T, class Count>
    static T* take(arena& memory, std::int64_t num_problems, Count each) {
        constexpr auto most = static_cast<std::uint64_t>(for_ever);
        const auto n = static_cast<std::uint64_t>(num_problems), m = static_cast<std::uint64_t>(each);
        return memory.take<T>(static_cast<std::int64_t>(m > 0 && n > most / m ? most : n * m));
    }

    launch_arguments<Real> arguments_;
    const loaded_kernel* kernel_ = nullptr;
    std::int64_t num_problems_ = 0;
    std::int64_t steps_ = 0;  ///< per launch; 0: all in one
    std::size_t selection_bytes_ = 0;
    std::size_t bytes_ = 0;
    std::int64_t* own_iteration_ = nullptr;
    std::int64_t* problems_ = nullptr;
    std::int64_t* num_paused_ = nullptr;
    char* selection_ = nullptr;
};

}  // namespace cubome::detail
