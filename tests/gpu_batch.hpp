// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "cubome/cubome.hpp"
#include "gpu_device.hpp"
#include "random_problems.hpp"

/// Batches whose arrays all lie on the device, and parts of them.
namespace gpu {

using random_problems::library_batch;

/// f(view) for everything that a solve writes.
template <class Real, class F>
void for_each_output(cubome::state<Real>& s, cubome::report<Real>& r, F&& f) {
    f(s.outer), f(s.inner), f(s.iteration), f(s.multiplier);
    f(s.first_stationarity), f(s.step_memory), f(s.inner_probe), f(s.outer_probe);
    f(s.outer_velocity), f(s.inner_velocity), f(s.descent_velocity);
    f(s.best_outer), f(s.best_inner), f(s.best_kkt), f(s.best_iteration);
    f(r.outcome), f(r.quantity), f(r.iterations), f(r.outer_value), f(r.gap), f(r.stationarity), f(r.multiplier);
    f(r.refined_outer_value), f(r.refined_gap), f(r.inner_curvature), f(r.outer_curvature), f(r.held_out);
    f(r.trace_outer_value), f(r.trace_gap), f(r.trace_stationarity), f(r.trace_multiplier), f(r.trace_held_out);
}

template <class Real>
struct batch_part {
    cubome::problem<Real> problem;
    cubome::settings<Real> settings;
    cubome::state<Real> state;
    cubome::report<Real> report;
};

/// A copy of a batch on the device: data, settings per problem, state, and room for the report, all between guards.
template <class Real>
class device_batch {
public:
    explicit device_batch(library_batch<Real>& b) : all_{b.problem, b.settings, b.state(), b.report()} {
        for (int i = 0; i < all_.problem.layout().num_arrays; ++i)
            if (all_.problem.is_bound(i))
                all_.problem.bind(all_.problem.layout().arrays[i].name, moved(all_.problem.array(i)));
        for (auto* s : numbers(all_.settings))
            if (s->is_per_problem()) *s = cubome::setting<Real>(moved(s->values()));
        int which = 0;
        for_each_output(all_.state, all_.report, [&](auto& view) {
            const bool is_state = which++ < num_state_arrays;
            if (view.data == nullptr) return;
            const auto* const first = reinterpret_cast<const char*>(view.data);
            const std::size_t bytes = static_cast<std::size_t>(view.num_problems * view.size()) * sizeof *view.data;
            outputs_.push_back({std::make_unique<guarded_memory>(bytes), {}});
            if (is_state) outputs_.back().start.assign(first, first + bytes);
            view.data = reinterpret_cast<decltype(view.data)>(outputs_.back().memory->data());
        });
        restart();
    }

    /// The state is the start again, the report unwritten.
    void restart() {
        for (auto& o : outputs_) {
            if (o.start.empty())
                o.memory->spoil();
            else
                o.memory->upload(o.start.data());
        }
        // What streams of their own do next must not overtake it.
        check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    }

    /// Some of the problems, in place.
    batch_part<Real> part(std::int64_t first, std::int64_t count) const {
        const auto cut = [&](auto& view) {
            if (view.data == nullptr || view.is_shared) return;
            view.data += first * view.size();
            view.num_problems = count;
        };
        batch_part<Real> result = all_;
        for (int i = 0; i < result.problem.layout().num_arrays; ++i) {
            if (!result.problem.is_bound(i)) continue;
            auto view = result.problem.array(i);
            cut(view);
            result.problem.bind(result.problem.layout().arrays[i].name, view);
        }
        for (auto* s : numbers(result.settings)) {
            if (!s->is_per_problem()) continue;
            auto view = s->values();
            cut(view);
            *s = cubome::setting<Real>(view);
        }
        for_each_output(result.state, result.report, cut);
        return result;
    }

    /// Copies all outputs to a batch of the same arrays.
    void fetch(library_batch<Real>& to) const {
        auto state = to.state();
        auto report = to.report();
        auto from = outputs_.begin();
        for_each_output(state, report, [&](auto& view) {
            if (view.data == nullptr) return;
            EXPECT_TRUE(from->memory->are_guards_whole());
            from->memory->download(view.data);
            ++from;
        });
    }

private:
    static constexpr int num_state_arrays = 15;

    struct output {
        std::unique_ptr<guarded_memory> memory;
        std::vector<char> start;  ///< of the report: none
    };

    static std::vector<cubome::setting<Real>*> numbers(cubome::settings<Real>& s) {
        return {&s.outer_step_size, &s.inner_step_size,  &s.descent_step_size, &s.outer_schedule,
                &s.inner_schedule,  &s.outer_momentum,   &s.inner_momentum,    &s.eta,
                &s.epsilon,         &s.tol_stationarity, &s.tol_gap,           &s.rel_tol_stationarity,
                &s.rel_tol_gap};
    }

    cubome::batch_view<const Real> moved(cubome::batch_view<const Real> view) {
        const std::int64_t count = (view.is_shared ? 1 : view.num_problems) * view.size();
        inputs_.push_back(std::make_unique<guarded_memory>(static_cast<std::size_t>(count) * sizeof(Real)));
        inputs_.back()->upload(view.data);
        view.data = reinterpret_cast<const Real*>(inputs_.back()->data());
        return view;
    }

    batch_part<Real> all_;
    std::vector<std::unique_ptr<guarded_memory>> inputs_;
    std::vector<output> outputs_;
};

/// How many numbers of the problems [first, first + count) were compared, and how many differ. Of a NaN the bits mean
/// nothing.
struct comparison {
    std::int64_t num_compared = 0, num_different = 0;
};
template <class Real>
comparison compare(library_batch<Real>& a, library_batch<Real>& b, std::int64_t first, std::int64_t count) {
    std::vector<const void*> expected;
    auto a_state = a.state(), b_state = b.state();
    auto a_report = a.report(), b_report = b.report();
    for_each_output(b_state, b_report, [&](auto& view) { expected.push_back(view.data); });
    comparison result;
    std::size_t which = 0;
    for_each_output(a_state, a_report, [&](auto& view) {
        using value = std::remove_reference_t<decltype(*view.data)>;
        const auto* const other = static_cast<const value*>(expected[which++]);
        if (view.data == nullptr) return;
        for (std::int64_t i = first * view.size(); i < (first + count) * view.size(); ++i) {
            const value &x = view.data[i], &y = other[i];
            ++result.num_compared;
            result.num_different += !((x != x && y != y) || std::memcmp(&x, &y, sizeof x) == 0);
        }
    });
    return result;
}

}  // namespace gpu
