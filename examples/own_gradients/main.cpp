// SPDX-License-Identifier: Apache-2.0

// Gradients of one's own for the staged engine: labels cleaned for a perceptron whose gradients BLAS computes.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cubome/cubome.hpp>
#include <cubome/staged.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cleaning_oracle.hpp"
#include "common/arguments.hpp"
#include "common/noisy_images.hpp"
#include "cuda_half.hpp"
#include "enqueued_oracle.hpp"
#include "fashion/parallel.hpp"
#include "fashion/random.hpp"
#include "gradient_check.hpp"
#include "host_machine.hpp"
#include "task.hpp"

namespace own_gradients {
namespace {

const char* const usage =
    "usage: own_gradients [options]\n"
    "Cleans half-wrong labels of Fashion-MNIST for a perceptron, with gradients of one's own.\n"
    "\n"
    "  --check            compares the gradients with central differences, and nothing else; needs no data\n"
    "  --problems N       draws of wrong labels, solved as one batch (default: 2)\n"
    "  --train N          training images (default: 10000)\n"
    "  --validation N     clean validation images (default: 2000)\n"
    "  --steps K          outer iterations (default: 80)\n"
    "  --inner-steps T    steps of the inner descent in each (default: 3)\n"
    "  --pretraining N    training steps before them (default: 60)\n"
    "  --data DIR         the four IDX files of Fashion-MNIST (default: /usr/share/datasets/fashion-mnist)\n"
    "  --backend B        cpu (default) or cuda: what the solve runs on\n"
    "  --threads N        problems that are computed at once (default: 2); changes no result\n"
    "  --quick            a tiny run, to see that everything works\n"
    "  --help             this text\n";

struct options {
    std::int64_t problems = 2, train = 10000, validation = 2000, test = 10000;
    std::int64_t steps = 80, inner_steps = 3, pretraining = 60, threads = 2;
    std::string data = examples::fashion_mnist_folder, backend = "cpu";
    bool is_check = false, is_quick = false, wants_help = false;
};

options parse(int argc, const char* const* argv) {
    options o;
    examples::arguments line;
    line.flag("--check", o.is_check);
    line.flag("--quick", o.is_quick);
    line.flag("--help", o.wants_help);
    line.text("--data", o.data);
    line.one_of("--backend", {"cpu", "cuda"}, o.backend);
    line.whole("--problems", 1, o.problems);
    line.whole("--train", 1, o.train);
    line.whole("--validation", 1, o.validation);
    line.whole("--steps", 1, o.steps);
    line.whole("--inner-steps", 1, o.inner_steps);
    line.whole("--pretraining", 1, o.pretraining);
    line.whole("--threads", 1, o.threads);
    line.parse(argc, argv);
    if (o.is_check && o.backend != "cpu")
        throw examples::usage_error("--check: expected --backend cpu: it is made in double");
    if (o.is_quick) o.train = 600, o.validation = 100, o.test = 500, o.steps = 3, o.inner_steps = 2, o.pretraining = 5;
    return o;
}

/// Gradients against central differences, on random images: who writes an oracle writes this first.
void check() {
    constexpr std::int64_t num_problems = 2, num_train = 30, num_validation = 20;
    constexpr double tolerance = 1e-8;
    constexpr auto dim = static_cast<std::size_t>(perceptron<double>::num_weights);
    fashion::random_stream random(7);
    const auto uniform = [&] { return static_cast<double>(random.next() >> 11) * 0x1p-53; };

    std::vector<double> images((num_train + num_validation) * examples::num_pixels);
    for (double& pixel : images) pixel = 2 * uniform() - 1;
    std::vector<std::uint8_t> labels(num_problems * num_train + num_validation);
    for (std::uint8_t& label : labels) label = static_cast<std::uint8_t>(random.below(examples::num_classes));
    std::vector<double> outer(num_problems * num_train), inner(num_problems * dim), descent(inner.size());
    for (double& weight : outer) weight = 0.1 + 0.8 * uniform();  // away from the kinks of the clip,
    outer[1] = -0.4, outer[2] = 1.7;                              // and two where it is flat
    for (std::uint64_t p = 0; p < num_problems; ++p) {
        perceptron<double>::start(p, inner.data() + p * dim);
        perceptron<double>::start(p + num_problems, descent.data() + p * dim);
    }
    // A start has biases of 0, which would hide what is done to them.
    for (auto* const theta : {&inner, &descent})
        for (double& x : *theta) x += 0.02 * (uniform() - 0.5);

    const cleaning_data<double> data{
        images.data(),
        labels.data(),
        num_train,
        {images.data() + num_train * examples::num_pixels, labels.data() + num_problems * num_train, num_validation},
        {images.data(), labels.data(), num_train}};
    cleaning_oracle<double> of_host(data);
    // The text of the CUDA half, where there may be no device.
    enqueued_oracle<host_machine<double>> enqueued(data, num_problems);
    const auto expect_small = [&](const char* name, cubome::oracle<double>& oracle) {
        const gradient_errors found = check_gradients(oracle, num_problems, outer, inner, descent, 5);
        std::printf("%s: errors relative to the gradient: inner %.1e, gap %.1e, outer %.1e; allowed %.0e\n", name,
                    found.inner, found.gap, found.outer, tolerance);
        if (!(found.inner <= tolerance && found.gap <= tolerance && found.outer <= tolerance))
            throw std::runtime_error("a gradient is not that of its function");
    };
    expect_small("cleaning_oracle", of_host);
    expect_small("enqueued_oracle", enqueued);
    const double apart = difference_of(of_host, enqueued, num_problems, outer, inner, descent);
    std::printf("the two differ by %.1e; allowed %.0e\n", apart, tolerance);
    if (!(apart <= tolerance)) throw std::runtime_error("the two are not the same functions");
}

std::unique_ptr<cubome::oracle<float>> make_oracle(const options& o, const cleaning_data<float>& data) {
    if (o.backend == "cpu") return std::make_unique<cleaning_oracle<float>>(data);
#ifdef OWN_GRADIENTS_HAS_CUDA
    return make_cuda_oracle(data, o.problems);
#else
    throw std::runtime_error("this build has no CUDA half: it needs nvcc and cuBLAS");
#endif
}

void print_trace(const std::vector<float>& value, const std::vector<float>& accuracy, std::size_t num_problems,
                 std::int64_t interval) {
    std::printf("%10s %10s %14s      means of all problems\n", "iteration", "f", "test accuracy");
    const std::size_t rows = value.size() / num_problems;
    for (std::size_t row = 0; row < rows; ++row) {
        double f = 0, share = 0;
        for (std::size_t p = 0; p < num_problems; ++p) {
            f += static_cast<double>(value[p * rows + row]) / static_cast<double>(num_problems);
            share += static_cast<double>(accuracy[p * rows + row]) / static_cast<double>(num_problems);
        }
        std::printf("%10lld %10.4f %14.4f\n", static_cast<long long>(row) * interval, f, share);
    }
}

void run(const options& o) {
    using model = perceptron<float>;
    constexpr std::int64_t n_theta = model::num_weights;
    const auto count = static_cast<std::size_t>(o.problems);
    const auto n_v = static_cast<std::size_t>(o.train);
    const int num_threads = static_cast<int>(o.threads);

    // 1. The data, their oracle, and the start: θ trained on noisy labels and validation images, v = ½.
    const task cleaning(o.data, {o.train, o.validation, 0, o.test}, o.problems);
    const std::unique_ptr<cubome::oracle<float>> oracle = make_oracle(o, cleaning.data());
    std::vector<float> v(count * n_v, 0.5f), theta(count * n_theta);
    fashion::parallel_for(count, num_threads, [&](std::size_t p) {
        model::start(p, theta.data() + p * n_theta);
        cleaning.train_on_both(cleaning.noisy_labels(p), std::vector<float>(n_v, 1), o.pretraining,
                               theta.data() + p * n_theta);
    });
    const std::vector<float> start = theta;

    // 2. The solver: settings, a box on v. No step sizes: they are found for each problem.
    cubome::settings<float> settings;
    settings.outer_steps = o.steps;
    settings.inner_steps = o.inner_steps;
    settings.trace_interval = std::max<std::int64_t>(1, o.steps / 10);
    const std::vector<float> lower(n_v, 0), upper(n_v, 1);
    cubome::box<float> box;
    box.outer_lower = cubome::shared(lower.data(), o.train);
    box.outer_upper = cubome::shared(upper.data(), o.train);
    cubome::execution execution;
    execution.num_threads = num_threads;
    cubome::staged_solver<float> solver(*oracle, settings, box, execution);

    // 3. What to report, and the solve: v and θ become the result.
    const std::int64_t rows = o.steps / settings.trace_interval + 1;
    std::vector<float> trace_f(count * static_cast<std::size_t>(rows)), trace_accuracy(trace_f.size());
    std::vector<cubome::outcome> outcome(count);
    cubome::state<float> state;
    state.outer = cubome::per_problem(v.data(), o.problems, o.train);
    state.inner = cubome::per_problem(theta.data(), o.problems, n_theta);
    cubome::report<float> report;
    report.outcome = cubome::per_problem(outcome.data(), o.problems);
    report.trace_outer_value = cubome::per_problem(trace_f.data(), o.problems, rows);
    report.trace_held_out = cubome::per_problem(trace_accuracy.data(), o.problems, rows);
    const auto begin = std::chrono::steady_clock::now();
    solver.solve(state, report);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    print_trace(trace_f, trace_accuracy, count, settings.trace_interval);

    // 4. What the weights are worth: models trained with them, and without, for the same number of steps.
    const std::int64_t steps = o.pretraining + o.steps;
    enum { noisy, validation, weighted, truth, num_models };
    std::vector<std::array<double, num_models>> accuracy(count);
    fashion::parallel_for(count * num_models, num_threads, [&](std::size_t at) {
        const std::size_t p = at / num_models;
        const auto which = at % num_models;
        const std::vector<float> ones(n_v, 1), weights(v.data() + p * n_v, v.data() + (p + 1) * n_v);
        std::vector<float> trained(n_theta);
        model::start(p, trained.data());
        if (which == noisy) cleaning.train_on_both(cleaning.noisy_labels(p), ones, steps, trained.data());
        if (which == validation) cleaning.train_on_validation(steps, trained.data());
        if (which == weighted) cleaning.train_on_both(cleaning.noisy_labels(p), weights, steps, trained.data());
        if (which == truth) cleaning.train_on_both(cleaning.true_labels(), ones, steps, trained.data());
        accuracy[p][which] = model().accuracy(cleaning.test(), trained.data());
    });

    // 5. Test accuracies, and how well v tells right labels from wrong ones.
    std::printf("\n%7s | %7s %7s %10s %11s | %7s %8s %6s | %s\n", "problem", "start", "noisy", "validation",
                "true labels", "BOME θ", "BOME v", "F1", "outcome");
    for (std::size_t p = 0; p < count; ++p)
        std::printf("%7zu | %7.4f %7.4f %10.4f %11.4f | %7.4f %7.4f %6.3f | %s\n", p,
                    model().accuracy(cleaning.test(), start.data() + p * n_theta), accuracy[p][noisy],
                    accuracy[p][validation], accuracy[p][truth],
                    model().accuracy(cleaning.test(), theta.data() + p * n_theta), accuracy[p][weighted],
                    examples::clean_f1(v.data() + p * n_v, cleaning.noisy_labels(p), cleaning.true_labels()),
                    cubome::to_string(outcome[p]));
    std::printf("%.1f s for %lld iterations of %lld problems\n", taken.count(), static_cast<long long>(o.steps),
                static_cast<long long>(o.problems));
}

}  // namespace
}  // namespace own_gradients

int main(int argc, char** argv) {
    using namespace own_gradients;
    return examples::run_main("own_gradients", usage, [&] {
        const options o = parse(argc, argv);
        if (o.wants_help)
            std::fputs(usage, stdout);
        else if (o.is_check)
            check();
        else
            run(o);
    });
}
