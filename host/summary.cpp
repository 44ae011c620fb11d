// SPDX-License-Identifier: Apache-2.0
#include "cubome/summary.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <utility>

#include "cubome/error.hpp"
#include "host/describe.hpp"

namespace cubome {
namespace {

constexpr const char* function = "summary";
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

using problem_list = std::vector<std::int64_t>;

// --- spelling

/// "4,000"
std::string spell_count(std::int64_t n) {
    std::string text = std::to_string(n);
    for (std::size_t place = text.size(); place > 3;) text.insert(place -= 3, 1, ',');
    return text;
}

/// A quantile of iterations.
std::string spell_iteration(double k) {
    return spell_count(std::llround(k));
}

std::string spell_number(double x) {
    if (std::isnan(x)) return "NaN";
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", x);
    return text;
}

std::string left(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
}

std::string right(const std::string& text, std::size_t width) {
    return std::string(width - std::min(width, text.size()), ' ') + text;
}

// --- reading

template <class T>
bool is_named(const batch_view<T>& view) {
    return view.given() || view.rank != 0;
}

/// Throws unless the array has one number per problem.
template <class T>
void check_array(const std::string& name, const batch_view<T>& view, std::int64_t num_problems) {
    const bool fits = view.rank == 0 && !view.is_shared && view.num_problems == num_problems;
    if (fits && (view.data != nullptr || num_problems == 0)) return;
    const std::int64_t sizes[3] = {view.num_problems, view.extents[0], view.extents[1]};
    const std::string found = fits             ? "is null"
                              : view.is_shared ? "is shared, with extents " + detail::extents(view)
                                               : "has extents " + detail::extents(view.rank + 1, sizes);
    throw invalid_argument(function, name, found, "[num_problems = " + std::to_string(num_problems) + "]");
}

template <class Real>
void check_arrays(const report<Real>& r, const settings<Real>& s) {
    if (!is_named(r.outcome))
        throw invalid_argument(function, "report.outcome", "is not given", "an array [num_problems]");
    const std::int64_t n = r.outcome.num_problems;
    if (n < 0)
        throw invalid_argument(function, "report.outcome", "has num_problems " + std::to_string(n), "at least 0");
    check_array("report.outcome", r.outcome, n);
    const auto check = [&](const char* name, const auto& view) {
        if (is_named(view)) check_array(std::string("report.") + name, view, n);
    };
    check("quantity", r.quantity);
    check("iterations", r.iterations);
    check("outer_value", r.outer_value);
    check("gap", r.gap);
    check("stationarity", r.stationarity);
    check("refined_outer_value", r.refined_outer_value);
    check("refined_gap", r.refined_gap);
    check("inner_curvature", r.inner_curvature);
    const auto check_setting = [&](const char* name, const setting<Real>& values) {
        if (values.is_per_problem()) check_array(std::string("settings.") + name, values.values(), n);
    };
    check_setting("outer_step_size", s.outer_step_size);
    check_setting("inner_step_size", s.inner_step_size);
    check_setting("descent_step_size", s.descent_step_size);
    check_setting("tol_stationarity", s.tol_stationarity);
    check_setting("tol_gap", s.tol_gap);
    check_setting("rel_tol_stationarity", s.rel_tol_stationarity);
    check_setting("rel_tol_gap", s.rel_tol_gap);
}

/// Entry i of an array of enumerators, as an index below `size`.
template <class Enum>
std::size_t index_at(const std::string& name, const batch_view<Enum>& view, std::int64_t i, std::size_t size) {
    const auto index = static_cast<std::size_t>(view.data[i]);
    if (index >= size)
        throw invalid_argument(function, "report." + name + "[" + std::to_string(i) + "]",
                               "is " + std::to_string(index), "a value of " + name);
    return index;
}

/// Entry i; NaN where the array is not given, which no comparison holds for.
template <class T>
double value_at(const batch_view<T>& view, std::int64_t i) {
    return view.given() ? static_cast<double>(view.data[i]) : nan;
}

template <class Real>
double value_at(const setting<Real>& s, std::int64_t i) {
    return static_cast<double>(s.is_per_problem() ? s.values().data[i] : s.value());
}

template <class Predicate>
problem_list filter(const problem_list& problems, const Predicate& is_wanted) {
    problem_list result;
    std::copy_if(problems.begin(), problems.end(), std::back_inserter(result), is_wanted);
    return result;
}

/// Of some problems' finite values.
template <class Values>
quantiles quantiles_of(const Values& values, const problem_list& problems) {
    std::vector<double> sorted;
    for (const std::int64_t i : problems)
        if (const double x = value_at(values, i); std::isfinite(x)) sorted.push_back(x);
    quantiles result;
    result.num_values = static_cast<std::int64_t>(sorted.size());
    if (sorted.empty()) return result;
    std::sort(sorted.begin(), sorted.end());
    const auto at = [&](double p) {
        const double place = p * static_cast<double>(sorted.size() - 1);
        const auto below = static_cast<std::size_t>(place);
        const std::size_t above = std::min(below + 1, sorted.size() - 1);
        return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
    };
    result.least = sorted.front();
    result.lower_quartile = at(0.25);
    result.median = at(0.5);
    result.upper_quartile = at(0.75);
    result.most = sorted.back();
    return result;
}

/// "0.02 (median)"
template <class Values>
std::string spell_median(const Values& values, const problem_list& problems) {
    return spell_number(quantiles_of(values, problems).median) + " (median)";
}

/// "tol_gap 0.001"
template <class Real>
std::string spell_setting(const char* name, const setting<Real>& s, const problem_list& problems) {
    return std::string(name) + " " +
           (s.is_per_problem() ? spell_median(s, problems) : spell_number(static_cast<double>(s.value())));
}

// --- hints

/// Why a problem ended as it did.
enum class cause {
    none,          ///< it converged
    start,         ///< v or θ as given
    data,          ///< no step is to blame
    descent_step,  ///< α
    outer_steps,   ///< ξ_v or ξ_θ
    unknown,       ///< without the quantity
    flat,
    ascent,
    stopped,
    late,  ///< the step limit, which only a tolerance makes a fault
};
constexpr std::size_t num_causes = static_cast<std::size_t>(cause::late) + 1;

/// What is not finite, by quantity.
constexpr const char* quantity_names[report_summary::num_quantities] = {"",  "the start", "θ⁽ᵗ⁾",      "f",
                                                                        "q̂", "the sums",  "the update"};

template <class Real>
class hint_writer {
public:
    hint_writer(const report<Real>& report, const settings<Real>& settings) : r_(report), s_(settings) {}

