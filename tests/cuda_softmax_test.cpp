// SPDX-License-Identifier: Apache-2.0

// softmax_oracle on a device, on a model of the runtime that runs the very kernels and of cuBLAS: beside the oracle of
// the CPU and the float64 reference, wherever data lie and however they are cut; what is enqueued; calls that fail.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"
#include "cubome/staged.hpp"
#include "simt_softmax.hpp"
#include "softmax_subjects.hpp"

namespace {

using namespace softmax_subjects;
using cubome::product_precision;
using cubome::detail::softmax_limits;
using cuda_subjects::device_copies;
using simt_softmax::with_softmax;

cubome::execution on_cuda() {
    cubome::execution result;
    result.where = cubome::backend::cuda;
    return result;
}

/// Cuts everything into pieces: of 256 samples, of so many problems of four classes, of so few samples on their way.
softmax_limits small_limits(std::int64_t problems_at_once) {
    softmax_limits result;
    result.of_scores = problems_at_once * 4 * 256;
    result.of_panel = 1;
    result.of_staging = 100;
    return result;
}

/// Asks for everything, with all arrays in device memory.
void ask_there(simt_runtime::device& model, softmax_oracle& of, batch& b, CUstream_st* stream = nullptr) {
    device_copies copies(model);
    const auto there = [&](auto& array) { return copies.of(array.data(), static_cast<std::int64_t>(array.size())); };
    const auto in = [&](const floats& array) { return there(array); };
    const float *const v = in(b.v), *const theta = in(b.theta), *const descent = in(b.descent);
    oracle_call call;
    call.num_problems = b.n;
    call.stream = stream != nullptr ? stream : model.make_stream();
    of.reserve(b.n);
    of.prepare(call, v);
    of.outer_gradient(call, v, theta, there(b.value), there(b.of_outer), there(b.of_inner));
    call.descent_step = 0;
    of.inner_gradient(call, v, theta, there(b.inner_gradient));
    call.descent_step = -1;
    of.gap_gradient(call, v, theta, descent, there(b.gap), there(b.magnitude), there(b.gap_gradient));
    if (of.has_held_out()) of.held_out(call, v, theta, there(b.held_out));
    model.synchronize(call.stream);
    copies.fetch();
}

double tolerance_of(product_precision precision) {
    switch (precision) {
        case product_precision::fp32:
            return 1e-5;
        case product_precision::tf32:
            return 4e-3;
        default:
            return 1e-4;
    }
}

/// Data that several blocks of threads go through, some of it in part.
struct subjects {
    explicit subjects(unsigned seed, std::int64_t d = 13, std::int64_t n = 530)
        : random(seed), train(random, n, d, 4), validation(random, n / 2 + 35, d, 4), held_out(random, 20, d, 4) {}

    std::mt19937 random;
    data_set train, validation, held_out;

