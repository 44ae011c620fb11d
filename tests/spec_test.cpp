// SPDX-License-Identifier: Apache-2.0

// Specs of sweeps: what their texts may say, the points they go through, the problems that sources make of them, and
// the records of those problems.

#include "host/command/spec.hpp"

#include <Random123/philox.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/command/json.hpp"
#include "host/command/results.hpp"
#include "host/command/run.hpp"
#include "host/command/sources.hpp"

namespace {

using namespace cubome::command;
using numbers = std::vector<double>;
using strings = std::vector<std::string>;

// ---- specs and what comes of them

/// A folder of its own for as long as this lives.
class temporary_folder {
public:
    temporary_folder()
        : path(::testing::TempDir() + "cubome_spec_" + std::to_string(::getpid()) + "_" + std::to_string(count_++)) {
        std::filesystem::create_directories(path);
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }

    void write(const std::string& name, const std::string& contents) const {
        std::ofstream(path + "/" + name, std::ios::binary) << contents;
    }

    const std::string path;

private:
    static inline int count_ = 0;
};

/// Three lines: the names, the problem, the settings and the rest.
std::string text_of(const std::string& problem, const std::string& settings = "", const std::string& rest = "") {
    return "{\"cubome_sweep\": 1, \"name\": \"n\",\n \"problem\": {" + problem + "},\n \"settings\": {" + settings +
           "}" + rest + "}";
}

const std::string quadratics = R"("source": "random_quadratics", "dim": 2)";

sweep_spec spec_of(const std::string& text, const std::string& folder = "/nonexistent") {
    return {text, "s.json", folder};
}

/// A spec of quadratics.
sweep_spec quadratics_with(const std::string& settings, const std::string& rest = "") {
    return spec_of(text_of(quadratics, settings, rest));
}

template <class Action>
std::string message_of(Action action) {
    try {
        action();
    } catch (const cubome::error& problem) {
        return problem.what();
    }
    return "is accepted";
}

std::string refusal(const std::string& text, const std::string& folder = "/nonexistent") {
    return message_of([&] { spec_of(text, folder); });
}

std::string refusal_of_settings(const std::string& settings, const std::string& rest = "") {
    return refusal(text_of(quadratics, settings, rest));
}

std::string refusal_of_json(const std::string& text) {
    return message_of([&] { parse_json(text, "s.json"); });
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// The values that a key has along its axis.
strings labels(const sweep_spec& spec, const std::string& key) {
    strings result;
    for (const spec_value& v : spec.keys[spec.find(key)].values) result.push_back(v.text);
    return result;
}

/// What a source makes of a point.
struct made_problem {
    std::map<std::string, numbers> arrays;
    numbers outer, inner;

    bool operator==(const made_problem&) const = default;
};

template <class Real>
made_problem make(const sweep_spec& spec, const problem_source<Real>& source, std::int64_t index) {
    const auto problem = source.problem();
    const auto layout = problem.layout();
    const strings names = source.arrays();
    std::vector<std::vector<Real>> arrays;
    for (const std::string& name : names)
        for (int a = 0; a < layout.num_arrays; ++a) {
            if (name != layout.arrays[a].name) continue;
            std::int64_t size = 1;
            for (int e = 0; e < layout.arrays[a].rank; ++e) size *= layout.arrays[a].extents[e];
            arrays.emplace_back(static_cast<std::size_t>(size));
        }
    EXPECT_EQ(arrays.size(), names.size());
    std::vector<Real> outer(static_cast<std::size_t>(problem.outer_dim()), 0);
    std::vector<Real> inner(static_cast<std::size_t>(problem.inner_dim()), 0);
    problem_place<Real> to;
    for (auto& a : arrays) to.arrays.push_back(a.data());
    to.outer = outer.data(), to.inner = inner.data();
    source.make(spec.point(index), to);
    made_problem result;
    for (std::size_t a = 0; a < names.size(); ++a)
        result.arrays[names[a]] = numbers(arrays[a].begin(), arrays[a].end());
    result.outer.assign(outer.begin(), outer.end());
    result.inner.assign(inner.begin(), inner.end());
    return result;
}

made_problem make(const sweep_spec& spec, std::int64_t index) {
    data_store store;
    const sweep_point at = spec.point(index);
    if (spec.is_double) return make(spec, *make_source<double>(spec, at, store), index);
    return make(spec, *make_source<float>(spec, at, store), index);
}

/// The records of some problems, by their indices.
std::map<std::int64_t, std::string> records_of(const prepared_sweep& sweep, const std::vector<cubome::sweep_range>& of,
                                               std::int64_t most_per_chunk = 0, int num_threads = 1) {
    std::map<std::int64_t, std::string> records;
    cubome::sweep_execution how;
    how.solve.where = cubome::backend::cpu;
    how.solve.num_threads = num_threads;
    how.most_problems_per_chunk = most_per_chunk;
    std::int64_t next = 0;
    sweep.run(of, how, [&](std::int64_t first, std::int64_t count, std::span<const std::byte> bytes) {
        EXPECT_GE(first, next);
        next = first + count;
        const std::size_t size = bytes.size() / static_cast<std::size_t>(count);
        for (std::int64_t i = 0; i < count; ++i)
            records[first + i] = {reinterpret_cast<const char*>(bytes.data()) + size * static_cast<std::size_t>(i),
                                  size};
    });
    return records;
}

std::map<std::int64_t, std::string> records_of(const prepared_sweep& sweep) {
    return records_of(sweep, {{0, sweep.spec().num_problems()}});
}

/// A field of a record.
double field_of(const prepared_sweep& sweep, const std::string& record, const std::string& field) {
    const strings fields = sweep.layout(0).fields;
    const auto at = std::find(fields.begin(), fields.end(), field);
    EXPECT_NE(at, fields.end()) << field;
    double x = 0;
    std::memcpy(&x, record.data() + 16 + 8 * (at - fields.begin()), sizeof x);
    return x;
}

std::string npy(const std::vector<std::int64_t>& extents, const numbers& values) {
    std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (";
    for (const std::int64_t e : extents) header += std::to_string(e) + ",";
    header += "), }\n";
    std::string text("\x93NUMPY\x01\x00", 8);
    text += static_cast<char>(header.size() & 0xff);
    text += static_cast<char>(header.size() >> 8);
    text += header;
    text.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
    return text;
}

/// Samples of three classes, some 40 of each, and four features, the last of them the same for all.
struct sample_set {
    static constexpr std::int64_t num_rows = 120, num_features = 4;
    numbers features, labels;

    sample_set() {
        draw_stream random(7, 0);
        for (std::int64_t r = 0; r < num_rows; ++r) {
            labels.push_back(static_cast<double>(r % 3));
            for (std::int64_t c = 0; c + 1 < num_features; ++c)
                features.push_back(static_cast<float>(static_cast<double>(r % 3) + 3 * random.normal()));
            features.push_back(0.7f);
        }
    }

    void write(const temporary_folder& folder) const {
        std::string csv = "a,b,label,c,d\n", libsvm;
        const auto spelled = [](double x) {
            char text[40];
            std::snprintf(text, sizeof text, "%.17g", x);
            return std::string(text);
        };
        for (std::size_t r = 0; r < labels.size(); ++r) {
            const double* const x = features.data() + 4 * r;
            csv += spelled(x[0]) + "," + spelled(x[1]) + "," + spelled(labels[r]) + "," + spelled(x[2]) + "," +
                   spelled(x[3]) + "\n";
            libsvm += spelled(labels[r]);
            for (std::size_t c = 0; c < 4; ++c) libsvm += " " + std::to_string(c + 1) + ":" + spelled(x[c]);
            libsvm += "\n";
        }
        folder.write("s.csv", csv);
        folder.write("s.libsvm", libsvm);
        folder.write("x.npy", npy({num_rows, num_features}, features));
        folder.write("y.npy", npy({num_rows}, labels));
    }
};

const std::string csv_samples =
    R"("source": "samples", "format": "csv", "file": "s.csv", "train": 10, "validation": 4, "held_out": 6)";

// ---- JSON

TEST(spec_json, is_strict) {
    for (const char* const text : {"{\"a\": 1,\n}",
                                   "[1,\n]",
                                   "{\"a\": 1\n// b\n}",
                                   "[1,\n/* a */ 2]",
                                   "[\nNaN]",
                                   "[\nInfinity]",
                                   "[\n1e999]",
                                   "[\n-1e999]",
                                   "[\n01]",
                                   "[\n+1]",
                                   "[\n.5]",
                                   "[\n1.]",
                                   "[\n0x1]",
                                   "[\n'a']",
                                   "[\n\"a]",
                                   "[\n\"\t\"]",
                                   "[\n\"\xff\"]",
                                   "[\n\"\xc0\x80\"]",
                                   "[\n\"\\ud800\"]",
                                   "[\n\"\\x\"]",
                                   "[\ntrue false]",
                                   "{\n1: 2}",
                                   "{\n}x",
                                   "{\n}{}",
                                   "[\n1",
                                   "{\n\"a\"",
                                   "{\n\"a\":}",
                                   "[\nTrue]"}) {
        const std::string message = refusal_of_json(text);
        EXPECT_TRUE(message.starts_with("s.json:2: ") || message.starts_with("s.json:3: ")) << text << message;
        EXPECT_TRUE(has(message, "is not JSON: ")) << text << message;
        EXPECT_FALSE(has(message, "json.exception")) << message;
    }
    EXPECT_TRUE(refusal_of_json("").starts_with("s.json:1: is not JSON: "));
    EXPECT_TRUE(has(refusal_of_json(" \n "), "is not JSON: "));
    EXPECT_EQ(refusal_of_json(std::string("[1]\n\0", 5)), "s.json:2: is not JSON: it has a zero byte");
    EXPECT_EQ(refusal_of_json("\xef\xbb\xbf[]"), "s.json:1: is not JSON: it begins with a byte order mark");
    EXPECT_EQ(refusal_of_json("{\"a\": 1,\n \"b\": {\"a\": 2},\n \"a\": 3}"), "s.json:3: the key 'a' is there twice");
    EXPECT_EQ(refusal_of_json("{\"a\": 1, \"\\u0061\": 3}"), "s.json:1: the key 'a' is there twice");
}

TEST(spec_json, is_at_most_64_levels_deep) {
    const auto nested = [](std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
    EXPECT_EQ(refusal_of_json(nested(64)), "is accepted");
    EXPECT_EQ(refusal_of_json(nested(65)), "s.json:1: is nested too deeply");
    EXPECT_EQ(refusal_of_json(std::string(10000000, '[')), "s.json:1: is nested too deeply");
    std::string objects = "\n";
    for (int i = 0; i < 65; ++i) objects += "{\"a\":";
    EXPECT_EQ(refusal_of_json(objects), "s.json:2: is nested too deeply");
}

TEST(spec_json, values_know_their_kinds_and_lines) {
    const json_node root =
        parse_json("\n{\"a\":\n [1,\n -2.5e1],\n\n \"b\": \"x\\n\\u00e4\", \"c\": null,\n\"d\":true,\"e\":{}}\n", "s");
    ASSERT_EQ(root.is, json_node::kind::object);
    EXPECT_EQ(root.line, 2);
    EXPECT_EQ(root.names, (strings{"a", "b", "c", "d", "e"}));
    const json_node& a = *root.find("a");
    EXPECT_EQ(a.is, json_node::kind::list);
    EXPECT_EQ(a.line, 2) << "that of its key";
    ASSERT_EQ(a.list.size(), 2u);
    EXPECT_EQ(a.list[0].line, 3);
    EXPECT_EQ(a.list[1].line, 4);
    EXPECT_EQ(a.list[0].number, 1);
    EXPECT_EQ(a.list[1].number, -25);
    EXPECT_EQ(a.list[1].text, "-2.5e1");
    EXPECT_EQ(root.find("b")->text, "x\nä");
    EXPECT_EQ(root.find("b")->line, 6);
    EXPECT_EQ(root.find("c")->is, json_node::kind::null);
    EXPECT_TRUE(root.find("d")->flag);
    EXPECT_EQ(root.find("d")->line, 7);
    EXPECT_EQ(root.find("f"), nullptr);
}

// ---- keys

TEST(spec_keys, what_is_wrong_is_named_with_file_line_and_key) {
    const struct {
        const char *settings, *message;
    } cases[] = {
        {"\"etta\": 1", "s.json:3: the key 'settings.etta' is unknown; did you mean 'eta'?"},
        {"\"eta\": 1,\n\"eta\": 1", "s.json:4: the key 'eta' is there twice"},
        {"\"eta\": \"x\"", "s.json:3: settings.eta is not a number"},
        {"\n\"eta\": null", "s.json:4: settings.eta is not a number"},
        {"\"eta\": [0.1]", "s.json:3: settings.eta is not a number"},
        {"\"eta\": -1", "s.json:3: settings.eta is -1, expected a number in [1e-30, 1e+30]"},
        {"\"eta\": 0", "s.json:3: settings.eta is 0, expected a number in [1e-30, 1e+30]"},
        {"\"inner_steps\": 0", "s.json:3: settings.inner_steps is 0, expected a number in [1, 1e+15]"},
        {"\"inner_steps\": 1.5", "s.json:3: settings.inner_steps is 1.5, expected a whole number"},
        {"\"outer_momentum\": 1", "s.json:3: settings.outer_momentum is 1, expected a number in [-1, 0.999999]"},
        {"\"steps\": \"fixd\"", "s.json:3: settings.steps is 'fixd'; did you mean 'fixed'?"},
        {"\"steps\": \"\"", "s.json:3: settings.steps is ''; there is 'automatic', 'fixed'"},
        {"\"steps\": 1", "s.json:3: settings.steps is not a text"},
        {"\"inner_momentum_reset\": 1", "s.json:3: settings.inner_momentum_reset is not true or false"},
        {"\"eta\": {}",
         "s.json:3: settings.eta is an object that has not one of list, range, log_range, draw, "
         "replicate and same_as"},
        {"\"eta\": {\"list\": [1], \"draw\": \"uniform\"}", "has not one of list"},
        {"\"eta\": {\"list\": [1], \"times\": 2}", "s.json:3: the key 'settings.eta.times' is unknown"},
        {"\"eta\": {\"list\": []}", "s.json:3: settings.eta.list is empty"},
        {"\"eta\": {\"list\": 1}", "s.json:3: settings.eta.list is not a list"},
        {"\"eta\": {\"list\": [1,\n2,\n-3]}", "s.json:5: settings.eta is -3, expected"},
        {"\"eta\": {\"list\": [0.1, 1, 1e-1]}", "s.json:3: settings.eta has 0.1 twice"},
        {"\"eta\": {\"range\": [1, 2]}", "s.json:3: settings.eta.range is not a list of from, to and count"},
        {"\"eta\": {\"range\": [1, 2, 1]}", "settings.eta.range is 1, expected a number in [2, 1e+06]"},
        {"\"eta\": {\"range\": [1, 2, 2.5]}", "settings.eta.range is 2.5, expected a whole number"},
        {"\"eta\": {\"range\": [0, 2, 2]}", "settings.eta.range is 0, expected"},
        {"\"eta\": {\"range\": [1, 1, 2]}", "settings.eta has 1 twice"},
        {"\"tol_gap\": {\"log_range\": [0, 2, 2]}", "s.json:3: settings.tol_gap.log_range goes through 0"},
        {"\"inner_steps\": {\"range\": [1, 3, 5]}", "s.json:3: settings.inner_steps has "},
        {"\"inner_steps\": {\"range\": [1, 2.5, 2]}", "settings.inner_steps.range has 2.5, expected whole numbers"},
        {"\"steps\": {\"range\": [0, 1, 2]}", "s.json:3: settings.steps is no number: it has no range"},
        {"\"inner_steps\": {\"draw\": \"uniform\", \"from\": 1, \"to\": 2}",
         "s.json:3: settings.inner_steps cannot be drawn: it is the same for a whole batch"},
        {"\"eta\": {\"draw\": \"unifrom\", \"from\": 1, \"to\": 2}",
         "s.json:3: settings.eta.draw is 'unifrom'; did you mean 'uniform'?"},
        {"\"eta\": {\"draw\": \"uniform\", \"from\": 1}", "s.json:3: settings.eta.to is missing"},
        {"\"eta\": {\"draw\": \"uniform\", \"from\": 3, \"to\": 2}", "s.json:3: settings.eta.from is above its 'to'"},
        {"\"tol_gap\": {\"draw\": \"log_uniform\", \"from\": 0, \"to\": 2}", "which log_uniform needs"},
        {"\"eta\": {\"replicate\": \"draw\"}", "s.json:3: settings.eta cannot be a replicate's number"},
        {"\"eta\": {\"same_as\": \"settings.epsilonn\"}",
         "s.json:3: the key 'settings.epsilonn' is unknown; did you mean 'settings.epsilon'?"},
        {"\"eta\": {\"same_as\": \"settings.eta\"}", "settings.eta is tied to settings.eta, which is tied itself"},
        {"\"eta\": {\"same_as\": \"settings.steps\"}", "settings.eta is tied to settings.steps, which is no number"},
        {"\"steps\": {\"same_as\": \"settings.eta\"}", "s.json:3: settings.steps is no number: it cannot be tied"},
        {"\"inner_steps\": {\"same_as\": \"settings.eta\"}", "settings.inner_steps is the same for a whole batch"},
        {"\"eta\": 2, \"epsilon\": {\"same_as\": \"settings.eta\", \"times\": -1}",
         "s.json:3: settings.epsilon would be -2, which it cannot"},
        {"\"inner_steps\": 5, \"outer_steps\": {\"same_as\": \"settings.inner_steps\", \"times\": 0.5}",
         "s.json:3: settings.outer_steps would be 2.5, which it cannot"},
    };
    for (const auto& c : cases) {
        const std::string message = refusal_of_settings(c.settings);
        EXPECT_TRUE(has(message, c.message)) << c.settings << "\n" << message;
        EXPECT_TRUE(message.starts_with("s.json:")) << message;
    }
}

TEST(spec_keys, what_is_missing_or_wrong_outside_the_settings_is_named) {
    const struct {
        std::string text;
        const char* message;
    } cases[] = {
        {"[]", "s.json:1: the spec is not an object"},
        {"{}", "s.json:1: cubome_sweep is missing"},
        {"\n{\"cubome_sweep\": 1}", "s.json:2: name is missing"},
        {"{\"cubome_sweep\": 2, \"name\": \"a\"}", "s.json:1: cubome_sweep is 2, expected a number in [1, 1]"},
        {"{\"cubome_sweep\": 1, \"name\": \"a\"}", "s.json:1: problem is missing"},
        {"{\"cubome_sweep\": 1, \"name\": \"a\", \"problem\": 1}", "s.json:1: problem is not an object"},
        {"{\"cubome_sweep\": 1,\n\"name\": \"a/b\"}", "s.json:2: name has letters other than"},
        {"{\"cubome_sweep\": 1,\n\"name\": \"..\"}", "s.json:2: name has letters other than"},
        {"{\"cubome_sweep\": 1, \"nam\": \"a\"}", "s.json:1: the key 'nam' is unknown; did you mean 'name'?"},
        {text_of(""), "s.json:2: problem.source is missing"},
        {text_of("\"source\": \"random_quadratic\""),
         "s.json:2: problem.source is 'random_quadratic'; did you mean 'random_quadratics'?"},
        {text_of("\"source\": \"else\""),
         "s.json:2: problem.source is 'else'; there is 'samples', 'arrays', "
         "'random_quadratics', 'random_coresets'"},
        {text_of("\"source\": \"samples\""), "s.json:2: problem.format is missing: of the files"},
        {text_of("\"source\": \"arrays\""), "s.json:2: problem.H is missing: .npy of"},
        {text_of(quadratics + ", \"dim \": 2"), "s.json:2: the key 'problem.dim ' is unknown; did you mean 'dim'?"},
        {text_of(quadratics + ", \"condition\": 0.5"), "s.json:2: problem.condition is 0.5, expected a number in [1, "},
        {text_of(quadratics, "", ", \"seed\": -1"), "s.json:3: seed is -1, expected a number in [0, 1e+15]"},
        {text_of(quadratics, "", ", \"seed\": 18446744073709551616"), "s.json:3: seed is 18446744073709551616, exp"},
        {text_of(quadratics, "", ", \"seed\": 1.5"), "s.json:3: seed is 1.5, expected a whole number"},
        {text_of(quadratics, "", ", \"precision\": \"half\""), "s.json:3: precision is 'half'; there is"},
        {text_of(quadratics, "", ", \"trace_interval\": \"1\""), "s.json:3: trace_interval is not a number"},
        {text_of(quadratics, "", ", \"replicates\": 3"), "s.json:3: replicates is not an object of names and counts"},
        {text_of(quadratics, "", ", \"replicates\": {\"draw\": 0}"), "s.json:3: replicates.draw is 0, expected"},
        {text_of(quadratics, "", ", \"replicates\": {\"\": 1}"), "s.json:3: replicates has a name that is none"},
        {text_of(quadratics, "", ", \"keep\": [\"refine\"]"), "s.json:3: keep is 'refine'; did you mean 'refined'?"},
        {text_of(quadratics, "", ", \"keep\": [\"refined\", \"refined\"]"), "s.json:3: keep has 'refined' twice"},
        {text_of(quadratics, "", ", \"keep\": [\"accuracy\"]"), "s.json:3: keep is 'accuracy'; there is"},
        {text_of(quadratics, "", ", \"rank_by\": \"outer_value\""), "rank_by is 'outer_value'"},
        {text_of(quadratics, "", ", \"keep\": [], \"rank_by\": \"refined_outer_value\""),
         "s.json:3: rank_by is 'refined_outer_value'; there is 'stationarity'"},
        {text_of(quadratics, "", ", \"zip\": [[\"settings.eta\"]]"), "s.json:3: zip has a list of less than two keys"},
        {text_of(quadratics, "", ", \"zip\": [[\"settings.eta\", \"settings.steps\"]]"),
         "s.json:3: zip: settings.eta has no list or range"},
        {text_of(quadratics, "\"eta\": {\"list\": [1, 2]}, \"epsilon\": {\"list\": [1, 2, 3]}",
                 ", \"zip\": [[\"settings.eta\", \"settings.epsilon\"]]"),
         "s.json:3: zip: settings.epsilon has 3 values, the first of its list 2"},
        {text_of(quadratics, "\"eta\": {\"list\": [1, 2]}", ", \"zip\": [[\"settings.eta\", \"settings.eta\"]]"),
         "s.json:3: zip has settings.eta twice"},
        {text_of(R"("source": "arrays", "H": "h.npy", "problem": {"replicate": "par"})", "",
                 ", \"replicates\": {\"pair\": 2}"),
         "s.json:2: problem.problem.replicate is 'par', which 'replicates' has not; did you mean 'pair'?"},
        {text_of(quadratics, "", ", \"replicates\": {\"a\": 2147483647, \"b\": 1024}"), "has more than 2^40 problems"},
        {text_of(quadratics, "\"inner_steps\": {\"range\": [1, 65537, 65537]}"), "has more than 65536 batches"},
    };
    for (const auto& c : cases) {
        const std::string message = refusal(c.text);
        EXPECT_TRUE(has(message, c.message)) << c.text << "\n" << message;
    }
    for (const char* const key : {"H", "b"})
        EXPECT_EQ(refusal(text_of(std::string(R"("source": "arrays", "H": "h", "b": "b", ")") +
                                  "inner_start\": " + (*key == 'H' ? "3" : "{\"draw\": \"uniform\"}"))),
                  *key == 'H' ? "s.json:2: problem.inner_start is not a text"
                              : "s.json:2: problem.inner_start cannot be drawn: it is no number");
}

TEST(spec_keys, paths_stay_below_the_folder) {
    const temporary_folder all;
    const std::string folder = all.path + "/in";
    std::filesystem::create_directories(folder + "/deep");
    std::filesystem::create_directories(all.path + "/in2");
    all.write("out.npy", "");
    all.write("in2/out.npy", "");
    all.write("in/h.npy", "");
    std::filesystem::create_symlink("../out.npy", folder + "/link.npy");
    std::filesystem::create_directory_symlink("..", folder + "/up");
    std::filesystem::create_symlink("h.npy", folder + "/good.npy");
    const auto with = [&](const std::string& path) {
        return refusal(text_of("\"source\": \"arrays\", \"H\": \"" + path + "\""), folder);
    };
    for (const char* const good : {"h.npy", "good.npy", "deep/../h.npy", "./h.npy", "not/there.npy", "..h.npy"})
        EXPECT_EQ(with(good), "is accepted") << good;
    EXPECT_EQ(with("/etc/passwd"), "s.json:2: problem.H is '/etc/passwd', expected a path below the spec's folder");
    EXPECT_EQ(with(folder + "/h.npy").find("s.json:2: problem.H is '/"), 0u);
    for (const char* const bad : {"..", "../out.npy", "../in2/out.npy", "deep/../../out.npy", "link.npy", "up/out.npy",
                                  "up/in2/out.npy", "not/../../there"})
        EXPECT_EQ(with(bad), "s.json:2: problem.H is '" + std::string(bad) + "', which leads out of the spec's folder");
    EXPECT_EQ(with("h.npy\\u0000"), "s.json:2: problem.H holds a zero byte");
}

TEST(spec_keys, absent_ones_are_as_the_library_has_them) {
    const sweep_spec spec = spec_of(text_of("\"source\": \"random_coresets\""));
    EXPECT_EQ(spec.num_problems(), 1);
    EXPECT_EQ(spec.seed, 0u);
    EXPECT_FALSE(spec.is_double);
    const cubome::settings<float> absent, read = settings_of<float>(spec, 0);
    EXPECT_EQ(read.outer_steps, 1000);
    EXPECT_EQ(read.outer_steps, absent.outer_steps);
    EXPECT_EQ(read.inner_steps, absent.inner_steps);
    EXPECT_EQ(read.refine_steps, absent.refine_steps);
    EXPECT_EQ(read.barrier, absent.barrier);
    EXPECT_EQ(read.steps, absent.steps);
    EXPECT_EQ(read.box, absent.box);
    EXPECT_EQ(read.inner_momentum_reset, absent.inner_momentum_reset);
    for (const auto& [name, member] : setting_members<float>())
        EXPECT_EQ((read.*member).value(), (absent.*member).value()) << name;
}

// ---- axes and points

TEST(spec_points, grids_have_the_values_that_were_written) {
    const sweep_spec spec = quadratics_with(
        R"("eta": {"range": [0.1, 0.9, 5]}, "epsilon": {"log_range": [0.001, 1, 4]}, "inner_steps": {"list": [10, 1]},
           "refine_steps": {"log_range": [1, 1000, 4]}, "tol_gap": {"range": [1, 0, 4]},
           "inner_momentum_reset": {"list": [false, true]}, "barrier": {"list": ["value_gap", "gradient_norm"]})");
    EXPECT_EQ(labels(spec, "settings.eta"), (strings{"0.1", "0.3", "0.5", "0.7", "0.9"}));
    EXPECT_EQ(labels(spec, "settings.epsilon"), (strings{"0.001", "0.01", "0.1", "1"}));
    EXPECT_EQ(labels(spec, "settings.inner_steps"), (strings{"10", "1"}));
    EXPECT_EQ(labels(spec, "settings.refine_steps"), (strings{"1", "10", "100", "1000"}));
    EXPECT_EQ(labels(spec, "settings.tol_gap"), (strings{"1", "0.666667", "0.333333", "0"}));
    EXPECT_EQ(labels(spec, "settings.inner_momentum_reset"), (strings{"false", "true"}));
    EXPECT_EQ(labels(spec, "settings.barrier"), (strings{"value_gap", "gradient_norm"}));
    EXPECT_EQ(spec.num_problems(), 5 * 4 * 2 * 4 * 4 * 2 * 2);
    EXPECT_EQ(spec.num_batches(), 2 * 4 * 2 * 2);
}

TEST(spec_points, batches_are_outermost_then_replicates_then_the_rest) {
    const sweep_spec spec = spec_of(
        text_of(quadratics + R"(, "condition": {"list": [2, 3]})",
                R"("eta": {"list": [0.1, 0.2, 0.3]}, "inner_steps": {"list": [1, 2]}, "outer_steps": {"list": [5, 6]},
                   "tol_gap": {"list": [1, 2]}, "box": {"list": ["clip", "free_set"]})",
                R"(, "zip": [["settings.tol_gap", "settings.box"]], "replicates": {"b": 2, "a": 3})"));
    strings names;
    for (const sweep_axis& a : spec.axes) names.push_back(a.name + (a.is_of_batch ? "!" : a.is_replicate ? "*" : ""));
    EXPECT_EQ(names, (strings{"settings.outer_steps!", "settings.inner_steps!", "settings.box!", "replicates.b*",
                              "replicates.a*", "problem.condition", "settings.eta"}));
    EXPECT_EQ(spec.num_batches(), 8);
    EXPECT_EQ(spec.problems_per_batch(), 2 * 3 * 2 * 3);
    ASSERT_EQ(spec.num_problems(), 8 * 36);

    std::set<std::vector<std::int32_t>> places;
    for (std::int64_t i = 0; i < spec.num_problems(); ++i) {
        const sweep_point at = spec.point(i);
        EXPECT_EQ(at.index, i);
        std::int64_t back = 0;
        for (std::size_t a = 0; a < spec.axes.size(); ++a) {
            EXPECT_TRUE(at.places[a] >= 0 && at.places[a] < spec.axes[a].size);
            back = back * spec.axes[a].size + at.places[a];
        }
        EXPECT_EQ(back, i);
        places.insert(at.places);
        // Zipped: both at one place.
        EXPECT_EQ(spec.value(spec.find("settings.box"), at).text,
                  spec.value(spec.find("settings.tol_gap"), at).text == "1" ? "clip" : "free_set");
        EXPECT_EQ(spec.integer(spec.find("settings.outer_steps"), at), i < 4 * 36 ? 5 : 6);
        EXPECT_EQ(spec.number(spec.find("settings.eta"), at),
                  (numbers{0.1, 0.2, 0.3}[static_cast<std::size_t>(i % 3)]));
    }
    EXPECT_EQ(static_cast<std::int64_t>(places.size()), spec.num_problems());
}

TEST(spec_points, zipped_values_may_come_twice) {
    const sweep_spec spec = quadratics_with(
        R"("steps": {"list": ["automatic", "fixed", "fixed"]}, "outer_step_size": {"list": [0, 0.05, 0.5]},
           "inner_step_size": {"same_as": "settings.outer_step_size", "times": 2})",
        R"(, "zip": [["settings.steps", "settings.outer_step_size"]])");
    ASSERT_EQ(spec.num_problems(), 3);
    EXPECT_EQ(spec.num_batches(), 3);
    for (std::int64_t i = 0; i < 3; ++i) {
        const sweep_point at = spec.point(i);
        EXPECT_EQ(spec.value(spec.find("settings.steps"), at).text, i == 0 ? "automatic" : "fixed");
        const double size = numbers{0, 0.05, 0.5}[static_cast<std::size_t>(i)];
        EXPECT_EQ(spec.number(spec.find("settings.inner_step_size"), at), 2 * size);
        EXPECT_EQ(spec.value(spec.find("settings.inner_step_size"), at).number, 2 * size);
    }
    EXPECT_EQ(spec.value(spec.find("settings.inner_step_size"), spec.point(1)).text, "0.1");
    EXPECT_EQ(spec.possible(spec.find("settings.inner_step_size")), (numbers{0, 0.1, 1}));
}

TEST(spec_points, drawn_numbers_are_the_replicates_own) {
    const auto with = [](const std::string& more, const char* rest) {
        return quadratics_with(R"("eta": {"draw": "uniform", "from": 0.25, "to": 0.5},
            "epsilon": {"draw": "log_uniform", "from": 0.001, "to": 1000}, "tol_gap": {"same_as": "settings.eta",
            "times": 4})" + more,
                               rest);
    };
    const sweep_spec spec = with(R"(, "inner_steps": {"list": [1, 2]}, "rel_tol_gap": {"list": [0, 1]})",
                                 R"(, "replicates": {"draw": 400})");
    std::map<std::int32_t, std::pair<double, double>> of_replicate;
    const auto size_of = [&](const sweep_spec& s, const char* key, std::int64_t i) {
        return s.number(s.find(key), s.point(i));
    };
    int num_low = 0;
    for (std::int64_t i = 0; i < spec.num_problems(); ++i) {
        const std::pair drawn(size_of(spec, "settings.eta", i), size_of(spec, "settings.epsilon", i));
        const auto [at, is_new] = of_replicate.emplace(spec.point(i).places[1], drawn);
        EXPECT_EQ(at->second, drawn);
        EXPECT_TRUE(drawn.first >= 0.25 && drawn.first <= 0.5);
        EXPECT_TRUE(drawn.second >= 0.001 && drawn.second <= 1000);
        EXPECT_EQ(size_of(spec, "settings.tol_gap", i), 4 * drawn.first);
        num_low += is_new && drawn.second < 1;
    }
    EXPECT_EQ(of_replicate.size(), 400u);
    EXPECT_TRUE(num_low > 150 && num_low < 250) << num_low;
    EXPECT_NE(of_replicate[0], of_replicate[1]);

    // Nothing of the grids in them, but the seed and the replicates' names.
    const sweep_spec plain = with("", R"(, "replicates": {"draw": 5})");
    EXPECT_EQ(size_of(plain, "settings.eta", 4), of_replicate[4].first);
    const sweep_spec other_seed = with("", R"(, "replicates": {"draw": 5}, "seed": 1)");
    EXPECT_NE(size_of(other_seed, "settings.eta", 4), of_replicate[4].first);
    const sweep_spec other_name = with("", R"(, "replicates": {"again": 5})");
    EXPECT_NE(size_of(other_name, "settings.eta", 4), of_replicate[4].first);
}

TEST(spec_points, a_key_may_be_a_replicates_number) {
    const sweep_spec spec =
        spec_of(text_of(R"("source": "arrays", "H": "h", "problem": {"replicate": "p"})",
                        R"("inner_steps": {"list": [1, 2]})", R"(, "replicates": {"q": 2, "p": 3})"));
    for (std::int64_t i = 0; i < 12; ++i) {
        EXPECT_EQ(spec.integer(spec.find("problem.problem"), spec.point(i)), i % 3);
        EXPECT_EQ(spec.value(spec.find("problem.problem"), spec.point(i)).text, std::to_string(i % 3));
    }
    EXPECT_EQ(spec.possible(spec.find("problem.problem")), (numbers{0, 2}));
}

// ---- keys of specs

TEST(spec_identity, changes_with_all_that_changes_results) {
    const std::string settings = R"("eta": {"list": [0.1, 0.5]}, "inner_steps": 3, "tol_gap": 0)";
    const std::string rest = R"(, "replicates": {"a": 2, "b": 2}, "seed": 5)";
    const std::uint64_t key = quadratics_with(settings, rest).key();

    // Neither the name nor how it is written.
    std::string text = text_of(quadratics, settings, rest);
    text.replace(text.find("\"n\""), 3, "\"other\"");
    EXPECT_EQ(spec_of(text).key(), key);
    for (std::size_t at = 0; (at = text.find(": ", at)) != std::string::npos; at += 4) text.replace(at, 2, "\n:\t ");
    EXPECT_EQ(spec_of(text).key(), key);
    EXPECT_EQ(sweep_spec(text, "other.json", "/elsewhere").key(), key);
    EXPECT_EQ(quadratics_with(R"("tol_gap": -0, "inner_steps": 3e0, "eta": {"list": [1e-1, 0.50]})", rest).key(), key);
    EXPECT_EQ(quadratics_with(settings + R"(, "outer_steps": 1000)", rest).key(), key) << "a default";
    EXPECT_EQ(quadratics_with(settings, rest + R"(, "rank_by": "stationarity")").key(), key);

    std::set<std::uint64_t> keys = {key};
    const auto differs = [&](const std::string& s, const std::string& r, const std::string& p = quadratics) {
        EXPECT_TRUE(keys.insert(spec_of(text_of(p, s, r)).key()).second) << p << s << r;
    };
    differs(settings, R"(, "replicates": {"a": 2, "b": 2}, "seed": 6)");
    differs(settings, R"(, "replicates": {"a": 2, "b": 3}, "seed": 5)");
    differs(settings, R"(, "replicates": {"b": 2, "a": 2}, "seed": 5)");
    differs(settings, R"(, "replicates": {"a": 2, "c": 2}, "seed": 5)");
    differs(settings, rest + R"(, "precision": "double")");
    differs(settings, rest + R"(, "trace_interval": 5)");
    differs(settings, rest + R"(, "keep": [])");
    differs(settings, rest + R"(, "keep": ["suboptimality"])");
    differs(settings, rest + R"(, "keep": ["variables"])");
    differs(settings, rest, quadratics + R"(, "condition": 31)");
    differs(settings, rest, R"("source": "random_coresets", "dim": 2)");
    differs(R"("eta": {"list": [0.5, 0.1]}, "inner_steps": 3)", rest);
    differs(R"("eta": {"list": [0.1, 0.6]}, "inner_steps": 3)", rest);
    differs(R"("eta": {"list": [0.1, 0.5, 0.6]}, "inner_steps": 3)", rest);
    differs(R"("eta": {"draw": "uniform", "from": 0.1, "to": 0.5}, "inner_steps": 3)", rest);
    differs(R"("eta": {"draw": "log_uniform", "from": 0.1, "to": 0.5}, "inner_steps": 3)", rest);
    differs(R"("eta": {"draw": "uniform", "from": 0.1, "to": 0.6}, "inner_steps": 3)", rest);
    differs(settings + R"(, "epsilon": {"same_as": "settings.eta"})", rest);
    differs(settings + R"(, "epsilon": {"same_as": "settings.eta", "times": 2})", rest);
    differs(settings + R"(, "inner_momentum_reset": false)", rest);
    differs(settings + R"(, "box": "clip")", rest);
}

TEST(spec_identity, every_problem_has_a_key_of_its_own) {
    const sweep_spec spec = quadratics_with(R"("eta": {"list": [0.1, 0.5]}, "inner_steps": {"list": [1, 2]})",
                                            R"(, "replicates": {"a": 3})");
    std::set<std::uint64_t> keys;
    for (std::int64_t i = 0; i < 12; ++i) keys.insert(spec.problem_key(spec.point(i)));
    EXPECT_EQ(keys.size(), 12u);
}

// ---- random numbers

TEST(spec_draws, philox_has_its_known_answers) {
    using philox = r123::Philox4x32;
    const auto zero = philox()(philox::ctr_type{{0, 0, 0, 0}}, philox::key_type{{0, 0}});
    EXPECT_EQ((std::vector<std::uint32_t>(zero.begin(), zero.end())),
              (std::vector<std::uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    const std::uint32_t f = 0xffffffff;
    const auto ones = philox()(philox::ctr_type{{f, f, f, f}}, philox::key_type{{f, f}});
    EXPECT_EQ((std::vector<std::uint32_t>(ones.begin(), ones.end())),
              (std::vector<std::uint32_t>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    // The same words come out of a stream.
    draw_stream random(0, 0);
    const std::set<std::uint64_t> words = {random.next(), random.next()};
    EXPECT_EQ(words, (std::set<std::uint64_t>{0xe169c58d6627e8d5, 0x9b00dbd8bc57ac4c}));
    EXPECT_EQ(draw_stream(3, 4).next(), draw_stream(3, 4).next());
    EXPECT_NE(draw_stream(3, 4).next(), draw_stream(3, 5).next());
    EXPECT_NE(draw_stream(3, 4).next(), draw_stream(4, 4).next());
    EXPECT_NE(draw_stream(3, 4).next(), draw_stream(3, std::uint64_t{4} << 32).next());
}

TEST(spec_draws, have_the_distributions_they_say) {
    constexpr int count = 400000;
    draw_stream random(20240501, 3);
    const auto moments = [&](auto draw) {
        numbers sums(4, 0);
        for (int i = 0; i < count; ++i) {
            const double x = draw();
            for (std::size_t p = 0; p < 4; ++p) sums[p] += std::pow(x, static_cast<double>(p + 1)) / count;
        }
        return sums;
    };
    const numbers u = moments([&] {
        const double x = random.uniform();
        EXPECT_TRUE(x >= 0 && x < 1);
        return x - 0.5;
    });
    EXPECT_NEAR(u[0], 0, 5 * 0.2887 / std::sqrt(count));
    EXPECT_NEAR(u[1], 1.0 / 12, 0.001);
    EXPECT_NEAR(u[3], 1.0 / 80, 0.0005);
    const numbers n = moments([&] { return random.normal(); });
    EXPECT_NEAR(n[0], 0, 5 / std::sqrt(count));
    EXPECT_NEAR(n[1], 1, 5 * std::sqrt(2.0 / count));
    EXPECT_NEAR(n[2], 0, 5 * std::sqrt(15.0 / count));
    EXPECT_NEAR(n[3], 3, 5 * std::sqrt(96.0 / count));
    std::vector<int> hits(7);
    for (int i = 0; i < 70000; ++i) ++hits.at(random.below(7));
    for (const int h : hits) EXPECT_NEAR(h, 10000, 5 * std::sqrt(10000 * 6.0 / 7));
    EXPECT_EQ(random.below(1), 0u);
    for (int i = 0; i < 1000; ++i) {
        const double x = random.uniform(-3, 5), y = random.log_uniform(1e-3, 1e3);
        EXPECT_TRUE(x >= -3 && x <= 5 && y >= 0.999e-3 && y <= 1.001e3);
    }
}

TEST(spec_draws, distinct_numbers_are_distinct) {
    draw_stream random(1, 1);
    std::map<std::uint32_t, int> first;
    for (int i = 0; i < 5000; ++i) {
        const auto drawn = draw_distinct(10, static_cast<std::uint32_t>(1 + i % 10), random);
        const std::set<std::uint32_t> different(drawn.begin(), drawn.end());
        ASSERT_EQ(different.size(), 1u + static_cast<unsigned>(i % 10));
        ASSERT_LT(*different.rbegin(), 10u);
        ++first[drawn.back()];
    }
    for (const auto& [x, times] : first) EXPECT_NEAR(times, 500, 110) << x;
    EXPECT_TRUE(draw_distinct(5, 0, random).empty());
    // Fewer of them are the beginning of more.
    draw_stream one(9, 9), other(9, 9);
    const auto few = draw_distinct(100, 5, one), many = draw_distinct(100, 50, other);
    EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

// ---- sources

TEST(spec_sources, equal_replicates_have_equal_problems_under_every_setting) {
    const temporary_folder folder;
    sample_set().write(folder);
    for (const std::string& problem : {quadratics, std::string(R"("source": "random_coresets")"), csv_samples})
        for (const char* const precision : {"float", "double"}) {
            const sweep_spec spec =
                spec_of(text_of(problem, R"("eta": {"list": [0.1, 0.5]}, "inner_steps": {"list": [1, 2, 3]})",
                                R"(, "replicates": {"a": 2, "b": 3}, "precision": ")" + std::string(precision) + "\""),
                        folder.path);
            std::map<std::pair<int, int>, made_problem> of_replicates;
            for (std::int64_t i = 0; i < spec.num_problems(); ++i) {
                const sweep_point at = spec.point(i);
                const made_problem made = make(spec, i);
                const auto& first = of_replicates.emplace(std::pair(at.places[1], at.places[2]), made).first->second;
                EXPECT_TRUE(first == made) << problem << i;
            }
            ASSERT_EQ(of_replicates.size(), 6u);
            for (auto a = of_replicates.begin(); a != of_replicates.end(); ++a)
                for (auto b = std::next(a); b != of_replicates.end(); ++b) EXPECT_FALSE(a->second == b->second);
        }
}

TEST(spec_sources, more_values_and_grids_change_no_problem_that_was_there) {
    const temporary_folder folder;
    sample_set().write(folder);
    const struct {
        std::string problem, more_of_problem;
    } sources[] = {{quadratics, R"(, "condition": {"list": [7, 30]})"},
                   {R"("source": "random_coresets")", R"(, "scale": {"list": [2, 1]})"},
                   {csv_samples, R"(, "pair": {"list": [2, 0]}, "flip_rate": {"list": [0.2, 0]})"}};
    for (const auto& [problem, more] : sources) {
        const prepared_sweep few(spec_of(
            text_of(
                problem, R"("outer_steps": 20, "eta": {"list": [0.1, 0.5]}, "epsilon": {"draw": "uniform",
                    "from": 0.01, "to": 0.02})",
                R"(, "replicates": {"draw": 2}, "keep": ["refined", "curvature", "variables"], "trace_interval": 5)"),
            folder.path));
        const prepared_sweep many(spec_of(
            text_of(
                problem + more, R"("outer_steps": 20, "eta": {"list": [0.7, 0.5, 0.1]}, "inner_steps": {"list":
                    [3, 10]}, "epsilon": {"draw": "uniform", "from": 0.01, "to": 0.02})",
                R"(, "replicates": {"draw": 3}, "keep": ["refined", "curvature", "variables"], "trace_interval": 5)"),
            folder.path));
        std::map<std::uint64_t, std::string> of_key;
        for (const auto& [i, record] : records_of(many))
            EXPECT_TRUE(of_key.emplace(many.spec().problem_key(many.spec().point(i)), record).second);
        ASSERT_EQ(static_cast<std::int64_t>(of_key.size()), many.spec().num_problems());
        const auto records = records_of(few);
        ASSERT_EQ(records.size(), 4u);
        for (const auto& [i, record] : records) {
            const auto same = of_key.find(few.spec().problem_key(few.spec().point(i)));
            ASSERT_NE(same, of_key.end()) << problem;
            EXPECT_EQ(same->second, record) << problem;
        }
    }
}

TEST(spec_sources, random_quadratics_are_what_they_say) {
    const sweep_spec spec = spec_of(text_of(R"("source": "random_quadratics", "dim": 5, "condition": 20, "spread": 0)",
                                            "", R"(, "replicates": {"a": 20}, "precision": "double")"));
    draw_stream random(1, 2);
    for (std::int64_t i = 0; i < 20; ++i) {
        made_problem made = make(spec, i);
        const numbers& h = made.arrays["H"];
        double trace = 0;
        for (std::size_t r = 0; r < 5; ++r) {
            trace += h[r * 5 + r];
            for (std::size_t c = 0; c < 5; ++c) {
                EXPECT_EQ(h[r * 5 + c], h[c * 5 + r]);
                EXPECT_EQ(made.arrays["P"][r * 5 + c], r == c ? 1 : 0);
                EXPECT_EQ(made.arrays["S"][r * 5 + c], r == c ? 0.01 : 0);
            }
        }
        EXPECT_TRUE(trace > 1 && trace < 5);
        for (int direction = 0; direction < 50; ++direction) {
            numbers x(5);
            double square = 0, along = 0;
            for (double& a : x) a = random.normal(), square += a * a;
            for (std::size_t r = 0; r < 5; ++r)
                for (std::size_t c = 0; c < 5; ++c) along += x[r] * h[r * 5 + c] * x[c];
            EXPECT_TRUE(along / square > 0.05 - 1e-9 && along / square < 1 + 1e-9) << along / square;
        }
        EXPECT_EQ(made.outer, numbers(5, 0));
    }
}

TEST(spec_sources, suboptimality_is_1_at_the_start_and_0_at_the_solution) {
    const char* const rest = R"(, "replicates": {"a": 5}, "precision": "double")";
    const std::string problem = R"("source": "random_quadratics", "dim": 3, "condition": 5, "spread": 1)";
    const prepared_sweep start(spec_of(text_of(problem, R"("outer_steps": 0)", rest)));
    for (const auto& [i, record] : records_of(start)) EXPECT_EQ(field_of(start, record, "suboptimality"), 1) << i;
    const prepared_sweep later(spec_of(text_of(problem, R"("outer_steps": 3000)", rest)));
    for (const auto& [i, record] : records_of(later)) {
        EXPECT_GT(field_of(later, record, "suboptimality"), -1e-9) << i;
        EXPECT_LT(field_of(later, record, "suboptimality"), 0.5) << i;
    }
}

TEST(spec_sources, samples_are_the_same_whatever_the_format) {
    const temporary_folder folder;
    sample_set().write(folder);
    const std::string rest = R"(, "train": 20, "validation": 7, "held_out": 12, "pair": {"list": [0, 1, 2]})";
    const sweep_spec csv = spec_of(
        text_of(R"("source": "samples", "format": "csv", "file": "s.csv")" + rest, "", R"(, "replicates": {"a": 2})"),
        folder.path);
    const sweep_spec npy_spec =
        spec_of(text_of(R"("source": "samples", "format": "npy", "file": "x.npy", "labels": "y.npy")" + rest, "",
                        R"(, "replicates": {"a": 2})"),
                folder.path);
    const sweep_spec libsvm = spec_of(text_of(R"("source": "samples", "format": "libsvm", "file": "s.libsvm")" + rest,
                                              "", R"(, "replicates": {"a": 2})"),
                                      folder.path);
    for (std::int64_t i = 0; i < 6; ++i) {
        const made_problem made = make(csv, i);
        EXPECT_TRUE(made == make(npy_spec, i));
        EXPECT_TRUE(made == make(libsvm, i));
        EXPECT_EQ(made.arrays.at("train_x").size(), 20u * 5);
        EXPECT_EQ(made.arrays.at("validation_x").size(), 7u * 5);
        EXPECT_EQ(made.arrays.at("held_out_x").size(), 12u * 5);
        for (std::size_t r = 0; r < 20; ++r) {
            EXPECT_EQ(made.arrays.at("train_y")[r], r % 2 == 0 ? -1 : 1);
            EXPECT_EQ(made.arrays.at("train_x")[r * 5 + 4], 1);
        }
    }
    EXPECT_EQ(prepared_sweep(csv).data_key(), prepared_sweep(npy_spec).data_key());
    folder.write("y.npy", npy({120}, numbers(120, 1)));
    EXPECT_NE(message_of([&] { prepared_sweep p(npy_spec); }), "is accepted") << "one class";
}

TEST(spec_sources, samples_are_drawn_once_each) {
    const temporary_folder folder;
    sample_set set;
    set.write(folder);
    // As they are, so that they can be told apart; 18 + 12 + 10 are all that two classes of 20 have.
    const sweep_spec spec =
        spec_of(text_of(R"("source": "samples", "format": "csv", "file": "s.csv", "train": 36, "validation": 24,
                           "held_out": 20, "standardise": "none")"),
                folder.path);
    const made_problem made = make(spec, 0);
    std::set<numbers> rows;
    for (const char* const part : {"train", "validation", "held_out"}) {
        const numbers &x = made.arrays.at(std::string(part) + "_x"), &y = made.arrays.at(std::string(part) + "_y");
        for (std::size_t r = 0; r < y.size(); ++r) {
            const numbers row(x.begin() + static_cast<std::ptrdiff_t>(r * 5),
                              x.begin() + static_cast<std::ptrdiff_t>(r * 5 + 4));
            EXPECT_TRUE(rows.insert(row).second);
            bool is_there = false;
            for (std::size_t s = 0; s < set.labels.size(); ++s)
                is_there = is_there || (set.labels[s] == (y[r] < 0 ? 0 : 1) &&
                                        std::equal(row.begin(), row.end(),
                                                   set.features.begin() + static_cast<std::ptrdiff_t>(4 * s)));
            EXPECT_TRUE(is_there);
        }
    }
    EXPECT_EQ(rows.size(), 80u);
    const auto too_few = [&](const char* sizes) {
        return message_of([&] {
            prepared_sweep p(
                spec_of(text_of(R"("source": "samples", "format": "csv", "file": "s.csv", )" + std::string(sizes)),
                        folder.path));
        });
    };
    EXPECT_EQ(too_few(R"("train": 36, "validation": 24, "held_out": 21)"),
              "s.json:2: problem.train and the other sets take more samples than class 0 has");
    EXPECT_EQ(too_few(R"("train": 36, "validation": 4, "held_out": 21, "held_out_file": "s.csv")"), "is accepted");
    EXPECT_TRUE(has(too_few(R"("train": 4, "validation": 4, "held_out": 4, "pair": 3)"),
                    "problem.pair is up to 3, but there are 3 classes, 3 pairs"));
    EXPECT_TRUE(has(too_few(R"("train": 4, "validation": 4, "held_out": 4, "label_column": "no")"), "column 'no'"));
    EXPECT_TRUE(has(too_few(R"("train": 4, "validation": 4, "held_out": 4, "weights": "none")"), "problem.weights"));
}

TEST(spec_sources, files_of_samples_are_one_thing_for_a_whole_spec) {
    const temporary_folder folder;
    sample_set().write(folder);
    const std::string sizes = R"(, "train": 4, "validation": 4, "held_out": 4)";
    const auto prepare = [&](const std::string& problem) {
        return message_of(
            [&] { prepared_sweep p(spec_of(text_of(R"("source": "samples", )" + problem + sizes), folder.path)); });
    };
    EXPECT_EQ(prepare(R"("format": "csv", "file": {"list": ["s.csv", "t.csv"]})"),
              "s.json:2: problem.file cannot be swept");
    EXPECT_EQ(prepare(R"("file": "s.csv", "format": {"list": ["csv", "npy"]})"),
              "s.json:2: problem.format cannot be swept");
    EXPECT_EQ(prepare(R"("format": "csv")"), "s.json:2: problem.file is missing, which this format needs");
    EXPECT_EQ(prepare(R"("format": "npy", "file": "x.npy")"),
              "s.json:2: problem.labels is missing, which this format needs");
    EXPECT_EQ(prepare(R"("format": "npy", "file": "x.npy", "labels": "y.npy", "held_out_file": "x.npy")"),
              "s.json:2: problem.held_out_labels is missing, which this format needs");
    folder.write("two.csv", "a,b,label,c,d\n1,2,0,3,4\n1,2,1,3,4\n");
    EXPECT_EQ(prepare(R"("format": "csv", "file": "s.csv", "held_out_file": "two.csv")"),
              "s.json:2: problem.held_out_file has other features or classes than problem.file");
    folder.write("big.csv", "a,label\n1e39,0\n1,1\n");
    EXPECT_TRUE(
        has(prepare(R"("format": "csv", "file": "big.csv")"), "a feature is beyond the numbers that float has"));
    EXPECT_TRUE(
        has(prepare(R"("format": "npy", "file": "y.npy", "labels": "y.npy")"), "is not of [samples, features]"));
    EXPECT_TRUE(has(prepare(R"("format": "npy", "file": "x.npy", "labels": "x.npy")"), "is not one label for each"));
}

TEST(spec_sources, exactly_so_many_labels_are_flipped) {
    const temporary_folder folder;
    sample_set().write(folder);
    const sweep_spec spec = spec_of(
        text_of(R"("source": "samples", "format": "csv", "file": "s.csv", "train": 15, "validation": 4, "held_out": 6,
                   "flip_rate": {"list": [0, 0.03, 0.1, 0.25, 0.4, 0.5, 1]})",
                "", R"(, "replicates": {"a": 4})"),
        folder.path);
    const std::size_t rates = spec.keys[spec.find("problem.flip_rate")].values.size();
    std::set<numbers> different;
    for (std::int64_t i = 0; i < spec.num_problems(); ++i) {
        const made_problem plain = make(spec, i - i % static_cast<std::int64_t>(rates)), made = make(spec, i);
        const double rate = spec.number(spec.find("problem.flip_rate"), spec.point(i));
        long flips = 0;
        for (std::size_t r = 0; r < 15; ++r) {
            const double before = plain.arrays.at("train_y")[r], now = made.arrays.at("train_y")[r];
            EXPECT_EQ(std::abs(now), 1);
            flips += before != now;
        }
        EXPECT_EQ(flips, std::lround(rate * 15)) << rate;
        EXPECT_EQ(made.arrays.at("train_x"), plain.arrays.at("train_x"));
        EXPECT_EQ(made.arrays.at("validation_y"), plain.arrays.at("validation_y"));
        EXPECT_EQ(made.arrays.at("held_out_y"), plain.arrays.at("held_out_y"));
        if (rate == 0.4) different.insert(made.arrays.at("train_y"));
    }
    EXPECT_GT(different.size(), 1u);
}

