// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "cubome/families.hpp"
#include "cubome/readers.hpp"
#include "host/command/source_makers.hpp"

namespace cubome::command {
namespace {

/// An array of the user's: one part for all problems, or one for each.
template <class Real>
struct user_array {
    std::string name;
    std::vector<std::int64_t> extents;  ///< of one part
    std::int64_t num_parts = 0;         ///< 0: one for all
    std::int64_t size = 1;
    std::vector<Real> values;
};

template <class Real>
struct user_arrays {
    std::vector<user_array<Real>> of_family;
    user_array<Real> outer_start, inner_start;  ///< without values: 0
};

constexpr std::array<const char*, 8> family_arrays = {"H", "C", "b", "P", "S", "K", "p", "s"};

bool is_matrix(const std::string& name) {
    return name.find_first_of("HCPSK") == 0;
}

template <class Real>
class arrays_source final : public problem_source<Real> {
public:
    arrays_source(const sweep_spec& spec, const sweep_point& batch, data_store& store)
        : spec_(spec),
          which_(spec.find("problem.problem")),
          given_(store.get<user_arrays<Real>>("arrays", [&] { return read(batch, store); })) {
        const user_array<Real>& h = given_.of_family.front();
        n_theta_ = h.extents[0];
        n_v_ = 0;
        for (const user_array<Real>& a : given_.of_family) {
            if (n_v_ == 0 && (a.name == "C" || a.name == "K" || a.name == "S" || a.name == "s")) n_v_ = a.extents[0];
        }
        if (n_v_ == 0) fail("C", "is missing, and with it the number of v's components");
        check_extents();
        double last = 0;
        for (const double x : spec.possible(which_)) last = std::max(last, x);
        const auto check = [&](const user_array<Real>& a) {
            if (a.num_parts > 0 && last >= static_cast<double>(a.num_parts))
                fail(a.name.c_str(), "has " + std::to_string(a.num_parts) + " problems, but problem.problem is up to " +
                                         std::to_string(static_cast<std::int64_t>(last)));
        };
        for (const user_array<Real>& a : given_.of_family) check(a);
        for (const auto* start : {&given_.outer_start, &given_.inner_start}) {
            if (start->values.empty()) continue;
            check(*start);
            if (start->size != (start == &given_.outer_start ? n_v_ : n_theta_))
                fail(start->name.c_str(), "has not one number for each variable");
        }
    }

    cubome::problem<Real> problem() const override {
        auto result = quadratic<Real>(n_v_, n_theta_);
        for (const user_array<Real>& a : given_.of_family) {
            if (a.num_parts > 0) continue;
            result.bind(a.name, a.extents.size() == 2 ? shared(a.values.data(), a.extents[0], a.extents[1])
                                                      : shared(a.values.data(), a.extents[0]));
        }
        return result;
    }

    std::vector<std::string> arrays() const override {
        std::vector<std::string> names;
        for (const user_array<Real>& a : given_.of_family)
            if (a.num_parts > 0) names.push_back(a.name);
        return names;
    }

    void make(const sweep_point& at, const problem_place<Real>& to) const override {
        const std::int64_t part = spec_.integer(which_, at);
        std::size_t i = 0;
        const auto copy = [&](const user_array<Real>& a, Real* place) {
            const Real* const from = a.values.data() + (a.num_parts > 0 ? part * a.size : 0);
            std::copy_n(from, a.size, place);
        };
        for (const user_array<Real>& a : given_.of_family)
            if (a.num_parts > 0) copy(a, to.arrays[i++]);
        if (!given_.outer_start.values.empty()) copy(given_.outer_start, to.outer);
        if (!given_.inner_start.values.empty()) copy(given_.inner_start, to.inner);
    }

    void measure(const sweep_point&, const problem_place<Real>&, double*) const override {}

private:
    [[noreturn]] void fail(const char* key, const std::string& reason) const {
        const std::string name = std::string("problem.") + key;
        throw spec_error(spec_.path, spec_.keys[spec_.find(name)].line, name + " " + reason);
    }

