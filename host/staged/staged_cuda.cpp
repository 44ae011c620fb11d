// SPDX-License-Identifier: Apache-2.0
#include "host/staged/staged_cuda.hpp"

#include <algorithm>

#include "host/cuda_device.hpp"

namespace cubome::detail {
namespace {

/// The iterations after which the host looks whether there is anything left to do.
constexpr std::int64_t status_interval = 32;

/// Those in which nobody has reached a turn but problems that start at k.
void note_start(measured_iterations& measured, std::int64_t k) {
    const std::int64_t missing = (measuring_interval - k % measuring_interval) % measuring_interval;
    measured[static_cast<std::size_t>(missing)] = true;
}

}  // namespace

template <class Real>
cuda_stages<Real>::cuda_stages(cuda_runtime& runtime, const staged_kernels<Real>& kernels, int device)
    : runtime_(runtime), kernels_(kernels) {
    const device_scope scope(runtime_, device);
    const int num_multiprocessors = count_multiprocessors(runtime_, device);
    for (int s = 0; s < num_stages; ++s)
        most_blocks_[s] = count_blocks(runtime_, kernels_.kernel(static_cast<stage>(s)), kernels_.threads_per_block,
                                       kernels_.shared_bytes, num_multiprocessors);
}

template <class Real>
void cuda_stages<Real>::enqueue(stage which, const staged_arguments<Real>& a, CUstream_st* stream) const {
    auto copy = a;
    void* arguments[] = {&copy};
    const std::int64_t blocks = std::min(num_items(which, a), most_blocks_[static_cast<int>(which)]);
    runtime_.call(&cuda_calls::launch, "launching a stage", kernels_.kernel(which), static_cast<unsigned>(blocks),
                  static_cast<unsigned>(kernels_.threads_per_block), static_cast<void**>(arguments),
                  kernels_.shared_bytes, stream);
}

template <class Real>
bool stream_stages<Real>::may_have(stage_flag flag, const staged_arguments<Real>& a, std::int64_t step) const {
    const batch_options& o = a.batch.options;
    const bool is_automatic = o.steps == step_rule::automatic;
    switch (flag) {
        case stage_is_due:
            if (step == 0) return is_automatic || o.wants_curvature;
            return is_automatic && measured_[static_cast<std::size_t>(step % measuring_interval)];
        case stage_begins:
            return step == 0;
        case stage_is_better:
            return o.wants_best;
        default:
            return true;
    }
}

template <class Real>
staged_cuda<Real>::staged_cuda(cuda_runtime& runtime, const staged_kernels<Real>& kernels, const problem_layout& layout,
                               int device)
    : runtime_(runtime),
      device_(find_device(runtime, "solve", device)),
      places_(runtime, layout, device_),
      stages_(runtime, kernels, device_),
      own_(runtime, kept_memory::where::device),
      shared_(runtime, kept_memory::where::device),
      staged_(runtime, kept_memory::where::pinned),
      status_(runtime, kept_memory::where::pinned),
      stream_(runtime) {
    const device_scope scope(runtime_, device_);
    stream_.create();
}

template <class Real>
bool staged_cuda<Real>::can_host_read(const void* address) const {
    const device_scope scope(runtime_, device_);
    return places_.locate("solve", "state.iteration", address) != memory_kind::device;
}

template <class Real>
void staged_cuda<Real>::enqueue(oracle<Real>& of, const staged_arguments<Real>& arguments, const void* workspace,
                                CUstream_st* stream) {
    const profiler_range range(runtime_, "cubome::staged enqueue");
    const device_scope scope(runtime_, device_);
    const auto& batch = arguments.batch;
    places_.expect_on_device("enqueue", batch, workspace);
    places_.clear_results(batch, arguments.num_problems, nullptr, stream);
    // Where problems have come from nobody can see; those that begin have k = 0.
    measured_iterations measured{};
    if (batch.iteration == nullptr)
        note_start(measured, 0);
    else
        measured.fill(true);
    stream_stages<Real> stages(stages_, stream, measured);
    oracle_call call;
    call.stream = stream;
    staged_run<Real> run(of, stages, arguments, call);
    run.begin();
    while (run.step() <= batch.options.outer_steps) run.iterate(false);
    run.end();
}

template <class Real>
void staged_cuda<Real>::reserve(const staging& place, const staging& shared_place, std::int64_t num_problems,
                                std::size_t workspace_bytes) {
    own_.reserve(place.end + workspace_bytes);
    shared_.reserve(shared_place.end);
    staged_.reserve(place.end);
    status_.reserve(bytes_of(num_problems, sizeof(std::int64_t)));
}

template <class Real>
void staged_cuda<Real>::load(const batch_arguments<Real>& batch, std::int64_t num_problems, const host_arrays& arrays,
                             const staging& place, const staging& shared_place) {
    is_abandoned_ = false;
    places_.clear_results(batch, num_problems, &arrays, stream_.get());
    places_.copy_shared(arrays, shared_.data(), shared_place, stream_.get());
    places_.load(arrays, 0, num_problems, staged_.data(), own_.data(), place, stream_.get());
}

template <class Real>
void staged_cuda<Real>::fetch(std::int64_t num_problems, const host_arrays& arrays, const staging& place) {
    places_.fetch(staged_.data(), own_.data(), place, stream_.get());
    runtime_.call(&cuda_calls::synchronize, "waiting for the solve", stream_.get());
    places_.unload(arrays, 0, num_problems, staged_.data(), place);
}

/// For a batch that the host may wait for.
template <class Real>
measured_iterations staged_cuda<Real>::find_measured(const staged_arguments<Real>& a) {
    measured_iterations result{};
    if (a.batch.options.steps != step_rule::automatic || a.batch.iteration == nullptr) {
        note_start(result, 0);
        return result;
    }
    auto* const starts = reinterpret_cast<std::int64_t*>(status_.data());
    runtime_.call(&cuda_calls::copy, "asking where problems have come to", static_cast<void*>(starts),
                  static_cast<const void*>(a.batch.iteration), bytes_of(a.num_problems, sizeof(std::int64_t)),
                  stream_.get());
    runtime_.call(&cuda_calls::synchronize, "asking where problems have come to", stream_.get());
    for (std::int64_t p = 0; p < a.num_problems; ++p) note_start(result, starts[p]);
    return result;
}

template <class Real>
void staged_cuda<Real>::run(oracle<Real>& of, const staged_arguments<Real>& arguments, const std::atomic<bool>* cancel,
                            std::atomic<std::int64_t>* progress) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
    const measured_iterations measured = find_measured(arguments);
    stream_stages<Real> stages(stages_, stream_.get(), measured);
    oracle_call call;
    call.stream = stream_.get();
    staged_run<Real> run(of, stages, arguments, call);
    run.begin();
    try {
        iterate(run, cancel, progress);
        run.end();
    } catch (...) {
        try {
            run.abandon();
            is_abandoned_ = true;
        } catch (...) {
            // The first failure is the one to be told of.
        }
        throw;
    }
}

