// SPDX-License-Identifier: Apache-2.0
#include "cubome/sweep.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cubome/error.hpp"
#include "cubome/solver.hpp"
#include "host/cuda_calls.hpp"
#include "host/sweep/devices.hpp"
#include "host/sweep/orchestrator.hpp"
#include "host/workspace.hpp"

namespace cubome {

int detail::compute_capability(int device) {
    cuda_runtime* const runtime = current_cuda_runtime();
    if (runtime == nullptr) throw not_compiled("the backend 'cuda' is not part of this build");
    constexpr int major_capability = 75, minor_capability = 76;  // as the runtime numbers them
    constexpr const char* place = "asking for a device's compute capability";
    int major = 0, minor = 0;
    runtime->call(&cuda_calls::device_attribute, place, &major, major_capability, device);
    runtime->call(&cuda_calls::device_attribute, place, &minor, minor_capability, device);
    return 10 * major + minor;
}

namespace {

constexpr const char* function = "sweep";

/// So many places per queue: while one chunk is worked on, the one before waits for its turn, and the next may begin.
constexpr std::int64_t slots_per_queue = 3;

/// So many chunks per queue even out what problems take, where there are enough problems.
constexpr std::int64_t chunks_per_queue = 32;

/// Longer chunks have nothing more to amortise, and make others wait: for results, and for the end of a cancelled
/// sweep.
constexpr std::int64_t most_problems_per_chunk_cpu = 4096, most_problems_per_chunk_cuda = 65536;

/// Chunks are multiples of it: of all numbers of problems that one thread of any instruction set works on at once.
constexpr std::int64_t chunk_unit = 64;

constexpr int queues_per_cuda_device = 2;

/// How often it is asked, at least and at most, whether there is progress to tell or the sweep is to stop.
constexpr double least_tick_seconds = 0.005, most_tick_seconds = 0.05;

/// Arrays for so many problems, all in one piece of memory, 64-byte aligned each.
class chunk_memory {
public:
    /// @throws std::bad_alloc
    void reserve(std::size_t bytes) {
        if (bytes <= bytes_) return;
        release();
        memory_.reset(new (std::align_val_t{detail::alignment}) std::byte[bytes]);
        bytes_ = bytes;
    }
    void release() {
        memory_.reset();
        bytes_ = 0;
    }
    std::byte* data() const { return memory_.get(); }

private:
    struct aligned_delete {
        void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{detail::alignment}); }
    };
    std::unique_ptr<std::byte[], aligned_delete> memory_;
    std::size_t bytes_ = 0;
};

/// What every slot of a sweep needs to know.
template <class Real>
struct sweep_job {
    sweep_plan<Real> plan;
    sweep_functions<Real> functions;
    std::vector<const array_info*> own_arrays;  ///< of plan.arrays

    /// Arrays for `count` problems. `memory` null: only their sizes count.
    sweep_chunk<Real> cut(detail::piece_cutter& memory, std::int64_t first, std::int64_t count) const {
        sweep_chunk<Real> chunk;
        chunk.first = first;
        chunk.count = count;
        for (const array_info* array : own_arrays) {
            const std::int64_t rows = array->extents[0], columns = array->rank == 2 ? array->extents[1] : 1;
            Real* const data = memory.template take<Real>(count, rows * columns);
            chunk.arrays.push_back(array->rank == 2 ? per_problem(data, count, rows, columns)
                                                    : per_problem(data, count, rows));
        }
        const auto numbers = [&] { return per_problem(memory.template take<Real>(count), count); };
        for (std::size_t i = 0; i < plan.numbers.size(); ++i) chunk.numbers.push_back(numbers());
        const std::int64_t n_v = plan.problem.outer_dim(), n_theta = plan.problem.inner_dim();
        chunk.state.outer = per_problem(memory.template take<Real>(count, n_v), count, n_v);
        chunk.state.inner = per_problem(memory.template take<Real>(count, n_theta), count, n_theta);

        report<Real>& r = chunk.report;
        r.outcome = per_problem(memory.template take<outcome>(count), count);
        r.quantity = per_problem(memory.template take<quantity>(count), count);
        r.iterations = per_problem(memory.template take<std::int64_t>(count), count);
        r.outer_value = numbers();
        r.gap = numbers();
        r.stationarity = numbers();
        r.multiplier = numbers();
        if (plan.wants_refined) r.refined_outer_value = numbers(), r.refined_gap = numbers();
        if (plan.wants_curvature) r.inner_curvature = numbers(), r.outer_curvature = numbers();
        if (plan.wants_held_out) r.held_out = numbers();
        if (plan.settings.trace_interval > 0) {
            constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() - 1;
            const std::int64_t rows = std::min(plan.settings.outer_steps / plan.settings.trace_interval, most) + 1;
            const auto trace = [&] { return per_problem(memory.template take<Real>(count, rows), count, rows); };
            r.trace_outer_value = trace();
            r.trace_gap = trace();
            r.trace_stationarity = trace();
            r.trace_multiplier = trace();
            if (plan.wants_held_out) r.trace_held_out = trace();
        }
        chunk.measures = memory.template take<double>(count, plan.num_measures);
        return chunk;
    }

