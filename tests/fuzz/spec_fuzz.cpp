// SPDX-License-Identifier: Apache-2.0

/// Fuzzes the readers of specs and of manifests with libFuzzer: an input is the text of either.
///
/// No problem is made or solved here, so that nothing is linked that would: what of it the sources below refer to is
/// left open, and is never called.
///
///     clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I. -Iinclude
///         host/command/{json,spec,sources,source_arrays,source_coresets,source_quadratics,source_samples}.cpp
///         tests/fuzz/spec_fuzz.cpp -no-pie -Wl,--unresolved-symbols=ignore-all -o spec_fuzz
///     ./spec_fuzz -max_total_time=300 corpus

#define CUBOME_BUILD_KEY "fuzz"
#include "host/command/run.cpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "host/command/json.hpp"
#include "host/command/spec.hpp"

namespace {

using namespace cubome::command;

#define REQUIRE(condition)                                                             \
    do {                                                                               \
        if (!(condition)) {                                                            \
            std::fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
            std::abort();                                                              \
        }                                                                              \
    } while (false)

/// A reader's result, where it does not refuse. Whatever else it throws ends the search.
template <class Read>
auto attempt(Read read) -> std::optional<decltype(read())> {
    try {
        return read();
    } catch (const spec_error& problem) {
        REQUIRE(std::string(problem.what()).starts_with("x"));
        REQUIRE(problem.line() >= 0);
        return std::nullopt;
    }
}

/// Whether a range has so many values that to go through them takes longer than the whole search should.
bool is_large(const json_node& node) {
    if (node.is == json_node::kind::list && node.list.size() == 3 && node.list[2].number > 2000) return true;
    return std::any_of(node.list.begin(), node.list.end(), is_large);
}

void check_point(const sweep_spec& spec, std::int64_t index) {
    const sweep_point at = spec.point(index);
    REQUIRE(at.index == index);
    REQUIRE(at.places.size() == spec.axes.size());
    std::int64_t back = 0;
    for (std::size_t a = 0; a < spec.axes.size(); ++a) {
        REQUIRE(at.places[a] >= 0 && at.places[a] < spec.axes[a].size);
        back = back * spec.axes[a].size + at.places[a];
    }
    REQUIRE(back == index);
    for (std::size_t k = 0; k < spec.keys.size(); ++k) {
        const key_rule& rule = *spec.keys[k].rule;
        const spec_value value = spec.value(k, at);
        if (rule.is == key_rule::kind::text || rule.is == key_rule::kind::path) {
            REQUIRE(std::isnan(value.number));
            continue;
        }
        REQUIRE(value.number == spec.number(k, at));
        if (rule.is == key_rule::kind::word) {
            REQUIRE(value.text == rule.words.at(static_cast<std::size_t>(value.number)));
        } else if (rule.is == key_rule::kind::flag) {
            REQUIRE(value.number == 0 || value.number == 1);
        } else {
            REQUIRE(value.number >= rule.least && value.number <= rule.most);
            REQUIRE(rule.is != key_rule::kind::integer || value.number == std::floor(value.number));
        }
    }
}

void check_spec(const std::string& text) {
    const auto read = [&] { return sweep_spec(text, "x", "/nonexistent"); };
    const std::optional<sweep_spec> spec = attempt(read);
    if (!spec) return;
    REQUIRE(!spec->axes.empty() || spec->num_problems() == 1);
    REQUIRE(spec->num_problems() >= 1);
    REQUIRE(spec->num_problems() <= std::int64_t{1} << 40);
    check_point(*spec, 0);
    check_point(*spec, spec->num_problems() / 2);
    check_point(*spec, spec->num_problems() - 1);
    REQUIRE(!spec->rank_by.empty());
    const sweep_spec again = read();
    REQUIRE(again.key() == spec->key());
    REQUIRE(again.problem_key(again.point(0)) == spec->problem_key(spec->point(0)));
}

void check_manifest(const std::string& text) {
    const auto read = attempt([&] { return manifest::read(text, "x"); });
    if (!read) return;
    REQUIRE(read->part.number >= 0 && read->part.number < read->part.count);
    const std::string written = read->to_json();
    REQUIRE(manifest::read(written, "x").to_json() == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto tree = attempt([&] { return parse_json(text, "x"); });
    if (tree && is_large(*tree)) return 0;
    check_spec(text);
    check_manifest(text);
    return 0;
}