    softmax_oracle make(const softmax_options& options, const cubome::execution& e, storage kind) const {
        return {train.in(kind), validation.in(kind), held_out.in(kind), options, e};
    }
};

TEST(CudaSoftmax, ValuesAndGradientsAreThoseOfTheCpu) {
    const subjects s(1);
    std::mt19937 random(2);
    for (const kind_of_problem& kind : kinds) {
        for (const auto precision : {product_precision::fp32, product_precision::tf32, product_precision::bf16x3}) {
            for (const storage in : {storage::dense, storage::bytes}) {
                SCOPED_TRACE(testing::Message() << "kind " << &kind - kinds << ", precision "
                                                << static_cast<int>(precision) << ", storage " << static_cast<int>(in));
                softmax_options options = options_of(kind, 4);
                softmax_oracle here = s.make(options, {}, in);
                batch expected(here, 3);
                expected.draw(random);
                expected.ask(here);

                with_softmax with;
                options.precision = precision;
                softmax_oracle subject = s.make(options, on_cuda(), in);
                EXPECT_EQ(subject.where(), cubome::backend::cuda);
                EXPECT_EQ(subject.outer_dim(), here.outer_dim());
                EXPECT_EQ(subject.inner_dim(), here.inner_dim());
                batch found = part(here, expected, 0, 3);
                ask_there(with.model, subject, found);
                expect_close_batches(found, expected, tolerance_of(precision));
                if (precision != product_precision::fp32) {
                    batch whole = part(here, expected, 0, 3);
                    softmax_oracle exact = s.make(options_of(kind, 4), on_cuda(), in);
                    ask_there(with.model, exact, whole);
                    EXPECT_NE(different(found, 0, whole, 0, 3), "") << "the precision changes nothing";
                }
                if (HasFailure()) return;
            }
        }
    }
}

TEST(CudaSoftmax, AreTheSameHoweverTheyAreCut) {
    const subjects s(3);
    std::mt19937 random(4);
    for (const std::size_t kind : {std::size_t(1), std::size_t(5)}) {
        for (const auto precision : {product_precision::fp32, product_precision::bf16x3}) {
            for (const storage in : {storage::dense, storage::bytes}) {
                softmax_options options = options_of(kinds[kind], 4);
                options.precision = precision;
                batch expected = [&] {
                    with_softmax with;
                    softmax_oracle whole = s.make(options, on_cuda(), in);
                    batch b(whole, 5);
                    b.draw(random);
                    ask_there(with.model, whole, b);
                    return b;
                }();
                for (const std::int64_t at_once : {1, 2}) {
                    with_softmax with(small_limits(at_once));
                    softmax_oracle subject = s.make(options, on_cuda(), in);
                    batch found = part(subject, expected, 0, 5);
                    ask_there(with.model, subject, found);
                    // Several panels: sums of samples are cut elsewhere.
                    expect_close_batches(found, expected, 1e-5);
                    EXPECT_EQ(with.blas.products.back().m, 20);
                    const auto longest = std::max_element(
                        with.blas.products.begin(), with.blas.products.end(), [](const auto& a, const auto& b) {
                            return a.is_a_transposed && (!b.is_a_transposed || a.m < b.m);
                        });
                    EXPECT_LE(longest->is_a_transposed ? longest->m : 256, 256);
                    for (const auto& p : with.blas.products) EXPECT_LE(p.n, 4 * at_once);
                }
                if (HasFailure()) return;
            }
        }
    }
}

TEST(CudaSoftmax, ReadsDataWhereTheyLie) {
    const subjects s(5);
    std::mt19937 random(6);
    for (const storage in : {storage::dense, storage::bytes}) {
        with_softmax with;
        device_copies copies(with.model);
        const auto moved = [&](const data_set& data) {
            softmax_samples result = data.in(in);
            if (in == storage::dense)
                result.values = copies.of(result.values, data.n * data.d);
            else
                result.pixels = copies.of(result.pixels, data.n * data.d);
            return result;
        };
        const softmax_options options = options_of(kinds[1], 4);
        softmax_oracle here = s.make(options, on_cuda(), in);
        softmax_oracle there(moved(s.train), moved(s.validation), s.held_out.in(in), options, on_cuda());
        batch expected(here, 2);
        expected.draw(random);
        batch found = part(here, expected, 0, 2);
        ask_there(with.model, here, expected);
        ask_there(with.model, there, found);
        EXPECT_EQ(different(found, 0, expected, 0, 2), "");
    }
}

TEST(CudaSoftmax, WaitsForDataThatAreStillOnTheirWay) {
    const subjects s(31);
    with_softmax with;
    const softmax_options options = options_of(kinds[1], 4);
    for (const storage in : {storage::dense, storage::bytes}) {
        // Written on the legacy default stream, which the library's own does not wait for.
        const auto arriving = [&](const data_set& data) {
            softmax_samples result = data.in(in);
            const auto send = [&](auto& array) {
                using value = std::remove_const_t<std::remove_pointer_t<std::remove_reference_t<decltype(array)>>>;
                value* const there = with.model.allocate<value>(size(data.n * data.d));
                with.model.enqueue(nullptr,
                                   [from = array, there, &data] { std::copy_n(from, data.n * data.d, there); });
                array = there;
            };
            in == storage::dense ? send(result.values) : send(result.pixels);
            return result;
        };
        softmax_oracle there(arriving(s.train), arriving(s.validation), s.held_out.in(in), options, on_cuda());
        softmax_oracle here = s.make(options, on_cuda(), in);
        batch expected(here, 1);
        expected.draw(*std::make_unique<std::mt19937>(32));
        batch found = part(here, expected, 0, 1);
        ask_there(with.model, here, expected);
        ask_there(with.model, there, found);
        EXPECT_EQ(different(found, 0, expected, 0, 1), "");
    }
}

TEST(CudaSoftmax, BytesHaveTheBitsOfTheFloatsThatTheyStandFor) {
    const subjects s(33);
    constexpr float shift = 33.25F, scale = 1.0F / 79;
    const auto floats_of = [&](const data_set& data) {
        floats result;
        for (const std::uint8_t pixel : data.pixels) result.push_back((static_cast<float>(pixel) - shift) * scale);
        return result;
    };
    const floats train = floats_of(s.train), validation = floats_of(s.validation);
    const std::vector<std::uint8_t> labels(s.train.labels.begin(), s.train.labels.end());
    with_softmax with;
    const softmax_options options = options_of(kinds[1], 4);
    softmax_oracle dense(
        cubome::dense_samples(train.data(), s.train.labels.data(), s.train.n, s.train.d),
        cubome::dense_samples(validation.data(), s.validation.labels.data(), s.validation.n, s.train.d), options,
        on_cuda());
    softmax_oracle bytes(cubome::byte_samples(s.train.pixels.data(), labels.data(), s.train.n, s.train.d, shift, scale),
                         cubome::byte_samples(s.validation.pixels.data(), s.validation.labels.data(), s.validation.n,
                                              s.train.d, shift, scale),
                         options, on_cuda());
    batch expected(dense, 2);
    expected.draw(*std::make_unique<std::mt19937>(34));
    batch found = part(dense, expected, 0, 2);
    ask_there(with.model, dense, expected);
    ask_there(with.model, bytes, found);
    EXPECT_EQ(different(found, 0, expected, 0, 2), "");
}

TEST(CudaSoftmax, AProblemHasItsBitsInEveryBatchOfProductsOfOneWidth) {
    const subjects s(7);
    std::mt19937 random(8);
    with_softmax with;
    softmax_options options = options_of(kinds[5], 4);
    options.problems_per_product = 3;
    softmax_oracle subject = s.make(options, on_cuda(), storage::bytes);
    batch all(subject, 7);
    all.draw(random);
    // One that leaves the numbers changes no bit of the others.
    all.theta[size(4 * all.n_theta)] = std::numeric_limits<float>::quiet_NaN();
    all.descent[size(5 * all.n_theta + 3)] = std::numeric_limits<float>::infinity();
    ask_there(with.model, subject, all);
    EXPECT_TRUE(std::isnan(all.inner_gradient[size(4 * all.n_theta)]));
    EXPECT_FALSE(std::isfinite(all.gap[5]));
    for (const std::int64_t num : {1, 2, 3, 4, 5}) {
        for (std::int64_t first = 0; first + num <= 7; first += 2) {
            batch some = part(subject, all, first, num);
            ask_there(with.model, subject, some);
            EXPECT_EQ(different(some, 0, all, first, num), "") << num << " from " << first;
        }
    }
    for (const auto& p : with.blas.products) EXPECT_EQ(p.n, 12);
}

TEST(CudaSoftmax, APenaltyMayBeEachProblemsOwn) {
    const subjects s(9);
    std::mt19937 random(10);
    with_softmax with;
    device_copies copies(with.model);
    floats rho{0.5F, 0, 3};
    softmax_options options = options_of(kinds[1], 4);
    options.fixed_rho = cubome::per_problem(rho.data(), 3);
    softmax_oracle cpu = s.make(options, {}, storage::dense), host = s.make(options, on_cuda(), storage::dense);
    options.fixed_rho = cubome::per_problem(copies.of(rho.data(), 3), 3);
    softmax_oracle device = s.make(options, on_cuda(), storage::dense);
    batch expected(cpu, 3);
    expected.draw(random);
    batch a = part(cpu, expected, 0, 3), b = part(cpu, expected, 0, 3);
    expected.ask(cpu);
    ask_there(with.model, host, a);
    ask_there(with.model, device, b);
    expect_close_batches(a, expected, 1e-5);
    EXPECT_EQ(different(a, 0, b, 0, 3), "");
    // Another solve reads what is there then.
    rho = {1, 2, 0};
    expected.ask(cpu);
    ask_there(with.model, host, a);
    expect_close_batches(a, expected, 1e-5);
    EXPECT_NE(different(a, 0, b, 0, 3), "");
    EXPECT_THROW(host.reserve(2), cubome::invalid_argument);
}

TEST(CudaSoftmax, AFeatureWithoutPenaltyMayBeAsLargeAsItLikes) {
    const subjects s(11);
    with_softmax with;
    softmax_options options = options_of(kinds[4], 4);
    softmax_oracle subject = s.make(options, on_cuda(), storage::dense);
    batch b(subject, 1);
    b.draw(*std::make_unique<std::mt19937>(12));
    b.v[3] = -std::numeric_limits<float>::infinity();
    b.v[5] = -std::numeric_limits<float>::infinity();
    for (std::int64_t c = 0; c < 4; ++c) {
        b.theta[size(c * 14 + 3)] = b.descent[size(c * 14 + 3)] = 3e37F;  // stands still
        b.theta[size(c * 14 + 5)] = 3e37F;                                // and one that does not
    }
    ask_there(with.model, subject, b);
    EXPECT_EQ(b.gap_gradient[3], 0);
    EXPECT_EQ(b.gap_gradient[5], 0);
    EXPECT_TRUE(std::isfinite(b.gap[0]));
    EXPECT_TRUE(std::isfinite(b.magnitude[0]));
}

TEST(CudaSoftmax, KeepsTheLossesOfTheFirstGradient) {
    const subjects s(13);
    std::mt19937 random(14);
    with_softmax with;
    device_copies copies(with.model);
    softmax_oracle subject = s.make(options_of(kinds[1], 4), on_cuda(), storage::dense);
    batch kept(subject, 2);
    kept.draw(random);
    batch anew = part(subject, kept, 0, 2);
    ask_there(with.model, subject, kept);
    const auto num_products = [&](auto&& work) {
        with.blas.products.clear();
        work();
        return with.blas.products.size();
    };
    oracle_call call;
    call.num_problems = 2;
    call.stream = with.model.make_stream();
    const float *const v = copies.of(&anew.v[0], 2 * anew.n_v),
                       *const theta = copies.of(&anew.theta[0], 2 * anew.n_theta),
                       *const descent = copies.of(&anew.descent[0], 2 * anew.n_theta);
    float *const gap = copies.of(anew.gap.data(), 2), *const magnitude = copies.of(anew.magnitude.data(), 2),
                 *const of_v = copies.of(anew.gap_gradient.data(), 2 * anew.n_v),
                 *const gradient = copies.of(anew.inner_gradient.data(), 2 * anew.n_theta);
    subject.prepare(call, v);
    EXPECT_EQ(num_products([&] { subject.gap_gradient(call, v, theta, descent, gap, magnitude, of_v); }), 2u);
    with.model.synchronize(call.stream);
    copies.fetch();
    EXPECT_EQ(anew.gap, kept.gap);
    EXPECT_EQ(anew.magnitude, kept.magnitude);
    EXPECT_EQ(anew.gap_gradient, kept.gap_gradient);

    subject.prepare(call, v);
    call.descent_step = 0;
    EXPECT_EQ(num_products([&] { subject.inner_gradient(call, v, theta, gradient); }), 2u);
    call.descent_step = -1;
    EXPECT_EQ(num_products([&] { subject.gap_gradient(call, v, theta, descent, gap, magnitude, of_v); }), 1u);
    with.model.synchronize(call.stream);
    copies.fetch();
    EXPECT_EQ(anew.gap, kept.gap);
}

/// A solve of three problems by a staged_solver.
struct solved_batch {
    solved_batch(softmax_oracle& by, unsigned seed) : start(by, 3) {
        std::mt19937 random(seed);
        start.draw(random);
        v = start.v, theta = start.theta;
        f.resize(3), refined.resize(3), metric.resize(3);
    }
    static cubome::settings<float> settings(std::int64_t outer_steps) {
        cubome::settings<float> result;
        result.outer_steps = outer_steps;
        result.inner_steps = 2;
        result.refine_steps = 1;
        result.steps = cubome::step_rule::fixed;
        result.barrier = cubome::barrier_form::value_gap;
        result.outer_step_size = 2;
        result.inner_step_size = result.descent_step_size = 0.05F;
        result.outer_momentum = 0.5F;
        return result;
    }
    cubome::state<float> state() {
        cubome::state<float> result;
        result.outer = cubome::per_problem(v.data(), 3, start.n_v);
        result.inner = cubome::per_problem(theta.data(), 3, start.n_theta);
        return result;
    }
    cubome::report<float> report() {
        cubome::report<float> result;
        result.outer_value = cubome::per_problem(f.data(), 3);
        result.refined_outer_value = cubome::per_problem(refined.data(), 3);
        result.held_out = cubome::per_problem(metric.data(), 3);
        return result;
    }
    std::vector<floats> outputs() const { return {v, theta, f, refined, metric}; }