    std::size_t bytes(std::int64_t count) const {
        detail::piece_cutter counter(nullptr);
        cut(counter, 0, count);
        return counter.used();
    }
};

template <class Real>
class problem_slot final : public detail::chunk_slot {
public:
    /// @param on what runs the chunks; its `cancel` is that of the sweep
    problem_slot(const sweep_job<Real>& job, const execution& on) : job_(job), execution_(on) {
        execution_.progress = &num_done_;
    }

    void begin() override { num_done_ = 0; }

    void load(sweep_range range) override {
        if (memory_.data() == nullptr || range.count != chunk_.count) {
            solver_.reset();
            memory_.reserve(job_.bytes(range.count));
            bind(range);
        }
        chunk_.first = range.first;
        const auto clear = [](const batch_view<Real>& x) { std::fill_n(x.data, x.num_problems * x.size(), Real(0)); };
        clear(chunk_.state.outer);
        clear(chunk_.state.inner);
        job_.functions.generate(chunk_);
    }

    void solve() override { solver_->solve(chunk_.state, chunk_.report); }

    bool unload() override {
        const outcome* const ends = chunk_.report.outcome.data;
        const bool is_whole = std::none_of(ends, ends + chunk_.count,
                                           [](outcome x) { return x == outcome::cancelled || x == outcome::not_run; });
        if (is_whole && job_.functions.measure) job_.functions.measure(chunk_);
        return is_whole;
    }

    void deliver() override { job_.functions.receive(chunk_); }

    void release() override {
        solver_.reset();
        memory_.release();
    }

    std::int64_t num_done() const override { return num_done_.load(std::memory_order_relaxed); }

    /// Makes the plan, and solves no problem with it: what cannot be solved is refused.
    /// @return what would run it
    run_info prepare() {
        memory_.reserve(1);  // arrays of no elements, but arrays
        bind({0, 0});
        solver_->solve(chunk_.state, chunk_.report);
        return solver_->info();
    }

private:
    /// Arrays for so many problems, and the plan that solves them.
    void bind(sweep_range range) {
        detail::piece_cutter cutter(memory_.data());
        chunk_ = job_.cut(cutter, range.first, range.count);
        problem<Real> bound = job_.plan.problem;
        for (std::size_t i = 0; i < chunk_.arrays.size(); ++i) bound.bind(job_.plan.arrays[i], chunk_.arrays[i]);
        settings<Real> own = job_.plan.settings;
        for (std::size_t i = 0; i < chunk_.numbers.size(); ++i) own.*job_.plan.numbers[i] = chunk_.numbers[i];
        solver_.emplace(bound, own, execution_);
    }

    const sweep_job<Real>& job_;
    execution execution_;
    chunk_memory memory_;
    sweep_chunk<Real> chunk_;
    std::optional<solver<Real>> solver_;
    std::atomic<std::int64_t> num_done_{0};
};

/// The CUDA devices that are like `first`, which comes first.
std::vector<int> devices_like(int first) {
    int count = 0;
    detail::current_cuda_runtime()->call(&detail::cuda_calls::device_count, "counting devices", &count);
    std::vector<int> result = {first};
    for (int device = 0; device < count; ++device)
        if (device != first && detail::compute_capability(device) == detail::compute_capability(first))
            result.push_back(device);
    return result;
}

