// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "cubome/error.hpp"
#include "host/command/draws.hpp"
#include "host/command/json.hpp"

/// What `cubome sweep` is asked to do: docs/sweeps.md.
namespace cubome::command {

/// The shortest text that reads back as the same number; "nan".
std::string spell(double x);

/// A key that a section of a spec may have.
struct key_rule {
    enum class kind { integer, number, word, flag, path, text };

    const char* name;
    kind is;
    const char* otherwise;           ///< the value where the key is absent, as JSON would have it; null: it is required
    double least = 0, most = 0;      ///< of numbers, both allowed
    std::vector<const char*> words;  ///< that a word may be
    bool is_of_batch = false;        ///< what differs in it is solved in different batches: it may be swept, not drawn
    const char* meaning = "";
};

/// One of the values of a key.
struct spec_value {
    std::string text;                                          ///< as reports show it
    double number = std::numeric_limits<double>::quiet_NaN();  ///< flags: 0 or 1; words: which one; paths: NaN
};

/// A key, and what a spec says of it.
struct spec_key {
    enum class kind { fixed, grid, drawn, replicate, tied };

    std::string name;  ///< "settings.eta"
    const key_rule* rule = nullptr;
    kind is = kind::fixed;
    std::vector<spec_value> values;  ///< fixed: one; grid: one for each place of the axis
    double from = 0, to = 0;         ///< drawn
    bool is_log = false;             ///< drawn: the logarithm is uniform
    std::size_t tied_to = 0;         ///< tied: which key's value this one has
    double times = 1;                ///< tied: multiplied by it
    std::size_t axis = 0;            ///< grid and replicate
    int line = 0;
};

/// What a sweep goes through: some values of one key, or of several keys at once, or repetitions.
struct sweep_axis {
    std::string name;  ///< of the first key, or of the replicates
    std::int64_t size = 1;
    bool is_of_batch = false;
    bool is_replicate = false;
};

/// Where a problem stands in a sweep.
struct sweep_point {
    std::int64_t index = 0;
    std::vector<std::int32_t> places;  ///< of each axis
};

/// Which keys a source of problems has. See sources.hpp.
struct source_rules {
    const char* name;
    const char* meaning;
    std::vector<key_rule> keys;
    std::vector<const char*> measures;  ///< fields that it can add to the results
    bool has_held_out = false;
};

class sweep_spec {
public:
    /// @param folder what paths in the spec are relative to, and stay below
    /// @throws spec_error
    sweep_spec(const std::string& text, const std::string& path, const std::string& folder);

    std::string name;
    std::string text;
    std::string path;
    std::string folder;
    std::uint64_t seed = 0;
    bool is_double = false;
    const source_rules* source = nullptr;
    std::vector<spec_key> keys;         ///< all of them, those that the spec does not mention too
    std::vector<sweep_axis> axes;       ///< outermost first: those of batches, replicates, the others
    std::vector<std::string> measures;  ///< of the source, that are kept
    std::string rank_by;
    bool keeps_refined = true, keeps_curvature = false, keeps_held_out = false, keeps_variables = false;
    std::int64_t trace_interval = 0;

    std::int64_t num_problems() const { return num_batches() * problems_per_batch(); }
    std::int64_t num_batches() const;
    std::int64_t problems_per_batch() const;

    sweep_point point(std::int64_t index) const;

    std::size_t find(const std::string& key) const;  ///< one of `keys`

    /// The value that a key has at a point. Of a drawn one only `number` is set.
    spec_value value(std::size_t key, const sweep_point& at) const;
    double number(std::size_t key, const sweep_point& at) const;
    std::int64_t integer(std::size_t key, const sweep_point& at) const;
    bool flag(std::size_t key, const sweep_point& at) const { return number(key, at) != 0; }

    /// The numbers that a key can have. Where they are drawn or a replicate's, the least and the greatest.
    std::vector<double> possible(std::size_t key) const;

    /// A stream of random numbers for a data item: equal for all problems with the same replicates.
    draw_stream draws(const char* stream, const sweep_point& at, std::uint64_t item = 0) const;

    /// Of everything that changes a result: not of the spec's name or of how it is written.
    std::uint64_t key() const;

    /// Of everything that changes this problem's result: the same in every spec that has this problem.
    std::uint64_t problem_key(const sweep_point& at) const;
};

}  // namespace cubome::command