TEST(spec_sources, training_samples_have_mean_0_and_deviation_1) {
    const temporary_folder folder;
    sample_set().write(folder);
    const sweep_spec spec = spec_of(
        text_of(R"("source": "samples", "format": "csv", "file": "s.csv", "train": 20, "validation": {"list": [4, 8]},
                   "held_out": 6, "standardise": {"list": ["overall", "per_feature"]}, "unit": {"list": [1, 3]},
                   "penalty": 0.5)",
                "", R"(, "replicates": {"a": 2}, "precision": "double")"),
        folder.path);
    std::map<std::pair<int, int>, numbers> of_scaling;
    for (std::int64_t i = 0; i < spec.num_problems(); ++i) {
        const made_problem made = make(spec, i);
        const numbers& x = made.arrays.at("train_x");
        const sweep_point at = spec.point(i);
        const double unit = spec.number(spec.find("problem.unit"), at);
        const bool is_per_feature = spec.integer(spec.find("problem.standardise"), at) == 1;
        const auto check = [&](std::size_t from, std::size_t to) {
            double sum = 0, squares = 0;
            for (std::size_t r = 0; r < 20; ++r)
                for (std::size_t c = from; c < to; ++c) sum += x[r * 5 + c], squares += x[r * 5 + c] * x[r * 5 + c];
            const double count = 20.0 * static_cast<double>(to - from);
            EXPECT_NEAR(sum / count, 0, 1e-12);
            EXPECT_NEAR(squares / count, unit * unit, 1e-12);
        };
        if (is_per_feature) {
            for (std::size_t c = 0; c < 3; ++c) check(c, c + 1);
            for (std::size_t r = 0; r < 20; ++r) EXPECT_EQ(x[r * 5 + 3], 0) << "a feature that is the same for all";
        } else {
            check(0, 4);
        }
        for (std::size_t r = 0; r < 20; ++r) EXPECT_EQ(x[r * 5 + 4], 1);
        EXPECT_EQ(made.arrays.at("penalty"), numbers(4, 0.5 * unit * unit));
        // Validation samples come behind them: their number changes nothing here.
        const std::pair which(is_per_feature ? 1 : 0, static_cast<int>(unit) + 10 * at.places[2]);
        EXPECT_EQ(of_scaling.emplace(which, x).first->second, x);
    }
}

