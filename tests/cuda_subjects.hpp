// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cubome/core/cpu_solve.hpp"
#include "cubome/cubome.hpp"
#include "cubome/problems/coreset.hpp"
#include "cubome/problems/minimax.hpp"
#include "cubome/problems/quadratic.hpp"
#include "library_outputs.hpp"
#include "random_problems.hpp"
#include "serial_lanes.hpp"
#include "simt_runtime.hpp"

/// Families with a CUDA half that runs on the model of a device, batches of them, and what to compare them with.
namespace cuda_subjects {

using cubome::index;
using cubome::detail::cuda_runtime;
using library_outputs::differences;
using random_problems::batch;
using random_problems::generator;
using random_problems::library_batch;
using random_problems::shape;
using random_problems::variation;

/// A family with two halves of one width: the device's lanes on the model, and the host's serial ones.
template <class Family, class Mapping, class... Extents>
struct two_halves {
    using real = typename Mapping::group::real;

    static cubome::cuda_plan cuda_plan(const std::int64_t* dims, cubome::solve_text text) noexcept {
        return cubome::cuda_variant<Family, Mapping, Extents...>::plan(dims, text);
    }
    static const cubome::problem_runner<real>& runner() {
        static constexpr cubome::cuda_functions<real> cuda{&cuda_plan};
        static const auto result = [] {
            auto table = serial_lanes::half<real, Mapping::lanes, Family, Extents...>::describe();
            table.cuda = &cuda;
            return table;
        }();
        return result;
    }
};

using cubome::dynamic;
using cubome::extent;

struct coreset_by_thread
    : two_halves<cubome::problems::coreset_family, cubome::thread_mapping<float, 32>, extent<4>, extent<2>> {
    static constexpr std::int64_t few = 9, many = 23;
    static shape dims() { return random_problems::coreset(4, 2); }
};
struct minimax_by_thread : two_halves<cubome::problems::minimax_family, cubome::thread_mapping<double, 32>> {
    static constexpr std::int64_t few = 9, many = 23;
    static shape dims() { return random_problems::minimax(); }
};
struct quadratic_by_tile
    : two_halves<cubome::problems::quadratic_family, cubome::tile_mapping<float, 4, 32>, extent<8>, extent<8>> {
    static constexpr std::int64_t few = 9, many = 23;
    static shape dims() { return random_problems::quadratic(8, 8); }
};
struct quadratic_by_block : two_halves<cubome::problems::quadratic_family, cubome::block_mapping<double, 64>,
                                       extent<dynamic>, extent<dynamic>> {
    static constexpr std::int64_t few = 3, many = 4;  // each takes 64 threads that wait for one another
    static shape dims() { return random_problems::quadratic(5, 7); }
};

/// A batch that refers to a family with two halves, and to a device that knows its kernels.
template <class Halves>
class subject {
public:
    using real = typename Halves::real;

    subject(const batch& source, bool remembers, simt_runtime::device& device) : b(source, remembers) {
        const auto& runner = Halves::runner();
        b.problem = serial_lanes::with_runner(b.problem, runner);
        device.add(*runner.cuda, b.problem.layout(), b.problem.dims());
    }

    cubome::run_info solve(const cubome::execution& e) {
        return cubome::solve(b.problem, b.settings, b.state(), b.report(), e);
    }

    library_batch<real> b;
};

/// The runtime of a device, in place of the linked one as long as the scope.
class with_device {
public:
    with_device() : runtime(model.calls()) { cubome::detail::replace_cuda_runtime(&runtime); }
    with_device(const with_device&) = delete;
    with_device& operator=(const with_device&) = delete;
    ~with_device() { cubome::detail::replace_cuda_runtime(nullptr); }

