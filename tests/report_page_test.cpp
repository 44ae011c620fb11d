// SPDX-License-Identifier: Apache-2.0

// The page about a sweep, of results made up here: its numbers against sums of their own, and its text against what
// names, sizes and gaps in the data could do to it.
//
// With CUBOME_REPORT_PAGES=<folder> the pages of these sweeps are written there, to be looked at.

#include "host/command/report_page.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/command/page_charts.hpp"
#include "host/command/page_text.hpp"

namespace {

using namespace cubome::command;
using cubome::outcome;
using cubome::quantity;
using strings = std::vector<std::string>;
using kind = parameter::kind;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t five_megabytes = 5'000'000;

/// What a sweep says of one problem; its memory is used again for the next.
struct made_up_row {
    std::vector<std::int32_t> places;
    std::vector<double> numbers;
    cubome::outcome outcome = outcome::converged;
    cubome::quantity quantity = quantity::none;
    std::int64_t iterations = 0;
    std::vector<double> values;
    std::vector<double> trace;
    std::int64_t num_trace_rows = 0, trace_interval = 1;
};

/// A sweep over all combinations of its grids and replicates, the last parameter changing fastest.
class made_up_sweep : public sweep_results {
public:
    using maker = std::function<void(std::int64_t, made_up_row&)>;

    void grid(const std::string& named, const strings& labels, kind is = kind::grid) {
        parameter p{named, is, labels, {}};
        for (const std::string& label : labels) {
            char* end = nullptr;
            const double number = std::strtod(label.c_str(), &end);
            p.numbers.push_back(*end == 0 && !label.empty() ? number : nan);
        }
        parameters.push_back(std::move(p));
    }
    void replicates(const std::string& named, int count) {
        strings labels;
        for (int i = 0; i < count; ++i) labels.push_back(std::to_string(i));
        grid(named, labels, kind::replicate);
    }
    void drawn(const std::string& named) { parameters.push_back({named, kind::drawn, {}, {}}); }

