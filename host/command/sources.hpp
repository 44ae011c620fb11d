// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cubome/problem.hpp"
#include "host/command/spec.hpp"

/// Where the problems of a spec come from.
namespace cubome::command {

/// All of them, in the order that `cubome problems` shows.
const std::vector<source_rules>& all_sources();

/// One problem's part of a chunk.
template <class Real>
struct problem_place {
    std::vector<Real*> arrays;  ///< of problem_source::arrays
    Real* outer = nullptr;      ///< v: the start, 0 until then; after the solve the result
    Real* inner = nullptr;      ///< θ likewise
};

/// The problems of one batch of a spec. Const members from any thread.
template <class Real>
class problem_source {
public:
    virtual ~problem_source() = default;

    /// The family with its dimensions and what all problems share.
    virtual cubome::problem<Real> problem() const = 0;

    /// The arrays that each problem has of its own.
    virtual std::vector<std::string> arrays() const = 0;

    /// Makes a problem and its start.
    virtual void make(const sweep_point& at, const problem_place<Real>& to) const = 0;

    /// The measures that the spec keeps, after the solve.
    virtual void measure(const sweep_point& at, const problem_place<Real>& solved, double* to) const = 0;
};

/// What sources have read, so that every batch need not do it again; and a key of what was in the files.
class data_store {
public:
    /// A thing by its name, made by `load` the first time.
    template <class T, class Load>
    const T& get(const std::string& name, Load&& load) {
        for (const auto& [known, thing] : things_)
            if (known == name) return *static_cast<const T*>(thing.get());
        auto made = std::make_shared<const T>(load());
        things_.emplace_back(name, made);
        return *made;
    }

    key_mixer mixer;  ///< sources add what they read to it

private:
    std::vector<std::pair<std::string, std::shared_ptr<const void>>> things_;
};

/// @param batch any point of it
/// @throws spec_error, read_error, invalid_argument
template <class Real>
std::unique_ptr<problem_source<Real>> make_source(const sweep_spec& spec, const sweep_point& batch, data_store& store);

}  // namespace cubome::command