TEST(spec_sources, arrays_are_shared_or_of_each_problem) {
    const temporary_folder folder;
    const numbers c = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, b = {-1, -2, -3, -4};
    folder.write("h.npy", npy({2, 2}, {2, 1, 1, 3}));
    folder.write("c.npy", npy({2, 3, 2}, c));
    folder.write("b.npy", npy({2, 2}, b));
    folder.write("v.npy", npy({3}, {0.1, 0.2, 0.3}));
    folder.write("t.npy", npy({2, 2}, {1, 2, 3, 4}));
    folder.write("rank1.npy", npy({4}, {1, 2, 3, 4}));
    folder.write("big.npy", npy({2, 2}, {2, 1, 1, 1e39}));
    folder.write("none.npy", npy({0, 2}, {}));
    const auto text = [](const std::string& arrays, const std::string& rest = R"(, "replicates": {"p": 2})") {
        return text_of(R"("source": "arrays", "problem": {"replicate": "p"}, )" + arrays, R"("outer_steps": 5)", rest);
    };
    const std::string good =
        R"("H": "h.npy", "C": "c.npy", "b": "b.npy", "outer_start": "v.npy", "inner_start": "t.npy")";
    const sweep_spec spec = spec_of(text(good), folder.path);
    data_store store;
    const auto source = make_source<float>(spec, spec.point(0), store);
    EXPECT_EQ(source->arrays(), (strings{"C", "b"}));
    EXPECT_EQ(source->problem().outer_dim(), 3);
    EXPECT_EQ(source->problem().inner_dim(), 2);
    for (std::int64_t p = 0; p < 2; ++p) {
        const made_problem made = make(spec, *source, p);
        EXPECT_EQ(made.arrays.at("C"), numbers(c.begin() + 6 * p, c.begin() + 6 * p + 6));
        EXPECT_EQ(made.arrays.at("b"), numbers(b.begin() + 2 * p, b.begin() + 2 * p + 2));
        EXPECT_EQ(made.outer, (numbers{0.1f, 0.2f, 0.3f}));
        EXPECT_EQ(made.inner, (p == 0 ? numbers{1, 2} : numbers{3, 4}));
    }
    EXPECT_EQ(records_of(prepared_sweep(spec)).size(), 2u);

    const auto refused = [&](const std::string& arrays, const std::string& message,
                             const std::string& rest = R"(, "replicates": {"p": 2})") {
        const std::string found = message_of([&] { prepared_sweep p(spec_of(text(arrays, rest), folder.path)); });
        EXPECT_TRUE(has(found, message)) << arrays << "\n" << found;
    };
    refused(R"("H": "rank1.npy", "C": "c.npy")", "s.json:2: problem.H has rank 1, expected 2, or one more");
    refused(R"("H": "h.npy", "C": "c.npy", "b": "c.npy")", "s.json:2: problem.b has rank 3, expected 1, or one more");
    refused(R"("H": "h.npy", "C": "h.npy", "b": "v.npy")", "s.json:2: problem.b has extents [3], expected [2]");
    refused(R"("H": "h.npy", "C": "c.npy", "S": "h.npy")", "s.json:2: problem.S has extents [2, 2], expected [3, 3]");
    refused(R"("H": "h.npy", "C": "c.npy", "inner_start": "v.npy")", "problem.inner_start has not one number for each");
    refused(R"("H": "h.npy")", "problem.C is missing");
    refused(R"("H": "", "C": "c.npy")", "problem.H is missing");
    refused(R"("H": "")", "problem.H is missing");
    refused(R"("H": "big.npy", "C": "c.npy")", "s.json:2: problem.H has a number beyond those of the spec's precision");
    refused(R"("H": "h.npy", "C": "c.npy", "b": "none.npy")", "s.json:2: problem.b has no problem");
    refused(good, "problem.C has 2 problems, but problem.problem is up to 2", R"(, "replicates": {"p": 3})");
    refused(R"("H": {"list": ["h.npy", "t.npy"]}, "C": "c.npy")", "s.json:2: problem.H cannot be swept");
    refused(R"("H": "absent.npy", "C": "c.npy")", "absent.npy");
}

