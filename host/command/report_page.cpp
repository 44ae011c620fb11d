// SPDX-License-Identifier: Apache-2.0
#include "host/command/report_page.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "cubome/settings.hpp"
#include "host/command/page_charts.hpp"
#include "host/command/page_text.hpp"

namespace cubome::command {

// Made from page.css and page.js by embed.cmake.
extern const std::string_view page_css, page_js;

namespace {

constexpr std::size_t most_name = 60, most_label = 40, most_axis_label = 14;
constexpr std::size_t most_rows_shown = 20, most_ways = 8, most_hint = 1'000;
constexpr std::size_t most_bytes = 5'000'000;

/// How much of everything there is a page has room for.
struct page_room {
    std::size_t rows = 500;     ///< settings in the ranking
    std::size_t columns = 16;   ///< parameters with a column of their own
    std::size_t effects = 30;   ///< charts of effects
    std::size_t labels = 60;    ///< of a parameter, in tables
    std::size_t uprights = 12;  ///< parameters of parallel coordinates
    std::size_t failing = 24;   ///< parameters in the table of failures
    std::size_t curves = 10;    ///< trace fields
    std::size_t fields = 40;
    std::size_t heat_numbers = 200'000;
    std::size_t hints = 40;
    std::size_t spec = 100'000;  ///< bytes

    page_room halved() const {
        page_room result = *this;
        for (std::size_t* part :
             {&result.rows, &result.columns, &result.effects, &result.labels, &result.uprights, &result.failing,
              &result.curves, &result.fields, &result.heat_numbers, &result.hints, &result.spec})
            *part = (*part + 1) / 2;
        return result;
    }
};

const char* meaning_of(outcome how) {
    switch (how) {
        case outcome::not_run:
            return "never begun";
        case outcome::converged:
            return "every tolerance that was set is met";
        case outcome::step_limit:
            return "all outer steps were made before every tolerance was met, or there was none to meet";
        case outcome::non_finite:
            return "a number became NaN or infinite; the last finite point is kept";
        case outcome::descent_diverged:
            return "the inner descent goes up at the point returned: its step is too large";
        case outcome::cancelled:
            return "stopped on request while under way";
        case outcome::no_curvature:
            return "f or g is flat in θ, and the automatic step rule found no step to take";
    }
    return "";
}

/// What a field's name says to those who did not choose it.
const char* meaning_of(std::string_view field) {
    constexpr std::pair<std::string_view, const char*> known[] = {
        {"held_out", "the family's metric of the returned point on data that neither level sees"},
        {"accuracy", "the share of held-out examples that are classified rightly"},
        {"outer_value", "f at the last point; θ may be infeasible there, and then flatters f"},
        {"refined_outer_value", "f after further descent steps of θ at the final v: comparable between settings"},
        {"gap", "g at the returned θ minus g after the inner descent: how far θ is from optimal"},
        {"refined_gap", "the gap by further descent steps"},
        {"stationarity", "the squared length of ∇f + λ∇q̂ with the multiplier that makes it smallest"},
        {"multiplier", "λ, the weight of the gap's gradient in the next outer update"},
        {"inner_curvature", "the largest curvature of g in θ, by power iteration"},
        {"outer_curvature", "the largest curvature of f in θ, by power iteration"},
        {"best_kkt", "stationarity plus gap at the best point"},
    };
    for (const auto& [name, meaning] : known)
        if (name == field) return meaning;
    return "a number that this sweep keeps of each problem";
}

std::string percent(double share) {
    if (std::isnan(share)) return "–";
    if (share == 0) return "0 %";
    if (share > 0 && share < 0.001) return "under 0.1 %";
    char text[32];
    std::snprintf(text, sizeof text, share < 0.1 ? "%.1f %%" : "%.0f %%", 100 * share);
    return text;
}

/// For a script: three or more digits, null where there is none.
std::string json_number(double x, int digits) {
    if (!std::isfinite(x)) return "null";
    char text[48];
    std::snprintf(text, sizeof text, "%.*g", digits, x == 0 ? 0.0 : x);
    return text;
}

class page {
public:
    page(const sweep_results& results, const aggregate& gathered, const aggregate_limits& limits, const page_room& room)
        : r_(results), a_(gathered), limits_(limits), room_(room) {
        has_metric_ = !r_.fields.empty();
        if (has_metric_) metric_ = escaped(shortened(r_.fields[0].name, most_name));
    }

    std::string write() {
        write_outcomes();
        if (a_.num_seen > 0) {
            if (has_metric_) write_ranking();
            write_curves();
            write_heat_map();
            if (has_metric_) write_effects();
            if (has_metric_) write_parallel();
            write_failures();
        }
        write_spec();
        return head() + std::move(out_) + foot();
    }

private:
    using kind = parameter::kind;

    // --- pieces

    void begin_section(const char* id, const char* title) {
        sections_.emplace_back(id, title);
        out_ += std::string("<section id=\"") + id + "\" aria-labelledby=\"" + id + "-title\">\n<h2 id=\"" + id +
                "-title\">" + title + "</h2>\n";
    }

    void end_section() { out_ += "</section>\n"; }

    void note(const std::string& html) { out_ += "<p class=\"note\">" + html + "</p>\n"; }

    static std::string cell(const std::string& html) { return "<td>" + html + "</td>"; }
    static std::string number_cell(const std::string& html) { return "<td class=\"n\">" + html + "</td>"; }
    static std::string head_cell(const std::string& html, const char* classes = "") {
        return std::string("<th scope=\"col\"") + (*classes ? std::string(" class=\"") + classes + "\"" : "") + ">" +
               html + "</th>";
    }
    static std::string code(std::string_view text, std::size_t most = most_name) {
        return "<code>" + escaped(shortened(text, most)) + "</code>";
    }

    /// A name that may go on in the next line after each of its points.
    static std::string breakable(std::string_view name) {
        const std::string text = code(name, 36);
        std::string result;
        for (const char c : text) {
            result += c;
            if (c == '.') result += "<wbr>";
        }
        return result;
    }

    /// A table that scrolls by itself where it is too wide, and can be reached by keyboard then.
    void begin_table(const char* classes, const std::string& label) {
        out_ += "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"" + label + "\">\n<table class=\"" +
                classes + "\">\n";
    }
    void end_table() { out_ += "</table>\n</div>\n"; }

    const parameter& parameter_at(std::size_t p) const { return r_.parameters[p]; }

    std::string label_at(std::size_t p, std::int32_t place, std::size_t most = most_label) const {
        const std::vector<std::string>& labels = parameter_at(p).labels;
        if (place < 0 || static_cast<std::size_t>(place) >= labels.size()) return "–";
        return shortened(labels[static_cast<std::size_t>(place)], most);
    }

    /// A parameter's value in one problem, not escaped.
    std::string value_at(std::size_t p, std::span<const std::int32_t> places, std::span<const double> numbers) const {
        if (parameter_at(p).is == kind::drawn) return spell_number(numbers[p]);
        return label_at(p, places[p]);
    }

    /// A setting's parameter, without the prefix that all of them have.
    std::string setting_name(std::size_t p) const {
        const std::string_view name = parameter_at(p).name;
        return shortened(a_.has_settings_prefix ? name.substr(std::string_view("settings.").size()) : name, most_name);
    }

    /// The setting's parameters that vary, as indices of a_.setting_parameters.
    std::vector<std::size_t> varied() const {
        std::vector<std::size_t> result;
        for (std::size_t i = 0; i < a_.setting_parameters.size() && result.size() < room_.columns; ++i)
            if (parameter_at(a_.setting_parameters[i]).labels.size() > 1) result.push_back(i);
        return result;
    }

    /// "eta 0.5, inner_steps 10", not escaped.
    std::string setting_text(std::size_t setting) const {
        std::string text;
        for (const std::size_t i : varied()) {
            const std::size_t p = a_.setting_parameters[i];
            text += (text.empty() ? "" : ", ") + setting_name(p) + " " + label_at(p, a_.setting_places[setting][i], 24);
        }
        return text.empty() ? "the only setting" : text;
    }

    const char* direction() const { return r_.fields[0].is_best_greatest ? "greatest" : "smallest"; }

    std::string mean_and_deviation(const moments& m) const {
        const number_style style = style_of(std::vector<double>{m.mean()}, resolution_of(m));
        return style.spell(m.mean()) + (m.count() > 1 ? " ± " + style.spell(m.deviation()) : "");
    }

    /// What the last digit of a mean should stand for: its standard error, but no less than two digits of the
    /// deviation.
    static double resolution_of(const moments& m) {
        const double deviation = m.deviation();
        if (!(deviation > 0)) return not_a_number;
        return std::min(m.error(), deviation / 10);
    }

    // --- head and foot

    std::string head() const {
        const std::string name = r_.name.empty() ? "sweep" : escaped(shortened(r_.name, 200));
        std::string html =
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
            name + " – cuBOME sweep</title>\n<style>\n" + std::string(page_css) +
            "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the results</a>\n<header>\n"
            "<div class=\"masthead\"><p class=\"kind\">cuBOME sweep</p>\n"
            "<button type=\"button\" id=\"theme\" class=\"scripted\">Theme: <span>auto</span></button></div>\n<h1>" +
            name + "</h1>\n";
        if (!r_.made_by.empty()) html += "<p class=\"made\">" + escaped(shortened(r_.made_by, 400)) + "</p>\n";
        html += "<nav aria-label=\"Sections\"><ul>\n";
        for (const auto& [id, title] : sections_)
            html += std::string("<li><a href=\"#") + id + "\">" + title + "</a></li>\n";
        return html + "</ul></nav>\n</header>\n<main id=\"main\">\n";
    }

