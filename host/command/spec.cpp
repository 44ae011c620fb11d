// SPDX-License-Identifier: Apache-2.0
#include "host/command/spec.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "host/command/sources.hpp"

namespace cubome::command {
namespace {

using kind = key_rule::kind;

constexpr double most_integer = 1e15;  // all integers up to it are numbers that JSON readers keep
constexpr std::int64_t most_values = 1000000;
constexpr std::int64_t most_problems = std::int64_t{1} << 40;
constexpr std::int64_t most_batches = 65536;  // each is planned, and a part of the log

/// The settings, as include/cubome/settings.hpp has them.
const std::vector<key_rule>& settings_rules() {
    // What a problem has of its own the library does not look at: here are its ranges, as float has them.
    constexpr double large = 1e30, small = 1e-30, below_one = 0.999999;
    static const std::vector<key_rule> rules = {
        {"outer_steps", kind::integer, "1000", 0, most_integer, {}, true, "K"},
        {"inner_steps", kind::integer, "10", 1, most_integer, {}, true, "T"},
        {"refine_steps", kind::integer, "-1", -1, most_integer, {}, true, "R; -1 means 10 T"},
        {"barrier", kind::word, "\"gradient_norm\"", 0, 0, {"gradient_norm", "value_gap"}, true, "form of the barrier"},
        {"steps", kind::word, "\"automatic\"", 0, 0, {"automatic", "fixed"}, true, "step rule"},
        {"box", kind::word, "\"free_set\"", 0, 0, {"free_set", "clip"}, true, "box rule"},
        {"inner_momentum_reset", kind::flag, "true", 0, 0, {}, true, "whether the inner momentum starts afresh"},
        {"outer_step_size", kind::number, "0", 0, large, {}, false, "moves v; with fixed steps"},
        {"inner_step_size", kind::number, "0", 0, large, {}, false, "moves theta; with fixed steps"},
        {"descent_step_size", kind::number, "0", 0, large, {}, false, "of the inner descent; with fixed steps"},
        {"outer_schedule", kind::number, "0", 0, 100, {}, false, "p: step k is outer_step_size (k+1)^-p"},
        {"inner_schedule", kind::number, "0", 0, 100, {}, false, "the same for inner_step_size"},
        {"outer_momentum", kind::number, "-1", -1, below_one, {}, false, "of v and theta; -1: the step rule's own"},
        {"inner_momentum", kind::number, "0", 0, below_one, {}, false, "of the inner descent"},
        {"eta", kind::number, "0.5", small, large, {}, false, "weight of the barrier"},
        {"epsilon", kind::number, "0", 0, large, {}, false, "keeps the multiplier finite; 0: the step rule's own"},
        {"tol_stationarity", kind::number, "0", 0, large, {}, false, "tolerance; 0: none"},
        {"tol_gap", kind::number, "0", 0, large, {}, false, "tolerance; 0: none"},
        {"rel_tol_stationarity", kind::number, "0", 0, large, {}, false, "tolerance in units of the first; 0: none"},
        {"rel_tol_gap", kind::number, "0", 0, large, {}, false, "tolerance in units of f; 0: none"},
    };
    return rules;
}

/// To six digits, so that a range has values that one can write.
double rounded(double x) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::general, 6).ptr;
    double result = 0;
    std::from_chars(text, end, result);
    return result;
}

/// How many letters have to be changed, added or taken away (Levenshtein).
std::size_t distance(const std::string& a, const std::string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t best = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
            diagonal = std::exchange(row[j], best);
        }
    }
    return row.back();
}

/// What may have been meant, to follow the rest of a message; else what there is.
std::string hint(const std::string& found, const std::vector<std::string>& known) {
    const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
        return distance(found, a) < distance(found, b);
    });
    if (nearest != known.end() && found.size() < 100 && distance(found, *nearest) <= 1 + found.size() / 3)
        return "; did you mean '" + *nearest + "'?";
    std::string text = "; there is";
    for (std::size_t i = 0; i < known.size(); ++i) text += (i == 0 ? " '" : ", '") + known[i] + "'";
    return text;
}

std::vector<std::string> names_of(const std::vector<key_rule>& rules) {
    std::vector<std::string> names;
    for (const key_rule& rule : rules) names.emplace_back(rule.name);
    return names;
}