    batch start;
    floats v, theta, f, refined, metric;
};

TEST(CudaSoftmax, AStagedSolveIsThatOfTheCpu) {
    const subjects s(15, 6);
    for (const std::size_t kind : {std::size_t(1), std::size_t(2), std::size_t(5)}) {
        softmax_oracle here = s.make(options_of(kinds[kind], 4), {}, storage::dense);
        solved_batch expected(here, 16);
        cubome::staged_solver<float>(here, solved_batch::settings(4)).solve(expected.state(), expected.report());

        with_softmax with;
        softmax_oracle there = s.make(options_of(kinds[kind], 4), on_cuda(), storage::dense);
        solved_batch found(there, 16);
        cubome::staged_solver<float> solver(there, solved_batch::settings(4));
        EXPECT_EQ(solver.solve(found.state(), found.report()).where, cubome::backend::cuda);
        const auto a = found.outputs(), b = expected.outputs();
        for (std::size_t k = 0; k < a.size(); ++k)
            for (std::size_t i = 0; i < a[k].size(); ++i) ASSERT_NEAR(a[k][i], b[k][i], 1e-4) << k << " " << i;
    }
}

TEST(CudaSoftmax, AnIterationIsOneLaunchOfAGraph) {
    const subjects s(17, 6);
    std::map<std::string, std::int64_t> calls[2], products[2];
    for (const int i : {0, 1}) {
        with_softmax with;
        softmax_oracle there = s.make(options_of(kinds[1], 4), on_cuda(), storage::dense);
        solved_batch b(there, 18);
        cubome::staged_solver<float> solver(there, solved_batch::settings(i == 0 ? 10 : 20));
        with.model.num_calls.clear();
        with.blas.num_calls.clear();
        solver.solve(b.state(), b.report());
        calls[i] = with.model.num_calls;
        products[i] = with.blas.num_calls;
    }
    EXPECT_EQ(calls[0]["cudaGraphLaunch"], 10);
    for (auto& [name, count] : calls[1])
        EXPECT_EQ(count, calls[0][name] + (name == "cudaGraphLaunch" ? 10 : 0)) << name;
    EXPECT_GT(products[0]["cublasGemmEx_64"], 0);
    EXPECT_EQ(products[0], products[1]);
}

TEST(CudaSoftmax, IsCapturedByACallerAndReplayed) {
    const subjects s(19, 6);
    with_softmax with;
    softmax_oracle there = s.make(options_of(kinds[1], 4), on_cuda(), storage::bytes);
    solved_batch expected(there, 20);
    cubome::staged_solver<float> solver(there, solved_batch::settings(2));
    solver.solve(expected.state(), expected.report());

    solved_batch found(there, 20);
    device_copies copies(with.model);
    cubome::state<float> state = found.state();
    cubome::report<float> report = found.report();
    cuda_subjects::move_to(copies, state.outer);
    cuda_subjects::move_to(copies, state.inner);
    cuda_subjects::move_to(copies, report.outer_value);
    cuda_subjects::move_to(copies, report.refined_outer_value);
    cuda_subjects::move_to(copies, report.held_out);
    const std::size_t bytes = solver.workspace_bytes(3);
    char* const workspace = with.model.allocate<char>(bytes);
    CUstream_st* const stream = with.model.make_stream();
    const std::int64_t alive = with.model.num_allocations();
    with.model.num_calls.clear();
    with.model.begin_capture(stream);
    solver.enqueue(stream, state, report, workspace, bytes);
    const auto graph = with.model.end_capture(stream);
    EXPECT_EQ(with.model.num_allocations(), alive);
    EXPECT_EQ(with.model.num_calls["cudaStreamSynchronize"], 0);
    for (int replay = 0; replay < 2; ++replay) {
        with.model.copy(state.outer.data, found.start.v.data(), found.start.v.size() * sizeof(float));
        with.model.copy(state.inner.data, found.start.theta.data(), found.start.theta.size() * sizeof(float));
        with.model.replay(graph);
        copies.fetch();
        EXPECT_EQ(found.outputs(), expected.outputs());
    }
    with.model.release(workspace);
}

TEST(CudaSoftmax, WorksWithAHandleThatIsLent) {
    const subjects s(21, 6);
    with_softmax with;
    softmax_options options = options_of(kinds[1], 4);
    softmax_oracle own = s.make(options, on_cuda(), storage::dense);
    options.blas = with.blas.make_handle();
    with.blas.num_calls.clear();
    batch expected(own, 2);
    expected.draw(*std::make_unique<std::mt19937>(22));
    batch found = part(own, expected, 0, 2);
    ask_there(with.model, own, expected);
    {
        softmax_oracle lent = s.make(options, on_cuda(), storage::dense);
        ask_there(with.model, lent, found);
    }
    EXPECT_EQ(different(found, 0, expected, 0, 2), "");
    EXPECT_TRUE(with.blas.is_left_alone(options.blas));
    EXPECT_EQ(with.blas.num_calls["cublasCreate"], 0);
    EXPECT_EQ(with.blas.num_calls["cublasDestroy"], 0);
    EXPECT_EQ(with.blas.num_alive(), 2);
}

TEST(CudaSoftmax, RefusesByName) {
    const subjects s(23, 6);
    with_softmax with;
    with.model.num_devices = 2;
    const auto message_of = [](auto&& work) -> std::string {
        try {
            work();
        } catch (const cubome::invalid_argument& e) {
            return e.what();
        }
        return "accepted";
    };
    const softmax_options options = options_of(kinds[1], 4);
    const softmax_samples dense = s.train.in(storage::dense), sparse = s.train.in(storage::sparse);
    const auto make = [&](const softmax_samples& train, const softmax_samples& validation, const softmax_options& o,
                          const cubome::execution& e) {
        return message_of([&] { softmax_oracle(train, validation, o, e); });
    };
    EXPECT_EQ(make(dense, dense, options, on_cuda()), "accepted");
    EXPECT_EQ(make(sparse, dense, options, on_cuda()),
              "softmax_oracle: 'train' is sparse, expected dense samples, or bytes, on CUDA");
    EXPECT_EQ(make(dense, sparse, options, on_cuda()),
              "softmax_oracle: 'validation' is sparse, expected dense samples, or bytes, on CUDA");
    softmax_options spoilt = options;
    spoilt.precision = product_precision::tf32;
    EXPECT_EQ(make(dense, dense, spoilt, {}),
              "softmax_oracle: 'precision' is 1, expected product_precision::fp32, all there is on the CPU");
    spoilt.precision = static_cast<product_precision>(3);
    EXPECT_EQ(make(dense, dense, spoilt, on_cuda()),
              "softmax_oracle: 'precision' is 3, expected one of product_precision");
    spoilt = options;
    spoilt.problems_per_product = -1;
    EXPECT_EQ(make(dense, dense, spoilt, on_cuda()),
              "softmax_oracle: 'problems_per_product' is -1, expected a number in [0, 536870656]");
    cubome::execution e = on_cuda();
    e.device = 2;
    EXPECT_EQ(make(dense, dense, options, e),
              "softmax_oracle: 'execution.device' is 2, expected less than the number of devices, 2");

    // Memory of another device, and a solver for another one.
    device_copies copies(with.model);
    softmax_samples there = dense;
    there.values = copies.of(dense.values, s.train.n * s.train.d);
    e.device = 1;
    EXPECT_EQ(make(there, dense, options, e),
              "softmax_oracle: 'train.x' lies on device 0, expected memory of the host or of device 1");
    softmax_oracle elsewhere(dense, dense, options, e);
    EXPECT_EQ(with.model.current(), 0);
    solved_batch b(elsewhere, 24);
    cubome::staged_solver<float> solver(elsewhere, solved_batch::settings(2));
    cubome::report<float> report = b.report();
    report.held_out = {};
    EXPECT_EQ(message_of([&] { solver.solve(b.state(), report); }),
              "softmax_oracle: 'execution.device' is 1, expected that of the solver, 0");
    EXPECT_EQ(b.v, b.start.v);
    EXPECT_EQ(b.f, floats(3));

    softmax_oracle subject(dense, dense, options, on_cuda());
    subject.reserve(2);
    subject.reserve(0);
    oracle_call call;
    call.num_problems = 3;
    EXPECT_EQ(message_of([&] { subject.prepare(call, nullptr); }),
              "softmax_oracle: 'num_problems' is 3, expected at most the 2 that were reserved");
    EXPECT_THROW(subject.reserve(std::int64_t{1} << 60), cubome::invalid_argument);
    EXPECT_EQ(message_of([&] { subject.reserve(-1); }), "softmax_oracle: 'num_problems' is -1, expected 0 or more");
    call.num_problems = -1;
    EXPECT_EQ(message_of([&] { subject.prepare(call, nullptr); }),
              "softmax_oracle: 'num_problems' is -1, expected 0 or more");
    call.num_problems = 2;
    float nothing = 0;
    EXPECT_EQ(message_of([&] { subject.inner_gradient(call, nullptr, &nothing, &nothing); }),
              "softmax_oracle: 'outer' is null, expected an array");
    EXPECT_NO_THROW(subject.prepare(call, nullptr));
    call.num_problems = 0;
    EXPECT_NO_THROW(subject.inner_gradient(call, nullptr, nullptr, nullptr));
    EXPECT_NO_THROW(subject.gap_gradient(call, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr));
    call.num_problems = -1;
    EXPECT_EQ(message_of([&] { subject.inner_gradient(call, nullptr, &nothing, &nothing); }),
              "softmax_oracle: 'num_problems' is -1, expected 0 or more");
    with.model.catch_up();
}

TEST(CudaSoftmax, CopiesPenaltiesOfTheHostAgainAndMultipliesNothingForIt) {
    const with_softmax with;
    const subjects s(25, 6);
    floats rho{0.1F, 2};
    softmax_options options = options_of(kinds[1], 4);
    options.fixed_rho = cubome::per_problem(rho.data(), 2);
    softmax_oracle subject = s.make(options, on_cuda(), storage::dense);
    subject.reserve(2);
    const std::int64_t products = with.blas.num_calls.at("cublasGemmEx_64");
    const std::int64_t copies = with.model.num_calls.at("cudaMemcpyAsync");
    subject.reserve(2);
    EXPECT_EQ(with.blas.num_calls.at("cublasGemmEx_64"), products);
    EXPECT_EQ(with.model.num_calls.at("cudaMemcpyAsync"), copies + 1);
}

TEST(CudaSoftmax, TheEnvironmentTakesNoOracleToTheDevice) {
    const subjects s(25, 6);
    setenv("CUBOME_BACKEND", "cuda", 1);
    softmax_oracle subject = s.make(options_of(kinds[1], 4), {}, storage::dense);
    unsetenv("CUBOME_BACKEND");
    EXPECT_EQ(subject.where(), cubome::backend::cpu);
}

TEST(CudaSoftmax, WithoutADeviceItIsUnavailable) {
    const subjects s(27, 6);
    with_softmax with;
    with.model.code_of_first_call = 35;
    EXPECT_THROW(s.make(options_of(kinds[1], 4), on_cuda(), storage::dense), cubome::backend_unavailable);
    with.model.code_of_first_call = 0;
    with.blas.failing_call = 1;
    with.blas.status = 1;
    EXPECT_THROW(s.make(options_of(kinds[1], 4), on_cuda(), storage::dense), cubome::backend_unavailable);
}

/// A solve from the making of the oracle on, and another one after it.
class CudaSoftmaxFaults : public testing::Test {
protected:
    static constexpr storage in = storage::dense;