    static std::string foot() { return "</main>\n<script>\n" + std::string(page_js) + "</script>\n</body>\n</html>\n"; }

    // --- 1: outcomes

    std::int64_t count_of(outcome how) const {
        std::int64_t count = 0;
        for (const std::int64_t n : a_.outcomes[static_cast<std::size_t>(how)]) count += n;
        return count;
    }

    void write_outcomes() {
        begin_section("outcomes", "Outcomes");
        if (r_.num_present < r_.num_problems)
            out_ += "<p class=\"warning\" role=\"status\"><strong>Incomplete.</strong> Results of " +
                    spell_count(r_.num_present) + " of " + spell_count(r_.num_problems, "problem") + " are here (" +
                    spell_share(r_.num_present, r_.num_problems) +
                    "). All numbers below are of these alone, and what is missing may not be like them.</p>\n";
        write_facts();
        if (a_.num_seen == 0) {
            note("There are no results to show yet.");
            end_section();
            return;
        }
        write_outcome_bar();
        write_outcome_table();
        write_quantiles();
        write_hints();
        end_section();
    }

    void write_facts() {
        out_ += "<dl class=\"facts\">\n";
        const auto fact = [&](const std::string& name, const std::string& value, const std::string& more) {
            out_ += "<div><dt>" + name + "</dt><dd>" + value +
                    (more.empty() ? "" : " <span class=\"more\">" + more + "</span>") + "</dd></div>\n";
        };
        fact("Problems", spell_count(r_.num_present),
             r_.num_present == r_.num_problems ? "all there" : "of " + spell_count(r_.num_problems));
        if (a_.num_seen > 0) {
            const std::int64_t converged = count_of(outcome::converged);
            fact("Converged", spell_share(converged, a_.num_seen), spell_count(converged));
            fact("Failed", spell_share(a_.num_failed, a_.num_seen), spell_count(a_.num_failed));
        }
        if (has_metric_ && !a_.ranking.empty() && a_.settings[a_.ranking[0]].metric.count() > 0) {
            const setting_record& best = a_.settings[a_.ranking[0]];
            if (a_.settings.size() > 1)
                fact("Best setting by " + code(r_.fields[0].name), mean_and_deviation(best.metric),
                     escaped(setting_text(a_.ranking[0])));
            else
                fact("Mean " + code(r_.fields[0].name), mean_and_deviation(best.metric), "");
        }
        out_ += "</dl>\n";
    }

    static std::vector<outcome> outcomes_in_order() {
        return {outcome::converged,    outcome::step_limit, outcome::non_finite, outcome::descent_diverged,
                outcome::no_curvature, outcome::cancelled,  outcome::not_run};
    }

    void write_outcome_bar() {
        std::string label = "Problems by outcome:";
        for (const outcome how : outcomes_in_order())
            if (count_of(how) > 0)
                label += std::string(" ") + to_string(how) + " " + spell_share(count_of(how), a_.num_seen) + ",";
        label.pop_back();
        out_ += "<div class=\"bar\" role=\"img\" aria-label=\"" + escaped(label) + "\">\n";
        for (const outcome how : outcomes_in_order()) {
            const std::int64_t count = count_of(how);
            if (count == 0) continue;
            const double share = static_cast<double>(count) / static_cast<double>(a_.num_seen);
            char grow[32];
            std::snprintf(grow, sizeof grow, "%.4f", 100 * share);
            const std::string words =
                std::string(to_string(how)) + ": " + spell_count(count) + ", " + spell_share(count, a_.num_seen);
            out_ += std::string("<span class=\"part ") + to_string(how) + "\" style=\"flex-grow:" + grow +
                    "\" title=\"" + escaped(words) + "\">" +
                    (share >= 0.06 ? std::string("<span>") + to_string(how) + "</span>" : "") + "</span>\n";
        }
        out_ += "</div>\n";
    }

    void write_outcome_table() {
        begin_table("outcome-table", "Outcomes");
        out_ += "<thead><tr>" + head_cell("outcome") + head_cell("problems", "n") + head_cell("share", "n") +
                head_cell("which means", "text") + "</tr></thead>\n<tbody>\n";
        for (const outcome how : outcomes_in_order()) {
            const std::int64_t count = count_of(how);
            std::string meaning = escaped(meaning_of(how));
            if (how == outcome::non_finite && count > 0) {
                meaning += " (first";
                const char* separator = " ";
                for (std::size_t q = 0; q < num_quantities; ++q) {
                    const std::int64_t n = a_.outcomes[static_cast<std::size_t>(how)][q];
                    if (n == 0) continue;
                    meaning += separator + code(to_string(static_cast<quantity>(q))) + " " + spell_count(n);
                    separator = ", ";
                }
                meaning += ")";
            }
            out_ += std::string("<tr") + (count == 0 ? " class=\"none\"" : "") +
                    "><th scope=\"row\"><span class=\"swatch " + to_string(how) + "\"></span>" + code(to_string(how)) +
                    "</th>" + number_cell(spell_count(count)) + number_cell(spell_share(count, a_.num_seen)) +
                    "<td class=\"text\">" + meaning + "</td></tr>\n";
        }
        out_ += "</tbody>\n";
        end_table();
        note(
            "<b>Failed</b> means any outcome but <code>converged</code> and <code>step_limit</code>. Means on this "
            "page leave failed problems out; how many there are stands beside them.");
    }

    void write_quantiles() {
        std::string rows;
        const auto row = [&](const std::string& name, const quantiles& q, double mean) {
            if (q.num_values == 0) return;
            rows += "<tr><th scope=\"row\">" + name + "</th>" + number_cell(spell_count(q.num_values));
            for (const double x : {q.least, q.lower_quartile, q.median, q.upper_quartile, q.most, mean})
                rows += number_cell(spell_number(x));
            rows += "</tr>\n";
        };
        row(code("iterations"), a_.iterations, a_.iteration_moments.mean());
        for (std::size_t f = 0; f < r_.fields.size() && f < room_.fields; ++f)
            row(code(r_.fields[f].name), a_.field_numbers[f], a_.field_moments[f].mean());
        if (rows.empty()) return;
        out_ += "<h3>Where the numbers lie</h3>\n";
        begin_table("", "Quantiles");
        out_ += "<thead><tr>" + head_cell("number") + head_cell("problems", "n");
        for (const char* name : {"least", "lower quartile", "median", "upper quartile", "most", "mean"})
            out_ += head_cell(name, "n");
        out_ += "</tr></thead>\n<tbody>\n" + rows + "</tbody>\n";
        end_table();
        note(
            "Iterations of all problems that were begun; else of all problems, failed or not, whose number is finite." +
            sampled() + left_out(r_.fields.size(), room_.fields, "numbers"));
    }

    static std::string left_out(std::size_t all, std::size_t shown, const char* of_what) {
        if (all <= shown) return "";
        return " The first " + std::to_string(shown) + " of " + spell_count(static_cast<std::int64_t>(all)) + " " +
               of_what + " are shown.";
    }

    std::string sampled() const {
        return a_.is_sampled ? " Quantiles come from a sample of " +
                                   spell_count(static_cast<std::int64_t>(a_.sample_size), "problem") +
                                   "; counts, extremes and means from all."
                             : "";
    }

    void write_hints() {
        if (r_.hints.empty()) return;
        out_ += "<h3>Causes and cures</h3>\n<ul class=\"hints\">\n";
        for (std::size_t i = 0; i < std::min(r_.hints.size(), room_.hints); ++i)
            out_ += "<li>" + escaped(shortened(r_.hints[i], most_hint)) + "</li>\n";
        if (r_.hints.size() > room_.hints)
            out_ += "<li>" + spell_count(static_cast<std::int64_t>(r_.hints.size() - room_.hints)) + " more</li>\n";
        out_ += "</ul>\n";
    }

    // --- 2: ranking

    /// The parameters that a setting's mean runs over, or nothing.
    std::string averaged_over() const {
        std::string names;
        for (std::size_t p = 0; p < r_.parameters.size(); ++p) {
            const parameter& it = parameter_at(p);
            const bool is_in =
                std::find(a_.setting_parameters.begin(), a_.setting_parameters.end(), p) != a_.setting_parameters.end();
            if (is_in || (it.is != kind::drawn && it.labels.size() < 2)) continue;
            names += (names.empty() ? "" : ", ") + code(it.name) +
                     (it.is == kind::drawn ? " (drawn)"
                                           : " (" + spell_count(static_cast<std::int64_t>(it.labels.size())) + ")");
        }
        return names;
    }

    /// Whether the mean cannot be told from the best setting's by twice the standard error of their difference.
    bool is_like_best(const moments& m) const {
        const moments& best = a_.settings[a_.ranking[0]].metric;
        const double error = std::hypot(best.error(), m.error());
        return m.count() > 1 && best.count() > 1 && std::abs(m.mean() - best.mean()) <= 2 * error;
    }