template <class Real>
void staged_cuda<Real>::iterate(staged_run<Real>& run, const std::atomic<bool>* cancel,
                                std::atomic<std::int64_t>* progress) {
    const staged_arguments<Real>& a = run.arguments();
    const std::int64_t last = a.batch.options.outer_steps;
    std::int64_t num_active = a.num_problems;
    const auto note = [&](std::int64_t still) {
        if (progress != nullptr) progress->fetch_add(num_active - still, std::memory_order_relaxed);
        num_active = still;
    };
    // The first iteration is made call by call: what is loaded or chosen on the way cannot be recorded.
    run.iterate(false);
    kept_graph fixed[2] = {kept_graph(runtime_), kept_graph(runtime_)};
    kept_graph measuring[2] = {kept_graph(runtime_), kept_graph(runtime_)};
    const auto wait = [&] { runtime_.call(&cuda_calls::synchronize, "waiting for iterations", stream_.get()); };
    try {
        while (run.step() <= last) {
            if (run.step() % status_interval == 0) {
                runtime_.call(&cuda_calls::copy, "asking how many problems go on", static_cast<void*>(status_.data()),
                              static_cast<const void*>(a.flags), static_cast<std::size_t>(a.num_problems),
                              stream_.get());
                wait();
                note(count_active(reinterpret_cast<const std::uint8_t*>(status_.data()), a.num_problems));
                if (num_active == 0) return;
                if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
                    run.iterate(true);
                    return wait();
                }
            }
            const auto kind = run.next_kind();
            kept_graph& graph = (kind.measures ? measuring : fixed)[kind.traces_held_out];
            if (graph.is_recorded())
                run.count_repeated();
            else
                graph.record(stream_.get(), [&] { run.iterate(false); });
            graph.launch(stream_.get());
        }
        wait();
    } catch (...) {
        // The graphs may be at work.
        runtime_.try_call(&cuda_calls::synchronize, stream_.get());
        throw;
    }
    note(0);
}

template class cuda_stages<float>;
template class cuda_stages<double>;
template class stream_stages<float>;
template class stream_stages<double>;
template class staged_cuda<float>;
template class staged_cuda<double>;

}  // namespace cubome::detail