    std::vector<std::string> write(const problem_list& all) {
        std::array<problem_list, num_causes> problems;
        for (const std::int64_t i : all) problems[static_cast<std::size_t>(cause_of(i))].push_back(i);
        const auto of = [&](cause c) -> const problem_list& { return problems[static_cast<std::size_t>(c)]; };
        const auto first_of = [&](cause c) { return of(c).empty() ? "" : std::to_string(of(c).front()); };
        const auto outer_step = spell_setting("outer_step_size", s_.outer_step_size, of(cause::outer_steps));
        const auto inner_step = spell_setting("inner_step_size", s_.inner_step_size, of(cause::outer_steps));
        add(of(cause::start),
            "v or θ as given holds NaN or infinity; correct it, first in problem " + first_of(cause::start));
        add(of(cause::data), "f, g or a gradient overflows, or the data hold NaN or infinity; see problem " +
                                 first_of(cause::data) + " first");
        add(of(cause::descent_step), descent_advice(of(cause::descent_step)));
        add(of(cause::outer_steps),
            outer_step + " or " + inner_step + " is too large; use smaller ones or step_rule::automatic");
        add(of(cause::unknown), "report.quantity would tell what was not finite");
        add(of(cause::flat), "f or g has no curvature in θ; use step_rule::fixed with the three step sizes");
        add(of(cause::ascent), "the inner descent went up, rare with step_rule::automatic; use more outer_steps");
        add(of(cause::stopped), "the solve was asked to stop; another one from the returned state goes on with them");
        add_tolerances(of(cause::late));

        std::stable_sort(hints_.begin(), hints_.end(), [](auto& a, auto& b) { return a.first > b.first; });
        std::vector<std::string> result;
        for (auto& hint : hints_) result.push_back(std::move(hint.second));
        return result;
    }

private:
    cause cause_of(std::int64_t i) const {
        const bool is_fixed = s_.steps == step_rule::fixed;
        const outcome how = r_.outcome.data[i];
        if (how == outcome::descent_diverged) return is_fixed ? cause::descent_step : cause::ascent;
        if (how == outcome::no_curvature) return cause::flat;
        if (how == outcome::cancelled || how == outcome::not_run) return cause::stopped;
        if (how == outcome::step_limit) return cause::late;
        if (how != outcome::non_finite) return cause::none;

        const quantity what = r_.quantity.given() ? r_.quantity.data[i] : quantity::none;
        if (what == quantity::none) return cause::unknown;
        if (what == quantity::start) return cause::start;
        if (!is_fixed) return cause::data;
        // A descent that grows shows in whatever overflows first.
        const double curvature = value_at(r_.inner_curvature, i);
        if (value_at(s_.descent_step_size, i) * curvature > 2) return cause::descent_step;
        // A gradient that is not finite has no curvature that could be measured.
        const bool is_unknown = r_.inner_curvature.given() && !(curvature > 0 && std::isfinite(curvature));
        if (what == quantity::descent) return is_unknown ? cause::data : cause::descent_step;
        // Before the first update there is no outer step to blame, and f has not seen the inner descent.
        if (what == quantity::update || value_at(r_.iterations, i) > 0) return cause::outer_steps;
        return what == quantity::outer_value || r_.inner_curvature.given() ? cause::data : cause::descent_step;
    }