    void write_ranking() {
        begin_section("ranking", "Ranking of settings");
        std::size_t num_ranked = 0, num_alike = 0;
        bool has_without = false;
        for (const std::size_t s : a_.ranking) {
            num_ranked += a_.settings[s].metric.count() > 0 ? 1 : 0;
            has_without |= a_.settings[s].num_without > 0;
        }
        for (std::size_t i = 1; i < num_ranked; ++i)
            num_alike += is_like_best(a_.settings[a_.ranking[i]].metric) ? 1 : 0;
        std::string lead = "By the mean of " + code(r_.fields[0].name) + " over all problems of a setting, " +
                           direction() + " first. ";
        if (r_.fields[0].name == "outer_value")
            lead +=
                "<strong>This is f at the last point</strong>, which an infeasible θ flatters: "
                "<code>refined_outer_value</code> or <code>held_out</code> rank more fairly. ";
        else
            lead += "The ranking never uses f at the last point, which an infeasible θ flatters. ";
        const std::string others = averaged_over();
        if (!others.empty()) lead += "Averaged over " + others + ".";
        const bool has_drawn_settings =
            std::any_of(r_.parameters.begin(), r_.parameters.end(),
                        [](const parameter& it) { return it.is == kind::drawn && it.name.starts_with("settings."); });
        if (has_drawn_settings) lead += " Drawn settings are not ranked: see <a href=\"#effects\">their effect</a>.";
        if (a_.is_heavy_tailed)
            lead +=
                " <strong>A few problems lie so far out that they decide the means</strong>; medians are under "
                "<a href=\"#effects\">effects</a>.";
        out_ += "<p>" + lead + "</p>\n";
        if (num_ranked == 0) {
            note("No problem that ended well has a finite " + code(r_.fields[0].name) + ": there is nothing to rank.");
        } else {
            write_ranking_table(0, std::min(a_.ranking.size(), most_rows_shown), has_without);
            std::string text =
                "± is the standard deviation over the setting’s problems, n their number; failed ones are counted in "
                "their column and left out of the mean.";
            if (has_without) text += " “No number” counts those that ended well without a finite metric.";
            if (num_alike > 0)
                text +=
                    " ≈ marks settings whose mean is within twice the standard error of its difference to the "
                    "first (" +
                    spell_count(static_cast<std::int64_t>(num_alike)) + "), taken as independent samples.";
            std::size_t num_varied = 0;
            for (const std::size_t p : a_.setting_parameters) num_varied += parameter_at(p).labels.size() > 1 ? 1 : 0;
            text += left_out(num_varied, room_.columns, "parameters");
            if (a_.num_unranked > 0)
                text += " " + spell_count(a_.num_unranked, "problem") + " of further settings are left out.";
            note(text);
            if (a_.ranking.size() > most_rows_shown) {
                const std::size_t end = std::min(a_.ranking.size(), room_.rows);
                out_ += "<details><summary>Places " + std::to_string(most_rows_shown + 1) + " to " +
                        std::to_string(end) +
                        (end < a_.ranking.size() ? " of " + spell_count(static_cast<std::int64_t>(a_.ranking.size()))
                                                 : std::string()) +
                        "</summary>\n";
                write_ranking_table(most_rows_shown, end, has_without);
                out_ += "</details>\n";
            }
        }
        end_section();
    }

    void write_ranking_table(std::size_t begin, std::size_t end, bool has_without) {
        std::vector<double> means, deviations, resolutions, ends;
        for (std::size_t i = begin; i < end; ++i) {
            const moments& m = a_.settings[a_.ranking[i]].metric;
            if (m.count() == 0) continue;
            means.push_back(m.mean());
            if (m.count() > 1) deviations.push_back(m.deviation());
            if (resolution_of(m) > 0) resolutions.push_back(resolution_of(m));
            const double reach = m.count() > 1 ? m.deviation() : 0;
            ends.push_back(m.mean() - reach), ends.push_back(m.mean() + reach);
        }
        std::sort(resolutions.begin(), resolutions.end());
        const number_style style = style_of(means, quantile_of(resolutions, 0.5));
        // Outliers of the long tail may run off their plots, those at the top not.
        std::sort(ends.begin(), ends.end());
        const double cut = begin == 0 ? 0 : 0.05;
        const scale x = scale_over(std::vector<double>{quantile_of(ends, cut), quantile_of(ends, 1 - cut)}, 0);
        const double best = a_.settings[a_.ranking[0]].metric.mean();
        const std::vector<std::size_t> columns = varied();

        begin_table("ranking sortable", "Ranking of settings");
        out_ += "<thead><tr>" + head_cell("place", "n");
        for (const std::size_t i : columns)
            out_ += head_cell(code(setting_name(a_.setting_parameters[i])),
                              is_numeric(a_.setting_parameters[i]) ? "n" : "");
        out_ += head_cell("mean", "n") + head_cell("± sd", "n") + "<td class=\"plot\">" + plot_head(x) + "</td>" +
                head_cell("n", "n") + head_cell("failed", "n") + (has_without ? head_cell("no number", "n") : "") +
                "</tr></thead>\n<tbody>\n";
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t s = a_.ranking[i];
            const setting_record& it = a_.settings[s];
            const moments& m = it.metric;
            const bool is_alike = i > 0 && is_like_best(m);
            out_ += "<tr>" + number_cell(m.count() == 0 ? "–"
                                                        : (is_alike ? "<span class=\"alike\">≈</span> " : "") +
                                                              std::to_string(i + 1));
            for (const std::size_t c : columns) {
                const std::size_t p = a_.setting_parameters[c];
                const std::string label = escaped(label_at(p, a_.setting_places[s][c]));
                out_ += is_numeric(p) ? number_cell(label) : cell(label);
            }
            const std::int64_t num_all = m.count() + it.num_failed + it.num_without;
            out_ += number_cell(style.spell(m.mean())) +
                    number_cell(m.count() > 1 ? style.spell(m.deviation()) : std::string("–")) + "<td class=\"plot\">" +
                    row_plot(m, x, best) + "</td>" + number_cell(spell_count(m.count())) +
                    number_cell(it.num_failed == 0 ? "0"
                                                   : "<span class=\"bad\">" + spell_count(it.num_failed) +
                                                         "</span> <span class=\"more\">" +
                                                         spell_share(it.num_failed, num_all) + "</span>") +
                    (has_without ? number_cell(spell_count(it.num_without)) : "") + "</tr>\n";
        }
        out_ += "</tbody>\n";
        end_table();
    }

    bool is_numeric(std::size_t p) const {
        const std::vector<double>& numbers = parameter_at(p).numbers;
        return !numbers.empty() && std::none_of(numbers.begin(), numbers.end(), [](double x) { return std::isnan(x); });
    }

    static constexpr double row_width = 190;

    /// The numbers above the plots of a table's rows.
    static std::string plot_head(const scale& x) {
        const std::vector<double> ticks = ticks_of(x, 3);
        const std::vector<std::string> labels = spell_ticks(x, ticks);
        std::string svg =
            "<svg class=\"row-plot\" viewBox=\"0 0 190 16\" width=\"190\" height=\"16\" aria-hidden=\"true\">";
        for (std::size_t i = 0; i < ticks.size(); ++i) {
            const double at = 8 + (row_width - 16) * x.at(ticks[i]);
            const char* anchor = at < 22 ? "start" : at > row_width - 22 ? "end" : "middle";
            svg += std::string("<text class=\"") + anchor + "\" x=\"" +
                   coordinate(at < 22               ? 0
                              : at > row_width - 22 ? row_width
                                                    : at) +
                   "\" y=\"11\">" + escaped(labels[i]) + "</text>";
        }
        return svg + "</svg>";
    }

    static std::string row_plot(const moments& m, const scale& x, double best) {
        if (m.count() == 0) return "";
        const auto at = [&](double value) { return coordinate(8 + (row_width - 16) * x.at(value)); };
        std::string svg =
            "<svg class=\"row-plot\" viewBox=\"0 0 190 16\" width=\"190\" height=\"16\" aria-hidden=\"true\">"
            "<path class=\"grid\" d=\"M" +
            at(best) + " 0V16\"/>";
        if (m.count() > 1)
            svg += "<path class=\"spread\" d=\"M" + at(m.mean() - m.deviation()) + " 8H" +
                   at(m.mean() + m.deviation()) + "\"/>";
        return svg + "<circle cx=\"" + at(m.mean()) + "\" cy=\"8\" r=\"3.5\"/></svg>";
    }

    // --- 3: curves

    struct curve_axis {
        double last = 1, step = 1;
        bool is_log = false;
        double at(double k) const { return is_log ? std::log1p(k / step) / std::log1p(last / step) : k / last; }
    };

    void write_curves() {
        if (a_.positions.size() < 2 || a_.bands.empty() || a_.bands[0].num_traces == 0) return;
        begin_section("curves", "Convergence");
        std::string lead =
            "Median, middle half and middle 90 % of the problems against the iteration. A problem that has ended well "
            "keeps its last value; one that failed is left out from where it failed.";
        if (a_.is_trace_sampled)
            lead += " Where a set has more than a few thousand problems, its curves are those of a sample.";
        out_ += "<p>" + lead + "</p>\n";
        out_ +=
            "<div class=\"curves\">\n"
            "<input type=\"radio\" name=\"curve-scale\" id=\"curve-linear\" checked>"
            "<label for=\"curve-linear\">linear iterations</label>\n"
            "<input type=\"radio\" name=\"curve-scale\" id=\"curve-log\">"
            "<label for=\"curve-log\">logarithmic iterations</label>\n"
            "<p class=\"legend\"><span><span class=\"key median\"></span>median</span> "
            "<span><span class=\"key half\"></span>25–75 %</span> "
            "<span><span class=\"key wide\"></span>5–95 %</span>";
        if (a_.bands.size() > 1) out_ += " <span><span class=\"key whole\"></span>median of the whole sweep</span>";
        out_ += "</p>\n<div class=\"panels wide-panels\">\n";
        std::vector<scale> scales;
        for (std::size_t f = 0; f < num_curves(); ++f) scales.push_back(curve_scale(f));
        for (std::size_t f = 0; f < num_curves(); ++f) write_curve_figure(f, 0, scales[f], false);
        out_ += "</div>\n";
        if (a_.bands.size() > 1) {
            out_ += "<h3>The best settings by " + code(r_.fields[0].name) + "</h3>\n";
            for (std::size_t f = 0; f < num_curves(); ++f) {
                out_ += "<h4>" + code(r_.trace_fields[f]) + "</h4>\n<div class=\"panels small-panels\">\n";
                for (std::size_t b = 1; b < a_.bands.size(); ++b) write_curve_figure(f, b, scales[f], true);
                out_ += "</div>\n";
            }
        }
        out_ += "</div>\n";
        const std::string missing = left_out(r_.trace_fields.size(), room_.curves, "traced quantities");
        if (!missing.empty()) note(missing);
        write_curve_data();
        end_section();
    }