bool is_name(const std::string& text) {
    return !text.empty() && text.size() <= 80 && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
               c == ' ' || c == '.';
    }) && text.front() != '.';
}

}  // namespace

std::string spell(double x) {
    if (std::isnan(x)) return "nan";
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

/// Turns the tree of a spec into a spec.
class spec_reader {
public:
    spec_reader(sweep_spec& spec, const std::string& text) : spec_(spec), root_(parse_json(text, spec.path)) {}

    void read() {
        expect(root_, json_node::kind::object, "the spec", "an object");
        known(root_, "",
              {"cubome_sweep", "name", "seed", "precision", "problem", "settings", "replicates", "zip", "keep",
               "trace_interval", "rank_by"});
        if (integer(need(root_, "cubome_sweep"), "cubome_sweep", 1, 1) != 1) return;
        spec_.name = text(need(root_, "name"), "name");
        if (!is_name(spec_.name))
            fail(root_.find("name")->line,
                 "name has letters other than a-z, A-Z, 0-9, '_', '-', '.' and ' ', or over 80");
        if (const json_node* x = root_.find("seed"))
            spec_.seed = static_cast<std::uint64_t>(integer(*x, "seed", 0, most_integer));
        if (const json_node* x = root_.find("precision"))
            spec_.is_double = word(*x, "precision", {"float", "double"}) == 1;
        if (const json_node* x = root_.find("trace_interval"))
            spec_.trace_interval = integer(*x, "trace_interval", 0, most_integer);

        read_replicates();
        const json_node& problem = need(root_, "problem");
        expect(problem, json_node::kind::object, "problem", "an object");
        std::vector<std::string> sources;
        for (const source_rules& s : all_sources()) sources.emplace_back(s.name);
        const std::string source = text(need(problem, "source", "problem."), "problem.source");
        const auto chosen = std::find(sources.begin(), sources.end(), source);
        if (chosen == sources.end())
            fail(problem.find("source")->line, "problem.source is '" + source + "'" + hint(source, sources));
        spec_.source = &all_sources()[static_cast<std::size_t>(chosen - sources.begin())];
        read_section(problem, "problem", spec_.source->keys);
        static const json_node empty{json_node::kind::object, 0, false, 0, "", {}, {}};
        const json_node* settings = root_.find("settings");
        if (settings != nullptr) expect(*settings, json_node::kind::object, "settings", "an object");
        read_section(settings != nullptr ? *settings : empty, "settings", settings_rules());
        resolve_ties();
        make_axes();
        read_keep();
    }

private:
    [[noreturn]] void fail(int line, const std::string& reason) const { throw spec_error(spec_.path, line, reason); }

    void expect(const json_node& node, json_node::kind is, const std::string& name, const char* what) const {
        if (node.is != is) fail(node.line, name + " is not " + what);
    }

    const json_node& need(const json_node& object, const char* name, const std::string& prefix = "") const {
        const json_node* found = object.find(name);
        if (found == nullptr) fail(object.line, prefix + name + " is missing");
        return *found;
    }

    void known(const json_node& object, const std::string& prefix, const std::vector<std::string>& names) const {
        for (std::size_t i = 0; i < object.names.size(); ++i) {
            const std::string& name = object.names[i];
            if (std::find(names.begin(), names.end(), name) == names.end())
                fail(object.list[i].line, "the key '" + prefix + name + "' is unknown" + hint(name, names));
        }
    }

    std::string text(const json_node& node, const std::string& name) const {
        expect(node, json_node::kind::text, name, "a text");
        return node.text;
    }

    double number(const json_node& node, const std::string& name, double least, double most) const {
        expect(node, json_node::kind::number, name, "a number");
        if (!(node.number >= least && node.number <= most))
            fail(node.line,
                 name + " is " + node.text + ", expected a number in [" + spell(least) + ", " + spell(most) + "]");
        return node.number == 0 ? 0 : node.number;  // not -0, which is written otherwise
    }

    std::int64_t integer(const json_node& node, const std::string& name, double least, double most) const {
        const double x = number(node, name, least, most);
        if (x != std::floor(x)) fail(node.line, name + " is " + node.text + ", expected a whole number");
        return static_cast<std::int64_t>(x);
    }

    std::size_t word(const json_node& node, const std::string& name, const std::vector<std::string>& words) const {
        const std::string found = text(node, name);
        const auto at = std::find(words.begin(), words.end(), found);
        if (at == words.end()) fail(node.line, name + " is '" + found + "'" + hint(found, words));
        return static_cast<std::size_t>(at - words.begin());
    }

    /// One value of a key.
    spec_value value(const json_node& node, const std::string& name, const key_rule& rule) const {
        switch (rule.is) {
            case kind::integer: {
                const std::int64_t x = integer(node, name, rule.least, rule.most);
                return {std::to_string(x), static_cast<double>(x)};
            }
            case kind::number: {
                const double x = number(node, name, rule.least, rule.most);
                return {spell(x), x};
            }
            case kind::word: {
                const std::vector<std::string> words(rule.words.begin(), rule.words.end());
                const std::size_t which = word(node, name, words);
                return {words[which], static_cast<double>(which)};
            }
            case kind::flag:
                expect(node, json_node::kind::flag, name, "true or false");
                return {node.flag ? "true" : "false", node.flag ? 1.0 : 0.0};
            case kind::text:
                return {text(node, name), std::numeric_limits<double>::quiet_NaN()};
            case kind::path: {
                const std::string path = text(node, name);
                check_path(node, name, path);
                return {path, std::numeric_limits<double>::quiet_NaN()};
            }
        }
        return {};
    }

    /// A path in a spec names something below the spec's folder, whoever wrote the spec.
    void check_path(const json_node& node, const std::string& name, const std::string& path) const {
        namespace fs = std::filesystem;
        if (path.empty()) return;
        if (path.find('\0') != std::string::npos) fail(node.line, name + " holds a zero byte");
        if (fs::path(path).is_absolute())
            fail(node.line, name + " is '" + path + "', expected a path below the spec's folder");
        std::error_code problem;
        const fs::path folder = fs::weakly_canonical(spec_.folder.empty() ? "." : spec_.folder, problem);
        const fs::path whole = fs::weakly_canonical(folder / path, problem);
        const fs::path inside = whole.lexically_relative(folder);
        if (problem || inside.empty() || *inside.begin() == "..")
            fail(node.line, name + " is '" + path + "', which leads out of the spec's folder");
    }

    void read_replicates() {
        const json_node* node = root_.find("replicates");
        if (node == nullptr) return;
        expect(*node, json_node::kind::object, "replicates", "an object of names and counts");
        for (std::size_t i = 0; i < node->names.size(); ++i) {
            const std::string& name = node->names[i];
            if (!is_name(name)) fail(node->list[i].line, "replicates has a name that is none");
            const std::int64_t count = integer(node->list[i], "replicates." + name, 1, 2147483647);
            spec_.axes.push_back({"replicates." + name, count, false, true});
        }
    }

    void read_section(const json_node& object, const std::string& section, const std::vector<key_rule>& rules) {
        std::vector<std::string> names = names_of(rules);
        if (section == "problem") names.emplace_back("source");
        known(object, section + ".", names);
        for (const key_rule& rule : rules) {
            spec_key key;
            key.name = section + "." + rule.name;
            key.rule = &rule;
            if (const json_node* node = object.find(rule.name)) {
                key.line = node->line;
                read_key(*node, key);
            } else {
                if (rule.otherwise == nullptr) fail(object.line, key.name + " is missing: " + rule.meaning);
                json_node otherwise = parse_json(rule.otherwise, spec_.path);
                otherwise.line = object.line;
                key.values.push_back(value(otherwise, key.name, rule));
            }
            spec_.keys.push_back(std::move(key));
        }
    }

    void read_key(const json_node& node, spec_key& key) {
        if (node.is != json_node::kind::object) {
            key.values.push_back(value(node, key.name, *key.rule));
            return;
        }
        const auto one_of = {"list", "range", "log_range", "draw", "replicate", "same_as"};
        const auto is_there = [&](const char* name) { return node.find(name) != nullptr; };
        if (std::count_if(one_of.begin(), one_of.end(), is_there) != 1)
            fail(node.line,
                 key.name + " is an object that has not one of list, range, log_range, draw, replicate and same_as");
        if (is_there("list")) {
            known(node, key.name + ".", {"list"});
            read_list(*node.find("list"), key);
        } else if (is_there("range") || is_there("log_range")) {
            known(node, key.name + ".", {"range", "log_range"});
            read_range(node, is_there("log_range"), key);
        } else if (is_there("draw")) {
            known(node, key.name + ".", {"draw", "from", "to"});
            read_draw(node, key);
        } else if (is_there("replicate")) {
            known(node, key.name + ".", {"replicate"});
            read_replicate(*node.find("replicate"), key);
        } else {
            known(node, key.name + ".", {"same_as", "times"});
            key.is = spec_key::kind::tied;
            ties_.emplace_back(key.name, text(*node.find("same_as"), key.name + ".same_as"));
            if (const json_node* times = node.find("times"))
                key.times = number(*times, key.name + ".times", -1e30, 1e30);
            if (key.rule->is != kind::number && key.rule->is != kind::integer)
                fail(node.line, key.name + " is no number: it cannot be tied");
        }
    }

    void read_list(const json_node& list, spec_key& key) {
        expect(list, json_node::kind::list, key.name + ".list", "a list");
        if (list.list.empty()) fail(list.line, key.name + ".list is empty");
        key.is = spec_key::kind::grid;
        for (const json_node& item : list.list) key.values.push_back(value(item, key.name, *key.rule));
    }

    void read_range(const json_node& node, bool is_log, spec_key& key) {
        const char* const form = is_log ? "log_range" : "range";
        const json_node& range = *node.find(form);
        const std::string name = key.name + "." + form;
        expect(range, json_node::kind::list, name, "a list of from, to and count");
        if (range.list.size() != 3) fail(range.line, name + " is not a list of from, to and count");
        if (key.rule->is != kind::number && key.rule->is != kind::integer)
            fail(range.line, key.name + " is no number: it has no range");
        const double from = number(range.list[0], name, key.rule->least, key.rule->most);
        const double to = number(range.list[1], name, key.rule->least, key.rule->most);
        const std::int64_t count = integer(range.list[2], name, 2, most_values);
        if (is_log && !(from > 0 && to > 0)) fail(range.line, name + " goes through 0");
        key.is = spec_key::kind::grid;
        for (std::int64_t i = 0; i < count; ++i) {
            const double t = static_cast<double>(i) / static_cast<double>(count - 1);
            double x = is_log ? cubome::exp(cubome::log(from) + t * (cubome::log(to) - cubome::log(from)))
                              : from + t * (to - from);
            if (key.rule->is == kind::integer) {
                x = i == 0 ? from : i == count - 1 ? to : std::round(x);
                if (x != std::floor(x)) fail(range.line, name + " has " + spell(x) + ", expected whole numbers");
                key.values.push_back({std::to_string(static_cast<std::int64_t>(x)), x});
            } else {
                const auto [least, most] = std::minmax(from, to);
                x = i == 0 ? from : i == count - 1 ? to : std::clamp(rounded(x), least, most);
                key.values.push_back({spell(x), x});
            }
        }
    }

    void read_draw(const json_node& node, spec_key& key) {
        if (key.rule->is_of_batch || key.rule->is != kind::number)
            fail(node.line, key.name + " cannot be drawn: it is " +
                                (key.rule->is_of_batch ? "the same for a whole batch" : "no number"));
        key.is = spec_key::kind::drawn;
        key.is_log = word(*node.find("draw"), key.name + ".draw", {"uniform", "log_uniform"}) == 1;
        key.from = number(need(node, "from", key.name + "."), key.name + ".from", key.rule->least, key.rule->most);
        key.to = number(need(node, "to", key.name + "."), key.name + ".to", key.rule->least, key.rule->most);
        if (!(key.from <= key.to)) fail(node.line, key.name + ".from is above its 'to'");
        if (key.is_log && !(key.from > 0)) fail(node.line, key.name + ".from is not above 0, which log_uniform needs");
    }

    void read_replicate(const json_node& node, spec_key& key) {
        if (key.rule->is_of_batch || key.rule->is != kind::integer)
            fail(node.line, key.name + " cannot be a replicate's number");
        const std::string name = text(node, key.name + ".replicate");
        std::vector<std::string> names;
        for (std::size_t i = 0; i < spec_.axes.size(); ++i) {
            names.push_back(spec_.axes[i].name.substr(std::strlen("replicates.")));
            if (names.back() != name) continue;
            const double last = static_cast<double>(spec_.axes[i].size - 1);
            if (key.rule->least > 0 || last > key.rule->most)
                fail(node.line,
                     key.name + " would be up to " + spell(last) + ", expected at most " + spell(key.rule->most));
            key.is = spec_key::kind::replicate;
            key.axis = i;
            return;
        }
        fail(node.line, key.name + ".replicate is '" + name + "', which 'replicates' has not" + hint(name, names));
    }

    std::size_t key_called(const std::string& name, int line) const {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < spec_.keys.size(); ++i) {
            if (spec_.keys[i].name == name) return i;
            names.push_back(spec_.keys[i].name);
        }
        fail(line, "the key '" + name + "' is unknown" + hint(name, names));
    }

    void resolve_ties() {
        for (const auto& [name, other] : ties_) {
            spec_key& key = spec_.keys[key_called(name, 0)];
            key.tied_to = key_called(other, key.line);
            const spec_key& to = spec_.keys[key.tied_to];
            if (to.is == spec_key::kind::tied)
                fail(key.line, key.name + " is tied to " + other + ", which is tied itself");
            if (to.rule->is != kind::number && to.rule->is != kind::integer)
                fail(key.line, key.name + " is tied to " + other + ", which is no number");
            if (key.rule->is_of_batch && !to.rule->is_of_batch)
                fail(key.line, key.name + " is the same for a whole batch, " + other + " is not");
            // All that it can become.
            const bool is_integer = key.rule->is == kind::integer;
            if (is_integer && to.is == spec_key::kind::drawn)
                fail(key.line, key.name + " is tied to " + other + ", which is drawn, and takes whole numbers alone");
            const auto check = [&](double tied) {
                if (!(tied >= key.rule->least && tied <= key.rule->most) || (is_integer && tied != std::floor(tied)))
                    fail(key.line, key.name + " would be " + spell(tied) + ", which it cannot");
            };
            for (const double x : spec_.possible(key.tied_to)) check(key.times * x);
            if (is_integer && to.is == spec_key::kind::replicate && spec_.axes[to.axis].size > 1) check(key.times);
        }
    }

    /// An axis for each grid, or for several that are zipped.
    void make_axes() {
        std::vector<std::int64_t> zip_of(spec_.keys.size(), -1);
        std::int64_t num_zips = 0;
        if (const json_node* zip = root_.find("zip")) {
            expect(*zip, json_node::kind::list, "zip", "a list of lists of keys");
            for (const json_node& group : zip->list) {
                expect(group, json_node::kind::list, "zip", "a list of lists of keys");
                if (group.list.size() < 2) fail(group.line, "zip has a list of less than two keys");
                std::size_t size = 0;
                for (const json_node& item : group.list) {
                    const std::size_t k = key_called(text(item, "zip"), item.line);
                    const spec_key& key = spec_.keys[k];
                    if (key.is != spec_key::kind::grid) fail(item.line, "zip: " + key.name + " has no list or range");
                    if (zip_of[k] >= 0) fail(item.line, "zip has " + key.name + " twice");
                    if (size != 0 && key.values.size() != size)
                        fail(item.line, "zip: " + key.name + " has " + std::to_string(key.values.size()) +
                                            " values, the first of its list " + std::to_string(size));
                    size = key.values.size();
                    zip_of[k] = num_zips;
                }
                ++num_zips;
            }
        }
        struct pending {
            sweep_axis axis;
            std::int64_t zip;
            std::vector<std::size_t> keys;
        };
        std::vector<pending> found;
        for (std::size_t k = 0; k < spec_.keys.size(); ++k) {
            const spec_key& key = spec_.keys[k];
            if (key.is != spec_key::kind::grid) continue;
            auto same = std::find_if(found.begin(), found.end(),
                                     [&](const pending& p) { return p.zip >= 0 && p.zip == zip_of[k]; });
            // Zipped with others, one value may come with several of theirs.
            std::set<std::string> seen;
            for (const spec_value& v : key.values)
                if (zip_of[k] < 0 && !seen.insert(v.text).second)
                    fail(key.line, key.name + " has " + v.text + " twice");
            if (same == found.end()) {
                const auto size = static_cast<std::int64_t>(key.values.size());
                same = found.insert(same, {{key.name, size, false, false}, zip_of[k], {}});
            }
            pending& p = *same;
            p.axis.is_of_batch = p.axis.is_of_batch || key.rule->is_of_batch;
            p.keys.push_back(k);
        }
        // Batches outermost, then replicates, then the rest.
        const std::vector<sweep_axis> replicates = std::exchange(spec_.axes, {});
        const auto add = [&](bool is_of_batch) {
            for (const pending& p : found) {
                if (p.axis.is_of_batch != is_of_batch) continue;
                for (const std::size_t k : p.keys) spec_.keys[k].axis = spec_.axes.size();
                spec_.axes.push_back(p.axis);
            }
        };
        add(true);
        const std::size_t num_batch_axes = spec_.axes.size();
        spec_.axes.insert(spec_.axes.end(), replicates.begin(), replicates.end());
        for (spec_key& key : spec_.keys)
            if (key.is == spec_key::kind::replicate) key.axis += num_batch_axes;
        add(false);
        double total = 1;
        for (const sweep_axis& a : spec_.axes) total *= static_cast<double>(a.size);
        if (total > static_cast<double>(most_problems)) fail(1, "has more than 2^40 problems");
        if (spec_.num_batches() > most_batches)
            fail(1, "has more than " + std::to_string(most_batches) +
                        " batches: keys that are the same for a whole batch have too many values");
    }

    void read_keep() {
        std::vector<std::string> names = {"refined", "curvature", "variables"};
        if (spec_.source->has_held_out) names.emplace_back("held_out");
        names.insert(names.end(), spec_.source->measures.begin(), spec_.source->measures.end());
        spec_.keeps_held_out = spec_.source->has_held_out;
        spec_.measures.assign(spec_.source->measures.begin(), spec_.source->measures.end());
        if (spec_.source->has_held_out) {
            // Not what no problem can have: without held-out samples, or without weights.
            const auto zeros = [&](const char* key) {
                const std::vector<double> values = spec_.possible(spec_.find(key));
                const auto count = static_cast<std::size_t>(std::count(values.begin(), values.end(), 0.0));
                return std::pair(count > 0, count == values.size());
            };
            const auto [some_without, all_without] = zeros("problem.held_out");
            spec_.keeps_held_out = !some_without;
            if (all_without) std::erase(spec_.measures, "accuracy");
            if (zeros("problem.weights").second) std::erase(spec_.measures, "flip_f1");
        }
        if (const json_node* keep = root_.find("keep")) {
            expect(*keep, json_node::kind::list, "keep", "a list of words");
            std::set<std::string> kept;
            for (const json_node& item : keep->list)
                if (!kept.insert(names[word(item, "keep", names)]).second)
                    fail(item.line, "keep has '" + item.text + "' twice");
            spec_.keeps_refined = kept.count("refined") > 0;
            spec_.keeps_curvature = kept.count("curvature") > 0;
            spec_.keeps_variables = kept.count("variables") > 0;
            spec_.keeps_held_out = kept.count("held_out") > 0;
            std::erase_if(spec_.measures, [&](const std::string& m) { return kept.count(m) == 0; });
        }
        // Never f at the iterate: it flatters settings that leave the inner problem unsolved.
        std::vector<std::string> ranks = spec_.measures;
        if (spec_.keeps_held_out) ranks.emplace_back("held_out");
        if (spec_.keeps_refined) ranks.emplace_back("refined_outer_value");
        ranks.emplace_back("stationarity");
        const json_node* rank = root_.find("rank_by");
        spec_.rank_by = rank != nullptr ? ranks[word(*rank, "rank_by", ranks)] : ranks.front();
    }

    sweep_spec& spec_;
    const json_node root_;
    std::vector<std::pair<std::string, std::string>> ties_;
};