// ---- records

TEST(spec_records, do_not_depend_on_shards_chunks_or_threads) {
    const temporary_folder folder;
    sample_set().write(folder);
    const std::string settings =
        R"("outer_steps": 12, "inner_steps": {"list": [1, 4]}, "eta": {"list": [0.1, 0.5, 1]})";
    const std::string rest = R"(, "replicates": {"a": 5}, "keep": ["refined", "curvature", "variables"],
        "trace_interval": 4)";
    for (const std::string& problem : {quadratics, csv_samples}) {
        const prepared_sweep sweep(spec_of(text_of(problem, settings, rest), folder.path));
        ASSERT_EQ(sweep.spec().num_problems(), 30);
        const auto whole = records_of(sweep);
        ASSERT_EQ(whole.size(), 30u);
        for (const auto& [i, record] : whole)
            EXPECT_EQ(static_cast<std::int64_t>(record.size()), sweep.layout(i / 15).bytes());
        for (const std::int64_t per_chunk : {1, 4, 7, 100})
            for (const int num_threads : {1, 3}) {
                EXPECT_EQ(records_of(sweep, {{0, 30}}, per_chunk, num_threads), whole);
            }
        for (const std::int64_t count : {2, 4}) {
            std::map<std::int64_t, std::string> together;
            std::int64_t next = 0;
            for (std::int64_t part = 0; part < count; ++part) {
                const cubome::sweep_range range = shard{part, count}.of(30);
                EXPECT_EQ(range.first, next);
                next += range.count;
                together.merge(records_of(sweep, {range}, 3));
            }
            EXPECT_EQ(next, 30);
            EXPECT_EQ(together, whole);
        }
        const auto some = records_of(sweep, {{1, 2}, {14, 2}, {29, 1}});
        EXPECT_EQ(some.size(), 5u);
        for (const auto& [i, record] : some) EXPECT_EQ(record, whole.at(i));
    }
}