    static cubome::settings<float> settings() {
        cubome::settings<float> result = solved_batch::settings(1);
        result.inner_steps = 1;
        result.refine_steps = 0;
        return result;
    }

    CudaSoftmaxFaults() {
        limits.of_staging = 100;  // samples arrive in parts
        // A penalty of each problem's own, so that there is something to copy.
        options.fixed_rho = cubome::per_problem(rho.data(), 3);
        with_softmax with(limits);
        softmax_oracle oracle = s.make(options, on_cuda(), in);
        solved_batch b(oracle, 30);
        cubome::staged_solver<float>(oracle, settings()).solve(b.state(), b.report());
        expected = b.outputs();
    }

    /// @return whether anything has failed
    template <class Inject>
    bool run(int code, bool is_fatal, const Inject& inject) {
        with_softmax with(limits);
        const std::int64_t alive = with.model.num_allocations() + with.model.num_streams();
        inject(with, true);
        bool is_reported = false;
        std::optional<softmax_oracle> oracle;
        const auto solve = [&] {
            if (!oracle) oracle.emplace(s.make(options, on_cuda(), in));
            solved_batch b(*oracle, 30);
            cubome::staged_solver<float> solver(*oracle, settings());
            solver.solve(b.state(), b.report());
            return b.outputs();
        };
        try {
            EXPECT_EQ(solve(), expected);
        } catch (const cubome::cuda_error& e) {
            is_reported = true;
            EXPECT_EQ(e.code(), code);
            EXPECT_EQ(e.failure() == cubome::cuda_failure::device_lost, is_fatal);
        }
        const bool has_failed = with.model.num_failed + with.blas.num_failed > 0;
        const std::int64_t num_unreleased = with.model.num_failed_releases;
        inject(with, false);
        with.model.catch_up();
        EXPECT_TRUE(is_reported || !has_failed || num_unreleased > 0 || with.blas.num_failed_releases > 0);
        if (is_reported && is_fatal) {
            EXPECT_THROW(solve(), cubome::device_lost);
        } else {
            EXPECT_EQ(solve(), expected) << "after the failure";
            oracle.reset();
            EXPECT_EQ(with.blas.num_alive(), with.blas.num_failed_releases);
            EXPECT_EQ(with.model.num_allocations() + with.model.num_streams() + with.model.num_graphs(),
                      alive + num_unreleased)
                << "leaked";
        }
        return has_failed;
    }