sweep_spec::sweep_spec(const std::string& contents, const std::string& from, const std::string& in)
    : text(contents), path(from), folder(in) {
    spec_reader(*this, contents).read();
}

std::int64_t sweep_spec::num_batches() const {
    std::int64_t count = 1;
    for (const sweep_axis& a : axes) count *= a.is_of_batch ? a.size : 1;
    return count;
}

std::int64_t sweep_spec::problems_per_batch() const {
    std::int64_t count = 1;
    for (const sweep_axis& a : axes) count *= a.is_of_batch ? 1 : a.size;
    return count;
}

sweep_point sweep_spec::point(std::int64_t index) const {
    sweep_point at{index, std::vector<std::int32_t>(axes.size())};
    for (std::size_t a = axes.size(); a-- > 0;) {
        at.places[a] = static_cast<std::int32_t>(index % axes[a].size);
        index /= axes[a].size;
    }
    return at;
}

std::size_t sweep_spec::find(const std::string& key) const {
    const auto at = std::find_if(keys.begin(), keys.end(), [&](const spec_key& k) { return k.name == key; });
    return static_cast<std::size_t>(at - keys.begin());
}

draw_stream sweep_spec::draws(const char* stream, const sweep_point& at, std::uint64_t item) const {
    key_mixer mixer;
    mixer.add(seed).add(std::string_view(stream));
    for (std::size_t a = 0; a < axes.size(); ++a)
        if (axes[a].is_replicate) mixer.add(axes[a].name).add(static_cast<std::uint64_t>(at.places[a]));
    return {mixer.key(), item};
}