    simt_runtime::device model;
    cuda_runtime runtime;
};

inline cubome::execution on(cubome::backend where, std::int64_t steps_per_launch = 0) {
    cubome::execution e;
    e.where = where;
    e.steps_per_launch = steps_per_launch;
    return e;
}

/// Random problems, some of which converge early; one starts from a NaN.
template <class Halves>
batch random_source(std::uint64_t seed, std::int64_t num_problems, variation kind, std::int64_t trace_interval = 0) {
    generator random(seed);
    auto source = random_batch(random, Halves::dims(), num_problems, kind, 0.5);
    source.template round_to<typename Halves::real>();
    source.settings.trace_interval = trace_interval;
    source.settings.tol_stationarity.clear();
    for (std::int64_t i = 0; i < num_problems; ++i)
        source.settings.tol_stationarity.push_back(random.coin(0.3) ? static_cast<float>(random.uniform(0, 2)) : 0);
    if (num_problems > 2) source.inner[static_cast<std::size_t>(2 * source.shape.inner_dim())] = std::nan("");
    return source;
}

/// A copy of a host array on the device, copied back by `fetch`.
class device_copies {
public:
    explicit device_copies(simt_runtime::device& model) : model_(model) {}
    device_copies(const device_copies&) = delete;
    device_copies& operator=(const device_copies&) = delete;
    ~device_copies() {
        for (const auto& c : copies_) model_.release(c.on_device);
    }

    template <class T>
    T* of(const T* data, std::int64_t count) {
        using value = std::remove_const_t<T>;
        value* const copy = model_.allocate<value>(static_cast<std::size_t>(count));
        model_.copy(copy, data, static_cast<std::size_t>(count) * sizeof(T));
        copies_.push_back(
            {copy, const_cast<value*>(data), static_cast<std::size_t>(count) * sizeof(T), !std::is_const_v<T>});
        return copy;
    }
    void fetch() {
        for (const auto& c : copies_)
            if (c.is_output) model_.copy(c.on_host, c.on_device, c.bytes);
    }

private:
    struct one {
        void* on_device;
        void* on_host;
        std::size_t bytes;
        bool is_output;
    };
    simt_runtime::device& model_;
    std::vector<one> copies_;
};

template <class T>
void move_to(device_copies& copies, cubome::batch_view<T>& view) {
    if (view.data != nullptr) view.data = copies.of(view.data, (view.is_shared ? 1 : view.num_problems) * view.size());
}

template <class Real>
void move_to(device_copies& copies, cubome::problem<Real>& problem) {
    for (int i = 0; i < problem.layout().num_arrays; ++i) {
        if (!problem.is_bound(i)) continue;
        auto view = problem.array(i);
        move_to(copies, view);
        problem.bind(problem.layout().arrays[i].name, view);
    }
}

/// Everything that a subject refers to, on the device.
template <class Real>
struct on_device {
    on_device(library_batch<Real>& b, device_copies& copies)
        : problem(b.problem), settings(b.settings), state(b.state()), report(b.report()) {
        move_to(copies, problem);
        const auto move_setting = [&](cubome::setting<Real>& s) {
            if (!s.is_per_problem()) return;
            auto view = s.values();
            move_to(copies, view);
            s = cubome::setting<Real>(view);
        };
        for (auto* s : {&settings.outer_step_size, &settings.inner_step_size, &settings.descent_step_size,
                        &settings.outer_schedule, &settings.inner_schedule, &settings.outer_momentum,
                        &settings.inner_momentum, &settings.eta, &settings.epsilon, &settings.tol_stationarity,
                        &settings.tol_gap, &settings.rel_tol_stationarity, &settings.rel_tol_gap})
            move_setting(*s);
        for (auto* view : {&state.outer,
                           &state.inner,
                           &state.multiplier,
                           &state.first_stationarity,
                           &state.step_memory,
                           &state.inner_probe,
                           &state.outer_probe,
                           &state.outer_velocity,
                           &state.inner_velocity,
                           &state.descent_velocity,
                           &state.best_outer,
                           &state.best_inner,
                           &state.best_kkt,
                           &report.outer_value,
                           &report.gap,
                           &report.stationarity,
                           &report.multiplier,
                           &report.refined_outer_value,
                           &report.refined_gap,
                           &report.trace_outer_value,
                           &report.trace_gap,
                           &report.trace_stationarity,
                           &report.trace_multiplier})
            move_to(copies, *view);
        move_to(copies, state.iteration), move_to(copies, state.best_iteration);
        move_to(copies, report.outcome), move_to(copies, report.quantity), move_to(copies, report.iterations);
    }

    cubome::problem<Real> problem;
    cubome::settings<Real> settings;
    cubome::state<Real> state;
    cubome::report<Real> report;
};

}  // namespace cuda_subjects
