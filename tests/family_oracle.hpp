// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "cubome/core/family.hpp"
#include "cubome/core/problem_solve.hpp"
#include "cubome/problem.hpp"
#include "cubome/staged.hpp"

/// A family's problems behind the staged engine's interface: the very functions that the fused engine calls, on the
/// host's serial lanes.
namespace family_oracle {

using cubome::index;
using cubome::oracle_call;

template <class Real, index Lanes, class Family>
class oracle : public cubome::oracle<Real> {
    using group = cubome::serial_group<Real, Lanes>;
    template <class... Extents>
    using problem_of = typename Family::template problem<cubome::problem_data<group, Extents...>>;
    using problem_type = cubome::with_run_time_extents<Family, problem_of>;
    using data = typename problem_type::data;
    using outer_vector = typename data::template own<typename problem_type::outer_extent_type>;
    using inner_vector = typename data::template own<typename problem_type::inner_extent_type>;
    using published = typename data::template published<typename problem_type::inner_extent_type>;

public:
    explicit oracle(const cubome::problem<Real>& of, std::int64_t num_problems)
        : n_v_(of.outer_dim()), n_theta_(of.inner_dim()), has_held_out_(of.layout().has_held_out) {
        for (std::int64_t p = 0; p < num_problems; ++p) problems_.push_back(std::make_unique<one>(of, p));
    }

    std::int64_t outer_dim() const override { return n_v_; }
    std::int64_t inner_dim() const override { return n_theta_; }
    bool has_held_out() const override { return has_held_out_; }
    bool has_curvature() const override { return cubome::describe<Real, Family>().has_curvature; }

    void prepare(const oracle_call& call, const Real* outer) override {
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            one& x = *problems_[static_cast<std::size_t>(p)];
            load(x.outer, outer + p * n_v_);
            x.problem.prepare(g_, x.outer);
        }
    }
    void inner_gradient(const oracle_call& call, const Real* outer, const Real* inner, Real* gradient) override {
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            one& x = at(p, outer, inner);
            x.problem.inner_gradient(g_, x.outer, x.descent, x.of_inner);
            store(x.of_inner, gradient + p * n_theta_);
        }
    }
    void gap_gradient(const oracle_call& call, const Real* outer, const Real* inner, const Real* descent, Real* gap,
                      Real* magnitude, Real* gradient) override {
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            one& x = at(p, outer, descent);
            load(x.inner, inner + p * n_theta_);
            const auto q = x.problem.gap_gradient(g_, x.outer, x.inner, x.descent, x.of_outer);
            gap[p] = q.gap;
            magnitude[p] = q.magnitude;
            store(x.of_outer, gradient + p * n_v_);
        }
    }
    void outer_gradient(const oracle_call& call, const Real* outer, const Real* inner, Real* value, Real* of_outer,
                        Real* of_inner) override {
        for (std::int64_t p = 0; p < call.num_problems; ++p) {
            one& x = at(p, outer, inner);
            value[p] = x.problem.outer_gradient(g_, x.outer, x.descent, x.of_outer, x.of_inner);
            store(x.of_outer, of_outer + p * n_v_);
            store(x.of_inner, of_inner + p * n_theta_);
        }
    }
    void held_out(const oracle_call& call, const Real* outer, const Real* inner, Real* value) override {
        if constexpr (requires(one & x) { x.problem.held_out(g_, x.outer, x.descent); }) {
            for (std::int64_t p = 0; p < call.num_problems; ++p) {
                one& x = at(p, outer, inner);
                value[p] = x.problem.held_out(g_, x.outer, x.descent);
            }
        }
    }

private:
    /// A workspace, measured before anything is placed in it.
    struct place {
        explicit place(const cubome::problem<Real>& of) {
            cubome::arena counter(nullptr);
            one::measure(counter, of.dims());
            bytes.resize(counter.used() + 64);
        }
        cubome::arena arena() {
            const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
            return cubome::arena(reinterpret_cast<void*>((address + 63) / 64 * 64));
        }
        std::vector<char> bytes;
    };

    struct one : place {
        one(const cubome::problem<Real>& of, std::int64_t p)
            : place(of),
              memory(place::arena()),
              problem(memory, of.dims()),
              outer(memory, problem.outer_extent()),
              of_outer(memory, problem.outer_extent()),
              inner(memory, problem.inner_extent()),
              of_inner(memory, problem.inner_extent()),
              descent(memory, problem.inner_extent()) {
            int which = 0;
            const auto load = [&](auto& storage) {
                const auto& array = of.array(which);
                if (of.is_bound(which))
                    fill(storage, [&](std::int64_t e) { return array.data[p * array.stride() + e]; });
                ++which;
            };
            problem.visit_arrays(cubome::overloads{[&]<class Storage>(const char*, cubome::optional<Storage>& storage) {
                                                       storage.is_given = of.is_bound(which);
                                                       load(static_cast<Storage&>(storage));
                                                   },
                                                   [&](const char*, auto& storage) { load(storage); }});
        }
        static void measure(cubome::arena& counter, const std::int64_t* dims) {
            problem_type problem(counter, dims);
            outer_vector(counter, problem.outer_extent()), outer_vector(counter, problem.outer_extent());
            inner_vector(counter, problem.inner_extent()), inner_vector(counter, problem.inner_extent());
            published(counter, problem.inner_extent());
        }

        cubome::arena memory;
        problem_type problem;
        outer_vector outer, of_outer;
        inner_vector inner, of_inner;
        published descent;
    };

    one& at(std::int64_t p, const Real* outer, const Real* inner) {
        one& x = *problems_[static_cast<std::size_t>(p)];
        load(x.outer, outer + p * n_v_);
        load(x.descent, inner + p * n_theta_);
        return x;
    }
    template <class Storage>
    static void load(Storage& to, const Real* from) {
        fill(to, [&](std::int64_t e) { return from[e]; });
    }
    template <class Storage>
    static void store(const Storage& from, Real* to) {
        for (index i = 0; i < from.rows(); ++i) to[i] = from[i];
    }

    std::int64_t n_v_, n_theta_;
    bool has_held_out_;
    group g_;
    std::vector<std::unique_ptr<one>> problems_;
};

}  // namespace family_oracle