spec_value sweep_spec::value(std::size_t which, const sweep_point& at) const {
    const spec_key& key = keys[which];
    switch (key.is) {
        case spec_key::kind::fixed:
            return key.values.front();
        case spec_key::kind::grid:
            return key.values[static_cast<std::size_t>(at.places[key.axis])];
        case spec_key::kind::drawn: {
            draw_stream random = draws(key.name.c_str(), at);
            const double x = key.is_log ? random.log_uniform(key.from, key.to) : random.uniform(key.from, key.to);
            return {"", std::clamp(x, key.from, key.to)};  // rounding may lead out of it
        }
        case spec_key::kind::replicate:
            return {std::to_string(at.places[key.axis]), static_cast<double>(at.places[key.axis])};
        case spec_key::kind::tied: {
            const double x = number(which, at);
            return {spell(x), x};
        }
    }
    return {};
}

double sweep_spec::number(std::size_t which, const sweep_point& at) const {
    const spec_key& key = keys[which];
    if (key.is == spec_key::kind::fixed) return key.values.front().number;
    if (key.is == spec_key::kind::grid) return key.values[static_cast<std::size_t>(at.places[key.axis])].number;
    if (key.is == spec_key::kind::tied) return key.times * number(key.tied_to, at) + 0.0;  // not -0
    return value(which, at).number;
}