template <class Real>
std::vector<const array_info*> find_arrays(const sweep_plan<Real>& plan) {
    std::vector<const array_info*> result;
    const problem_layout& layout = plan.problem.layout();
    for (const std::string& name : plan.arrays) {
        if (std::count(plan.arrays.begin(), plan.arrays.end(), name) > 1)
            throw invalid_argument(function, "plan.arrays", "has '" + name + "' more than once", "each name once");
        const array_info* const end = layout.arrays + layout.num_arrays;
        const array_info* const found =
            std::find_if(layout.arrays, end, [&](const array_info& a) { return a.name == name; });
        if (found == end)
            throw invalid_argument(function, "plan.arrays", "has '" + name + "'", "arrays of the problem");
        result.push_back(found);
    }
    return result;
}

/// What is not made anew for each chunk must do for all of them.
template <class Real>
void check_shared(const sweep_plan<Real>& plan) {
    const problem_layout& layout = plan.problem.layout();
    for (int i = 0; i < layout.num_arrays; ++i) {
        const char* const name = layout.arrays[i].name;
        if (!plan.problem.is_bound(i) || plan.problem.array(i).is_shared) continue;
        if (std::find(plan.arrays.begin(), plan.arrays.end(), name) == plan.arrays.end())
            throw invalid_argument(function, "plan.problem", "has '" + std::string(name) + "' per problem",
                                   "arrays that all problems share, and the names of the others in plan.arrays");
    }
    using type = settings<Real>;
    for (const auto number :
         {&type::outer_step_size, &type::inner_step_size, &type::descent_step_size, &type::outer_schedule,
          &type::inner_schedule, &type::outer_momentum, &type::inner_momentum, &type::eta, &type::epsilon,
          &type::tol_stationarity, &type::tol_gap, &type::rel_tol_stationarity, &type::rel_tol_gap}) {
        const auto num_own = std::count(plan.numbers.begin(), plan.numbers.end(), number);
        if (num_own > 1) throw invalid_argument(function, "plan.numbers", "has a setting twice", "each setting once");
        if (num_own == 0 && (plan.settings.*number).is_per_problem())
            throw invalid_argument(function, "plan.settings", "has an array",
                                   "numbers, and those that each problem has of its own in plan.numbers");
    }
    if (std::count(plan.numbers.begin(), plan.numbers.end(), nullptr) > 0)
        throw invalid_argument(function, "plan.numbers", "has a null pointer", "members of settings");
}

void check_ranges(const std::vector<sweep_range>& ranges) {
    std::int64_t end = 0;
    for (const sweep_range& r : ranges) {
        if (r.first < end || r.count < 0 || r.first > std::numeric_limits<std::int64_t>::max() - r.count)
            throw invalid_argument(function, "plan.ranges",
                                   "has [" + std::to_string(r.first) + ", + " + std::to_string(r.count) + ")",
                                   "ranges in ascending order that do not overlap");
        end = r.first + r.count;
    }
}

template <class Real>
std::int64_t num_problems(const sweep_plan<Real>& plan) {
    std::int64_t result = 0;
    for (const sweep_range& r : plan.ranges) result += r.count;
    return result;
}

void expect_at_least(const char* name, std::int64_t value, std::int64_t least) {
    if (value < least)
        throw invalid_argument(function, name, "is " + std::to_string(value), "at least " + std::to_string(least));
}

/// What a sweep is divided into, and what it is divided among.
struct sweep_division {
    sweep_schedule shape;
    execution on;              ///< of every place but for the device
    std::vector<int> devices;  ///< one of −1 on the CPU
    std::int64_t queues_per_device = 1, slots_per_queue = 1;
};