    const subjects s{29, 6, 20};
    softmax_limits limits;
    floats rho{0.1F, 0, 2};
    softmax_options options = options_of(kinds[1], 4);
    std::vector<floats> expected;
};

TEST_F(CudaSoftmaxFaults, AreThrownWhenNothingIsAtWorkAnyMore) {
    with_softmax with(limits);
    // The last of several parts, when the copy of the first is on its way: the model sees what is freed under it.
    with.model.inject = {3, 1, false, "cudaLaunchKernel"};
    EXPECT_THROW(s.make(options, on_cuda(), in), cubome::cuda_error);
    EXPECT_EQ(with.model.num_failed, 1);
    EXPECT_FALSE(with.model.is_anything_pending());
}

TEST_F(CudaSoftmaxFaults, OfTheRuntimeAreReportedAndNothingIsLeftBehind) {
    for (const auto& [code, for_ever] : {std::pair(1, false), std::pair(2, true), std::pair(700, false)}) {
        std::int64_t k = 1;
        for (;; ++k) {
            SCOPED_TRACE(testing::Message() << "code " << code << (for_ever ? " from call " : " at call ") << k);
            const bool has_failed =
                run(code, code == 700, [&, code = code, for_ever = for_ever](auto& with, bool is_on) {
                    with.model.inject = is_on ? simt_runtime::device::injection{k, code, for_ever, ""}
                                              : simt_runtime::device::injection{};
                });
            if (!has_failed || HasFailure()) break;
        }
        EXPECT_GT(k, 100);
        if (HasFailure()) return;
    }
}

TEST_F(CudaSoftmaxFaults, OfCublasAreReportedAndNothingIsLeftBehind) {
    for (const int status : {3, 13}) {
        std::int64_t k = 1;
        for (;; ++k) {
            SCOPED_TRACE(testing::Message() << "status " << status << " at call " << k);
            const bool has_failed = run(status, false, [&](auto& with, bool is_on) {
                with.blas.failing_call = is_on ? k : 0;
                with.blas.status = status;
            });
            if (!has_failed || HasFailure()) break;
        }
        EXPECT_GT(k, 20);
        if (HasFailure()) return;
    }
}

TEST_F(CudaSoftmaxFaults, OfCublasAreNotTakenForWhatTheCallerLeftPending) {
    with_softmax with;
    softmax_oracle oracle = s.make(options, on_cuda(), in);
    with.blas.failing_call = 1;
    with.blas.status = 13;
    with.model.pending_error = 1;
    try {
        oracle.reserve(3);
        FAIL() << "not reported";
    } catch (const cubome::cuda_error& e) {
        EXPECT_EQ(e.code(), 13);
        EXPECT_EQ(e.call(), "cublasSetStream");
    }
    EXPECT_EQ(with.model.pending_error, 1);
}

TEST_F(CudaSoftmaxFaults, OfCublasAreTheRuntimesWhereItKnowsMore) {
    with_softmax with;
    softmax_oracle oracle = s.make(options, on_cuda(), in);
    with.blas.failing_call = 1;
    with.blas.status = 13;
    with.model.inject = {1, 700, false, "cudaPeekAtLastError"};
    with.model.num_counted = 0;
    EXPECT_THROW(oracle.reserve(3), cubome::device_lost);
    with.blas.failing_call = 0;
    EXPECT_THROW(oracle.reserve(3), cubome::device_lost);
}

}  // namespace
