// SPDX-License-Identifier: Apache-2.0

// The claims of arXiv 2209.08709 as measurements, drawn: how fast 𝒦 falls, what T, η and the start do, and what steps
// that are found for each problem do beside fixed ones. Quadratics whose solutions are known, in double.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "chart.hpp"
#include "quadratics.hpp"

namespace pictures {
namespace {

using quadratics::generator;
using quadratics::random_quadratics;
using quadratics::vec;

constexpr std::size_t n = random_quadratics::n;
constexpr std::size_t num_problems = 300;

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// What a batch came to, problem by problem.
struct solved {
    vec v;                         ///< [num_problems, n]
    std::vector<double> best_kkt;  ///< min_k 𝒦
};

/// θ_0 that far from the solution of its inner problem, in each coordinate a normal number; 0: from θ = 0.
solved solve(const random_quadratics& problems, const cubome::settings<double>& settings, double from_solution = 0) {
    const auto count = static_cast<std::size_t>(problems.size());
    solved result{vec(count * n, 0), std::vector<double>(count, 0)};
    vec theta(count * n, 0), best_outer(count * n), best_inner(count * n);
    std::vector<std::int64_t> best_iteration(count);
    if (from_solution > 0) {
        generator random(5);
        for (std::size_t k = 0; k < count; ++k) {
            const vec solution = problems.inner(k, vec(n, 0));
            for (std::size_t i = 0; i < n; ++i) theta[k * n + i] = solution[i] + from_solution * random.normal();
        }
    }
    const random_quadratics::batch<double> batch(problems);
    cubome::state<double> state;
    state.outer = cubome::per_problem(result.v.data(), problems.size(), n);
    state.inner = cubome::per_problem(theta.data(), problems.size(), n);
    state.best_outer = cubome::per_problem(best_outer.data(), problems.size(), n);
    state.best_inner = cubome::per_problem(best_inner.data(), problems.size(), n);
    state.best_kkt = cubome::per_problem(result.best_kkt.data(), problems.size());
    state.best_iteration = cubome::per_problem(best_iteration.data(), problems.size());
    cubome::solve(batch.problem(), settings, state);
    return result;
}

std::vector<std::int64_t> doublings(std::int64_t first, std::int64_t last) {
    std::vector<std::int64_t> result;
    for (std::int64_t k = first; k <= last; k *= 2) result.push_back(k);
    return result;
}

cubome::settings<double> fixed(double outer_step, double inner_step, double descent_step) {
    cubome::settings<double> result;
    result.steps = cubome::step_rule::fixed;
    result.outer_step_size = outer_step;
    result.inner_step_size = inner_step;
    result.descent_step_size = descent_step;
    return result;
}

/// ξ = ξ₀ K^(−1/2) for every K: the steps for which the paper proves min_k 𝒦 = O(K^(−1/4)).
cubome::settings<double> decaying(std::int64_t outer_steps) {
    const double step = 0.3 / std::sqrt(static_cast<double>(outer_steps));
    auto result = fixed(step, step, 0.9);  // H has no eigenvalue above 1
    result.outer_steps = outer_steps;
    return result;
}

/// The median of min_k 𝒦 for every number of iterations.
template <class Change>
std::vector<point> decay_of(const random_quadratics& problems, Change&& change, double from_solution = 0) {
    std::vector<point> result;
    for (const std::int64_t outer_steps : doublings(50, 25600)) {
        auto settings = decaying(outer_steps);
        change(settings);
        result.push_back({static_cast<double>(outer_steps), median(solve(problems, settings, from_solution).best_kkt)});
    }
    return result;
}

line guide(const std::vector<point>& beside, double slope, const std::string& label) {
    const point first = beside.front(), last = beside.back();
    return {label, {first, {last.x, first.y * std::pow(last.x / first.x, slope)}}, true};
}

std::string with_slope(const std::string& label, const std::vector<point>& points) {
    char text[64];
    // The tail: where the rate has set in.
    std::snprintf(text, sizeof text, ", slope %.2f", slope_of({points.end() - 5, points.end()}));
    return label + text;
}

chart decay_chart(const std::string& title) {
    return {title, "outer iterations K, with ξ = 0.3 K^(−1/2)", "smallest KKT error, median of 300 problems", {}};
}

chart draw_rate(const random_quadratics& problems) {
    chart result = decay_chart("The KKT error falls faster than proven");
    for (const std::int64_t inner_steps : {1, 10}) {
        const auto points = decay_of(problems, [&](auto& s) { s.inner_steps = inner_steps; });
        result.lines.push_back({with_slope("T = " + std::to_string(inner_steps), points), points});
    }
    result.lines.push_back(guide(result.lines[1].points, -0.25, "K^(−1/4), proven"));
    result.lines.push_back(guide(result.lines[1].points, -0.5, "K^(−1/2)"));
    return result;
}

chart draw_eta(const random_quadratics& problems) {
    chart result = decay_chart("η = 0.5 and 0.9 are alike, 0.1 is slower");
    for (const double eta : {0.1, 0.5, 0.9}) {
        const auto points = decay_of(problems, [&](auto& s) { s.eta = eta; });
        char label[32];
        std::snprintf(label, sizeof label, "η = %.1f", eta);
        result.lines.push_back({with_slope(label, points), points});
    }
    return result;
}

chart draw_start(const random_quadratics& problems) {
    chart result = decay_chart("A start nearer to the inner solution is ahead");
    for (const double distance : {0.1, 1.0, 10.0}) {
        const auto points = decay_of(
            problems, [](auto&) {}, distance);
        char label[48];
        std::snprintf(label, sizeof label, "θ₀ off by %g", distance);
        result.lines.push_back({with_slope(label, points), points});
    }
    return result;
}

/// What the outer function still has to lose, F(v) − F* as a share of the start's, by the median problem.
double remaining(const random_quadratics& problems, const solved& s) {
    std::vector<double> result;
    for (std::size_t k = 0; k < num_problems; ++k) {
        const auto first = s.v.begin() + static_cast<std::ptrdiff_t>(k * n);
        const double share = problems.suboptimality(k, vec(first, first + n));
        result.push_back(std::isfinite(share) ? std::max(share, 1e-9) : 1e9);
    }
    return median(result);
}

chart draw_inner_steps(const random_quadratics& problems) {
    chart result{"One or three inner steps are ahead until little remains",
                 "gradients: K (T + 2), with the automatic steps",
                 "share of F(v) − F* that remains, median",
                 {}};
    for (const std::int64_t inner_steps : {1, 3, 10, 30}) {
        line l{"T = " + std::to_string(inner_steps), {}};
        for (const std::int64_t work : doublings(400, 102400)) {
            cubome::settings<double> settings;
            settings.inner_steps = inner_steps;
            settings.outer_steps = work / (inner_steps + 2);
            l.points.push_back({static_cast<double>(work), remaining(problems, solve(problems, settings))});
        }
        result.lines.push_back(l);
    }
    return result;
}

/// The share of the problems that end within 10 % of the optimum, over the scale of f and g.
chart draw_scales() {
    chart result{"One setting for problems of every scale",
                 "what f and g are multiplied by",
                 "share of problems within 10 % of the optimum",
                 {}};
    struct rule {
        const char* label;
        cubome::settings<double> settings;
    };
    for (const rule& r : {rule{"automatic", {}}, rule{"all steps 0.05", fixed(0.05, 0.05, 0.05)},
                          rule{"all steps 0.5", fixed(0.5, 0.5, 0.5)}}) {
        line l{r.label, {}};
        for (const double scale : {0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0}) {
            const random_quadratics problems(num_problems, scale, scale, 1);
            const solved s = solve(problems, r.settings);
            double share = 0;
            for (std::size_t k = 0; k < num_problems; ++k) {
                const auto first = s.v.begin() + static_cast<std::ptrdiff_t>(k * n);
                share += problems.suboptimality(k, vec(first, first + n)) <= 0.1;
            }
            l.points.push_back({scale, std::max(share / num_problems, 0.01)});
        }
        result.lines.push_back(l);
    }
    return result;
}

void draw(const std::filesystem::path& folder) {
    const random_quadratics problems(num_problems, 1, 1, 1);
    const auto write = [&](const char* name, const chart& what) {
        write_svg(what, folder / name);
        std::printf("%s: %s\n", name, what.title.c_str());
        for (const line& l : what.lines) std::printf("    %s, last %.3g\n", l.label.c_str(), l.points.back().y);
    };
    write("rate.svg", draw_rate(problems));
    write("inner_steps.svg", draw_inner_steps(problems));
    write("eta.svg", draw_eta(problems));
    write("start.svg", draw_start(problems));
    write("scales.svg", draw_scales());
}

}  // namespace
}  // namespace pictures

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: pictures <folder>\nDraws what docs/pictures.md shows into a folder: SVG, some seconds.\n",
                   stderr);
        return 2;
    }
    try {
        std::filesystem::create_directories(argv[1]);
        pictures::draw(argv[1]);
        return 0;
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "pictures: %s\n", problem.what());
        return 1;
    }
}
