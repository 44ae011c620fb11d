// SPDX-License-Identifier: Apache-2.0
#include "results.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "pictures/chart.hpp"

namespace hyper_cleaning {
namespace {

struct named_line {
    const char* name;
    const char* csv_name;
    scores reference_lines::*of;
};
constexpr std::array<named_line, 4> lines = {{{"noisy labels and validation", "noisy", &reference_lines::noisy},
                                              {"validation only", "validation_only", &reference_lines::validation_only},
                                              {"filtered by the noisy model", "filtered", &reference_lines::filtered},
                                              {"true labels and validation", "clean", &reference_lines::clean}}};

void add(scores& to, const scores& what, double share) {
    to.test_loss += share * what.test_loss;
    to.test_accuracy += share * what.test_accuracy;
    to.held_back_loss += share * what.held_back_loss;
    to.f1 += share * what.f1;
}

scores mean_line(const findings& all, scores reference_lines::*of) {
    scores mean{};
    for (const reference_lines& one : all.lines) add(mean, one.*of, 1 / static_cast<double>(all.lines.size()));
    return mean;
}

/// A measurement of a configuration, the mean over seeds.
struct point {
    std::int64_t iteration;
    double seconds;
    scores found;
};

struct run_of_seeds {
    std::int64_t inner_steps;
    configuration settings;
    std::vector<point> points;  ///< in the order of iterations
};

std::vector<run_of_seeds> means(const findings& all) {
    std::map<std::tuple<std::int64_t, float, float>, std::map<std::int64_t, point>> groups;
    const double share = 1 / static_cast<double>(all.lines.size());
    for (const record& r : all.records) {
        point& p = groups[{r.inner_steps, r.settings.outer_step_size, r.settings.eta}]
                       .emplace(r.iteration, point{r.iteration, 0, {}})
                       .first->second;
        p.seconds += share * r.seconds;
        add(p.found, r.found, share);
    }
    std::vector<run_of_seeds> result;
    for (const auto& [key, points] : groups) {
        result.push_back({std::get<0>(key), {std::get<1>(key), std::get<2>(key)}, {}});
        for (const auto& [iteration, p] : points) result.back().points.push_back(p);
    }
    return result;
}

std::string name_of(const configuration& c) {
    char text[64];
    std::snprintf(text, sizeof text, "ξ_v = %g, η = %g", static_cast<double>(c.outer_step_size),
                  static_cast<double>(c.eta));
    return text;
}

void print_row(const char* name, const scores& s) {
    std::printf("%-44s %9.4f %9.4f %10.4f", name, s.test_loss, s.test_accuracy, s.held_back_loss);
    if (std::isnan(s.f1))
        std::printf(" %7s", "");
    else
        std::printf(" %7.4f", s.f1);
}

void write_scores(std::ostream& csv, const scores& s) {
    csv << s.test_loss << ',' << s.test_accuracy << ',' << s.held_back_loss << ',';
    if (!std::isnan(s.f1)) csv << s.f1;
    csv << '\n';
}

pictures::line guide(const char* name, double y, double end) {
    return {name, {{0, y}, {end, y}}, true};
}

}  // namespace

void write_csv(const findings& all, const std::filesystem::path& file) {
    std::ofstream csv(file);
    csv << "run,seed,outer_step_size,eta,inner_steps,iteration,seconds,outer_value,gap,test_loss,test_accuracy,"
           "held_back_loss,f1\n";
    for (std::size_t i = 0; i < all.lines.size(); ++i) {
        for (const named_line& line : lines) {
            csv << line.csv_name << ',' << i + 1 << ",,,,,,,,";
            write_scores(csv, all.lines[i].*line.of);
        }
    }
    for (const record& r : all.records) {
        csv << "bome," << r.seed << ',' << r.settings.outer_step_size << ',' << r.settings.eta << ',' << r.inner_steps
            << ',' << r.iteration << ',' << r.seconds << ',' << r.outer_value << ',' << r.gap << ',';
        write_scores(csv, r.found);
    }
    csv.close();
    if (!csv) throw std::runtime_error("cannot write " + file.string());
}

void print_table(const findings& all) {
    std::printf("means of %zu seeds\n%-44s %9s %9s %10s %7s\n", all.lines.size(), "", "test loss", "accuracy",
                "held back", "F1");
    for (const named_line& line : lines) {
        print_row(line.name, mean_line(all, line.of));
        std::puts("");
    }
    const std::vector<run_of_seeds> runs = means(all);
    const auto best = std::min_element(runs.begin(), runs.end(), [](const run_of_seeds& a, const run_of_seeds& b) {
        return a.points.back().found.held_back_loss < b.points.back().found.held_back_loss;
    });
    for (auto run = runs.begin(); run != runs.end(); ++run) {
        const point& last = run->points.back();
        char name[128];
        std::snprintf(name, sizeof name, "BOME, T = %lld, step %g, eta %g, %lld iterations",
                      static_cast<long long>(run->inner_steps), static_cast<double>(run->settings.outer_step_size),
                      static_cast<double>(run->settings.eta), static_cast<long long>(last.iteration));
        print_row(name, last.found);
        std::printf("  %.1f s%s\n", last.seconds, runs.size() > 1 && run == best ? "  least held-back loss" : "");
    }
}

void write_picture(const findings& all, const std::filesystem::path& file) {
    std::vector<pictures::chart> charts;
    const std::vector<run_of_seeds> runs = means(all);
    for (std::size_t first = 0, last; first < runs.size(); first = last) {
        pictures::chart accuracy, f1;
        accuracy.x_scale = accuracy.y_scale = f1.x_scale = f1.y_scale = pictures::scale::linear;
        const std::string with = "T = " + std::to_string(runs[first].inner_steps);
        accuracy.title = "Test accuracy, " + with;
        f1.title = "F1 of the images that are called clean, " + with;
        accuracy.x_label = f1.x_label = "time of the solver for the batch, seconds";
        accuracy.y_label = "share of test images, mean over seeds";
        f1.y_label = "F1, mean over seeds";
        double end = 0;
        for (last = first; last < runs.size() && runs[last].inner_steps == runs[first].inner_steps; ++last) {
            pictures::line of_accuracy{name_of(runs[last].settings), {}}, of_f1 = of_accuracy;
            for (const point& p : runs[last].points) {
                of_accuracy.points.push_back({p.seconds, p.found.test_accuracy});
                // At the start no image is called clean: v = ½.
                if (p.iteration > 0) of_f1.points.push_back({p.seconds, p.found.f1});
                end = std::max(end, p.seconds);
            }
            accuracy.lines.push_back(of_accuracy);
            f1.lines.push_back(of_f1);
        }
        for (const named_line& line : lines) {
            const scores s = mean_line(all, line.of);
            accuracy.lines.push_back(guide(line.name, s.test_accuracy, end));
            if (!std::isnan(s.f1)) f1.lines.push_back(guide(line.name, s.f1, end));
        }
        charts.push_back(accuracy);
        charts.push_back(f1);
    }
    pictures::write_svg(charts, file);
}

}  // namespace hyper_cleaning