    std::size_t num_curves() const { return std::min(r_.trace_fields.size(), room_.curves); }

    double band(std::size_t b, std::size_t f, std::size_t position, std::size_t level) const {
        return a_.bands[b].quantiles[(f * a_.positions.size() + position) * trace_bands::levels.size() + level];
    }

    /// One scale for all curves of a trace field; what lies far off is cut.
    scale curve_scale(std::size_t f) const {
        std::vector<double> inner, outer;
        double least_median = not_a_number;
        for (std::size_t b = 0; b < a_.bands.size(); ++b) {
            for (std::size_t i = 0; i < a_.positions.size(); ++i) {
                const double median = band(b, f, i, 2);
                if (std::isnan(median)) continue;
                least_median = std::isnan(least_median) ? median : std::min(least_median, median);
                for (const std::size_t level : {1u, 2u, 3u}) inner.push_back(band(b, f, i, level));
                for (const std::size_t level : {0u, 4u}) outer.push_back(band(b, f, i, level));
            }
        }
        if (inner.empty()) return {};
        const auto [low, high] = std::minmax_element(inner.begin(), inner.end());
        double least = *low, most = *high;
        const bool is_log = least_median > 0 && most > 20 * least_median;
        if (is_log) {
            // A lower band may touch 0, where there is no logarithm.
            const double floor = least_median * 1e-3, ceiling = most * 1e3;
            for (const double x : outer)
                if (x > 0) least = std::min(least > 0 ? least : x, x), most = std::max(most, x);
            least = std::max(least > 0 ? least : least_median, floor);
            return scale_over(std::vector<double>{least, std::min(most, ceiling)}, 1);
        }
        const double range = most - least;
        for (const double x : outer) {
            least = std::max(std::min(least, x), *low - 2 * range);
            most = std::min(std::max(most, x), *high + 2 * range);
        }
        return scale_over(std::vector<double>{least, most}, 0);
    }

    void write_curve_figure(std::size_t f, std::size_t b, const scale& y, bool is_small) {
        const trace_bands& bands = a_.bands[b];
        out_ += "<figure>\n<figcaption>";
        if (bands.setting < 0)
            out_ += code(r_.trace_fields[f]) + " <span class=\"more\">whole sweep, " +
                    spell_count(bands.num_traces, "trace") + "</span>";
        else
            out_ +=
                "<b>" + std::to_string(b) + "</b> " + escaped(setting_text(static_cast<std::size_t>(bands.setting)));
        out_ += "</figcaption>\n";
        for (const bool is_log : {false, true}) out_ += curve_drawing(f, b, y, is_small, is_log);
        out_ += "</figure>\n";
    }

    std::string curve_drawing(std::size_t f, std::size_t b, const scale& y, bool is_small, bool is_log) const {
        const double width = is_small ? 190 : 300, height = is_small ? 128 : 196;
        const plot_area area =
            is_small ? plot_area{40, 6, width - 6, height - 18} : plot_area{46, 8, width - 10, height - 34};
        const curve_axis x{static_cast<double>(a_.positions.back()), static_cast<double>(a_.trace_step), is_log};
        const trace_bands& bands = a_.bands[b];
        const std::size_t last = a_.positions.size() - 1;
        const std::string label =
            shortened(r_.trace_fields[f], most_name) + " against iterations, " +
            (bands.setting < 0 ? std::string("whole sweep") : setting_text(static_cast<std::size_t>(bands.setting))) +
            ": median from " + spell_number(band(b, f, 0, 2), 3) + " to " + spell_number(band(b, f, last, 2), 3);
        drawing svg(width, height, is_log ? "curve log-x" : "curve linear-x", label,
                    " data-panel=\"" + std::to_string(b) + "\" data-field=\"" + std::to_string(f) + "\" data-log=\"" +
                        (is_log ? "1" : "0") + "\" data-area=\"" + coordinate(area.left) + " " + coordinate(area.top) +
                        " " + coordinate(area.right) + " " + coordinate(area.bottom) + "\"");
        svg.side(area, y, is_small ? 3 : 5);
        for (const double k : iteration_ticks(x, is_small)) {
            const double at = area.x(x.at(k));
            svg.line("grid", at, area.top, at, area.bottom);
            const char* anchor = at > area.right - 12 ? "end" : "middle";
            svg.text(at > area.right - 12 ? area.right + 4 : at, area.bottom + 13, anchor, spell_number(k));
        }
        if (!is_small) svg.text((area.left + area.right) / 2, height - 5, "middle quiet", "iteration");
        const auto point = [&](std::size_t i, double value) {
            return coordinate(area.x(x.at(static_cast<double>(a_.positions[i])))) + " " +
                   coordinate(area.y(y.at(value)));
        };
        const auto draw_band = [&](const char* classes, std::size_t low, std::size_t high) {
            std::string d;
            for (std::size_t from = 0; from <= last;) {
                if (std::isnan(band(b, f, from, low))) {
                    ++from;
                    continue;
                }
                std::size_t to = from;
                while (to < last && !std::isnan(band(b, f, to + 1, low))) ++to;
                for (std::size_t i = from; i <= to; ++i) d += (i == from ? "M" : "L") + point(i, band(b, f, i, high));
                for (std::size_t i = to + 1; i-- > from;) d += "L" + point(i, band(b, f, i, low));
                d += "Z";
                from = to + 1;
            }
            if (!d.empty()) svg.path(classes, d);
        };
        const auto draw_line = [&](const char* classes, std::size_t of) {
            std::string d;
            bool is_open = false;
            for (std::size_t i = 0; i <= last; ++i) {
                const double value = band(of, f, i, 2);
                if (!std::isnan(value)) d += (is_open ? "L" : "M") + point(i, value);
                is_open = !std::isnan(value);
            }
            if (!d.empty()) svg.path(classes, d);
        };
        draw_band("wide", 0, 4);
        draw_band("half", 1, 3);
        if (b > 0) draw_line("whole", 0);
        draw_line("median", b);
        return svg.finished();
    }

    static std::vector<double> iteration_ticks(const curve_axis& x, bool is_small) {
        if (!x.is_log) {
            std::vector<double> ticks = ticks_of({0, x.last, false}, is_small ? 3 : 5);
            std::erase_if(ticks, [](double k) { return k != std::round(k); });
            return ticks;
        }
        std::vector<double> result = {0};
        const double room = is_small ? 0.22 : 0.12;
        for (double power = 1; power <= x.last; power *= 10)
            for (const double digit : {1.0, 2.0, 5.0}) {
                const double k = digit * power;
                if (k < x.step || k > x.last || x.at(k) - x.at(result.back()) < room) continue;
                result.push_back(k);
            }
        return result;
    }

    void write_curve_data() {
        out_ += "<script type=\"application/json\" id=\"curve-data\">{\"step\":" + std::to_string(a_.trace_step) +
                ",\"k\":[";
        for (std::size_t i = 0; i < a_.positions.size(); ++i)
            out_ += (i == 0 ? "" : ",") + std::to_string(a_.positions[i]);
        out_ += "],\"names\":[";
        for (std::size_t f = 0; f < num_curves(); ++f)
            out_ += (f == 0 ? "" : ",") + json_string(shortened(r_.trace_fields[f], most_name));
        out_ += "],\"panels\":[";
        for (std::size_t b = 0; b < a_.bands.size(); ++b) {
            out_ += b == 0 ? "[" : ",[";
            for (std::size_t f = 0; f < num_curves(); ++f) {
                out_ += f == 0 ? "[" : ",[";
                for (std::size_t level = 0; level < trace_bands::levels.size(); ++level) {
                    out_ += level == 0 ? "[" : ",[";
                    for (std::size_t i = 0; i < a_.positions.size(); ++i)
                        out_ += (i == 0 ? "" : ",") + json_number(band(b, f, i, level), 4);
                    out_ += "]";
                }
                out_ += "]";
            }
            out_ += "]";
        }
        out_ += "]}</script>\n";
    }

    // --- 4: heat map

    std::string axis_name(std::size_t axis, std::size_t most = most_name) const {
        return shortened(parameter_at(a_.axes[axis].parameter).name, most);
    }

    /// The pair that is shown at first: of the settings' parameters those with the largest effect, else of all. One
    /// that leaves no cell empty, if there is one: parameters that are gone through together have but a diagonal.
    const heat_map* first_heat_map() const {
        std::vector<std::size_t> order;
        for (const bool of_settings : {true, false})
            for (const std::size_t axis : a_.by_share)
                if (parameter_at(a_.axes[axis].parameter).name.starts_with("settings.") == of_settings)
                    order.push_back(axis);
        const heat_map* partly_empty = nullptr;
        for (std::size_t j = 1; j < order.size(); ++j)
            for (std::size_t i = 0; i < j; ++i)
                for (const heat_map& map : a_.heat_maps) {
                    if (std::minmax(order[i], order[j]) != std::minmax(map.down, map.across)) continue;
                    const auto& counts = map.num_problems;
                    if (std::find(counts.begin(), counts.end(), 0) == counts.end()) return &map;
                    if (partly_empty == nullptr) partly_empty = &map;
                }
        return partly_empty;
    }