    std::string descent_advice(const problem_list& problems) const {
        const std::string step = spell_setting("descent_step_size", s_.descent_step_size, problems);
        const double curvature = quantiles_of(r_.inner_curvature, problems).median;
        if (!(curvature > 0))
            return step + " may be too large" +
                   (r_.inner_curvature.given() ? "" : ", which report.inner_curvature would tell") +
                   "; use step_rule::automatic or a smaller one";
        const double most = 2 / curvature;
        if (quantiles_of(s_.descent_step_size, problems).median > most)
            return step + " is above 2/L̂_g ≈ " + spell_number(most) + "; use step_rule::automatic";
        return step + " is not above 2/L̂_g ≈ " + spell_number(most) +
               " of the start, but g may be steeper elsewhere; use step_rule::automatic or a smaller one";
    }

    /// What a tolerance is held against, in units of |unit| where there is one.
    struct criterion {
        const char* name;
        const setting<Real>& tolerance;
        const char* value_name;
        const batch_view<Real>& value;
        const batch_view<Real>* unit = nullptr;
        const char* unit_name = "";
    };

    /// The hints about problems that made all steps, or stopped at a gap that the refinement did not confirm. Each is
    /// told of the first tolerance that it misses.
    void add_tolerances(problem_list problems) {
        const criterion criteria[] = {
            {"tol_stationarity", s_.tol_stationarity, "stationarity", r_.stationarity},
            {"tol_gap", s_.tol_gap, "gap", r_.gap},
            {"rel_tol_gap", s_.rel_tol_gap, "gap", r_.gap, &r_.outer_value, " and report.outer_value"},
            {"tol_gap", s_.tol_gap, "refined_gap", r_.refined_gap},
            {"rel_tol_gap", s_.rel_tol_gap, "refined_gap", r_.refined_gap, &r_.refined_outer_value,
             " and report.refined_outer_value"}};
        for (const criterion& c : criteria) {
            problem_list met, others;
            for (const std::int64_t i : problems) {
                const double most = value_at(c.tolerance, i);
                const double unit = c.unit == nullptr ? 1 : std::abs(value_at(*c.unit, i));
                (!(most > 0) || value_at(c.value, i) <= most * unit ? met : others).push_back(i);
            }
            const std::string name = c.value_name;
            if (!c.value.given() || (c.unit != nullptr && !c.unit->given())) {
                add(others, "report." + name + c.unit_name + " would tell whether " + c.name + " is missed");
            } else {
                const bool is_refined = &c.value == &r_.refined_gap;
                add(others, name + " " + spell_median(c.value, others) + " is above " +
                                spell_setting(c.name, c.tolerance, others) + (c.unit == nullptr ? "" : " of |f|") +
                                (is_refined ? ", which gap meets; use more inner_steps" : "; use more outer_steps"));
            }
            problems = std::move(met);
        }
        // No report has the first stationarity: what misses it is what meets all others.
        problems = filter(problems, [&](std::int64_t i) { return value_at(s_.rel_tol_stationarity, i) > 0; });
        add(problems,
            (r_.stationarity.given() ? "stationarity " + spell_median(r_.stationarity, problems) : "stationarity") +
                " is above " + spell_setting("rel_tol_stationarity", s_.rel_tol_stationarity, problems) +
                " of the first; use more outer_steps");
    }

    /// "412 of 4,000 non_finite in θ⁽ᵗ⁾ near iteration 3 and 12 descent_diverged near iteration 1,000"
    std::string head(const problem_list& problems) const {
        std::string text;
        for (std::size_t o = 0; o < report_summary::num_outcomes; ++o) {
            const auto how = static_cast<outcome>(o);
            const problem_list those = filter(problems, [&](std::int64_t i) { return r_.outcome.data[i] == how; });
            if (those.empty()) continue;
            const std::string count = spell_count(static_cast<std::int64_t>(those.size()));
            text += text.empty() ? count + " of " + spell_count(r_.outcome.num_problems) : " and " + count;
            text += std::string(" ") + to_string(how);
            if (how == outcome::non_finite) text += where(those);
            if (how == outcome::non_finite || how == outcome::descent_diverged) text += when(those);
        }
        return text;
    }