/// As many of the wanted places as memory has room for, one problem each at least, and what fits into each of them.
template <class Real>
void fit(const sweep_job<Real>& job, std::size_t memory, sweep_division& d) {
    if (num_problems(job.plan) == 0) return;
    const std::size_t least = job.bytes(1);
    if (memory < least)
        throw invalid_argument(function, "execution.memory", "is " + std::to_string(memory),
                               "at least " + std::to_string(least) + ", the bytes of one problem");
    const std::size_t room = memory / least;
    d.devices.resize(std::min(d.devices.size(), room));
    const auto num_devices = static_cast<std::int64_t>(d.devices.size());
    const auto of_device = static_cast<std::int64_t>(std::min<std::size_t>(room, PTRDIFF_MAX)) / num_devices;
    constexpr std::int64_t most_queues = std::numeric_limits<int>::max();
    d.queues_per_device = std::min({d.queues_per_device, of_device, most_queues / num_devices});
    d.slots_per_queue = std::min(d.slots_per_queue, of_device / d.queues_per_device);

    // Bytes are in proportion to problems where these are multiples of the unit.
    const std::int64_t num_queues = num_devices * d.queues_per_device, num_slots = num_queues * d.slots_per_queue;
    const std::size_t share = memory / static_cast<std::size_t>(num_slots);
    const auto num_units = static_cast<std::int64_t>(std::min<std::size_t>(share, PTRDIFF_MAX) / job.bytes(chunk_unit));
    std::int64_t& chunk = d.shape.problems_per_chunk;
    chunk = std::min(chunk, std::max<std::int64_t>(num_units, 1) * chunk_unit);
    while (chunk > 1 && job.bytes(chunk) > share) --chunk;
    d.shape.num_devices = static_cast<int>(num_devices);
    d.shape.num_queues = static_cast<int>(num_queues);
    for (const sweep_range& r : job.plan.ranges) d.shape.num_chunks += r.count / chunk + (r.count % chunk != 0);
    d.shape.memory = static_cast<std::size_t>(std::min(num_slots, d.shape.num_chunks)) * job.bytes(chunk);
}

/// Refuses what is wrong with a plan, and divides it.
template <class Real>
sweep_division divide(const sweep_job<Real>& job, const sweep_execution& how) {
    expect_at_least("plan.num_measures", job.plan.num_measures, 0);
    expect_at_least("execution.most_problems_per_chunk", how.most_problems_per_chunk, 0);
    expect_at_least("execution.queues_per_device", how.queues_per_device, 0);
    if (!(how.progress_seconds >= 0))
        throw invalid_argument(function, "execution.progress_seconds", "is " + std::to_string(how.progress_seconds),
                               "at least 0");
    check_ranges(job.plan.ranges);
    check_shared(job.plan);

    sweep_division d;
    run_info& runs_on = d.shape.runs_on;
    try {
        runs_on = problem_slot<Real>(job, how.solve).prepare();
    } catch (const invalid_argument& e) {
        throw invalid_argument(function, e.argument(), e.found(), e.expected());
    }
    d.on = how.solve;
    d.on.where = runs_on.where;
    d.devices = {-1};
    const bool is_on_cuda = d.on.where == backend::cuda;
    if (is_on_cuda) d.devices = d.on.device >= 0 ? std::vector<int>{d.on.device} : devices_like(runs_on.device);
    if (!is_on_cuda) d.on.instructions = runs_on.instructions, d.on.num_threads = 1;

    d.queues_per_device = how.queues_per_device > 0 ? how.queues_per_device
                          : is_on_cuda              ? queues_per_cuda_device
                                                    : runs_on.num_threads;
    d.slots_per_queue = slots_per_queue;
    const std::int64_t most = how.most_problems_per_chunk > 0 ? how.most_problems_per_chunk
                              : is_on_cuda                    ? most_problems_per_chunk_cuda
                                                              : most_problems_per_chunk_cpu;
    const std::int64_t num_chunks =
        static_cast<std::int64_t>(d.devices.size()) * d.queues_per_device * chunks_per_queue;
    d.shape.problems_per_chunk = std::min(most, (num_problems(job.plan) / num_chunks / chunk_unit + 1) * chunk_unit);
    fit(job, how.memory, d);
    return d;
}

/// Counts what is received, and tells the caller now and then.
class progress_report {
public:
    progress_report(const sweep_execution& how, std::int64_t num_problems) : how_(how) {
        shown_.num_problems = num_problems;
    }