TEST(spec_records, shards_are_every_problem_once) {
    for (const std::int64_t total : {std::int64_t{1}, std::int64_t{7}, std::int64_t{1} << 40})
        for (const std::int64_t count : {1, 3, 8, 1000000}) {
            EXPECT_EQ((shard{0, count}.of(total).first), 0);
            const cubome::sweep_range last = shard{count - 1, count}.of(total),
                                      middle = shard{count / 2, count}.of(total);
            EXPECT_EQ(last.first + last.count, total);
            EXPECT_LE(middle.count, total / count + 1);
            EXPECT_GE(middle.count, total / count);
        }
}

TEST(spec_records, what_stands_for_the_rules_own_cannot_vary_within_a_batch) {
    const auto prepare = [](const std::string& settings) {
        return message_of([&] { prepared_sweep p(quadratics_with(settings)); });
    };
    EXPECT_TRUE(has(prepare(R"("epsilon": {"list": [0, 1]})"), "s.json:3: settings.epsilon may be 0"));
    EXPECT_TRUE(
        has(prepare(R"("outer_momentum": {"list": [-1, 0.5]})"), "s.json:3: settings.outer_momentum may be -1"));
    EXPECT_EQ(prepare(R"("epsilon": {"list": [0.5, 1]}, "outer_momentum": {"list": [0, 0.5]})"), "is accepted");
}