    void write_heat_map() {
        if (a_.axes.size() < 2) return;
        begin_section("heat-map", "Two parameters at a time");
        const heat_map* first = first_heat_map();
        if (first == nullptr) {
            note("Every pair of parameters has more than " +
                 spell_count(static_cast<std::int64_t>(limits_.most_cells)) + " cells, too many to show.");
            end_section();
            return;
        }
        out_ +=
            "<p>The mean over all problems that share two labels, whatever their other parameters. Drawn parameters "
            "are cut into bins of equally many problems.</p>\n";
        out_ +=
            "<form class=\"choices scripted\" id=\"heat-choices\">\n"
            "<label>Show <select id=\"heat-metric\"></select></label>\n"
            "<label>down <select id=\"heat-down\"></select></label>\n"
            "<label>across <select id=\"heat-across\"></select></label>\n</form>\n";
        write_heat_table(*first);
        std::vector<const heat_map*> shown = {first};
        std::size_t num_numbers = first->sums.size();
        for (const heat_map& map : a_.heat_maps) {
            if (&map == first || num_numbers + map.sums.size() > room_.heat_numbers) continue;
            num_numbers += map.sums.size();
            shown.push_back(&map);
        }
        const std::size_t num_left_out = a_.num_heat_maps_left_out + a_.heat_maps.size() - shown.size();
        std::string text;
        if (num_left_out > 0)
            text += spell_count(static_cast<std::int64_t>(num_left_out), "pair") +
                    " of parameters are not offered: a map may have at most " +
                    spell_count(static_cast<std::int64_t>(limits_.most_cells)) +
                    " cells, and all of them together must not make this page too large. ";
        if (a_.has_fewer_metrics)
            text += "For the same reason only " + metric_ + " and the share that failed are offered.";
        if (!text.empty()) note(text);
        write_heat_data(*first, shown);
        end_section();
    }

    std::string spell_metric(const heat_metric& metric, const number_style& style, double x) const {
        if (metric.is == heat_metric::kind::share_failed) return percent(x);
        return style.spell(x);
    }

    /// The table that the script, where there is one, replaces by others of the same look.
    void write_heat_table(const heat_map& map) {
        const parameter_axis &down = a_.axes[map.down], &across = a_.axes[map.across];
        const heat_metric& metric = a_.metrics[0];
        std::vector<double> means;
        for (std::size_t c = 0; c < map.num_problems.size(); ++c) means.push_back(map.mean(c, 0));
        std::vector<double> finite;
        std::copy_if(means.begin(), means.end(), std::back_inserter(finite), [](double x) { return !std::isnan(x); });
        std::sort(finite.begin(), finite.end());
        const double least = finite.empty() ? not_a_number : finite.front();
        const double most = finite.empty() ? not_a_number : finite.back();
        const scale colours{least, most, least > 0 && most / least > 100};
        const number_style style = style_of(finite, (most - least) / 100);
        const double best = metric.is_best_greatest ? most : least;
        const bool is_dense = means.size() > 400 || across.labels.size() > 16;

        out_ += "<div id=\"heat\">\n<p class=\"caption\">" +
                escaped(metric.is == heat_metric::kind::field ? "Mean " : "") + code(metric.name) + " by " +
                code(axis_name(map.down)) + " (down) and " + code(axis_name(map.across)) + " (across)</p>\n";
        begin_table(is_dense ? "heat dense" : "heat", "Heat map");
        out_ += "<thead><tr><td class=\"corner\"></td>";
        for (const std::string& label : across.labels)
            out_ += "<th scope=\"col\"><span>" + escaped(shortened(label, 24)) + "</span></th>";
        out_ += "</tr></thead>\n<tbody>\n";
        for (std::size_t i = 0; i < down.labels.size(); ++i) {
            out_ += "<tr><th scope=\"row\">" + escaped(shortened(down.labels[i], 24)) + "</th>";
            for (std::size_t j = 0; j < across.labels.size(); ++j) {
                const std::size_t c = i * across.labels.size() + j;
                const double mean = means[c];
                if (std::isnan(mean)) {
                    out_ += "<td class=\"empty\">" + std::string(is_dense ? "" : "–") + "</td>";
                    continue;
                }
                const std::string colour = ramp_colour(colours.at(mean));
                out_ += "<td style=\"background:" + colour + ";color:" + ink_on(colour) + "\"" +
                        (mean == best ? " class=\"best\"" : "") + " title=\"" + spell_metric(metric, style, mean) +
                        ", " + spell_count(map.num_problems[c], "problem") + "\">" +
                        (is_dense ? "" : spell_metric(metric, style, mean)) + "</td>";
            }
            out_ += "</tr>\n";
        }
        out_ += "</tbody>\n";
        end_table();
        std::string stops;
        for (int i = 0; i <= 8; ++i) stops += (i == 0 ? "" : ",") + ramp_colour(i / 8.0);
        out_ += "<p class=\"ramp\"><span>" + spell_metric(metric, style, least) +
                "</span><span class=\"colours\" style=\"background:linear-gradient(to right," + stops +
                ")\"></span><span>" + spell_metric(metric, style, most) + "</span>" +
                (colours.is_log ? "<span>logarithmic</span>" : "") +
                "<span class=\"more\">framed: the best</span></p>\n</div>\n";
    }

    void write_heat_data(const heat_map& first, const std::vector<const heat_map*>& shown) {
        out_ += "<script type=\"application/json\" id=\"heat-data\">{\"ramp\":[";
        for (int i = 0; i <= 8; ++i) out_ += (i == 0 ? "\"" : ",\"") + ramp_colour(i / 8.0) + "\"";
        out_ += "],\"first\":[" + std::to_string(first.down) + "," + std::to_string(first.across) + "],\"metrics\":[";
        const std::size_t num_metrics = first.num_metrics;
        for (std::size_t m = 0; m < num_metrics; ++m)
            out_ += (m == 0 ? "" : ",") + std::string("{\"name\":") +
                    json_string(shortened(a_.metrics[m].name, most_name)) +
                    ",\"best\":" + (a_.metrics[m].is_best_greatest ? "1" : "-1") +
                    ",\"share\":" + (a_.metrics[m].is == heat_metric::kind::share_failed ? "true" : "false") + "}";
        out_ += "],\"axes\":[";
        std::vector<bool> is_used(a_.axes.size(), false);
        for (const heat_map* map : shown) is_used[map->down] = is_used[map->across] = true;
        for (std::size_t i = 0; i < a_.axes.size(); ++i) {
            out_ += i == 0 ? "" : ",";
            if (!is_used[i]) {
                out_ += "null";
                continue;
            }
            out_ += "{\"name\":" + json_string(axis_name(i)) + ",\"labels\":[";
            for (std::size_t l = 0; l < a_.axes[i].labels.size(); ++l)
                out_ += (l == 0 ? "" : ",") + json_string(shortened(a_.axes[i].labels[l], 24));
            out_ += "]}";
        }
        out_ += "],\"maps\":[";
        for (std::size_t i = 0; i < shown.size(); ++i) {
            const heat_map& map = *shown[i];
            const std::size_t cells = map.num_problems.size();
            out_ += (i == 0 ? "" : ",") + std::string("{\"down\":") + std::to_string(map.down) +
                    ",\"across\":" + std::to_string(map.across) + ",\"n\":";
            const bool is_equal = std::all_of(map.num_problems.begin(), map.num_problems.end(),
                                              [&](std::int64_t n) { return n == map.num_problems[0]; });
            if (is_equal) {
                out_ += std::to_string(map.num_problems[0]);
            } else {
                for (std::size_t c = 0; c < cells; ++c)
                    out_ += (c == 0 ? "[" : ",") + std::to_string(map.num_problems[c]);
                out_ += "]";
            }
            out_ += ",\"means\":[";
            for (std::size_t m = 0; m < num_metrics; ++m) {
                out_ += m == 0 ? "[" : ",[";
                // As many digits of what is drawn at first as the script needs to write the very same numbers.
                const int digits = &map == &first && m == 0 ? 9 : 5;
                for (std::size_t c = 0; c < cells; ++c)
                    out_ += (c == 0 ? "" : ",") + json_number(map.mean(c, m), digits);
                out_ += "]";
            }
            out_ += "]}";
        }
        out_ += "]}</script>\n";
    }

    // --- 5: effects

    /// What a chart shows of one label.
    struct effect_point {
        double low = not_a_number, middle = not_a_number, high = not_a_number;
        std::int64_t count = 0;
    };

    effect_point effect_at(const parameter_axis& axis, std::size_t label) const {
        const moments& m = axis.metric[label];
        if (m.count() == 0) return {};
        if (a_.is_heavy_tailed) {
            const std::vector<double>& q = axis.quartiles[label];
            return {q[0], q[1], q[2], m.count()};
        }
        const double reach = m.count() > 1 ? m.deviation() : 0;
        return {m.mean() - reach, m.mean(), m.mean() + reach, m.count()};
    }