std::int64_t sweep_spec::integer(std::size_t which, const sweep_point& at) const {
    return static_cast<std::int64_t>(number(which, at));
}

std::vector<double> sweep_spec::possible(std::size_t which) const {
    const spec_key& key = keys[which];
    std::vector<double> result;
    for (const spec_value& v : key.values) result.push_back(v.number);
    if (key.is == spec_key::kind::drawn) result = {key.from, key.to};
    if (key.is == spec_key::kind::replicate) result = {0, static_cast<double>(axes[key.axis].size - 1)};
    if (key.is == spec_key::kind::tied) {
        result = possible(key.tied_to);
        for (double& x : result) x *= key.times;
    }
    return result;
}

namespace {

void add_value(key_mixer& mixer, const spec_value& v) {
    if (std::isnan(v.number))
        mixer.add(v.text);
    else
        mixer.add(bits_of(v.number));
}

}  // namespace

std::uint64_t sweep_spec::key() const {
    key_mixer mixer;
    mixer.add(seed).add(is_double).add(std::string_view(source->name));
    for (const sweep_axis& a : axes) mixer.add(a.name).add(static_cast<std::uint64_t>(a.size)).add(a.is_replicate);
    for (const spec_key& k : keys) {
        mixer.add(k.name).add(static_cast<std::uint64_t>(k.is)).add(k.values.size()).add(k.axis);
        for (const spec_value& v : k.values) add_value(mixer, v);
        mixer.add(bits_of(k.from)).add(bits_of(k.to)).add(k.is_log).add(k.tied_to).add(bits_of(k.times));
    }
    mixer.add(keeps_refined).add(keeps_curvature).add(keeps_held_out).add(keeps_variables);
    mixer.add(static_cast<std::uint64_t>(trace_interval)).add(measures.size());
    for (const std::string& m : measures) mixer.add(m);
    return mixer.key();
}

std::uint64_t sweep_spec::problem_key(const sweep_point& at) const {
    key_mixer mixer;
    mixer.add(seed).add(is_double).add(std::string_view(source->name));
    for (std::size_t a = 0; a < axes.size(); ++a)
        if (axes[a].is_replicate) mixer.add(axes[a].name).add(static_cast<std::uint64_t>(at.places[a]));
    for (std::size_t k = 0; k < keys.size(); ++k) {
        mixer.add(keys[k].name);
        add_value(mixer, value(k, at));
    }
    return mixer.add(static_cast<std::uint64_t>(trace_interval)).key();
}

}  // namespace cubome::command