TEST(spec_records, a_folder_of_results_shows_them_again) {
    const temporary_folder folder;
    folder.write("spec.json",
                 text_of(quadratics, R"("outer_steps": 10, "eta": {"list": [0.1, 0.5]})",
                         R"(, "replicates": {"a": 3}, "keep": ["refined", "suboptimality", "variables"])"));
    cubome::sweep_execution on;
    on.solve.where = cubome::backend::cpu;
    on.solve.num_threads = 1;
    strings folders;
    for (std::int64_t part = 0; part < 2; ++part) {
        folders.push_back(folder.path + "/part" + std::to_string(part));
        sweep_run run = sweep_run::begin(folder.path + "/spec.json", folders.back(), {part, 2}, on, system_files());
        EXPECT_EQ(run.num_missing(), 3);
        run.run();
    }
    const prepared_sweep sweep(sweep_spec(read_text(folder.path + "/spec.json"), "spec.json", folder.path));
    const auto whole = records_of(sweep);
    const folder_results results(folders, false);
    EXPECT_EQ(results.num_problems, 6);
    EXPECT_EQ(results.num_present, 6);
    EXPECT_EQ(results.num_damaged(), 0);
    std::int64_t next = 0;
    results.for_each_whole([&](const folder_results::whole_row& shown) {
        EXPECT_EQ(shown.row.index, next);
        const std::string& record = whole.at(next++);
        for (std::size_t f = 0; f < results.fields.size(); ++f)
            EXPECT_EQ(shown.row.values[f], field_of(sweep, record, results.fields[f].name)) << results.fields[f].name;
        EXPECT_EQ(shown.outer.size(), 2u);
        EXPECT_EQ(shown.inner.size(), 2u);
        const sweep_point at = sweep.spec().point(shown.row.index);
        for (std::size_t p = 0; p < results.parameters.size(); ++p)
            if (results.parameters[p].name == "settings.eta") {
                EXPECT_EQ(shown.row.numbers[p], sweep.spec().number(sweep.spec().find("settings.eta"), at));
            }
    });
    EXPECT_EQ(next, 6);
    EXPECT_NE(message_of([&] { folder_results({folders[0], folders[0]}, false); }), "is accepted") << "one twice";
}

