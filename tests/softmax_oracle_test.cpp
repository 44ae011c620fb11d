// SPDX-License-Identifier: Apache-2.0

// Softmax regression behind the staged engine's interface: against a float64 reference that is written from the
// formulas and shares no code with the library, and against itself in other batches, on other threads, in other
// storage.

#include "cubome/softmax_oracle.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "softmax_subjects.hpp"

namespace {

using namespace softmax_subjects;
using cubome::instruction_set;

cubome::execution with(instruction_set instructions) {
    cubome::execution result;
    result.where = cubome::backend::cpu;
    result.instructions = instructions;
    return result;
}

/// The instruction sets of this build and machine.
std::vector<instruction_set> instruction_sets() {
    std::mt19937 random(1);
    const data_set data(random, 2, 2, 2);
    std::vector<instruction_set> result;
    for (const auto which : {instruction_set::baseline, instruction_set::avx2, instruction_set::avx512}) {
        try {
            softmax_oracle(data.in(storage::dense), data.in(storage::dense), options_of(kinds[0], 2), with(which));
            result.push_back(which);
        } catch (const cubome::error&) {
        }
    }
    return result;
}

constexpr storage storages[] = {storage::dense, storage::bytes, storage::sparse};

TEST(softmax_reference, has_the_gradients_of_its_values) {
    std::mt19937 random(3);
    const data_set train(random, 7, 3, 4), validation(random, 5, 3, 4);
    for (const kind_of_problem& kind : kinds) {
        const reference naive(train, validation, options_of(kind, 4), static_cast<double>(kind.fixed_rho));
        std::normal_distribution<double> normal;
        vec v(naive.num_weights() + (kind.regularizer == penalty::fixed ? 0 : 3)), theta(16);
        for (double& x : v) x = 0.5 + normal(random);
        for (double& x : theta) x = normal(random);
        const auto g = [&](const vec& at_v, const vec& at) {
            double sum = 0;
            for (const double term : naive.g_terms(at_v, at)) sum += term;
            return sum;
        };
        const auto slope = [](auto&& function, vec at, std::size_t i) {
            constexpr double h = 1e-5;
            at[i] += h;
            const double above = function(at);
            at[i] -= 2 * h;
            return (above - function(at)) / (2 * h);
        };
        const vec g_inner = naive.g_inner(v, theta), f_inner = naive.f_inner(v, theta),
                  g_outer = naive.g_outer(v, theta);
        for (std::size_t i = 0; i < theta.size(); ++i) {
            EXPECT_NEAR(g_inner[i], slope([&](const vec& at) { return g(v, at); }, theta, i), 1e-8);
            EXPECT_NEAR(f_inner[i], slope([&](const vec& at) { return naive.f(v, at); }, theta, i), 1e-8);
        }
        for (std::size_t i = 0; i < v.size(); ++i)
            EXPECT_NEAR(g_outer[i], slope([&](const vec& at) { return g(at, theta); }, v, i), 1e-8);
    }
}

struct shape {
    std::int64_t num_samples, num_validation, num_features, num_classes;
};

// One sample, fewer than a vector, several panels and slices, features and classes around the blocks' sizes.
constexpr shape shapes[] = {{1, 1, 1, 2},     {15, 3, 5, 3},    {16, 16, 16, 5},   {17, 33, 15, 7},  {100, 37, 17, 10},
                            {513, 40, 32, 3}, {1100, 64, 6, 4}, {70, 530, 45, 13}, {40, 20, 4200, 2}};

// Of float sums over thousands of features, in units of the largest element.
constexpr double tolerance = 4e-6;

TEST(softmax_oracle, values_and_gradients_are_those_of_the_reference) {
    for (const instruction_set which : instruction_sets()) {
        for (const shape& s : shapes) {
            std::mt19937 random(static_cast<unsigned>(s.num_samples * 31 + s.num_features));
            const data_set train(random, s.num_samples, s.num_features, s.num_classes);
            const data_set validation(random, s.num_validation, s.num_features, s.num_classes);
            const data_set held_out(random, 19, s.num_features, s.num_classes);
            for (const kind_of_problem& kind : kinds) {
                for (const storage in : storages) {
                    SCOPED_TRACE(testing::Message()
                                 << cubome::to_string(which) << ", [" << s.num_samples << ", " << s.num_features
                                 << "], storage " << static_cast<int>(in) << ", kind " << &kind - kinds);
                    const softmax_options options = options_of(kind, s.num_classes);
                    softmax_oracle subject(train.in(in), validation.in(in), held_out.in(in), options, with(which));
                    batch b(subject, 3);
                    b.draw(random);

                    b.ask(subject);

                    const reference naive(train, validation, options, static_cast<double>(kind.fixed_rho));
                    for (std::int64_t p = 0; p < b.n; ++p) {
                        const vec v = b.row(b.v, p), theta = b.row(b.theta, p), descent = b.row(b.descent, p);
                        expect_close(b.row(b.inner_gradient, p), naive.g_inner(v, theta), tolerance, "inner_gradient");
                        expect_close(b.row(b.value, p), {naive.f(v, theta)}, tolerance, "value");
                        expect_close(b.row(b.of_outer, p), vec(v.size(), 0), 0, "of_outer");
                        expect_close(b.row(b.of_inner, p), naive.f_inner(v, theta), tolerance, "of_inner");
                        expect_close(b.row(b.held_out, p), {naive.mean_loss(held_out, theta)}, tolerance, "held_out");
                        const vec from = naive.g_terms(v, theta), to = naive.g_terms(v, descent);
                        double gap = 0, magnitude = 0;
                        for (std::size_t i = 0; i < from.size(); ++i)
                            gap += from[i] - to[i], magnitude += from[i] + to[i];
                        EXPECT_NEAR(static_cast<double>(b.gap[size(p)]), gap, tolerance * magnitude);
                        expect_close(b.row(b.magnitude, p), {magnitude}, tolerance, "magnitude");
                        vec slope = naive.g_outer(v, theta);
                        const vec back = naive.g_outer(v, descent);
                        double largest = 0;
                        for (std::size_t i = 0; i < slope.size(); ++i) {
                            largest = std::max({largest, std::abs(slope[i]), std::abs(back[i])});
                            slope[i] -= back[i];
                        }
                        for (std::size_t i = 0; i < slope.size(); ++i)
                            ASSERT_NEAR(b.row(b.gap_gradient, p)[i], slope[i], tolerance * largest)
                                << "gap_gradient " << i;
                        ASSERT_FALSE(HasFailure());
                    }
                }
            }
        }
    }
}

TEST(softmax_oracle, bytes_have_the_bits_of_the_floats_that_they_stand_for) {
    std::mt19937 random(5);
    for (const shape& s : shapes) {
        const data_set train(random, s.num_samples, s.num_features, s.num_classes);
        const data_set validation(random, s.num_validation, s.num_features, s.num_classes);
        constexpr float shift = 73.125F, scale = 1.0F / 90;
        data_set train_floats = train, validation_floats = validation;
        for (data_set* set : {&train_floats, &validation_floats})
            for (std::size_t k = 0; k < set->x.size(); ++k)
                set->x[k] = (static_cast<float>(set->pixels[k]) - shift) * scale;
        const std::vector<std::uint8_t> small_labels(train.labels.begin(), train.labels.end());
        for (const kind_of_problem& kind : kinds) {
            const softmax_options options = options_of(kind, s.num_classes);
            softmax_oracle of_floats(train_floats.in(storage::dense), validation_floats.in(storage::dense), options);
            softmax_oracle of_bytes(
                cubome::byte_samples(train.pixels.data(), small_labels.data(), train.n, train.d, shift, scale),
                cubome::byte_samples(validation.pixels.data(), validation.labels.data(), validation.n, validation.d,
                                     shift, scale),
                options);
            batch a(of_floats, 2);
            a.draw(random);
            batch b = a;

            a.ask(of_floats), b.ask(of_bytes);

            EXPECT_EQ(different(a, 0, b, 0, 2), "");
        }
    }
}

TEST(softmax_oracle, each_set_has_its_own_storage) {
    std::mt19937 random(6);
    const data_set train(random, 60, 21, 4), validation(random, 50, 21, 4), held_out(random, 40, 21, 4);
    const softmax_options options = options_of(kinds[5], 4);
    softmax_oracle dense(train.in(storage::dense), validation.in(storage::dense), held_out.in(storage::dense), options);
    batch expected(dense, 3);
    expected.draw(random);
    expected.ask(dense);
    for (const storage a : storages) {
        for (const storage b : storages) {
            for (const storage c : storages) {
                softmax_oracle mixed(train.in(a), validation.in(b), held_out.in(c), options);
                batch found = part(mixed, expected, 0, 3);

                found.ask(mixed);

                for (const auto& [name, member] : found.outputs()) {
                    const floats &x = found.*member, &y = expected.*member;
                    expect_close({x.begin(), x.end()}, {y.begin(), y.end()}, 1e-5, name);
                }
            }
        }
    }
}

TEST(softmax_oracle, sparse_samples_may_be_empty_or_name_a_feature_twice) {
    const std::vector<std::int64_t> starts = {0, 3, 3, 4}, nothing = {0, 0};
    const std::vector<std::int32_t> columns = {2, 0, 2, 1}, labels = {0, 1, 2};
    const floats values = {1, 2, 3, 4}, dense = {2, 0, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0}, zeros(4);
    softmax_options options;
    options.num_classes = 3;
    options.weights = sample_weights::sigmoid;
    softmax_oracle sparse(cubome::sparse_samples(starts.data(), columns.data(), values.data(), labels.data(), 3, 4),
                          cubome::sparse_samples(nothing.data(), nullptr, nullptr, labels.data(), 1, 4), options);
    softmax_oracle full(cubome::dense_samples(dense.data(), labels.data(), 3, 4),
                        cubome::dense_samples(zeros.data(), labels.data(), 1, 4), options);
    std::mt19937 random(8);
    batch a(sparse, 2);
    a.draw(random);
    batch b = a;

    a.ask(sparse), b.ask(full);

    for (const auto& [name, member] : a.outputs()) {
        const floats &x = a.*member, &y = b.*member;
        expect_close({x.begin(), x.end()}, {y.begin(), y.end()}, 1e-5, name);
    }
}

TEST(softmax_oracle, a_problem_has_the_same_bits_in_every_batch_place_and_number_of_threads) {
    constexpr std::int64_t most = 64;
    for (const shape& s : {shape{530, 90, 17, 10}, shape{300, 40, 48, 3}, shape{100, 30, 5, 17}}) {
        std::mt19937 random(11);
        const data_set train(random, s.num_samples, s.num_features, s.num_classes);
        const data_set validation(random, s.num_validation, s.num_features, s.num_classes);
        for (const storage in : storages) {
            for (const instruction_set which : instruction_sets()) {
                softmax_oracle subject(train.in(in), validation.in(in), validation.in(in),
                                       options_of(kinds[5], s.num_classes), with(which));
                batch all(subject, most);
                all.draw(random);
                all.ask(subject);
                int round = 0;
                for (const std::int64_t num : {1, 2, 3, 5, 8, 13, 31, 63, 64}) {
                    for (const std::int64_t first : {std::int64_t{0}, (most - num) / 2, most - num}) {
                        // Of large parts one place will do.
                        if (num > 20 && first != most - num) continue;
                        constexpr int numbers_of_threads[] = {1, 2, 7};
                        const int num_threads = numbers_of_threads[(round + round / 3) % 3];
                        ++round;
                        SCOPED_TRACE(testing::Message()
                                     << cubome::to_string(which) << ", storage " << static_cast<int>(in) << ", " << num
                                     << " from " << first << " on " << num_threads << " threads");
                        batch some = part(subject, all, first, num);

                        some.ask(subject, num_threads);

                        ASSERT_EQ(different(some, 0, all, first, num), "");
                    }
                }
            }
        }
    }
}

TEST(softmax_oracle, a_problem_that_has_left_the_numbers_changes_no_bit_of_another) {
    constexpr float infinity = std::numeric_limits<float>::infinity(), largest = std::numeric_limits<float>::max();
    const float poisons[] = {std::numeric_limits<float>::quiet_NaN(),
                             std::numeric_limits<float>::signaling_NaN(),
                             infinity,
                             -infinity,
                             largest,
                             -largest,
                             std::numeric_limits<float>::denorm_min()};
    std::mt19937 random(12);
    const data_set train(random, 150, 18, 5), validation(random, 30, 18, 5);
    for (const storage in : storages) {
        softmax_oracle subject(train.in(in), validation.in(in), options_of(kinds[5], 5));
        batch clean(subject, 9);
        clean.draw(random);
        batch expected = clean;
        expected.ask(subject);
        for (const float poison : poisons) {
            for (floats batch::*const into : {&batch::v, &batch::theta, &batch::descent}) {
                for (const std::int64_t at : {0, 4, 8}) {
                    batch b = clean;
                    const auto dim = static_cast<std::int64_t>((b.*into).size()) / b.n;
                    // The bias and a weight as well as a feature.
                    for (const std::int64_t place : {std::int64_t{0}, dim / 2, dim - 1})
                        (b.*into)[size(at * dim + place)] = poison;

                    b.ask(subject, 2);

                    EXPECT_EQ(different(b, 0, expected, 0, at), "");
                    EXPECT_EQ(different(b, at + 1, expected, at + 1, b.n - at - 1), "");
                    if (std::isfinite(poison)) continue;
                    const bool is_v = into == &batch::v;
                    if (into == &batch::theta) {
                        EXPECT_FALSE(std::isfinite(b.value[size(at)])) << poison;
                    }
                    // e^−∞ and σ(±∞) are numbers.
                    if (!is_v || std::isnan(poison)) {
                        EXPECT_FALSE(std::isfinite(b.gap[size(at)])) << poison;
                    }
                }
            }
        }
    }
}

TEST(softmax_oracle, data_that_are_no_numbers_are_handed_on) {
    std::mt19937 random(13);
    data_set train(random, 40, 18, 3);
    const data_set validation(random, 30, 18, 3);
    train.x[25] = std::numeric_limits<float>::quiet_NaN();
    softmax_oracle subject(train.in(storage::dense), validation.in(storage::dense), options_of(kinds[0], 3));
    batch b(subject, 2);
    b.draw(random);
    // The spoilt sample counts.
    b.v[1] = b.v[size(b.n_v) + 1] = 0.5F;

    b.ask(subject);

    for (int p = 0; p < 2; ++p) {
        EXPECT_TRUE(std::isnan(b.gap[size(p)]));
        EXPECT_TRUE(std::isfinite(b.value[size(p)]));
    }
}

TEST(softmax_oracle, a_feature_without_penalty_may_be_as_large_as_it_likes) {
    const floats x = {0, 1, 0, -1};
    const std::vector<std::int32_t> labels = {0, 1};
    softmax_options options;
    options.regularizer = penalty::per_feature;
    softmax_oracle subject(cubome::dense_samples(x.data(), labels.data(), 2, 2),
                           cubome::dense_samples(x.data(), labels.data(), 2, 2), options);
    batch b(subject, 1);
    b.v = {-200, 0};
    b.theta = {3e30F, 0.5F, 0, 0, 0, 0};
    b.descent = {0, 0.25F, 0, 0, 0, 0};

    b.ask(subject);

    EXPECT_TRUE(std::isfinite(b.gap[0]));
    EXPECT_TRUE(std::isfinite(b.magnitude[0]));
}

TEST(softmax_oracle, the_gap_is_the_same_whether_its_losses_are_kept_or_made_again) {
    std::mt19937 random(14);
    const data_set train(random, 90, 18, 3), validation(random, 30, 18, 3);
    for (const storage in : storages) {
        softmax_oracle subject(train.in(in), validation.in(in), options_of(kinds[5], 3));
        batch expected(subject, 4);
        expected.draw(random);
        batch elsewhere(subject, 4);
        elsewhere.draw(random);
        expected.ask(subject);
        oracle_call call;
        call.num_problems = 4;
        const auto ask_for_gap = [&](batch& b) {
            subject.gap_gradient(call, b.v.data(), b.theta.data(), b.descent.data(), b.gap.data(), b.magnitude.data(),
                                 b.gap_gradient.data());
        };
        const auto start_at = [&](batch& b, std::int64_t step) {
            call.descent_step = step;
            subject.inner_gradient(call, b.v.data(), b.theta.data(), b.inner_gradient.data());
            call.descent_step = -1;
        };
        const auto expect_right_gap = [&](const char* when, auto&& before) {
            batch b = expected;
            std::fill(b.gap_gradient.begin(), b.gap_gradient.end(), batch::unset);
            before();
            ask_for_gap(b);
            EXPECT_EQ(different(b, 0, expected, 0, 4), "") << when;
        };
        expect_right_gap("never asked for a gradient", [&] { subject.prepare(call, expected.v.data()); });
        expect_right_gap("a second gap", [] {});
        expect_right_gap("gradients elsewhere that are no start", [&] {
            subject.prepare(call, expected.v.data());
            start_at(expected, 0);
            start_at(elsewhere, 3);
            start_at(elsewhere, -1);
        });
        expect_right_gap("another v since", [&] {
            start_at(elsewhere, 0);
            subject.prepare(call, expected.v.data());
        });
    }
}

TEST(softmax_oracle, a_descent_that_went_nowhere_leaves_no_gap) {
    std::mt19937 random(35);
    const data_set train(random, 90, 18, 3), validation(random, 30, 18, 3);
    for (const storage in : storages) {
        softmax_oracle subject(train.in(in), validation.in(in), options_of(kinds[5], 3));
        batch b(subject, 4);
        b.draw(random);
        b.descent = b.theta;

        b.ask(subject);

        EXPECT_EQ(b.gap, floats(4, 0.0F));
        EXPECT_EQ(b.gap_gradient, floats(size(4 * b.n_v), 0.0F));
    }
}

TEST(softmax_oracle, outputs_are_written_whole_and_nothing_else_is) {
    std::mt19937 random(15);
    const data_set train(random, 21, 5, 3), validation(random, 30, 5, 3);
    for (const storage in : storages) {
        softmax_oracle subject(train.in(in), validation.in(in), validation.in(in), options_of(kinds[5], 3));
        batch b(subject, 3);
        b.draw(random);
        std::vector<std::size_t> sizes;
        for (const auto& output : b.outputs()) {
            floats& array = b.*output.second;
            sizes.push_back(array.size());
            array.resize(array.size() + 40, batch::unset);
        }

        b.ask(subject, 2);

        std::size_t which = 0;
        for (const auto& [name, member] : b.outputs()) {
            const auto end = (b.*member).begin() + static_cast<std::ptrdiff_t>(sizes[which++]);
            EXPECT_EQ(std::count((b.*member).begin(), end, batch::unset), 0) << name;
            EXPECT_EQ(std::count(end, (b.*member).end(), batch::unset), 40) << name;
        }
    }
}

TEST(softmax_oracle, a_fixed_penalty_may_be_each_problem_s_own) {
    std::mt19937 random(16);
    const data_set train(random, 50, 18, 3), validation(random, 30, 18, 3);
    const floats rho = {0, 0.02F, 3};
    softmax_options options = options_of(kinds[0], 3);
    options.fixed_rho = cubome::per_problem(rho.data(), 3);
    softmax_oracle subject(train.in(storage::dense), validation.in(storage::dense), options);
    batch together(subject, 3);
    together.draw(random);

    together.ask(subject);

    for (std::int64_t p = 0; p < 3; ++p) {
        options.fixed_rho = rho[size(p)];
        softmax_oracle one(train.in(storage::dense), validation.in(storage::dense), options);
        batch alone = part(one, together, p, 1);
        alone.ask(one);
        EXPECT_EQ(different(alone, 0, together, p, 1), "");
    }
    try {
        subject.reserve(4);
        FAIL() << "4 problems, and 3 penalties";
    } catch (const cubome::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "softmax_oracle: 'fixed_rho' has extents [3], expected [num_problems = 4]");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Whole solves
// ---------------------------------------------------------------------------------------------------------------------

TEST(softmax_oracle, a_staged_solve_is_that_of_the_reference) {
    std::mt19937 random(21);
    const data_set train(random, 60, 9, 4), validation(random, 40, 9, 4), held_out(random, 25, 9, 4);
    for (const kind_of_problem& kind : kinds) {
        for (const storage in : storages) {
            const softmax_options options = options_of(kind, 4);
            softmax_oracle subject(train.in(in), validation.in(in), held_out.in(in), options);
            batch start(subject, 3);
            start.draw(random);
            cubome::settings<float> settings;
            settings.outer_steps = 6;
            settings.inner_steps = 5;
            settings.steps = cubome::step_rule::fixed;
            settings.barrier = cubome::barrier_form::value_gap;
            settings.outer_step_size = 2;
            settings.inner_step_size = settings.descent_step_size = 0.05F;
            settings.outer_momentum = 0.5F;
            floats v = start.v, theta = start.theta, f(3), gap(3), refined(3), metric(3);
            cubome::state<float> state;
            state.outer = cubome::per_problem(v.data(), 3, start.n_v);
            state.inner = cubome::per_problem(theta.data(), 3, start.n_theta);
            cubome::report<float> report;
            report.outer_value = cubome::per_problem(f.data(), 3);
            report.gap = cubome::per_problem(gap.data(), 3);
            report.refined_outer_value = cubome::per_problem(refined.data(), 3);
            report.held_out = cubome::per_problem(metric.data(), 3);

            cubome::staged_solver<float>(subject, settings).solve(state, report);

            const reference naive(train, validation, options, static_cast<double>(kind.fixed_rho));
            oracle::settings exact;
            exact.outer_steps = 6;
            exact.inner_steps = 5;
            exact.barrier = cubome::barrier_form::value_gap;
            exact.outer_step_size = 2;
            exact.inner_step_size = exact.descent_step_size = static_cast<double>(0.05F);
            exact.outer_momentum = 0.5;
            for (std::int64_t p = 0; p < 3; ++p) {
                SCOPED_TRACE(testing::Message()
                             << "kind " << &kind - kinds << ", storage " << static_cast<int>(in) << ", problem " << p);
                oracle::state end;
                end.v = start.row(start.v, p), end.theta = start.row(start.theta, p);
                const oracle::report expected = oracle::solve(naive, exact, end);
                expect_close(start.row(v, p), end.v, 1e-4, "v");
                expect_close(start.row(theta, p), end.theta, 1e-4, "theta");
                EXPECT_NEAR(static_cast<double>(f[size(p)]), expected.f, 1e-4 * expected.f);
                EXPECT_NEAR(static_cast<double>(gap[size(p)]), expected.gap, 1e-4 * std::abs(expected.gap) + 1e-6);
                EXPECT_NEAR(static_cast<double>(refined[size(p)]), expected.refined_f, 1e-4 * expected.refined_f);
                EXPECT_NEAR(static_cast<double>(metric[size(p)]), naive.mean_loss(held_out, end.theta), 1e-4);
                if (HasFailure()) return;
            }
        }
    }
}

TEST(softmax_oracle, steps_are_found_without_tuning_and_weights_find_the_wrong_labels) {
    // Three classes of points around centres; four in ten training labels are drawn again.
    std::mt19937 random(22);
    std::normal_distribution<float> normal;
    constexpr std::int64_t n = 300, m = 60, d = 4;
    const auto draw = [&](std::int64_t num, floats& x, std::vector<std::int32_t>& labels) {
        x.resize(size(num * d)), labels.resize(size(num));
        for (std::int64_t i = 0; i < num; ++i) {
            labels[size(i)] = static_cast<std::int32_t>(random() % 3);
            for (std::int64_t j = 0; j < d; ++j)
                x[size(i * d + j)] = normal(random) + (j == labels[size(i)] ? 4.0F : 0.0F);
        }
    };
    floats train_x, validation_x;
    std::vector<std::int32_t> train_y, validation_y;
    draw(n, train_x, train_y), draw(m, validation_x, validation_y);
    std::vector<bool> is_wrong(size(n));
    for (std::int64_t i = 0; i < n; ++i) {
        if (random() % 10 >= 4) continue;
        const auto label = static_cast<std::int32_t>(random() % 3);
        is_wrong[size(i)] = label != train_y[size(i)];
        train_y[size(i)] = label;
    }
    softmax_options options;
    options.num_classes = 3;
    options.weights = sample_weights::clip;
    options.fixed_rho = 0.002F;
    softmax_oracle subject(cubome::dense_samples(train_x.data(), train_y.data(), n, d),
                           cubome::dense_samples(validation_x.data(), validation_y.data(), m, d), options);
    floats v(size(n), 0.5F), theta(size(subject.inner_dim())), lower(size(n), 0.0F), upper(size(n), 1.0F);
    cubome::state<float> state;
    state.outer = cubome::per_problem(v.data(), 1, n);
    state.inner = cubome::per_problem(theta.data(), 1, subject.inner_dim());
    cubome::box<float> box;
    box.outer_lower = cubome::shared<const float>(lower.data(), n);
    box.outer_upper = cubome::shared<const float>(upper.data(), n);
    cubome::settings<float> settings;
    settings.outer_steps = 300;

    cubome::staged_solver<float>(subject, settings, box).solve(state);

    int right = 0;
    for (std::int64_t i = 0; i < n; ++i) right += (v[size(i)] > 0.5F) != is_wrong[size(i)];
    EXPECT_GE(right, 270);
}

// ---------------------------------------------------------------------------------------------------------------------
// Its life
// ---------------------------------------------------------------------------------------------------------------------

TEST(softmax_oracle, goes_on_after_it_was_moved) {
    std::mt19937 random(31);
    const data_set train(random, 50, 18, 3), validation(random, 30, 18, 3);
    const auto make = [&] {
        return softmax_oracle(train.in(storage::sparse), validation.in(storage::bytes), options_of(kinds[5], 3));
    };
    softmax_oracle first = make();
    batch a(first, 3);
    a.draw(random);
    a.ask(first);

    softmax_oracle second(std::move(first));
    batch b = part(second, a, 0, 3);
    b.ask(second);
    softmax_oracle third = make();
    third = std::move(second);
    batch c = part(third, a, 0, 3);
    c.ask(third);

    EXPECT_EQ(different(b, 0, a, 0, 3), "");
    EXPECT_EQ(different(c, 0, a, 0, 3), "");
}

TEST(softmax_oracle, more_problems_than_were_reserved_are_refused) {
    std::mt19937 random(32);
    const data_set train(random, 50, 18, 3), validation(random, 30, 18, 3);
    softmax_oracle subject(train.in(storage::dense), validation.in(storage::dense), options_of(kinds[0], 3));
    batch b(subject, 3);
    subject.reserve(2);
    oracle_call call;
    call.num_problems = 3;

    try {
        subject.inner_gradient(call, b.v.data(), b.theta.data(), b.inner_gradient.data());
        FAIL() << "not refused";
    } catch (const cubome::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "softmax_oracle: 'num_problems' is 3, expected at most the 2 that were reserved");
    }
    EXPECT_EQ(std::count(b.inner_gradient.begin(), b.inner_gradient.end(), batch::unset), 3 * b.n_theta);
    EXPECT_THROW(subject.reserve(std::int64_t{1} << 60), cubome::invalid_argument);
    call.num_problems = 2;
    EXPECT_NO_THROW(subject.inner_gradient(call, b.v.data(), b.theta.data(), b.inner_gradient.data()));
}

TEST(softmax_oracle, bad_arguments_are_refused_by_name) {
    std::mt19937 random(33);
    const data_set data(random, 12, 6, 3), other(random, 12, 7, 3);
    const softmax_samples good = data.in(storage::dense), sparse = data.in(storage::sparse);
    const softmax_options options = options_of(kinds[0], 3);
    const auto message = [](const softmax_samples& train, const softmax_samples& validation,
                            const softmax_samples& held_out, const softmax_options& o) -> std::string {
        try {
            softmax_oracle(train, validation, held_out, o);
        } catch (const cubome::invalid_argument& e) {
            return e.what();
        }
        return "accepted";
    };
    const auto of_samples = [&](auto&& spoil, softmax_samples samples) {
        spoil(samples);
        EXPECT_NE(message(good, samples, good, options), "accepted");
        EXPECT_NE(message(good, good, samples, options), "accepted");
        return message(samples, good, good, options);
    };
    const auto of_options = [&](auto&& spoil) {
        softmax_options spoilt = options;
        spoil(spoilt);
        return message(good, good, good, spoilt);
    };
    const std::string a = "softmax_oracle: '";

    EXPECT_EQ(message(good, good, good, options), "accepted");
    EXPECT_EQ(of_samples([](auto& s) { s = {}; }, good), a + "train' is not given, expected samples");
    EXPECT_EQ(of_samples([](auto& s) { s.num_samples = 0; }, good),
              a + "train.num_samples' is 0, expected a number in [1, 2147482624]");
    EXPECT_EQ(of_samples([](auto& s) { s.num_samples = std::int64_t{1} << 31; }, sparse),
              a + "train.num_samples' is 2147483648, expected a number in [1, 2147482624]");
    EXPECT_EQ(of_samples([](auto& s) { s.num_features = -1; }, good),
              a + "train.num_features' is -1, expected a number in [1, 2147482624]");
    EXPECT_EQ(of_samples([](auto& s) { s.values = nullptr; }, good), a + "train.x' is null, expected an array");
    EXPECT_EQ(of_samples([](auto& s) { s.labels = {}; }, good), a + "train.labels' is null, expected an array");
    std::vector<std::int32_t> labels = data.labels;
    labels[7] = 3;
    EXPECT_EQ(of_samples([&](auto& s) { s.labels = labels.data(); }, good),
              a + "train.labels' has class 3 at sample 7, expected a number in [0, num_classes = 3)");
    labels[7] = -1;
    EXPECT_EQ(of_samples([&](auto& s) { s.labels = labels.data(); }, sparse),
              a + "train.labels' has class -1 at sample 7, expected a number in [0, num_classes = 3)");
    EXPECT_EQ(of_samples([](auto& s) { s.row_starts = nullptr; }, sparse),
              a + "train.row_starts' is null, expected an array");
    EXPECT_EQ(of_samples([](auto& s) { s.columns = nullptr; }, sparse),
              a + "train.columns' is null, expected an array");
    EXPECT_EQ(of_samples([](auto& s) { s.values = nullptr; }, sparse), a + "train.values' is null, expected an array");
    std::vector<std::int64_t> starts = data.starts;
    starts[0] = 1;
    EXPECT_EQ(of_samples([&](auto& s) { s.row_starts = starts.data(); }, sparse),
              a + "train.row_starts' begins with 1, expected 0");
    starts[0] = 0, starts[5] = -2;
    EXPECT_EQ(of_samples([&](auto& s) { s.row_starts = starts.data(); }, sparse),
              a + "train.row_starts' decreases at sample 4, expected increasing numbers");
    std::vector<std::int32_t> columns = data.columns;
    columns[3] = 6;
    EXPECT_EQ(of_samples([&](auto& s) { s.columns = columns.data(); }, sparse),
              a + "train.columns' has 6 at entry 3, expected a number in [0, num_features = 6)");
    EXPECT_EQ(message(good, other.in(storage::dense), good, options),
              a + "validation.num_features' is 7, expected train.num_features = 6");
    EXPECT_EQ(message(good, good, other.in(storage::dense), options),
              a + "held_out.num_features' is 7, expected train.num_features = 6");
    EXPECT_EQ(of_options([](auto& o) { o.num_classes = 1; }),
              a + "num_classes' is 1, expected a number in [2, 2147482624]");
    EXPECT_EQ(of_options([](auto& o) { o.num_classes = 1000000000; }),
              a + "num_classes * (num_features + 1)' is 7000000000, expected a number in [1, 2147482624]");
    EXPECT_EQ(of_options([](auto& o) { o.weights = static_cast<sample_weights>(3); }),
              a + "weights' is 3, expected one of sample_weights");
    EXPECT_EQ(of_options([](auto& o) { o.regularizer = penalty::per_group; }),
              a + "regularizer' is 2, expected penalty::fixed or penalty::per_feature");
    EXPECT_EQ(of_options([](auto& o) { o.weights = sample_weights::none; }),
              a + "weights' is none, with a fixed penalty, expected sample weights or penalties that depend on v: "
                  "there is nothing to learn");
    EXPECT_EQ(of_options([](auto& o) { o.fixed_rho = -1.0F; }),
              a + "fixed_rho' is -1.000000, expected a finite number, at least 0");
    EXPECT_EQ(of_options([](auto& o) { o.fixed_rho = std::numeric_limits<float>::quiet_NaN(); }),
              a + "fixed_rho' is nan, expected a finite number, at least 0");
}

TEST(softmax_oracle, a_device_takes_a_build_with_one_and_the_device) {
    std::mt19937 random(34);
    const data_set data(random, 12, 6, 3);
    cubome::execution execution;
    execution.where = cubome::backend::cuda;
#ifdef CUBOME_TEST_HAS_CUBLAS
    constexpr bool has_cublas = true;
#else
    constexpr bool has_cublas = false;
#endif
    try {
        const softmax_oracle there(data.in(storage::dense), data.in(storage::dense), options_of(kinds[0], 3),
                                   execution);
        EXPECT_EQ(there.where(), cubome::backend::cuda);
        EXPECT_TRUE(has_cublas);
    } catch (const cubome::not_compiled& e) {
        EXPECT_FALSE(has_cublas) << e.what();
        EXPECT_NE(std::string(e.what()).find("softmax_oracle: "), std::string::npos) << e.what();
    } catch (const cubome::backend_unavailable& e) {
        EXPECT_TRUE(has_cublas) << e.what();
        EXPECT_NE(std::string(e.what()).find("cuda"), std::string::npos) << e.what();
    }
}

}  // namespace