    void write_effects() {
        if (a_.axes.empty()) return;
        begin_section("effects", "Effect of each parameter");
        const std::string what = a_.is_heavy_tailed ? "Median and quartiles" : "Mean and standard deviation";
        std::string lead =
            what + " of " + code(r_.fields[0].name) +
            " by one parameter, over all others; one vertical scale for all. The share is that of the variance" +
            (a_.is_heavy_tailed ? " of the ranks" : "") +
            " that the parameter accounts for by itself, adjusted for chance: a flat line and a share near 0 say that "
            "it hardly matters on its own.";
        if (a_.is_heavy_tailed)
            lead += " A few problems lie so far out that means would show little but them" +
                    std::string(a_.is_sampled ? "; quartiles come from a sample." : ".");
        out_ += "<p>" + lead + "</p>\n<div class=\"panels effect-panels\">\n";
        std::vector<double> ends;
        for (const parameter_axis& axis : a_.axes)
            for (std::size_t l = 0; l < axis.labels.size(); ++l) {
                const effect_point point = effect_at(axis, l);
                if (std::isnan(point.middle)) continue;
                ends.push_back(point.low), ends.push_back(point.high);
            }
        std::sort(ends.begin(), ends.end());
        const scale y = scale_over(ends, a_.is_heavy_tailed ? 100 : 0);
        for (std::size_t i = 0; i < std::min(a_.by_share.size(), room_.effects); ++i)
            write_effect(a_.axes[a_.by_share[i]], y);
        out_ += "</div>\n";
        if (a_.by_share.size() > room_.effects)
            note(spell_count(static_cast<std::int64_t>(a_.by_share.size() - room_.effects), "parameter") +
                 " with smaller shares are left out.");
        end_section();
    }

    void write_effect(const parameter_axis& axis, const scale& y) {
        const parameter& it = parameter_at(axis.parameter);
        const std::string name = shortened(it.name, most_name);
        out_ += "<figure>\n<figcaption>" + code(name) + " <span class=\"more\">" +
                (std::isnan(axis.share) ? std::string("share of the variance unknown")
                                        : percent(axis.share) + " of the variance") +
                "</span></figcaption>\n" + effect_drawing(axis, y, name);
        out_ += "<details><summary>Numbers</summary>\n";
        begin_table("sortable", "Numbers by " + escaped(name));
        const char* middle = a_.is_heavy_tailed ? "median" : "mean";
        out_ += "<thead><tr>" + head_cell(axis.is_binned ? "from … to" : "label") + head_cell(middle, "n");
        if (a_.is_heavy_tailed)
            out_ += head_cell("quartiles", "n");
        else
            out_ += head_cell("± sd", "n");
        out_ += head_cell("n", "n") + head_cell("failed", "n") + "</tr></thead>\n<tbody>\n";
        std::vector<double> middles;
        double resolution = not_a_number;
        for (std::size_t l = 0; l < axis.labels.size(); ++l) {
            const effect_point point = effect_at(axis, l);
            if (std::isnan(point.middle)) continue;
            middles.push_back(point.middle);
            const double here = resolution_of(axis.metric[l]);
            if (here > 0) resolution = std::isnan(resolution) ? here : std::min(resolution, here);
        }
        const number_style style = style_of(middles, a_.is_heavy_tailed ? not_a_number : resolution);
        for (std::size_t l = 0; l < std::min(axis.labels.size(), room_.labels); ++l) {
            const effect_point point = effect_at(axis, l);
            out_ += "<tr><th scope=\"row\">" + escaped(shortened(axis.labels[l], most_label)) + "</th>" +
                    number_cell(style.spell(point.middle));
            if (a_.is_heavy_tailed)
                out_ += number_cell(style.spell(point.low) + " … " + style.spell(point.high));
            else
                out_ += number_cell(style.spell(axis.metric[l].deviation()));
            out_ += number_cell(spell_count(point.count)) + number_cell(spell_count(axis.num_failed[l])) + "</tr>\n";
        }
        out_ += "</tbody>\n";
        end_table();
        if (axis.labels.size() > room_.labels)
            note("The first " + std::to_string(room_.labels) + " of " +
                 spell_count(static_cast<std::int64_t>(axis.labels.size())) + " labels.");
        out_ += "</details>\n</figure>\n";
    }

    std::string effect_drawing(const parameter_axis& axis, const scale& y, const std::string& name) const {
        const double width = 300, height = 190;
        plot_area area{46, 8, width - 8, height - 26};
        const std::size_t num_labels = axis.labels.size();
        scale x{0, static_cast<double>(num_labels), false};
        if (axis.is_binned) x = scale_among(axis.edges, 20);
        const auto x_of = [&](std::size_t l) {
            return area.x(axis.is_binned ? x.at(axis.centres[l])
                                         : (static_cast<double>(l) + 0.5) / static_cast<double>(num_labels));
        };
        // Labels stand side by side, else aslant, else some are left out.
        std::vector<std::string> shown;
        std::size_t longest = 1;
        for (const std::string& label : axis.labels) {
            shown.push_back(shortened(label, most_axis_label));
            longest = std::max(longest, std::min(label.size(), most_axis_label));
        }
        const double slot = (area.right - area.left) / static_cast<double>(num_labels);
        const double needed = 6.2 * static_cast<double>(longest) + 6;
        const bool is_slanted = !axis.is_binned && needed > slot && num_labels <= 16;
        std::size_t stride = 1;
        if (!axis.is_binned && !is_slanted) stride = static_cast<std::size_t>(std::ceil(std::max(1.0, needed / slot)));
        if (is_slanted) area.bottom -= 3.6 * static_cast<double>(longest);

        double least = not_a_number, most = not_a_number;
        for (std::size_t l = 0; l < num_labels; ++l) {
            const double middle = effect_at(axis, l).middle;
            if (std::isnan(middle)) continue;
            least = std::isnan(least) ? middle : std::min(least, middle);
            most = std::isnan(most) ? middle : std::max(most, middle);
        }
        drawing svg(width, height, "effect",
                    shortened(r_.fields[0].name, most_name) + " by " + name + ": " +
                        (a_.is_heavy_tailed ? "medians" : "means") + " between " + spell_number(least) + " and " +
                        spell_number(most));
        svg.side(area, y, 5);
        if (axis.is_binned) {
            const std::vector<double> ticks = ticks_of(x, 5);
            const std::vector<std::string> labels = spell_ticks(x, ticks);
            for (std::size_t i = 0; i < ticks.size(); ++i) {
                const double at = area.x(x.at(ticks[i]));
                svg.line("grid", at, area.top, at, area.bottom);
                svg.text(at, area.bottom + 14, "middle", labels[i]);
            }
        } else {
            for (std::size_t l = 0; l < num_labels; l += stride) {
                if (is_slanted)
                    svg.text(0, 0, "end", shown[l],
                             " transform=\"translate(" + coordinate(x_of(l) + 4) + " " + coordinate(area.bottom + 12) +
                                 ") rotate(-32)\"");
                else
                    svg.text(x_of(l), area.bottom + 14, "middle", shown[l]);
            }
        }
        std::string ribbon_top, ribbon_bottom, middle_line;
        for (std::size_t l = 0; l < num_labels; ++l) {
            const effect_point point = effect_at(axis, l);
            if (std::isnan(point.middle)) continue;
            const std::string at = coordinate(x_of(l)) + " ";
            const char* move = middle_line.empty() ? "M" : "L";
            middle_line += move + at + coordinate(area.y(y.at(point.middle)));
            ribbon_top += move + at + coordinate(area.y(y.at(point.high)));
            ribbon_bottom = "L" + at + coordinate(area.y(y.at(point.low))) + ribbon_bottom;
        }
        const bool is_ordered = axis.is_binned || is_numeric(axis.parameter);
        if (axis.is_binned && !ribbon_top.empty()) svg.path("half", ribbon_top + ribbon_bottom + "Z");
        if (is_ordered && !middle_line.empty()) svg.path("thread", middle_line);
        const bool has_many = num_labels > 40;
        for (std::size_t l = 0; l < num_labels && num_labels <= 400; ++l) {
            const effect_point point = effect_at(axis, l);
            if (std::isnan(point.middle)) continue;
            const number_style style = style_of(std::vector<double>{point.middle},
                                                a_.is_heavy_tailed ? not_a_number : resolution_of(axis.metric[l]));
            svg.begin_mark(shortened(axis.labels[l], most_label) + ": " + style.spell(point.middle) +
                           (a_.is_heavy_tailed ? " (" + style.spell(point.low) + " … " + style.spell(point.high) + ")"
                                               : " ± " + style.spell(axis.metric[l].deviation())) +
                           ", " + spell_count(point.count, "problem"));
            const double at = x_of(l);
            if (!axis.is_binned && point.high > point.low)
                svg.line("spread", at, area.y(y.at(point.low)), at, area.y(y.at(point.high)));
            svg.dot(at, area.y(y.at(point.middle)), has_many ? 1.8 : 3.5);
            const double reach = std::clamp(slot / 2, 2.0, 16.0);
            if (!has_many)
                svg.path("hit", "M" + coordinate(at - reach) + " " + coordinate(area.top) + "h" +
                                    coordinate(2 * reach) + "V" + coordinate(area.bottom) + "h" +
                                    coordinate(-2 * reach) + "Z");
            svg.end_mark();
        }
        return svg.finished();
    }

    // --- 6: parallel coordinates

    /// One vertical line of the picture.
    struct upright {
        std::size_t parameter = 0;
        bool is_metric = false, is_drawn = false;
        scale numbers;
        std::size_t num_labels = 1;
    };