    /// Of all arrays, since `make` copies those of each problem's own unseen.
    void check_extents() const {
        const auto text = [](const std::int64_t* extents, int rank) {
            std::string result = "[" + std::to_string(extents[0]);
            if (rank == 2) result += ", " + std::to_string(extents[1]);
            return result + "]";
        };
        const problem_layout layout = quadratic<Real>(n_v_, n_theta_).layout();
        for (const user_array<Real>& a : given_.of_family)
            for (int i = 0; i < layout.num_arrays; ++i) {
                const array_info& info = layout.arrays[i];
                if (a.name != info.name || std::equal(a.extents.begin(), a.extents.end(), info.extents)) continue;
                fail(info.name, "has extents " + text(a.extents.data(), info.rank) + ", expected " +
                                    text(info.extents, info.rank));
            }
    }

    user_array<Real> read_one(const char* key, std::size_t rank, const sweep_point& batch, data_store& store) const {
        user_array<Real> result;
        result.name = key;
        const std::string file = spec_.value(spec_.find(std::string("problem.") + key), batch).text;
        if (file.empty()) return result;
        const npy_array array = read_npy((std::filesystem::path(spec_.folder) / file).string());
        if (array.extents.size() != rank && array.extents.size() != rank + 1)
            fail(key, "has rank " + std::to_string(array.extents.size()) + ", expected " + std::to_string(rank) +
                          ", or one more with an array for each problem");
        result.extents = array.extents;
        if (array.extents.size() > rank) {
            result.num_parts = array.extents.front();
            result.extents.erase(result.extents.begin());
            if (result.num_parts == 0) fail(key, "has no problem");
        }
        for (const std::int64_t e : result.extents) result.size *= e;
        if (result.size == 0) fail(key, "is empty");
        for (const std::int64_t e : array.extents) store.mixer.add(static_cast<std::uint64_t>(e));
        for (const double x : array.values) {
            if (std::abs(x) > static_cast<double>(std::numeric_limits<Real>::max()))
                fail(key, "has a number beyond those of the spec's precision");
            result.values.push_back(static_cast<Real>(x));
            store.mixer.add(bits_of(x));
        }
        return result;
    }

    user_arrays<Real> read(const sweep_point& batch, data_store& store) const {
        user_arrays<Real> result;
        for (const char* const name : family_arrays) {
            user_array<Real> a = read_one(name, is_matrix(name) ? 2 : 1, batch, store);
            if (result.of_family.empty() && a.values.empty()) fail(name, "is missing");  // H, the first
            if (!a.values.empty()) result.of_family.push_back(std::move(a));
        }
        result.outer_start = read_one("outer_start", 1, batch, store);
        result.inner_start = read_one("inner_start", 1, batch, store);
        return result;
    }

    const sweep_spec& spec_;
    std::size_t which_;
    const user_arrays<Real>& given_;
    std::int64_t n_v_ = 0, n_theta_ = 0;
};

}  // namespace

source_rules arrays_rules() {
    using kind = key_rule::kind;
    std::vector<key_rule> keys = {
        {"problem", kind::integer, "0", 0, 1e12, {}, false, "which of the problems that an array has"}};
    keys.push_back({"H", kind::path, nullptr, 0, 0, {}, false, ".npy of [inner, inner] or [problems, inner, inner]"});
    for (const char* const name : family_arrays)
        if (std::string(name) != "H")
            keys.push_back({name, kind::path, "\"\"", 0, 0, {}, false, ".npy of the quadratic's array; absent: 0"});
    keys.push_back({"outer_start", kind::path, "\"\"", 0, 0, {}, false, ".npy of [outer] or [problems, outer]"});
    keys.push_back({"inner_start", kind::path, "\"\"", 0, 0, {}, false, ".npy of [inner] or [problems, inner]"});
    return {"arrays", "quadratics of your own, from .npy files", std::move(keys), {}, false};
}

template <class Real>
std::unique_ptr<problem_source<Real>> make_arrays(const sweep_spec& spec, const sweep_point& batch, data_store& store) {
    for (const spec_key& key : spec.keys)
        if (key.rule->is == key_rule::kind::path && key.is != spec_key::kind::fixed)
            throw spec_error(spec.path, key.line, key.name + " cannot be swept");
    return std::make_unique<arrays_source<Real>>(spec, batch, store);
}

template std::unique_ptr<problem_source<float>> make_arrays(const sweep_spec&, const sweep_point&, data_store&);
template std::unique_ptr<problem_source<double>> make_arrays(const sweep_spec&, const sweep_point&, data_store&);

}  // namespace cubome::command