TEST(spec_records, a_run_that_was_stopped_goes_on_to_the_same_bytes) {
    const temporary_folder folder;
    folder.write("spec.json", text_of(quadratics, R"("outer_steps": 10, "inner_steps": {"list": [1, 2]})",
                                      R"(, "replicates": {"a": 6}, "trace_interval": 5)"));
    cubome::sweep_execution on;
    on.solve.where = cubome::backend::cpu;
    on.solve.num_threads = 1;
    const std::string spec = folder.path + "/spec.json", whole = folder.path + "/whole", cut = folder.path + "/cut";
    sweep_run::begin(spec, whole, {0, 1}, on, system_files()).run();
    const std::string log = read_text(whole + "/results.log");
    { sweep_run::begin(spec, cut, {0, 1}, on, system_files()); }
    for (const double part : {0.3, 0.6, 0.95}) {
        folder.write("cut/results.log",
                     log.substr(0, static_cast<std::size_t>(part * static_cast<double>(log.size()))));
        sweep_run run = sweep_run::resume(cut, on, system_files());
        EXPECT_TRUE(run.num_missing() > 0 && run.num_missing() <= 12) << part;
        run.run();
        EXPECT_EQ(read_text(cut + "/results.log"), log) << part;
    }
    EXPECT_TRUE(has(message_of([&] {
                        sweep_run::begin(spec, cut, {0, 1}, on, system_files());
                    }),
                    "has results already: 'cubome resume"));
    std::string changed = read_text(cut + "/spec.json");
    changed.replace(changed.find("10"), 2, "11");
    folder.write("cut/spec.json", changed);
    EXPECT_TRUE(has(message_of([&] { sweep_run::resume(cut, on, system_files()); }),
                    "has results of another spec or of other data"));
}

