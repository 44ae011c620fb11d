// SPDX-License-Identifier: Apache-2.0
#include "host/cuda_backend.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "cubome/error.hpp"
#include "host/cuda_device.hpp"

namespace cubome::detail {
namespace {

/// Outer iterations of one launch where something may end problems early: so many that launching, loading and storing
/// are next to nothing.
constexpr std::int64_t default_steps_per_launch = 256;

/// From so many problems on, by mapping, a device is taken to be faster than a processor of a few cores.
constexpr std::int64_t least_threads = 256, least_tiles = 64, least_blocks = 16;

/// Of host memory that is staged at a time, in each of two buffers.
constexpr std::size_t most_staged_bytes = std::size_t(256) << 20;

/// Into about so many chunks batches are cut where they are staged, for copies and solves to overlap.
constexpr std::int64_t chunks_to_overlap = 8;

template <class Real>
bool has_tolerance(const problem_parameters<batch_number<Real>>& p) {
    const auto is_set = [](const batch_number<Real>& x) { return x.data != nullptr || x.value != Real(0); };
    return is_set(p.tol_stationarity) || is_set(p.tol_gap) || is_set(p.rel_tol_stationarity) || is_set(p.rel_tol_gap);
}

}  // namespace

template <class Real>
cuda_backend<Real>::cuda_backend(cuda_runtime& runtime, const cuda_functions<Real>& functions,
                                 const problem_layout& layout, const std::int64_t* dims, step_rule steps, int device,
                                 std::int64_t steps_per_launch)
    : runtime_(runtime),
      layout_(layout),
      texts_{steps == step_rule::automatic ? solve_text::plain_automatic : solve_text::plain, solve_text::full},
      steps_per_launch_(steps_per_launch),
      device_(find_device(runtime, "solve", device)),
      places_(runtime, layout, device_),
      shared_(runtime, kept_memory::where::device),
      slots_{slot(runtime), slot(runtime)} {
    std::copy_n(dims, problem_runner<Real>::max_dims, dims_);
    const device_scope scope(runtime_, device_);
    const int num_multiprocessors = count_multiprocessors(runtime_, device_);
    int most_shared = 0;
    runtime_.call(&cuda_calls::device_attribute, "asking for the size of the device", &most_shared,
                  most_shared_bytes_per_block, device_);
    for (const solve_text text : texts_) {
        loaded_kernel& k = kernels_[text == solve_text::full];
        k.plan = functions.plan(dims_, text);
        k.groups_per_block = k.plan.threads_per_block / k.plan.lanes;
        if (k.plan.shared_bytes > static_cast<std::size_t>(most_shared))
            throw backend_unavailable("cuda: a block of this kernel takes " + std::to_string(k.plan.shared_bytes) +
                                      " bytes of shared memory, the device has " + std::to_string(most_shared));
        // All there is: plans of other dimensions have the same kernel, and what they allow holds for all.
        runtime_.call(&cuda_calls::allow_shared_bytes, "loading the kernels", k.plan.kernel, most_shared);
        k.most_blocks =
            count_blocks(runtime_, k.plan.kernel, k.plan.threads_per_block, k.plan.shared_bytes, num_multiprocessors);
    }
    for (slot& s : slots_) {
        s.num_left.reserve(sizeof(std::int64_t));
        s.stream.create();
    }
    load_selection();
}

/// Makes a selection of nothing, so that its kernels are loaded before the caller captures any.
template <class Real>
void cuda_backend<Real>::load_selection() {
    CUstream_st* const stream = slots_[0].stream.get();
    constexpr const char* place = "loading the selection";
    std::size_t bytes = 0;
    const auto select = [&](void* temporary, const std::uint8_t* flags, std::int64_t* indices) {
        runtime_.call(&cuda_calls::select_flagged, place, temporary, &bytes, flags, indices + 1, indices,
                      std::int64_t(1), stream);
    };
    std::int64_t none[2];
    select(nullptr, nullptr, none);
    constexpr std::size_t aligned = 64;
    kept_memory memory(runtime_, kept_memory::where::device);
    memory.reserve(2 * aligned + bytes);
    try {
        runtime_.call(&cuda_calls::set, place, static_cast<void*>(memory.data()), 0, aligned, stream);
        runtime_.call(&cuda_calls::pending_error, "looking for what earlier calls of this thread left behind");
        select(memory.data() + 2 * aligned, reinterpret_cast<const std::uint8_t*>(memory.data()),
               reinterpret_cast<std::int64_t*>(memory.data() + aligned));
        runtime_.call(&cuda_calls::synchronize, place, stream);
    } catch (...) {
        runtime_.try_call(&cuda_calls::synchronize, stream);
        throw;
    }
}

template <class Real>
bool cuda_backend<Real>::is_filled_by(std::int64_t num_problems) const noexcept {
    const int lanes = kernels_[0].plan.lanes;
    return num_problems >= (lanes == 1 ? least_threads : lanes <= 32 ? least_tiles : least_blocks);
}

template <class Real>
bool cuda_backend<Real>::can_host_read(const void* address) const {
    const device_scope scope(runtime_, device_);
    return places_.locate("solve", "state.iteration", address) != memory_kind::device;
}

template <class Real>
bool cuda_backend<Real>::is_on_device(const batch_arguments<Real>& batch) const {
    const device_scope scope(runtime_, device_);
    auto arguments = batch;
    bool result = false;
    visit_arrays(arguments, layout_, [&](const char* name, auto*& data, std::int64_t, bool, array_role) {
        result = result || places_.locate("solve", name, data) == memory_kind::device;
    });
    return result;
}

template <class Real>
std::int64_t cuda_backend<Real>::steps_of(const cuda_batch<Real>& batch) const {
    const bool may_end_early =
        has_tolerance(batch.arguments.parameters) || batch.cancel != nullptr || batch.progress != nullptr;
    const std::int64_t steps = steps_per_launch_ > 0 ? steps_per_launch_ : may_end_early ? default_steps_per_launch : 0;
    return steps > batch.arguments.options.outer_steps ? 0 : steps;
}

template <class Real>
launch_series<Real> cuda_backend<Real>::make_series(const cuda_batch<Real>& batch,
                                                    const batch_arguments<Real>& arguments, std::int64_t num_problems,
                                                    void* workspace) const {
    const std::int64_t steps = steps_of(batch);
    std::size_t selection_bytes = 0;
    if (steps > 0) {
        const std::uint8_t* flags = nullptr;
        std::int64_t* indices = nullptr;
        void* nothing = nullptr;
        CUstream_st* any_stream = nullptr;
        runtime_.call(&cuda_calls::select_flagged, "asking how much memory a selection takes", nothing,
                      &selection_bytes, flags, indices, indices, num_problems, any_stream);
    }
    return {arguments, layout_, dims_, kernel_of(batch), num_problems, steps, selection_bytes, workspace};
}

template <class Real>
std::size_t cuda_backend<Real>::workspace_bytes(const cuda_batch<Real>& batch) const {
    const device_scope scope(runtime_, device_);
    auto either = batch;
    std::size_t result = 0;
    for (const solve_text text : texts_) {
        either.text = text;
        result = std::max(result, make_series(either, batch.arguments, batch.num_problems, nullptr).bytes());
    }
    return result;
}

template <class Real>
void cuda_backend<Real>::enqueue(const cuda_batch<Real>& batch, void* workspace, CUstream_st* stream) {
    const profiler_range range(runtime_, "cubome::enqueue");
    const device_scope scope(runtime_, device_);
    places_.expect_on_device("enqueue", batch.arguments, workspace);
    auto arguments = batch.arguments;
    // The kernel writes every other result of every problem.
    const auto clear = [&](Real* trace) {
        if (trace != nullptr)
            runtime_.call(&cuda_calls::set, "clearing the trace", static_cast<void*>(trace), unset_byte<Real>,
                          bytes_of(batch.num_problems, arguments.trace_rows) * sizeof(Real), stream);
    };
    clear(arguments.trace_outer_value), clear(arguments.trace_gap);
    clear(arguments.trace_stationarity), clear(arguments.trace_multiplier), clear(arguments.trace_held_out);
    auto launches = make_series(batch, arguments, batch.num_problems, workspace);
    while (!launches.is_over()) launches.launch(runtime_, stream, false);
}

// --- a batch that lies anywhere

template <class Real>
std::int64_t cuda_backend<Real>::first_chunk(const cuda_batch<Real>& batch, const host_arrays& arrays) const {
    std::int64_t bytes_per_problem = 0;
    for (const host_array& a : arrays)
        if (a.data != nullptr && !a.is_shared) bytes_per_problem += a.bytes_per_problem;
    const std::int64_t n = batch.num_problems;
    if (bytes_per_problem == 0) return n;
    std::size_t free = 0, total = 0;
    runtime_.call(&cuda_calls::memory_info, "asking for free memory", &free, &total);
    const auto most = static_cast<std::int64_t>(std::min(most_staged_bytes, free / 4)) / bytes_per_problem;
    const loaded_kernel& k = kernel_of(batch);
    const std::int64_t to_fill = 2 * k.most_blocks * k.groups_per_block;
    return std::clamp<std::int64_t>(std::max(to_fill, n / chunks_to_overlap), 1, std::clamp<std::int64_t>(most, 1, n));
}

template <class Real>
void cuda_backend<Real>::reserve(const cuda_batch<Real>& batch, const host_arrays& arrays, std::int64_t chunk) {
    const std::size_t staged = stage_arrays(arrays, chunk, false).end;
    const std::size_t bytes = make_series(batch, batch.arguments, chunk, nullptr).bytes();
    shared_.reserve(stage_arrays(arrays, 1, true).end);
    for (slot& s : slots_) {
        s.device.reserve(staged + bytes);
        s.staged.reserve(staged);
        if (chunk >= batch.num_problems) break;  // one is enough
    }
}

template <class Real>
void cuda_backend<Real>::release() {
    shared_.release();
    for (slot& s : slots_) {
        s.device.release();
        s.staged.release();
    }
}

/// Loads a chunk and enqueues its first launch.
template <class Real>
void cuda_backend<Real>::begin(slot& s, const cuda_batch<Real>& batch, const host_arrays& arrays,
                               const staging& shared_place, std::int64_t first, std::int64_t count, void* workspace) {
    s.first = first;
    s.count = s.num_unfinished = count;
    s.place = stage_arrays(arrays, count, false);
    places_.load(arrays, first, count, s.staged.data(), s.device.data(), s.place, s.stream.get());
    const auto arguments =
        places_.on_device(batch.arguments, arrays, first, shared_.data(), shared_place, s.device.data(), s.place);
    s.launches = make_series(batch, arguments, count, workspace != nullptr ? workspace : s.device.data() + s.place.end);
    s.launches.launch(runtime_, s.stream.get(), false);
    follow(s);
}

/// Enqueues what the host wants to see of a launch: results after the last one, else how many problems are left.
template <class Real>
void cuda_backend<Real>::follow(slot& s) {
    if (s.launches.is_over())
        places_.fetch(s.staged.data(), s.device.data(), s.place, s.stream.get());
    else
        runtime_.call(&cuda_calls::copy, "asking how many problems go on", static_cast<void*>(s.num_left.data()),
                      static_cast<const void*>(s.launches.num_left()), sizeof(std::int64_t), s.stream.get());
}

/// Sees a chunk to its end, and unloads it.
template <class Real>
void cuda_backend<Real>::finish(slot& s, const cuda_batch<Real>& batch, const host_arrays& arrays) {
    const auto wait = [&] { runtime_.call(&cuda_calls::synchronize, "waiting for the solve", s.stream.get()); };
    const auto note = [&](std::int64_t num_left) {
        if (batch.progress != nullptr)
            batch.progress->fetch_add(s.num_unfinished - num_left, std::memory_order_relaxed);
        s.num_unfinished = num_left;
    };
    bool is_cancelled = false;
    while (!s.launches.is_over()) {
        wait();
        std::int64_t num_left;
        std::memcpy(&num_left, s.num_left.data(), sizeof num_left);
        note(num_left);
        is_cancelled = batch.cancel != nullptr && batch.cancel->load(std::memory_order_relaxed);
        if (num_left > 0)
            s.launches.launch(runtime_, s.stream.get(), is_cancelled);
        else
            s.launches.end();
        follow(s);
    }
    wait();
    if (!is_cancelled) note(0);

    places_.unload(arrays, s.first, s.count, s.staged.data(), s.place);
}

template <class Real>
void cuda_backend<Real>::run(const cuda_batch<Real>& batch, const host_arrays& arrays, std::int64_t chunk,
                             void* workspace) {
    const std::int64_t n = batch.num_problems;
    const staging shared_place = stage_arrays(arrays, 1, true);
    places_.clear_results(batch.arguments, n, &arrays, slots_[0].stream.get());
    places_.copy_shared(arrays, shared_.data(), shared_place, slots_[0].stream.get());
    if (chunk < n) runtime_.call(&cuda_calls::synchronize, "loading what all problems share", slots_[0].stream.get());

    const auto is_cancelled = [&] { return batch.cancel != nullptr && batch.cancel->load(std::memory_order_relaxed); };
    slot* under_way = nullptr;
    int next_slot = 0;
    for (std::int64_t first = 0; first < n && !is_cancelled(); first += chunk) {
        slot& s = slots_[next_slot];
        begin(s, batch, arrays, shared_place, first, std::min(chunk, n - first), workspace);
        if (under_way != nullptr) finish(*under_way, batch, arrays);
        under_way = &s;
        next_slot = 1 - next_slot;
    }
    if (under_way != nullptr)
        finish(*under_way, batch, arrays);
    else
        runtime_.call(&cuda_calls::synchronize, "clearing the report", slots_[0].stream.get());
}

template <class Real>
void cuda_backend<Real>::solve(const cuda_batch<Real>& batch, void* workspace) {
    const profiler_range range(runtime_, "cubome::solve");
    const device_scope scope(runtime_, device_);
    if (workspace != nullptr) places_.expect_on_device("solve", batch.arguments, workspace);
    const host_arrays arrays = places_.find(batch.arguments, workspace == nullptr);
    if (is_any_on_device(arrays)) {
        // What the caller copied there or computed without naming a stream.
        CUstream_st* const legacy = nullptr;
        runtime_.call(&cuda_calls::synchronize, "waiting for the default stream", legacy);
    }
    std::int64_t chunk = first_chunk(batch, arrays);
    if (workspace != nullptr) {
        chunk = batch.num_problems;
    } else {
        for (;; chunk = (chunk + 1) / 2) {
            try {
                reserve(batch, arrays, chunk);
                break;
            } catch (const cuda_error& e) {
                if (e.failure() != cuda_failure::out_of_memory) throw;
                release();
                if (chunk == 1) throw;
            }
        }
    }
    try {
        run(batch, arrays, chunk, workspace);
    } catch (...) {
        // Nothing may still be at work when the caller's memory, or ours, is given back.
        for (slot& s : slots_) runtime_.try_call(&cuda_calls::synchronize, s.stream.get());
        throw;
    }
}

template class cuda_backend<float>;
template class cuda_backend<double>;

}  // namespace cubome::detail