    /// All problems are there, and this fills them in: places are set, the rest is empty.
    void make(maker how) {
        how_ = std::move(how);
        num_problems = 1;
        for (const parameter& p : parameters)
            if (p.is != kind::drawn && num_problems < 1'000'000'000)
                num_problems *= static_cast<std::int64_t>(p.labels.size());
        num_present = num_problems;
    }

    void for_each(const std::function<void(const problem_row&)>& visit) const override {
        made_up_row row;
        for (std::int64_t index = 0; index < num_present; ++index) {
            fill(index, row);
            problem_row view;
            view.index = index;
            view.places = row.places, view.numbers = row.numbers, view.values = row.values, view.trace = row.trace;
            view.outcome = row.outcome, view.quantity = row.quantity, view.iterations = row.iterations;
            view.num_trace_rows = row.num_trace_rows, view.trace_interval = row.trace_interval;
            visit(view);
        }
    }

    void fill(std::int64_t index, made_up_row& row) const {
        row.places.assign(parameters.size(), -1);
        row.numbers.assign(parameters.size(), nan);
        std::int64_t rest = index;
        for (std::size_t p = parameters.size(); p-- > 0;) {
            if (parameters[p].is == kind::drawn) continue;
            const auto size = static_cast<std::int64_t>(parameters[p].labels.size());
            row.places[p] = static_cast<std::int32_t>(rest % size);
            row.numbers[p] = parameters[p].numbers[static_cast<std::size_t>(rest % size)];
            rest /= size;
        }
        row.outcome = outcome::converged, row.quantity = quantity::none, row.iterations = 0;
        row.values.assign(fields.size(), nan);
        row.num_trace_rows = 0, row.trace.clear();
        how_(index, row);
    }

private:
    maker how_;
};

/// A number in [0, 1) that hangs on the two and nothing else.
double uniform(std::int64_t index, std::uint64_t which) {
    std::uint64_t x = static_cast<std::uint64_t>(index) * 0x9e3779b97f4a7c15u + which * 0xd1342543de82ef95u + 1;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    return static_cast<double>((x ^ (x >> 32)) >> 11) * 0x1p-53;
}

double normal(std::int64_t index, std::uint64_t which) {
    return std::sqrt(-2 * std::log(1 - uniform(index, which))) *
           std::cos(6.283185307179586 * uniform(index, which + 1));
}

/// What a sweep over settings and data could come to: η hardly matters, T does, and large steps fail.
made_up_sweep hypercleaning(int num_replicates, bool with_traces = true) {
    made_up_sweep s;
    s.name = "hypercleaning-fashion";
    s.made_by = "cubome 0.9.0, cpu backend, avx2, float, automatic step rule";
    s.spec =
        "# Data hyper-cleaning: which settings find the flipped labels?\n"
        "name = \"hypercleaning-fashion\"\nfamily = \"logistic\"\n\n"
        "[settings]\nouter_steps = 1000\neta = { grid = [0.1, 0.3, 0.5, 0.9] }\n"
        "inner_steps = { grid = [1, 5, 10, 20, 50] }\nbarrier = { grid = [\"gradient_norm\", \"value_gap\"] }\n"
        "outer_step_size = { log_uniform = [0.001, 1] }\n\n[data]\nflip_rate = { grid = [0.1, 0.2, 0.3, 0.4] }\n"
        "condition = { log_uniform = [1, 1000] }\n\n[replicates]\ndraw = " +
        std::to_string(num_replicates) + "\n";
    s.grid("settings.eta", {"0.1", "0.3", "0.5", "0.9"});
    s.grid("settings.inner_steps", {"1", "5", "10", "20", "50"});
    s.grid("settings.barrier", {"gradient_norm", "value_gap"});
    s.grid("settings.outer_steps", {"1000"});
    s.drawn("settings.outer_step_size");
    s.grid("data.flip_rate", {"0.1", "0.2", "0.3", "0.4"});
    s.drawn("data.condition");
    s.replicates("replicates.draw", num_replicates);
    s.fields = {{"held_out", true}, {"refined_outer_value", false}, {"refined_gap", false}, {"stationarity", false},
                {"gap", false},     {"outer_value", false}};
    if (with_traces) s.trace_fields = {"outer_value", "gap", "stationarity", "held_out"};
    s.hints = {
        "412 of 16,000 non_finite in θ⁽ᵗ⁾ near iteration 3: descent_step_size 0.3 is above 2/L̂_g ≈ 0.02; use "
        "step_rule::automatic",
        "3,120 made all steps: the median stationarity is 4.1e-6, 41 times tol_stationarity; double outer_steps"};
    s.make([with_traces](std::int64_t index, made_up_row& row) {
        constexpr std::array<double, 4> etas = {0.1, 0.3, 0.5, 0.9};
        constexpr std::array<double, 5> steps = {1, 5, 10, 20, 50};
        const double eta = etas[static_cast<std::size_t>(row.places[0])];
        const double inner = steps[static_cast<std::size_t>(row.places[1])];
        const bool is_value_gap = row.places[2] == 1;
        const double flips = 0.1 * (1 + row.places[5]);
        const double step = std::pow(10, -3 + 3 * uniform(index, 1));
        const double condition = std::pow(10, 3 * uniform(index, 2));
        row.numbers[4] = step, row.numbers[6] = condition;
        const double miss = std::pow(std::log10(step / 0.08), 2);
        const double quality = 0.93 - 0.22 * flips * flips - 0.028 * miss - 0.09 / (1 + inner) - 0.002 * eta -
                               (is_value_gap ? 0.012 : 0) - 0.006 * std::log10(condition) + 0.012 * normal(index, 3);
        const double speed = 3 + 9 * std::min(1.0, step / 0.1) + 2 * uniform(index, 5);
        const double floor = 1e-7 * std::pow(10, 1.2 * normal(index, 7));
        const bool diverges = step > 0.25 && uniform(index, 9) < (is_value_gap ? 0.42 : 0.2) * (inner > 15 ? 1.8 : 1);
        const bool ascends = !diverges && condition > 600 && inner < 4 && uniform(index, 10) < 0.4;
        const double stationarity = floor + std::exp(-speed * 1.2);
        row.iterations = static_cast<std::int64_t>(std::min(1000.0, 4000 / speed * (0.6 + 0.8 * uniform(index, 11))));
        row.outcome = stationarity < 1e-6 && row.iterations < 1000 ? outcome::converged : outcome::step_limit;
        if (row.outcome == outcome::step_limit) row.iterations = 1000;
        if (diverges) {
            row.outcome = outcome::non_finite;
            row.quantity = uniform(index, 12) < 0.7 ? quantity::descent : quantity::update;
            row.iterations = 3 + static_cast<std::int64_t>(40 * uniform(index, 13));
        } else if (ascends) {
            row.outcome = outcome::descent_diverged;
        } else if (uniform(index, 14) < 0.002) {
            row.outcome = outcome::no_curvature, row.iterations = 0;
        }
        row.values = {diverges ? nan : std::min(quality, 0.99),
                      0.2 + 1.5 * flips + 2 * (0.93 - quality),
                      floor * 3 / inner,
                      stationarity,
                      floor * 4 / inner,
                      0.19 + 1.5 * flips};
        if (!with_traces) return;
        row.num_trace_rows = 101, row.trace_interval = 10;
        row.trace.assign(4 * 101, nan);
        for (std::int64_t r = 0; r * 10 <= row.iterations; ++r) {
            const auto at = static_cast<std::size_t>(r);
            const double k = static_cast<double>(r * 10) / 1000;
            row.trace[at] = row.values[5] + 1.2 * std::exp(-speed * 3 * k);
            row.trace[101 + at] = row.values[4] + 0.3 * std::exp(-speed * 6 * k);
            row.trace[202 + at] = stationarity + 2.0 / (1 + 2000 * k * k) * std::exp(-speed * 1.5 * k);
            row.trace[303 + at] = std::isnan(row.values[0]) ? nan : row.values[0] - 0.35 * std::exp(-speed * 4 * k);
        }
    });
    return s;
}

/// Names and texts that try to be more than text.
made_up_sweep hostile() {
    made_up_sweep s;
    s.name = "</title><script>alert('name')</script>";
    s.made_by = "v1 \"quoted\" & <b>bold</b>";
    s.spec = "<!-- --><script>alert(1)</script>\nlabel = \"</script><img src=x onerror=alert(2)>\"\n]]> \xff\xfe " +
             std::string(1, '\0') + " θ ∇ 漢字";
    s.grid("settings.<script>alert(3)</script>", {"</script>", "\"><svg onload=alert(4)>", "'single'", "漢字 θ⁽ᵗ⁾"});
    s.grid("settings.\" onmouseover=\"alert(5)", {"a&b", "\xc3\x28 broken", "\xe2\x80\xa8line\xe2\x80\xa9", ""});
    s.drawn("data.</script><script>alert(6)</script>");
    s.replicates("replicates.<i>", 6);
    s.fields = {{"<script>metric</script>", false}, {"</script>\"'", true}};
    s.trace_fields = {"</script><script>trace", "\\u003c/script\\"};
    s.hints = {"use <b>automatic</b> & \"see\" </script>"};
    s.make([](std::int64_t index, made_up_row& row) {
        row.numbers[2] = normal(index, 1);
        row.outcome = index % 7 == 0 ? outcome::cancelled : outcome::step_limit;
        row.iterations = 5;
        row.values = {row.places[0] + 0.1 * uniform(index, 2), uniform(index, 3)};
        row.num_trace_rows = 6, row.trace_interval = 1;
        for (int i = 0; i < 12; ++i) row.trace.push_back(std::exp(-i % 6));
    });
    return s;
}

std::string written(const std::string& named, const std::string& page) {
    if (const char* folder = std::getenv("CUBOME_REPORT_PAGES")) {
        std::ofstream file(std::string(folder) + "/" + named + ".html", std::ios::binary);
        file << page;
        EXPECT_TRUE(file.good()) << folder;
    }
    return page;
}

// --- reading a page

bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == ':';
}

/// What is wrong with the page's tags, or nothing: every one is closed in its turn, attributes are quoted and stand
/// once, ids are unique, and no tag or attribute is there that the page does not use.
std::string wrong_with(const std::string& page) {
    const std::set<std::string> empty = {"meta", "input", "wbr"};
    const std::set<std::string> known = {
        "html",   "head", "meta",  "title", "style",  "body",   "a",     "header",  "div",     "p",       "button",
        "span",   "h1",   "h2",    "h3",    "h4",     "nav",    "ul",    "li",      "main",    "section", "strong",
        "b",      "dl",   "dt",    "dd",    "table",  "thead",  "tbody", "tr",      "th",      "td",      "caption",
        "code",   "svg",  "g",     "path",  "circle", "rect",   "text",  "details", "summary", "figure",  "figcaption",
        "script", "wbr",  "input", "form",  "label",  "select", "pre"};
    std::vector<std::string> open;
    std::set<std::string> ids;
    const auto near = [&](std::size_t at) { return " near: " + page.substr(at > 60 ? at - 60 : 0, 160); };
    std::size_t at = page.find('>') + 1;
    if (!page.starts_with("<!DOCTYPE html>")) return "no doctype";
    for (;;) {
        at = page.find('<', at);
        if (at == std::string::npos) break;
        const std::size_t start = at++;
        const bool closes = page[at] == '/';
        if (closes) ++at;
        std::string name;
        while (at < page.size() && is_name(page[at])) name += page[at++];
        if (!known.contains(name)) return "the tag " + name + near(start);
        if (closes) {
            if (open.empty() || open.back() != name) return "</" + name + "> closes another" + near(start);
            open.pop_back();
            if (page[at] != '>') return "a bad end tag" + near(start);
            continue;
        }
        std::set<std::string> attributes;
        bool is_closed = false;
        for (;;) {
            while (at < page.size() && (page[at] == ' ' || page[at] == '\n')) ++at;
            if (page[at] == '>') break;
            if (page.compare(at, 2, "/>") == 0) {
                is_closed = true, ++at;
                break;
            }
            std::string attribute;
            while (at < page.size() && is_name(page[at])) attribute += page[at++];
            if (attribute.empty()) return "a bad attribute" + near(start);
            if (attribute.starts_with("on") || attribute == "src") return "the attribute " + attribute + near(start);
            if (!attributes.insert(attribute).second) return "twice " + attribute + near(start);
            if (page[at] != '=') continue;
            if (page[++at] != '"') return "an attribute without quotes" + near(start);
            const std::size_t end = page.find('"', at + 1);
            const std::string value = page.substr(at + 1, end - at - 1);
            if (value.find('<') != std::string::npos) return "a < in an attribute" + near(start);
            if (attribute == "id" && !ids.insert(value).second) return "twice the id " + value;
            if (attribute == "href" && !value.starts_with("#")) return "a link to " + value;
            at = end + 1;
        }
        ++at;
        if (is_closed || empty.contains(name)) continue;
        open.push_back(name);
        if (name == "script" || name == "style") at = page.find("</" + name, at);
    }
    return open.empty() ? "" : "not closed: " + open.back();
}

/// The text between the tags, with one space for each run of tags and spaces.
std::string text_of(const std::string& html) {
    std::string text;
    bool is_inside = false;
    for (const char c : html) {
        if (c == '<') is_inside = true;
        const bool is_space = is_inside || c == ' ' || c == '\n';
        if (!is_space) text += c;
        if (is_space && !text.empty() && text.back() != ' ') text += ' ';
        if (c == '>') is_inside = false;
    }
    return text;
}

std::string between(const std::string& text, const std::string& from, const std::string& to) {
    const std::size_t begin = text.find(from);
    if (begin == std::string::npos) return "";
    return text.substr(begin, text.find(to, begin + from.size()) - begin);
}

std::string section(const std::string& page, const std::string& id) {
    return between(page, "<section id=\"" + id + "\"", "</section>");
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t result = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++result;
    return result;
}

/// Scripts in the page: braces, brackets and strings of its JSON close in turn, and nothing in it ends a script.
std::string wrong_with_data(const std::string& page) {
    std::size_t at = 0;
    while ((at = page.find("<script type=\"application/json\"", at)) != std::string::npos) {
        const std::size_t begin = page.find('>', at) + 1;
        at = page.find("</script>", begin);
        std::string open;
        bool is_string = false;
        for (std::size_t i = begin; i < at; ++i) {
            const char c = page[i];
            if (c == '<' || c == '>' || c == '&') return "markup in data";
            if (is_string && c == '\\') {
                ++i;
            } else if (c == '"') {
                is_string = !is_string;
            } else if (!is_string && (c == '{' || c == '[')) {
                open += c;
            } else if (!is_string && (c == '}' || c == ']')) {
                if (open.empty() || open.back() != (c == '}' ? '{' : '[')) return "data is not nested";
                open.pop_back();
            } else if (!is_string && std::string_view("0123456789+-.e,:nulltrfas").find(c) == std::string::npos) {
                return std::string("data with ") + c;
            }
        }
        if (is_string || !open.empty()) return "data is not closed";
    }
    return "";
}

void expect_sound(const std::string& page) {
    EXPECT_EQ(wrong_with(page), "");
    EXPECT_EQ(wrong_with_data(page), "");
    EXPECT_FALSE(has(page, "http://"));
    EXPECT_FALSE(has(page, "https://"));
    EXPECT_FALSE(has(page, "@import"));
    EXPECT_FALSE(has(page, "url("));
    EXPECT_FALSE(has(page, ">nan<"));
    EXPECT_FALSE(has(page, "\"nan"));
    EXPECT_LE(page.size(), five_megabytes);
}

// --- sums of the test's own

struct direct_sums {
    std::vector<double> numbers;
    std::int64_t num_failed = 0, num_without = 0;