    void write_parallel() {
        if (a_.best.empty() || a_.axes.empty()) return;
        begin_section("parallel", "The best beside the others");
        const std::int64_t num_best = static_cast<std::int64_t>(a_.best.size());
        const char* noun = a_.are_lines_problems ? "problem" : "combination";
        std::string lead = "Each line is one " + std::string(noun) +
                           (a_.are_lines_problems ? "" : " of all grid parameters, averaged over its replicates") +
                           ". Coloured: the best " + spell_count(num_best) + " of " + spell_count(a_.num_lines, noun) +
                           " by " + code(r_.fields[0].name);
        if (!a_.others.empty())
            lead += "; grey: " + spell_count(static_cast<std::int64_t>(a_.others.size())) +
                    " of the others. Where coloured lines bunch, a value matters; where they spread like the grey "
                    "ones, it does not.";
        else
            lead += ".";
        lead +=
            "<span class=\"scripted pointer\"> Drag along an upright to keep only the lines that pass there; "
            "double-click "
            "to release it.</span>";
        out_ += "<p>" + lead + "</p>\n";
        const std::vector<upright> uprights = uprights_of();
        write_parallel_drawing(uprights);
        if (a_.axes.size() + 1 > uprights.size())
            note("Of " + spell_count(static_cast<std::int64_t>(a_.axes.size())) +
                 " parameters those are shown that "
                 "account for most of the variance by themselves.");
        write_best_table(uprights);
        end_section();
    }

    std::vector<upright> uprights_of() const {
        std::vector<std::size_t> chosen(
            a_.by_share.begin(),
            a_.by_share.begin() + static_cast<std::ptrdiff_t>(std::min(a_.by_share.size(), room_.uprights)));
        std::sort(chosen.begin(), chosen.end());
        std::vector<upright> result;
        for (const std::size_t i : chosen) {
            const parameter_axis& axis = a_.axes[i];
            upright it;
            it.parameter = axis.parameter, it.is_drawn = axis.is_binned;
            if (it.is_drawn) it.numbers = scale_among(axis.edges, 20);
            it.num_labels = axis.labels.size();
            result.push_back(it);
        }
        upright last;
        last.is_metric = true;
        std::vector<double> metrics;
        for (const parallel_line& line : a_.others) metrics.push_back(line.metric);
        std::sort(metrics.begin(), metrics.end());
        // Among the others a few may lie far out.
        const double low = quantile_of(metrics, 0.03), high = quantile_of(metrics, 0.97);
        for (double& metric : metrics) metric = std::clamp(metric, low, high);
        for (const parallel_line& line : a_.best) metrics.push_back(line.metric);
        last.numbers = scale_among(metrics, 100);
        result.push_back(last);
        return result;
    }

    /// How high a line passes an upright, in [0, 1]; NaN where it has no value there.
    double height_of(const upright& it, const parallel_line& line, double jitter) const {
        if (it.is_metric) {
            const double share = it.numbers.at(line.metric);
            return r_.fields[0].is_best_greatest ? share : 1 - share;
        }
        if (it.is_drawn)
            return std::isnan(line.numbers[it.parameter]) ? not_a_number : it.numbers.at(line.numbers[it.parameter]);
        const std::int32_t place = line.places[it.parameter];
        if (place < 0) return not_a_number;
        // Lines with the same label pass it a little apart.
        return (static_cast<double>(place) + 0.5 + 0.36 * jitter) / static_cast<double>(it.num_labels);
    }

    void write_parallel_drawing(const std::vector<upright>& uprights) {
        const auto num_gaps = static_cast<double>(uprights.size() - 1);
        const double gap = std::clamp(1020 / num_gaps, 124.0, 260.0);
        const double left = 70, right = 70, top = 44, height = 400;
        const double width = left + right + gap * num_gaps;
        const plot_area area{left, top, width - right, height - 14};
        const auto x_of = [&](std::size_t i) { return left + gap * static_cast<double>(i); };
        out_ += "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Parallel coordinates\">\n";
        drawing svg(width, height, "parallel",
                    "Parallel coordinates of the best lines and others; the best are in the table below",
                    " data-area=\"" + coordinate(area.left) + " " + coordinate(area.top) + " " +
                        coordinate(area.right) + " " + coordinate(area.bottom) +
                        "\" style=\"max-width:" + coordinate(1.1 * width) + "px\"");
        std::size_t number = 0;
        const auto draw = [&](const parallel_line& line, const char* classes) {
            const double turns = 0.6180339887498949 * static_cast<double>(++number);
            const double jitter = turns - std::floor(turns) - 0.5;
            std::string d;
            for (std::size_t i = 0; i < uprights.size(); ++i) {
                const double share = height_of(uprights[i], line, jitter);
                if (std::isnan(share)) continue;
                d += (d.empty() ? "M" : "L") + coordinate(x_of(i)) + " " + coordinate(area.y(share));
            }
            svg.begin_mark(line_text(uprights, line));
            svg.path(classes, d);
            svg.end_mark();
        };
        for (const parallel_line& line : a_.others) draw(line, "other");
        for (std::size_t i = a_.best.size(); i-- > 0;) draw(a_.best[i], "top");
        for (std::size_t i = 0; i < uprights.size(); ++i)
            draw_upright(svg, uprights[i], x_of(i), area, width, i % 2 == 1);
        out_ += svg.finished() + "</div>\n";
    }

    void draw_upright(drawing& svg, const upright& it, double x, const plot_area& area, double width,
                      bool is_lower) const {
        const std::string name = it.is_metric ? r_.fields[0].name : parameter_at(it.parameter).name;
        svg.line("upright", x, area.top, x, area.bottom);
        // A long name stays within the picture.
        const std::string shown = shortened(name, 30);
        const double half = 3.4 * static_cast<double>(std::min<std::size_t>(name.size(), 30));
        const char* anchor = x - half < 2 ? "start" : x + half > width - 2 ? "end" : "middle";
        svg.text(x - half < 2           ? 2
                 : x + half > width - 2 ? width - 2
                                        : x,
                 is_lower ? area.top - 12 : area.top - 26,
                 std::string(anchor) + (it.is_metric ? " name metric" : " name"), shown);
        if (it.is_metric || it.is_drawn) {
            const std::vector<double> ticks = ticks_of(it.numbers, 5);
            const std::vector<std::string> labels = spell_ticks(it.numbers, ticks);
            for (std::size_t t = 0; t < ticks.size(); ++t) {
                const double share = it.numbers.at(ticks[t]);
                const bool is_turned = it.is_metric && !r_.fields[0].is_best_greatest;
                const double y = area.y(is_turned ? 1 - share : share);
                svg.line("tick", x, y, x + 4, y);
                svg.text(x + 7, y + 3.5, "start halo", labels[t]);
            }
            return;
        }
        const std::size_t stride = (it.num_labels + 13) / 14;
        for (std::size_t l = 0; l < it.num_labels; l += stride) {
            const double y = area.y((static_cast<double>(l) + 0.5) / static_cast<double>(it.num_labels));
            svg.line("tick", x, y, x + 4, y);
            svg.text(x + 7, y + 3.5, "start halo", label_at(it.parameter, static_cast<std::int32_t>(l), 16));
        }
    }

    std::string line_text(const std::vector<upright>& uprights, const parallel_line& line) const {
        std::string text = line.index >= 0 ? "problem " + std::to_string(line.index) : "";
        text += (text.empty() ? "" : ": ") + shortened(r_.fields[0].name, 30) + " " + spell_number(line.metric, 5);
        for (const upright& it : uprights)
            if (!it.is_metric)
                text += ", " + shortened(parameter_at(it.parameter).name, 30) + " " +
                        shortened(value_at(it.parameter, line.places, line.numbers), 20);
        return text;
    }

    void write_best_table(const std::vector<upright>& uprights) {
        const std::size_t num_rows = std::min(a_.best.size(), most_rows_shown);
        out_ += "<details><summary>The best " + std::to_string(num_rows) + " as a table</summary>\n";
        begin_table("sortable compact", "The best");
        out_ += "<thead><tr>" + head_cell(a_.are_lines_problems ? "problem" : "place", "n");
        for (const upright& it : uprights)
            if (!it.is_metric)
                out_ += head_cell(breakable(parameter_at(it.parameter).name),
                                  it.is_drawn || is_numeric(it.parameter) ? "n" : "");
        out_ += head_cell(code(r_.fields[0].name), "n") + (a_.are_lines_problems ? "" : head_cell("n", "n")) +
                "</tr></thead>\n<tbody>\n";
        std::vector<double> metrics;
        for (std::size_t i = 0; i < num_rows; ++i) metrics.push_back(a_.best[i].metric);
        const number_style style = style_of(metrics, std::abs(metrics.back() - metrics.front()) / 100);
        for (std::size_t i = 0; i < num_rows; ++i) {
            const parallel_line& line = a_.best[i];
            out_ += "<tr>" +
                    number_cell(std::to_string(a_.are_lines_problems ? line.index : static_cast<std::int64_t>(i + 1)));
            for (const upright& it : uprights) {
                if (it.is_metric) continue;
                const std::string value = escaped(value_at(it.parameter, line.places, line.numbers));
                out_ += it.is_drawn || is_numeric(it.parameter) ? number_cell(value) : cell(value);
            }
            out_ += number_cell(style.spell(line.metric)) +
                    (a_.are_lines_problems ? "" : number_cell(spell_count(line.count))) + "</tr>\n";
        }
        out_ += "</tbody>\n";
        end_table();
        out_ += "</details>\n";
    }

    // --- 7: failures