TEST(spec_manifest, is_read_as_it_was_written) {
    manifest m;
    m.name = "a b";
    m.version = "1.2";
    m.build = "0123";
    m.spec_key = 0xfedcba9876543210;
    m.own_spec_key = 1;
    m.backend = "cpu";
    m.instructions = "avx2";
    m.folder = "../\"ä\\";
    m.part = {2, 5};
    m.dims = {{3, 4}, {5, 6}};
    const std::string text = m.to_json();
    const manifest read = manifest::read(text, "m.json");
    EXPECT_EQ(read.to_json(), text);
    EXPECT_EQ(read.spec_key, m.spec_key);
    EXPECT_EQ(read.own_spec_key, 1u);
    EXPECT_EQ(read.folder, m.folder);
    EXPECT_EQ(read.part.number, 2);
    EXPECT_EQ(read.part.count, 5);
    EXPECT_EQ(read.dims, m.dims);

    m.folder = "../\xe9";
    EXPECT_TRUE(has(message_of([&] { m.to_json(); }), "is the spec's folder, whose name is not UTF-8"));

    const auto with = [&](const std::string& from, const std::string& to) {
        std::string changed = text;
        const auto at = changed.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        changed.replace(at, from.size(), to);
        return message_of([&] { manifest::read(changed, "m.json"); });
    };
    EXPECT_TRUE(has(with("\"name\"", "\"nome\""), "is no manifest of results: 'name' is not there or no such thing"));
    EXPECT_TRUE(has(with("\"cubome_results\": 1", "\"cubome_results\": 2"), "another version of this format"));
    EXPECT_TRUE(has(with("\"cubome_results\": 1", "\"cubome_results\": \"1\""), "is no manifest of results"));
    EXPECT_TRUE(has(with("fedcba9876543210", "FEDCBA9876543210"), "m.json:6: has a 'key' that is no key"));
    EXPECT_TRUE(has(with("fedcba9876543210", "fedcba987654321"), "has a 'key' that is no key"));
    EXPECT_TRUE(has(with("0000000000000001", "0x00000000000001"), "has a 'spec' that is no key"));
    EXPECT_TRUE(has(with("    2,\n    5", "    5,\n    5"), "has a shard that is none"));
    EXPECT_TRUE(has(with("    2,\n    5", "    0,\n    0"), "has a shard that is none"));
    EXPECT_TRUE(has(with("    2,\n    5", "    2"), "has a list that is no pair"));
    EXPECT_TRUE(has(with("    2,\n    5", "    -2,\n    5"), "has a number that is out of range"));
    EXPECT_TRUE(has(with("    2,\n    5", "    2.5,\n    5"), "has a number that is out of range"));
    EXPECT_TRUE(has(with("    2,\n    5", "    2,\n    1e300"), "has a number that is out of range"));
    EXPECT_TRUE(has(with("\"cpu\"", "1"), "is no manifest of results: 'backend'"));
    EXPECT_TRUE(has(message_of([&] { manifest::read(text.substr(0, text.size() / 2), "m.json"); }), "is not JSON"));
    for (const char* const other : {"[]", "3", "null", "{}"})
        EXPECT_TRUE(has(message_of([&] { manifest::read(other, "m.json"); }), "is no manifest of results")) << other;
    EXPECT_TRUE(has(message_of([&] {
                        std::string changed = text;
                        changed.replace(changed.find("\"dims\""), std::string::npos,
                                        "\"dims\": [{\"a\": 3, \"b\": 4}]}");
                        manifest::read(changed, "m.json");
                    }),
                    "has a list that is no pair"));
}

}  // namespace