    double mean() const {
        long double sum = 0;
        for (const double x : numbers) sum += x;
        return static_cast<double>(sum / static_cast<long double>(numbers.size()));
    }
    double deviation() const {
        long double sum = 0;
        for (const double x : numbers) sum += static_cast<long double>(x - mean()) * (x - mean());
        return static_cast<double>(std::sqrt(sum / static_cast<long double>(numbers.size() - 1)));
    }
};

bool ended_well(outcome how) {
    return how != outcome::non_finite && how != outcome::descent_diverged && how != outcome::cancelled &&
           how != outcome::no_curvature && how != outcome::not_run;
}

using by_places = std::map<std::vector<std::int32_t>, direct_sums>;

/// fields[0] by the places of some parameters.
by_places direct(const made_up_sweep& s, const std::vector<std::size_t>& of) {
    by_places result;
    made_up_row row;
    for (std::int64_t i = 0; i < s.num_present; ++i) {
        s.fill(i, row);
        std::vector<std::int32_t> key;
        for (const std::size_t p : of) key.push_back(row.places[p]);
        direct_sums& sums = result[key];
        if (!ended_well(row.outcome))
            ++sums.num_failed;
        else if (!std::isfinite(row.values[0]))
            ++sums.num_without;
        else
            sums.numbers.push_back(row.values[0]);
    }
    return result;
}

double quantile(std::vector<double> numbers, double p) {
    std::sort(numbers.begin(), numbers.end());
    const double at = p * static_cast<double>(numbers.size() - 1);
    const auto below = static_cast<std::size_t>(std::floor(at));
    const double high = below + 1 < numbers.size() ? numbers[below + 1] : numbers[below];
    return numbers[below] + (at - std::floor(at)) * (high - numbers[below]);
}

// --- the numbers

TEST(report_page, counts_means_and_deviations_are_those_of_a_direct_sum) {
    const made_up_sweep s = hypercleaning(8, false);
    const aggregate a = aggregated(s);
    EXPECT_EQ(a.num_seen, 4 * 5 * 2 * 4 * 8);
    by_places expected = direct(s, {0, 1, 2, 3});
    ASSERT_EQ(a.settings.size(), expected.size());
    std::int64_t num_failed = 0;
    for (std::size_t i = 0; i < a.settings.size(); ++i) {
        const direct_sums& sums = expected.at(a.setting_places[i]);
        const setting_record& it = a.settings[i];
        EXPECT_EQ(it.metric.count(), static_cast<std::int64_t>(sums.numbers.size()));
        EXPECT_EQ(it.num_failed, sums.num_failed);
        EXPECT_EQ(it.num_without, sums.num_without);
        EXPECT_NEAR(it.metric.mean(), sums.mean(), 1e-13);
        EXPECT_NEAR(it.metric.deviation(), sums.deviation(), 1e-13);
        num_failed += sums.num_failed;
    }
    EXPECT_GT(num_failed, 10);
    EXPECT_EQ(a.num_failed, num_failed);
}

TEST(report_page, settings_are_ranked_by_their_means_in_the_fields_direction) {
    for (const bool is_best_greatest : {true, false}) {
        made_up_sweep s = hypercleaning(3, false);
        s.fields[0].is_best_greatest = is_best_greatest;
        const aggregate a = aggregated(s);
        ASSERT_EQ(a.ranking.size(), 40u);
        for (std::size_t i = 1; i < a.ranking.size(); ++i) {
            const double before = a.settings[a.ranking[i - 1]].metric.mean();
            const double here = a.settings[a.ranking[i]].metric.mean();
            EXPECT_TRUE(is_best_greatest ? before >= here : before <= here);
        }
        const std::string text = text_of(section(report_page(s), "ranking"));
        EXPECT_TRUE(has(text, is_best_greatest ? "greatest first" : "smallest first"));
        EXPECT_TRUE(has(text, "never uses f at the last point"));
    }
}

TEST(report_page, a_setting_of_failures_alone_comes_last_and_has_no_mean) {
    made_up_sweep s;
    s.grid("settings.eta", {"bad", "good", "better", "empty"});
    s.replicates("replicates.draw", 4);
    s.fields = {{"held_out", true}};
    s.make([](std::int64_t index, made_up_row& row) {
        row.values[0] =
            row.places[0] == 3 ? nan : static_cast<double>(row.places[0]) + 0.125 * static_cast<double>(index % 4);
        if (row.places[0] == 0) row.outcome = outcome::non_finite, row.quantity = quantity::descent, row.values[0] = 99;
        if (row.places[0] == 1 && index % 4 == 3) row.outcome = outcome::descent_diverged;
    });
    const aggregate a = aggregated(s);
    EXPECT_EQ(a.ranking, (std::vector<std::size_t>{2, 1, 0, 3}));
    EXPECT_EQ(a.settings[0].num_failed, 4);
    EXPECT_EQ(a.settings[3].num_without, 4);
    const std::string page = written("few", report_page(s));
    expect_sound(page);
    const std::string text = text_of(section(page, "ranking"));
    // 2 + (0, 1, 2, 3)/8: mean 2.1875, deviation √(5/3)/8 = 0.1614; 1 + (0, 1, 2)/8: mean 1.125, deviation 1/8
    EXPECT_TRUE(has(text, "1 better 2.19 0.16 4 0 0")) << text;
    EXPECT_TRUE(has(text, "2 good 1.12 0.12 3 1 25.0 % 0")) << text;
    EXPECT_TRUE(has(text, "– bad – – 0 4 100 % 0")) << text;
    EXPECT_TRUE(has(text, "– empty – – 0 0 4")) << text;
    EXPECT_TRUE(has(text, "No number”"));
}

TEST(report_page, outcomes_are_counted_and_explained) {
    const made_up_sweep s = hypercleaning(4, false);
    std::map<outcome, std::int64_t> expected;
    made_up_row row;
    for (std::int64_t i = 0; i < s.num_present; ++i) s.fill(i, row), ++expected[row.outcome];
    const std::string text = text_of(section(report_page(s), "outcomes"));
    for (const auto& [how, n] : expected)
        EXPECT_TRUE(
            has(text, std::string(cubome::to_string(how)) + " " + spell_count(n) + " " + spell_share(n, s.num_present)))
            << cubome::to_string(how) << "\n"
            << text;
    EXPECT_TRUE(has(text, "every tolerance that was set is met"));
    EXPECT_TRUE(has(text, "never begun"));
    EXPECT_TRUE(has(text, "its step is too large"));
    EXPECT_TRUE(has(text, "412 of 16,000 non_finite"));
    EXPECT_FALSE(has(text, "Incomplete"));
}

TEST(report_page, quantiles_are_exact_until_there_are_too_many_problems) {
    const made_up_sweep s = hypercleaning(20, false);
    const aggregate a = aggregated(s);
    EXPECT_FALSE(a.is_sampled);
    std::vector<double> stationarity, iterations;
    made_up_row row;
    for (std::int64_t i = 0; i < s.num_present; ++i) {
        s.fill(i, row);
        stationarity.push_back(row.values[3]);
        iterations.push_back(static_cast<double>(row.iterations));
    }
    const cubome::quantiles& q = a.field_numbers[3];
    EXPECT_EQ(q.num_values, s.num_present);
    EXPECT_EQ(q.least, quantile(stationarity, 0));
    EXPECT_EQ(q.lower_quartile, quantile(stationarity, 0.25));
    EXPECT_EQ(q.median, quantile(stationarity, 0.5));
    EXPECT_EQ(q.upper_quartile, quantile(stationarity, 0.75));
    EXPECT_EQ(q.most, quantile(stationarity, 1));
    EXPECT_EQ(a.iterations.median, quantile(iterations, 0.5));

    aggregate_limits limits;
    limits.most_sampled = 1'000;
    const aggregate b = aggregated(s, limits);
    EXPECT_TRUE(b.is_sampled);
    EXPECT_LE(b.sample_size, 1'000u);
    EXPECT_GE(b.sample_size, 400u);
    EXPECT_EQ(b.field_numbers[3].least, q.least);
    EXPECT_EQ(b.field_numbers[3].most, q.most);
    EXPECT_EQ(b.field_numbers[3].num_values, q.num_values);
    EXPECT_GT(b.field_numbers[3].median, quantile(stationarity, 0.42));
    EXPECT_LT(b.field_numbers[3].median, quantile(stationarity, 0.58));
    EXPECT_TRUE(has(report_page(s, limits), "Quantiles come from a sample of"));
}

TEST(report_page, heat_maps_hold_the_means_of_every_pair) {
    const made_up_sweep s = hypercleaning(5, false);
    const aggregate a = aggregated(s);
    ASSERT_EQ(a.axes.size(), 6u);  // three settings, the drawn ones and flip_rate; outer_steps has one label
    EXPECT_EQ(a.heat_maps.size(), 15u);
    EXPECT_EQ(a.num_heat_maps_left_out, 0u);
    std::size_t num_compared = 0;
    for (const heat_map& map : a.heat_maps) {
        const parameter_axis &down = a.axes[map.down], &across = a.axes[map.across];
        if (down.is_binned || across.is_binned) continue;
        by_places expected = direct(s, {down.parameter, across.parameter});
        for (std::size_t i = 0; i < down.labels.size(); ++i) {
            for (std::size_t j = 0; j < across.labels.size(); ++j) {
                const direct_sums& sums = expected.at({static_cast<std::int32_t>(i), static_cast<std::int32_t>(j)});
                const std::size_t cell = i * across.labels.size() + j;
                const auto all = static_cast<std::int64_t>(sums.numbers.size()) + sums.num_failed + sums.num_without;
                EXPECT_NEAR(map.mean(cell, 0), sums.mean(), 1e-12);
                EXPECT_NEAR(map.mean(cell, 1), static_cast<double>(sums.num_failed) / static_cast<double>(all), 1e-12);
                EXPECT_EQ(map.num_problems[cell], all);
                ++num_compared;
            }
        }
    }
    EXPECT_EQ(num_compared, 4u * 5 + 4 * 2 + 4 * 4 + 5 * 2 + 5 * 4 + 2 * 4);
    const std::string part = section(report_page(s), "heat-map");
    EXPECT_TRUE(has(text_of(part), "by settings.outer_step_size (down)") ||
                has(text_of(part), "settings.outer_step_size (across)"));
    EXPECT_TRUE(has(part, "id=\"heat-data\""));
    EXPECT_EQ(count(part, " class=\"best\""), 1u);
}

TEST(report_page, effects_are_shares_of_the_variance) {
    const made_up_sweep s = hypercleaning(40, false);
    const aggregate a = aggregated(s);
    std::map<std::string, double> shares;
    for (const parameter_axis& axis : a.axes) shares[s.parameters[axis.parameter].name] = axis.share;
    EXPECT_LT(shares["settings.eta"], 0.01);
    EXPECT_GT(shares["data.flip_rate"], 0.05);
    EXPECT_GT(shares["settings.outer_step_size"], 0.3);
    EXPECT_EQ(s.parameters[a.axes[a.by_share[0]].parameter].name, "settings.outer_step_size");
    for (const parameter_axis& axis : a.axes) {
        if (axis.is_binned) continue;
        for (const auto& [key, sums] : direct(s, {axis.parameter})) {
            const moments& m = axis.metric[static_cast<std::size_t>(key[0])];
            EXPECT_NEAR(m.mean(), sums.mean(), 1e-12);
            EXPECT_NEAR(m.deviation(), sums.deviation(), 1e-12);
            EXPECT_EQ(axis.num_failed[static_cast<std::size_t>(key[0])], sums.num_failed);
            EXPECT_NEAR(axis.quartiles[static_cast<std::size_t>(key[0])][1], quantile(sums.numbers, 0.5), 1e-12);
        }
    }
}

TEST(report_page, bins_hold_equally_many_problems_and_all_of_them) {
    const made_up_sweep s = hypercleaning(20, false);
    const aggregate a = aggregated(s);
    int num_binned = 0;
    for (const parameter_axis& axis : a.axes) {
        if (!axis.is_binned) continue;
        ++num_binned;
        ASSERT_EQ(axis.labels.size(), 10u);
        std::int64_t sum = 0;
        for (const std::int64_t n : axis.num_problems) {
            EXPECT_NEAR(static_cast<double>(n), static_cast<double>(s.num_present) / 10, 2);
            sum += n;
        }
        EXPECT_EQ(sum, s.num_present);
    }
    EXPECT_EQ(num_binned, 2);
}

TEST(report_page, means_that_a_few_problems_would_ruin_give_way_to_quartiles) {
    made_up_sweep s;
    s.grid("settings.eta", {"1", "2", "3"});
    s.replicates("replicates.draw", 200);
    s.fields = {{"refined_outer_value", false}};
    s.make([](std::int64_t index, made_up_row& row) {
        row.values[0] = row.places[0] + uniform(index, 1) + (index % 150 == 0 ? 1e9 : 0);
    });
    const std::string page = written("heavy", report_page(s));
    expect_sound(page);
    EXPECT_TRUE(aggregated(s).is_heavy_tailed);
    EXPECT_GT(aggregated(s).axes[0].share, 0.8);  // of the ranks
    EXPECT_TRUE(has(text_of(section(page, "effects")), "Median and quartiles"));
}

// --- traces

TEST(report_page, bands_are_the_quantiles_of_traces_of_unequal_length) {
    made_up_sweep s;
    s.grid("settings.eta", {"1", "2"});
    s.replicates("replicates.draw", 51);
    s.fields = {{"held_out", true}};
    s.trace_fields = {"gap", "held_out"};
    const auto length_of = [](std::int64_t index) { return 3 + index % 8; };
    s.make([&](std::int64_t index, made_up_row& row) {
        row.values[0] = row.places[0];
        if (index % 10 == 0) row.outcome = outcome::non_finite, row.quantity = quantity::gap;
        row.num_trace_rows = 10, row.trace_interval = 5;
        row.trace.assign(20, nan);
        for (std::int64_t r = 0; r < length_of(index) && r < 10; ++r) {
            row.trace[static_cast<std::size_t>(r)] = std::exp(-static_cast<double>(r)) * (1 + uniform(index, 1));
            row.trace[static_cast<std::size_t>(10 + r)] = static_cast<double>(row.places[0]);
        }
    });
    const aggregate a = aggregated(s);
    ASSERT_EQ(a.positions, (std::vector<std::int64_t>{0, 5, 10, 15, 20, 25, 30, 35, 40, 45}));
    ASSERT_EQ(a.bands.size(), 3u);
    EXPECT_EQ(a.bands[0].num_traces, 102);
    EXPECT_EQ(a.bands[1].setting, 1);  // the better one
    for (std::size_t position = 0; position < 10; ++position) {
        std::vector<double> numbers;
        made_up_row row;
        for (std::int64_t i = 0; i < s.num_present; ++i) {
            s.fill(i, row);
            auto last =
                std::min<std::size_t>(position, static_cast<std::size_t>(std::min<std::int64_t>(length_of(i), 10)) - 1);
            if (row.outcome == outcome::non_finite && last < position) continue;
            numbers.push_back(row.trace[last]);
        }
        for (std::size_t level = 0; level < 5; ++level)
            EXPECT_NEAR(a.bands[0].quantiles[position * 5 + level], quantile(numbers, trace_bands::levels[level]),
                        1e-15);
        EXPECT_EQ(a.bands[1].quantiles[(10 + position) * 5 + 2], 1);
        EXPECT_EQ(a.bands[2].quantiles[(10 + position) * 5 + 2], 0);
    }
}

TEST(report_page, long_traces_are_read_at_some_iterations_and_sampled) {
    made_up_sweep s;
    s.replicates("replicates.draw", 300);
    s.fields = {{"held_out", true}};
    s.trace_fields = {"gap"};
    s.make([&](std::int64_t index, made_up_row& row) {
        row.values[0] = uniform(index, 1);
        row.num_trace_rows = 5'001, row.trace_interval = 1;
        for (int r = 0; r <= 5'000; ++r) row.trace.push_back(1.0 / (1 + r));
    });
    aggregate_limits limits;
    limits.most_traces = 100;
    const aggregate a = aggregated(s, limits);
    EXPECT_LE(a.positions.size(), 122u);
    EXPECT_GE(a.positions.size(), 80u);
    EXPECT_EQ(a.positions.front(), 0);
    EXPECT_EQ(a.positions.back(), 5'000);
    EXPECT_TRUE(a.is_trace_sampled);
    EXPECT_LE(a.bands[0].num_traces, 100);
    for (std::size_t i = 0; i < a.positions.size(); ++i)
        EXPECT_EQ(a.bands[0].quantiles[i * 5 + 2], 1.0 / (1 + static_cast<double>(a.positions[i])));
    EXPECT_TRUE(has(report_page(s, limits), "are those of a sample"));
}

TEST(report_page, a_sweep_without_traces_has_no_curves) {
    const std::string page = report_page(hypercleaning(2, false));
    EXPECT_EQ(section(page, "curves"), "");
    EXPECT_FALSE(has(page, "href=\"#curves\""));
    EXPECT_NE(section(report_page(hypercleaning(2)), "curves"), "");
}

// --- lines and failures

TEST(report_page, the_best_problems_are_the_best) {
    const made_up_sweep s = hypercleaning(10, false);
    const aggregate a = aggregated(s);
    EXPECT_TRUE(a.are_lines_problems);
    std::vector<std::pair<double, std::int64_t>> expected;
    made_up_row row;
    for (std::int64_t i = 0; i < s.num_present; ++i) {
        s.fill(i, row);
        if (ended_well(row.outcome) && std::isfinite(row.values[0])) expected.emplace_back(-row.values[0], i);
    }
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(a.best.size(), 100u);
    std::set<std::int64_t> best;
    for (std::size_t i = 0; i < 100; ++i) {
        EXPECT_EQ(a.best[i].index, expected[i].second);
        best.insert(a.best[i].index);
    }
    EXPECT_EQ(a.others.size(), 300u);
    for (const parallel_line& line : a.others) EXPECT_FALSE(best.contains(line.index));
    const std::string part = section(report_page(s), "parallel");
    EXPECT_EQ(count(part, "class=\"top\""), 100u);
    EXPECT_EQ(count(part, "class=\"other\""), 300u);
}

TEST(report_page, replicates_are_averaged_over_and_never_ranked) {
    made_up_sweep s;
    s.grid("settings.eta", {"1", "2", "3", "4", "5", "6"});
    s.grid("data.size", {"10", "20"});
    s.replicates("replicates.draw", 9);
    s.fields = {{"held_out", false}};
    s.make([](std::int64_t index, made_up_row& row) { row.values[0] = row.places[0] + 5 * uniform(index, 1); });
    const aggregate a = aggregated(s);
    EXPECT_FALSE(a.are_lines_problems);
    EXPECT_EQ(a.num_lines, 12);
    ASSERT_EQ(a.best.size(), 3u);
    EXPECT_EQ(a.others.size(), 9u);
    double least = 1e9;
    for (const auto& [key, sums] : direct(s, {0, 1})) least = std::min(least, sums.mean());
    EXPECT_NEAR(a.best[0].metric, least, 1e-12);
    EXPECT_EQ(a.best[0].count, 9);
    EXPECT_EQ(a.best[0].index, -1);
    const std::string page = written("replicates", report_page(s));
    expect_sound(page);
    EXPECT_TRUE(has(text_of(section(page, "ranking")), "Averaged over data.size (2), replicates.draw (9)"));
    EXPECT_FALSE(has(section(page, "heat-map"), "replicates.draw"));
    EXPECT_FALSE(has(section(page, "effects"), "replicates.draw"));
}

TEST(report_page, failures_are_counted_by_cause_and_setting) {
    const made_up_sweep s = hypercleaning(6, false);
    const aggregate a = aggregated(s);
    std::map<std::pair<int, std::size_t>, std::int64_t> expected;
    std::vector<std::int64_t> first;
    made_up_row row;
    for (std::int64_t i = 0; i < s.num_present; ++i) {
        s.fill(i, row);
        if (ended_well(row.outcome)) continue;
        const auto way =
            static_cast<std::size_t>(row.outcome) * num_quantities + static_cast<std::size_t>(row.quantity);
        ++expected[{row.places[1], way}];
        if (first.size() < 50) first.push_back(i);
    }
    for (const parameter_axis& axis : a.axes) {
        if (axis.parameter != 1) continue;
        for (const auto& [key, n] : expected) EXPECT_EQ(axis.ways[static_cast<std::size_t>(key.first)][key.second], n);
    }
    ASSERT_EQ(a.failures.size(), 50u);
    for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(a.failures[i].index, first[i]);
    const std::string text = text_of(section(report_page(s), "failures"));
    EXPECT_TRUE(has(text, "The first 50"));
    EXPECT_TRUE(has(text, "non_finite descent"));
    EXPECT_TRUE(has(text, "settings.inner_steps"));
    EXPECT_FALSE(has(text, "settings.outer_steps"));
}

// --- what stands in the page

TEST(report_page, the_page_is_sound_and_needs_nothing_else) {
    const std::string page = written("demo", report_page(hypercleaning(100)));
    expect_sound(page);
    for (const char* id : {"outcomes", "ranking", "curves", "heat-map", "effects", "parallel", "failures", "spec"}) {
        EXPECT_NE(section(page, id), "") << id;
        EXPECT_TRUE(has(page, std::string("href=\"#") + id + "\"")) << id;
    }
    EXPECT_EQ(count(page, "<h1>"), 1u);
    EXPECT_TRUE(has(page, "default-src 'none'"));
    // Every picture says what it shows or that it is an ornament.
    EXPECT_EQ(count(page, "<svg "),
              count(page, "role=\"img\" aria-label=\"") - 1 + count(page, "aria-hidden=\"true\">"));
}

TEST(report_page, nothing_in_the_data_can_be_more_than_text) {
    const std::string page = written("hostile", report_page(hostile()));
    expect_sound(page);
    EXPECT_FALSE(has(page, "<script>alert"));
    EXPECT_FALSE(has(page, "<img"));
    EXPECT_FALSE(has(page, "<svg onload"));
    EXPECT_FALSE(has(page, "<b>bold"));
    EXPECT_EQ(page.find('\0'), std::string::npos);
    EXPECT_FALSE(has(page, "\xff"));
    EXPECT_FALSE(has(page, "\xc3\x28"));
    EXPECT_TRUE(has(page, "漢字"));
    EXPECT_TRUE(has(page, "&lt;script&gt;alert(1)&lt;/script&gt;"));
    // Two for data, one of the page's own, and none besides.
    EXPECT_EQ(count(page, "<script"), 3u);
    EXPECT_EQ(count(page, "</script"), 3u);
}

TEST(report_page, a_sweep_without_problems_says_so) {
    made_up_sweep s = hypercleaning(2);
    s.num_present = 0;
    const std::string page = written("none", report_page(s));
    expect_sound(page);
    EXPECT_TRUE(has(page, "There are no results to show yet."));
    EXPECT_TRUE(has(page, "Results of 0 of 320 problems are here (0 %)"));
    EXPECT_EQ(section(page, "ranking"), "");
    EXPECT_NE(section(page, "spec"), "");
    made_up_sweep nothing;
    expect_sound(report_page(nothing));
}

TEST(report_page, a_part_of_a_sweep_is_called_one) {
    made_up_sweep s = hypercleaning(10);
    s.num_present = 1'234;
    const std::string page = written("part", report_page(s));
    expect_sound(page);
    EXPECT_TRUE(has(text_of(page), "Incomplete. Results of 1,234 of 1,600 problems are here (77.1 %)"));
}

TEST(report_page, one_problem_is_enough) {
    made_up_sweep s = hypercleaning(1);
    s.num_present = 1;
    expect_sound(written("one", report_page(s)));
    s = hypercleaning(1);
    s.num_present = 2;
    expect_sound(report_page(s));
}

TEST(report_page, one_parameter_or_none_is_enough) {
    made_up_sweep s;
    s.name = "one";
    s.grid("settings.eta", {"0.1", "0.2"});
    s.fields = {{"held_out", true}};
    s.make([](std::int64_t index, made_up_row& row) { row.values[0] = uniform(index, 1); });
    std::string page = report_page(s);
    expect_sound(page);
    EXPECT_EQ(section(page, "heat-map"), "");

    made_up_sweep plain;
    plain.replicates("replicates.draw", 30);
    plain.fields = {{"held_out", true}};
    plain.make([](std::int64_t index, made_up_row& row) { row.values[0] = uniform(index, 1); });
    page = report_page(plain);
    expect_sound(page);
    EXPECT_TRUE(has(text_of(page), "Mean held_out"));
    EXPECT_EQ(section(page, "effects"), "");

    made_up_sweep bare;
    bare.make([](std::int64_t, made_up_row&) {});
    expect_sound(report_page(bare));

    made_up_sweep random;
    random.drawn("settings.eta");
    random.replicates("replicates.draw", 500);
    random.fields = {{"held_out", true}};
    random.make([](std::int64_t index, made_up_row& row) {
        row.numbers[0] = uniform(index, 1);
        row.values[0] = row.numbers[0] * row.numbers[0];
        if (index % 50 == 0) row.outcome = outcome::cancelled;
    });
    page = written("random", report_page(random));
    expect_sound(page);
    EXPECT_NE(section(page, "parallel"), "");
    EXPECT_TRUE(has(section(page, "failures"), "settings.eta"));
}

TEST(report_page, fields_that_nobody_has_and_rows_without_fields_are_no_trouble) {
    made_up_sweep s = hypercleaning(2, false);
    s.make([](std::int64_t, made_up_row& row) {
        row.values = {nan, nan, 1e300, -1e300, std::numeric_limits<double>::infinity(), 0};
    });
    const std::string page = report_page(s);
    expect_sound(page);
    EXPECT_TRUE(has(text_of(page), "there is nothing to rank"));

    s = hypercleaning(2, false);
    s.make([](std::int64_t, made_up_row& row) { row.values.clear(), row.numbers.clear(), row.places.clear(); });
    expect_sound(report_page(s));

    s = hypercleaning(2, false);
    s.fields.clear();
    s.make([](std::int64_t, made_up_row& row) { row.values.clear(); });
    expect_sound(report_page(s));
}

TEST(report_page, ranking_by_f_at_the_last_point_is_warned_of) {
    made_up_sweep s = hypercleaning(1, false);
    s.fields[0].name = "outer_value";
    const std::string text = text_of(section(report_page(s), "ranking"));
    EXPECT_TRUE(has(text, "This is f at the last point"));
    EXPECT_FALSE(has(text, "never uses f"));
}

TEST(report_page, the_same_results_give_the_same_bytes) {
    EXPECT_EQ(report_page(hypercleaning(20)), report_page(hypercleaning(20)));
    EXPECT_EQ(report_page(hostile()), report_page(hostile()));
}

// --- sizes

TEST(report_page, a_hundred_thousand_problems_stay_below_five_megabytes) {
    const std::string page = report_page(hypercleaning(625));
    expect_sound(page);
    EXPECT_LT(page.size(), 1'500'000u);
}

/// 120 parameters, half of them drawn, with names and labels of hundreds of such characters.
made_up_sweep unwieldy(const std::string& character) {
    const auto long_text = [&](int length) {
        std::string text;
        for (int i = 0; i < length; ++i) text += character;
        return text;
    };
    made_up_sweep s;
    s.name = long_text(100'000);
    s.spec = long_text(500'000);
    s.hints = strings(1'000, long_text(10'000));
    strings labels;
    for (int i = 0; i < 45; ++i) labels.push_back(long_text(300) + std::to_string(i));
    s.fields.resize(60, {long_text(500), false});
    for (int p = 0; p < 60; ++p) {
        s.parameters.push_back(
            {"settings." + long_text(400) + std::to_string(p), kind::grid, labels, std::vector<double>(45, nan)});
        s.drawn("data." + std::to_string(p) + long_text(400) + std::to_string(p));
    }
    s.trace_fields = strings(8, long_text(400));
    s.make([](std::int64_t index, made_up_row& row) {
        for (std::size_t p = 0; p < row.places.size(); ++p) {
            if (p % 2 == 0) row.places[p] = static_cast<std::int32_t>(45 * uniform(index, p));
            if (p % 2 == 1) row.numbers[p] = normal(index, 1'000 + p);
        }
        if (index % 3 == 0) row.outcome = outcome::non_finite, row.quantity = static_cast<quantity>(index % 7);
        for (std::size_t f = 0; f < row.values.size(); ++f) row.values[f] = normal(index, 9'000 + f);
        row.num_trace_rows = 400, row.trace_interval = 3;
        row.trace.assign(8 * 400, 1e-17);
    });
    s.num_problems = s.num_present = 3'000;
    return s;
}

TEST(report_page, many_parameters_and_labels_stay_below_five_megabytes) {
    for (const char* character : {"l", "\"", "𝜃"}) {
        const std::string page = written("many", report_page(unwieldy(character)));
        expect_sound(page);
        EXPECT_GT(page.size(), 1'000'000u);
        EXPECT_TRUE(has(page, "of parameters are not offered"));
        EXPECT_TRUE(has(page, "The rest is cut off."));
    }
}

TEST(report_page, no_more_settings_are_kept_than_there_is_room_for) {
    made_up_sweep s;
    strings labels;
    for (int i = 0; i < 500; ++i) labels.push_back(std::to_string(i));
    s.grid("settings.a", labels);
    s.grid("settings.b", {"0", "1"});
    s.replicates("replicates.draw", 2);
    s.fields = {{"held_out", true}};
    s.make([](std::int64_t index, made_up_row& row) { row.values[0] = uniform(index, 1); });
    aggregate_limits limits;
    limits.most_settings = 100;
    const aggregate a = aggregated(s, limits);
    EXPECT_EQ(a.settings.size(), 100u);
    EXPECT_EQ(a.num_unranked, 1'800);
    const std::string text = text_of(section(report_page(s, limits), "ranking"));
    EXPECT_TRUE(has(text, "1,800 problems of further settings are left out")) << text;
    const std::string all = report_page(s);
    expect_sound(all);
    EXPECT_TRUE(has(text_of(all), "Places 21 to 500 of 1,000"));
}

// --- pieces

TEST(report_page, numbers_are_spelled_with_sensible_digits) {
    EXPECT_EQ(spell_number(0), "0");
    EXPECT_EQ(spell_number(1234), "1,234");
    EXPECT_EQ(spell_number(0.041234567), "0.04123");
    EXPECT_EQ(spell_number(-1234.5678), "-1,235");
    EXPECT_EQ(spell_number(999.95, 3), "1,000");
    EXPECT_EQ(spell_number(999'999.7), "1,000,000");
    EXPECT_EQ(spell_number(0.0001), "0.0001");
    EXPECT_EQ(spell_number(3.2e-7), "3.2e-7");
    EXPECT_EQ(spell_number(1.5e300), "1.5e300");
    EXPECT_EQ(spell_number(nan), "–");
    EXPECT_EQ(spell_number(-std::numeric_limits<double>::infinity()), "-∞");
    EXPECT_EQ(spell_share(0, 10), "0 %");
    EXPECT_EQ(spell_share(10, 10), "100 %");
    EXPECT_EQ(spell_share(1, 100'000), "under 0.1 %");
    EXPECT_EQ(spell_share(99'999, 100'000), "over 99.9 %");
    EXPECT_EQ(spell_share(1, 0), "–");
    EXPECT_EQ(spell_count(1, "problem"), "1 problem");
    EXPECT_EQ(spell_count(12'345, "problem"), "12,345 problems");
    EXPECT_EQ((number_style{false, 3}.spell(-0.0001)), "0.000");
    EXPECT_EQ((number_style{true, 2}.spell(1.0)), "1.00e0");
    EXPECT_EQ((number_style{true, 2}.spell(-12345.0)), "-1.23e4");
    EXPECT_EQ((number_style{false, 1}.spell(12345.67)), "12,345.7");
}

TEST(report_page, texts_are_escaped_and_cut_by_characters) {
    EXPECT_EQ(escaped("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    EXPECT_EQ(escaped("a\tb\nc\x01"), "a\tb\nc\xEF\xBF\xBD");
    EXPECT_EQ(escaped("\xed\xa0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // half of a pair
    EXPECT_EQ(escaped("\xc0\xaf"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // two bytes for one
    EXPECT_EQ(escaped("θ\xe2\x82"), "θ\xEF\xBF\xBD\xEF\xBF\xBD");                // cut off
    EXPECT_EQ(json_string("</script>\n\"\\"), "\"\\u003c/script\\u003e\\u000a\\\"\\\\\"");
    EXPECT_EQ(shortened("abcdef", 6), "abcdef");
    EXPECT_EQ(shortened("abcdefg", 6), "ab…efg");
    EXPECT_EQ(shortened("θθθθθ", 3), "θ…θ");
}

TEST(report_page, ticks_are_round_and_few) {
    for (const auto& [low, high] : {std::pair{0.0, 1.0}, {0.83, 0.97}, {-3e-9, 2e-9}, {1e10, 1.3e10}, {5.0, 5.1}}) {
        const std::vector<double> ticks = ticks_of({low, high, false}, 5);
        EXPECT_GE(ticks.size(), 2u) << low;
        EXPECT_LE(ticks.size(), 7u) << low;
        for (const double x : ticks) {
            EXPECT_GE(x, low - 1e-9 * (high - low));
            EXPECT_LE(x, high + 1e-9 * (high - low));
        }
    }
    for (const auto& [low, high] : {std::pair{1e-12, 1.0}, {0.3, 7.0}, {1e-300, 1e300}, {0.9, 1.1}}) {
        const std::vector<double> ticks = ticks_of({low, high, true}, 5);
        EXPECT_GE(ticks.size(), 2u) << low;
        EXPECT_LE(ticks.size(), 8u) << low;
        for (const double x : ticks) EXPECT_TRUE(x >= low && x <= high);
    }
    EXPECT_EQ(spell_ticks({0.8, 1, false}, std::vector<double>{0.85, 0.9, 0.95}), (strings{"0.85", "0.90", "0.95"}));
}

TEST(report_page, words_on_the_ramp_can_be_read) {
    const auto luminance = [](const std::string& colour) {
        double result = 0;
        const double weights[] = {0.2126, 0.7152, 0.0722};
        for (std::size_t i = 0; i < 3; ++i) {
            const double c = std::stoi(colour.substr(1 + 2 * i, 2), nullptr, 16) / 255.0;
            result += weights[i] * (c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4));
        }
        return result;
    };
    for (int i = 0; i <= 100; ++i) {
        const std::string colour = ramp_colour(i / 100.0);
        const double ground = luminance(colour) + 0.05;
        const double ink = ink_on(colour) == std::string("#000") ? 0.05 : 1.05;
        EXPECT_GT(std::max(ground / ink, ink / ground), 4.5) << colour;
    }
}

TEST(report_page, the_dark_colours_are_the_same_whoever_asks_for_them) {
    const std::string page = report_page(hostile());
    const auto colours = [](const std::string& block) {
        std::string result;
        for (const char c : block.substr(block.find('{') + 1))
            if (c != ' ' && c != '\n') result += c;
        return result;
    };
    const std::string asked = colours(between(page, ":root:not([data-theme=\"light\"]) {", "}"));
    EXPECT_EQ(asked, colours(between(page, ":root[data-theme=\"dark\"] {", "}")));
    EXPECT_TRUE(has(asked, "--ground"));
}

}  // namespace