    struct way {
        std::size_t index = 0;  ///< outcome · num_quantities + quantity
        std::int64_t count = 0;
    };

    static std::string way_text(std::size_t index) {
        const auto how = static_cast<outcome>(index / num_quantities);
        const auto what = static_cast<quantity>(index % num_quantities);
        return code(to_string(how)) + (what == quantity::none ? "" : " " + code(to_string(what)));
    }

    void write_failures() {
        begin_section("failures", "Failed problems");
        if (a_.num_failed == 0) {
            note("None: every problem converged or made all its steps.");
            end_section();
            return;
        }
        std::vector<way> ways;
        for (std::size_t o = 0; o < num_outcomes; ++o)
            for (std::size_t q = 0; q < num_quantities; ++q)
                if (!has_ended_well(static_cast<outcome>(o)) && a_.outcomes[o][q] > 0)
                    ways.push_back({o * num_quantities + q, a_.outcomes[o][q]});
        std::stable_sort(ways.begin(), ways.end(), [](const way& a, const way& b) { return a.count > b.count; });
        out_ += "<p>" + spell_count(a_.num_failed, "problem") + " of " + spell_count(a_.num_seen) + " (" +
                spell_share(a_.num_failed, a_.num_seen) +
                ") failed. A quantity beside <code>non_finite</code> is the first that was not finite.</p>\n";
        if (ways.size() > most_ways) {
            note("Of " + std::to_string(ways.size()) + " ways to fail the " + std::to_string(most_ways) +
                 " most frequent have columns.");
            ways.resize(most_ways);
        }
        write_failures_by_label(ways);
        write_first_failures();
        end_section();
    }

    /// The settings' parameters, drawn ones included; all where there is none.
    std::vector<std::size_t> failing_axes() const {
        std::vector<std::size_t> result;
        for (const bool of_settings : {true, false}) {
            for (std::size_t i = 0; i < a_.axes.size() && result.size() < room_.failing; ++i)
                if (!of_settings || parameter_at(a_.axes[i].parameter).name.starts_with("settings."))
                    result.push_back(i);
            if (!result.empty()) break;
        }
        return result;
    }

    void write_failures_by_label(const std::vector<way>& ways) {
        begin_table("failing", "Failures by setting");
        out_ += "<thead><tr>" + head_cell("") + head_cell("problems", "n") + head_cell("failed", "n") +
                head_cell("share", "n") + "<td></td>";
        for (const way& it : ways) out_ += head_cell(way_text(it.index), "n");
        out_ += "</tr></thead>\n<tbody>\n";
        const auto row = [&](const std::string& name, std::int64_t all, std::int64_t failed, const auto& count) {
            out_ += "<tr><th scope=\"row\">" + name + "</th>" + number_cell(spell_count(all)) +
                    number_cell(spell_count(failed)) + number_cell(spell_share(failed, all)) + "<td class=\"track\">" +
                    share_bar(failed, all) + "</td>";
            for (const way& it : ways) {
                const std::int64_t n = count(it.index);
                out_ += n == 0 ? "<td class=\"n none\">0</td>" : number_cell(spell_count(n));
            }
            out_ += "</tr>\n";
        };
        row("all", a_.num_seen, a_.num_failed,
            [&](std::size_t i) { return a_.outcomes[i / num_quantities][i % num_quantities]; });
        out_ += "</tbody>\n";
        bool is_cut = false;
        for (const std::size_t i : failing_axes()) {
            const parameter_axis& axis = a_.axes[i];
            out_ += "<tbody>\n<tr><th scope=\"rowgroup\" class=\"group\" colspan=\"" + std::to_string(5 + ways.size()) +
                    "\">" + code(axis_name(i)) + "</th></tr>\n";
            for (const std::size_t l : labels_that_fail(axis)) {
                row(escaped(shortened(axis.labels[l], most_label)), axis.num_problems[l], axis.num_failed[l],
                    [&](std::size_t w) { return axis.ways[l].empty() ? 0 : axis.ways[l][w]; });
            }
            is_cut |= axis.labels.size() > room_.labels;
            out_ += "</tbody>\n";
        }
        end_table();
        if (is_cut) note("Of parameters with many labels those with the most failures are shown.");
    }

    /// In the order of the spec; where there are too many, those with the most failures.
    std::vector<std::size_t> labels_that_fail(const parameter_axis& axis) const {
        std::vector<std::size_t> result;
        for (std::size_t l = 0; l < axis.labels.size(); ++l) result.push_back(l);
        if (result.size() <= room_.labels) return result;
        std::stable_sort(result.begin(), result.end(),
                         [&](std::size_t a, std::size_t b) { return axis.num_failed[a] > axis.num_failed[b]; });
        result.resize(room_.labels);
        std::sort(result.begin(), result.end());
        return result;
    }

    static std::string share_bar(std::int64_t part, std::int64_t whole) {
        if (whole <= 0 || part <= 0) return "";
        char width[32];
        std::snprintf(width, sizeof width, "%.1f", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
        return std::string("<span class=\"level\" style=\"width:") + width + "%\"></span>";
    }

    void write_first_failures() {
        out_ += "<h3>" +
                (static_cast<std::int64_t>(a_.failures.size()) < a_.num_failed
                     ? "The first " + std::to_string(a_.failures.size())
                     : std::string("One by one")) +
                "</h3>\n";
        begin_table("sortable compact", "Failed problems");
        out_ += "<thead><tr>" + head_cell("problem", "n") + head_cell("outcome") + head_cell("quantity") +
                head_cell("iteration", "n");
        std::vector<std::size_t> columns;
        for (std::size_t p = 0; p < r_.parameters.size() && columns.size() < room_.columns; ++p)
            if (parameter_at(p).is == kind::drawn || parameter_at(p).labels.size() > 1) columns.push_back(p);
        const auto is_right = [&](std::size_t p) { return parameter_at(p).is == kind::drawn || is_numeric(p); };
        for (const std::size_t p : columns) out_ += head_cell(breakable(parameter_at(p).name), is_right(p) ? "n" : "");
        out_ += "</tr></thead>\n<tbody>\n";
        for (const failure& it : a_.failures) {
            out_ += "<tr>" + number_cell(std::to_string(it.index)) +
                    cell("<span class=\"swatch " + std::string(to_string(it.outcome)) + "\"></span>" +
                         to_string(it.outcome)) +
                    cell(it.quantity == quantity::none ? "–" : to_string(it.quantity)) +
                    number_cell(spell_count(it.iterations));
            for (const std::size_t p : columns) {
                const std::string value = escaped(value_at(p, it.places, it.numbers));
                out_ += is_right(p) ? number_cell(value) : cell(value);
            }
            out_ += "</tr>\n";
        }
        out_ += "</tbody>\n";
        end_table();
    }

    // --- 8: the spec

    void write_spec() {
        begin_section("spec", "Spec and columns");
        out_ += "<details><summary>The sweep’s spec</summary>\n<pre tabindex=\"0\">" +
                escaped(std::string_view(r_.spec).substr(0, room_.spec)) + "</pre>\n";
        if (r_.spec.size() > room_.spec) note("The rest is cut off.");
        out_ += "</details>\n<details><summary>How to read the columns</summary>\n<dl class=\"columns\">\n";
        const auto entry = [&](const std::string& name, const std::string& meaning) {
            out_ += "<dt>" + name + "</dt><dd>" + meaning + "</dd>\n";
        };
        for (std::size_t f = 0; f < r_.fields.size() && f < room_.fields; ++f)
            entry(code(r_.fields[f].name),
                  escaped(meaning_of(std::string_view(r_.fields[f].name))) +
                      (f == 0 ? "; settings are ranked by it, " + std::string(direction()) + " first" : ""));
        for (const std::string& name : r_.trace_fields)
            if (std::none_of(r_.fields.begin(), r_.fields.end(), [&](const field& f) { return f.name == name; }))
                entry(code(name), escaped(meaning_of(std::string_view(name))));
        entry("problem", "the index in the sweep, from 0; the first parameter of the spec changes last");
        entry("iteration", "outer iterations made at the point that is returned; of a failed problem, where it failed");
        entry("outcome", "how a problem ended; each is explained in the table of outcomes");
        entry("quantity",
              "of <code>non_finite</code>: <code>start</code> v or θ as given, <code>descent</code> θ in "
              "the inner descent, <code>outer_value</code> f, <code>gap</code> q̂, <code>sums</code> the "
              "scalar products of the gradients, <code>update</code> what the outer update would have "
              "written");
        entry("mean, sd, n", "of the problems that ended well and have a finite number; sd divides by n − 1");
        entry("drawn", "a parameter of which each problem has a number of its own; shown in bins of equally many");
        entry("replicates", "repetitions that differ in nothing but their random numbers: averaged over, never ranked");
        out_ += "</dl>\n</details>\n";
        end_section();
    }

    const sweep_results& r_;
    const aggregate& a_;
    const aggregate_limits limits_;
    const page_room room_;
    bool has_metric_ = false;
    std::string metric_;  ///< the name of fields[0], escaped
    std::string out_;
    std::vector<std::pair<const char*, const char*>> sections_;
};

}  // namespace

std::string report_page(const sweep_results& results, const aggregate_limits& limits) {
    const aggregate gathered = aggregated(results, limits);
    page_room room;
    std::string html = page(results, gathered, limits, room).write();
    // Long names of many parameters can make a page too large that is not with most sweeps.
    while (html.size() > most_bytes && room.rows > 1) {
        room = room.halved();
        html = page(results, gathered, limits, room).write();
    }
    return html;
}

}  // namespace cubome::command