    template <class Real>
    void count(const sweep_chunk<Real>& chunk) {
        shown_.num_received += chunk.count;
        for (std::int64_t i = 0; i < chunk.count; ++i) {
            const outcome end = chunk.report.outcome.data[i];
            shown_.num_converged += end == outcome::converged;
            shown_.num_failed +=
                end == outcome::non_finite || end == outcome::descent_diverged || end == outcome::no_curvature;
        }
    }

    void tick(std::int64_t num_done, bool is_last) {
        if (!how_.progress) return;
        const double now = seconds();
        if (!is_last && now < next_) return;
        next_ = now + how_.progress_seconds;
        shown_.num_done = num_done;
        shown_.seconds = now;
        shown_.problems_per_second = now > 0 ? static_cast<double>(num_done) / now : 0;
        const auto left = static_cast<double>(shown_.num_problems - num_done);
        shown_.seconds_left = left == 0                        ? 0
                              : shown_.problems_per_second > 0 ? left / shown_.problems_per_second
                                                               : std::numeric_limits<double>::infinity();
        how_.progress(shown_);
    }

private:
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

    const sweep_execution& how_;
    sweep_progress shown_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    double next_ = 0;
};

}  // namespace

template <class Real>
sweep_result sweep(const sweep_plan<Real>& plan, const sweep_functions<Real>& functions, const sweep_execution& how) {
    if (!functions.generate) throw invalid_argument(function, "functions.generate", "is empty", "a function");
    if (!functions.receive) throw invalid_argument(function, "functions.receive", "is empty", "a function");
    if (plan.num_measures > 0 && !functions.measure)
        throw invalid_argument(function, "functions.measure", "is empty", "a function, for plan.num_measures > 0");
    sweep_job<Real> job{plan, functions, find_arrays(plan)};
    sweep_division d = divide(job, how);
    progress_report shown(how, num_problems(plan));
    job.functions.receive = [&](const sweep_chunk<Real>& chunk) {
        functions.receive(chunk);
        shown.count(chunk);
    };
    sweep_result result;
    result.ran_by = d.shape.runs_on;
    if (d.shape.num_chunks == 0) {
        shown.tick(0, true);
        return result;
    }
    result.num_devices = d.shape.num_devices;
    result.num_queues = d.shape.num_queues;

    std::vector<detail::chunk_queue> queues;
    for (const int device : d.devices) {
        d.on.device = device;
        for (std::int64_t q = 0; q < d.queues_per_device; ++q) {
            detail::chunk_queue& queue = queues.emplace_back();
            queue.queue = std::make_unique<detail::thread_queue>();
            for (std::int64_t s = 0; s < d.slots_per_queue; ++s)
                queue.slots.push_back(std::make_unique<problem_slot<Real>>(job, d.on));
        }
    }
    detail::orchestrator* running = nullptr;
    detail::orchestrator::tuning tuning;
    tuning.problems_per_chunk = d.shape.problems_per_chunk;
    tuning.is_cancelled = [&] { return d.on.cancel != nullptr && d.on.cancel->load(std::memory_order_relaxed); };
    tuning.tick = [&] { shown.tick(running->num_done(), false); };
    tuning.tick_seconds = std::clamp(how.progress_seconds, least_tick_seconds, most_tick_seconds);
    detail::orchestrator work(std::move(queues), plan.ranges, tuning);
    running = &work;
    result.is_cancelled = !work.run();
    result.num_received = work.num_delivered();
    result.problems_per_chunk = work.problems_per_chunk();
    shown.tick(work.num_done(), true);
    return result;
}

template <class Real>
sweep_schedule schedule(const sweep_plan<Real>& plan, const sweep_execution& how) {
    return divide(sweep_job<Real>{plan, {}, find_arrays(plan)}, how).shape;
}

template sweep_result sweep(const sweep_plan<float>&, const sweep_functions<float>&, const sweep_execution&);
template sweep_result sweep(const sweep_plan<double>&, const sweep_functions<double>&, const sweep_execution&);
template sweep_schedule schedule(const sweep_plan<float>&, const sweep_execution&);
template sweep_schedule schedule(const sweep_plan<double>&, const sweep_execution&);

}  // namespace cubome