    /// " in θ⁽ᵗ⁾ or f"
    std::string where(const problem_list& problems) const {
        std::string text;
        for (std::size_t q = 1; q < report_summary::num_quantities && r_.quantity.given(); ++q) {
            const auto is_it = [&](std::int64_t i) { return r_.quantity.data[i] == static_cast<quantity>(q); };
            if (std::any_of(problems.begin(), problems.end(), is_it))
                text += (text.empty() ? " in " : " or ") + std::string(quantity_names[q]);
        }
        return text;
    }

    /// " near iteration 3"; of a start that is not finite there is nothing to say.
    std::string when(const problem_list& problems) const {
        const double iteration = quantiles_of(r_.iterations, problems).median;
        if (std::isnan(iteration) || cause_of(problems.front()) == cause::start) return "";
        return " near iteration " + spell_iteration(iteration);
    }

    void add(const problem_list& problems, const std::string& advice) {
        if (problems.empty()) return;
        hints_.emplace_back(problems.size(), head(problems) + ": " + advice);
    }

    const report<Real>& r_;
    const settings<Real>& s_;
    std::vector<std::pair<std::size_t, std::string>> hints_;  ///< with the number of their problems
};

}  // namespace

template <class Real>
report_summary summary(const report<Real>& report, const settings<Real>& settings) {
    check_arrays(report, settings);
    report_summary result;
    result.num_problems = report.outcome.num_problems;
    problem_list all, begun;
    for (std::int64_t i = 0; i < result.num_problems; ++i) {
        all.push_back(i);
        if (value_at(report.iterations, i) >= 0) begun.push_back(i);
        ++result.outcomes[index_at("outcome", report.outcome, i, result.outcomes.size())];
        if (!report.quantity.given()) continue;
        const std::size_t what = index_at("quantity", report.quantity, i, result.quantities.size());
        if (report.outcome.data[i] == outcome::non_finite) ++result.quantities[what];
    }
    result.iterations = quantiles_of(report.iterations, begun);
    result.stationarity = quantiles_of(report.stationarity, all);
    result.gap = quantiles_of(report.gap, all);
    result.hints = hint_writer<Real>(report, settings).write(all);
    return result;
}

std::string to_string(const report_summary& summary) {
    constexpr std::size_t name_width = 18, count_width = 12, number_width = 11;
    const auto row = [&](const std::string& name, const std::string& count) {
        return "\n  " + left(name, name_width) + right(count, count_width);
    };
    std::string text = spell_count(summary.num_problems) + (summary.num_problems == 1 ? " problem" : " problems");
    for (std::size_t o = 0; o < summary.outcomes.size(); ++o) {
        if (summary.outcomes[o] == 0) continue;
        const auto how = static_cast<outcome>(o);
        text += row(to_string(how), spell_count(summary.outcomes[o]));
        std::string parts;
        for (std::size_t q = 0; q < summary.quantities.size() && how == outcome::non_finite; ++q)
            if (summary.quantities[q] > 0)
                parts += (parts.empty() ? "  " : ", ") + std::string(to_string(static_cast<quantity>(q))) + " " +
                         spell_count(summary.quantities[q]);
        text += parts;
    }
    std::string table;
    const auto add_row = [&](const char* name, const quantiles& q, const auto& spell) {
        if (q.num_values == 0) return;
        table += row(name, spell_count(q.num_values));
        for (const double x : {q.least, q.lower_quartile, q.median, q.upper_quartile, q.most})
            table += right(spell(x), number_width);
    };
    add_row("iterations", summary.iterations, spell_iteration);
    add_row("stationarity", summary.stationarity, spell_number);
    add_row("gap", summary.gap, spell_number);
    if (!table.empty()) {
        text += "\n" + row("", "problems");
        for (const char* name : {"least", "quartile", "median", "quartile", "most"}) text += right(name, number_width);
        text += table;
    }
    if (!summary.hints.empty()) text += "\n";
    for (const std::string& hint : summary.hints) text += "\n" + hint;
    return text;
}

template report_summary summary(const report<float>&, const settings<float>&);
template report_summary summary(const report<double>&, const settings<double>&);

}  // namespace cubome
