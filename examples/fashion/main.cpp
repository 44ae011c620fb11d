// SPDX-License-Identifier: Apache-2.0

// cuBOME at its main job: thousands of small bilevel problems, drawn from Fashion-MNIST, solved as a few batches.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "cleaning.hpp"
#include "options.hpp"
#include "penalties.hpp"
#include "summary.hpp"

namespace fashion {
namespace {

constexpr std::size_t full_replicates = 10, quick_replicates = 1;
constexpr std::int64_t quick_outer_steps = 20;

/// What one unit of a pixel's value is, in standard deviations: who does not standardise has another one.
constexpr std::array pixel_units = {0.1, 1.0, 10.0};

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr int exit_no_data = 3;  // so that a test can tell it from a failure

int num_threads_of(const options& given) {
    if (given.num_threads > 0) return given.num_threads;
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// Runs both experiments, and writes each batch as soon as it is done.
findings run(const options& given, results_file& file) {
    const fashion_mnist images(given.data);
    const std::vector<cleaning_cell> cells = all_cleaning_cells();
    const std::size_t replicates = given.is_quick ? quick_replicates : full_replicates;
    const std::size_t num_problems = (cells.size() + 1 + pixel_units.size()) * all_class_pairs().size() * replicates;
    progress shown(static_cast<std::int64_t>(num_problems) * progress_units_per_problem);
    job work = {images, replicates, {}, num_threads_of(given), shown};  // cuBOME's defaults, whatever the problem
    if (given.is_quick) work.settings.outer_steps = quick_outer_steps;

    findings all;
    for (const cleaning_cell& cell : cells) {
        shown.begin_stage("cleaning: " + std::to_string(std::lround(100 * cell.flip_rate)) + " % wrong labels, " +
                          std::to_string(cell.validation_size) + " clean images");
        all.cleaning.push_back({cell, run_cleaning(cell, work, all.totals)});
        file.append(all.cleaning.back().records);
    }
    shown.begin_stage("cleaning in other units");
    for (const double unit : pixel_units) {
        cleaning_cell cell = cells.back();
        cell.pixel_unit = unit;
        all.in_units.push_back({cell, run_cleaning(cell, work, all.totals)});
    }
    shown.begin_stage("penalties");
    all.penalties = run_penalties(work, all.totals);
    file.append(all.penalties);
    return all;
}

void print(const findings& all) {
    print_cleaning(all.cleaning);
    print_units(all.in_units);
    print_penalties(all.penalties);
    print_solves(all);
}

}  // namespace
}  // namespace fashion

int main(int argc, char** argv) {
    using namespace fashion;
    try {
        const options given = parse_options(argc, argv);
        if (given.wants_help) {
            std::fputs(usage, stdout);
            return 0;
        }
        if (!std::filesystem::is_directory(given.data)) {
            std::fprintf(stderr, "fashion: no folder %s: install Debian's dataset-fashion-mnist, or give --data\n",
                         given.data.c_str());
            return exit_no_data;
        }
        results_file file(given.output);
        print(run(given, file));
        return 0;
    } catch (const usage_error& problem) {
        std::fprintf(stderr, "fashion: %s\n%s", problem.what(), usage);
        return exit_usage;
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "fashion: %s\n", problem.what());
        return exit_failure;
    }
}
