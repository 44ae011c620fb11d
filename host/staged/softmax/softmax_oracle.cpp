// SPDX-License-Identifier: Apache-2.0
#include "cubome/softmax_oracle.hpp"

#include <limits>
#include <string>

#include "cubome/error.hpp"
#include "host/execution.hpp"
#include "host/staged/softmax/softmax_cpu.hpp"
#include "host/staged/softmax/softmax_cuda.hpp"
#include "host/workspace.hpp"

namespace cubome {
namespace {

constexpr std::int64_t largest_dim = 2147482624;  // 2³¹ − 1024

[[noreturn]] void refuse(const std::string& argument, const std::string& found, const std::string& expected) {
    throw invalid_argument("softmax_oracle", argument, found, expected);
}

void expect_in(const std::string& argument, std::int64_t value, std::int64_t least, std::int64_t most) {
    if (value < least || value > most)
        refuse(argument, "is " + std::to_string(value),
               "a number in [" + std::to_string(least) + ", " + std::to_string(most) + "]");
}

void expect_given(const std::string& argument, const void* data) {
    if (data == nullptr) refuse(argument, "is null", "an array");
}

void check_labels(const std::string& name, const class_labels& labels, std::int64_t num, std::int64_t num_classes) {
    if (labels.words == nullptr && labels.bytes == nullptr) refuse(name, "is null", "an array");
    for (std::int64_t i = 0; i < num; ++i) {
        const std::int64_t label = labels.words != nullptr ? labels.words[i] : labels.bytes[i];
        if (label < 0 || label >= num_classes)
            refuse(name, "has class " + std::to_string(label) + " at sample " + std::to_string(i),
                   "a number in [0, num_classes = " + std::to_string(num_classes) + ")");
    }
}

void check_entries(const std::string& name, const softmax_samples& s) {
    expect_given(name + ".row_starts", s.row_starts);
    if (s.row_starts[0] != 0) refuse(name + ".row_starts", "begins with " + std::to_string(s.row_starts[0]), "0");
    for (std::int64_t i = 0; i < s.num_samples; ++i)
        if (s.row_starts[i + 1] < s.row_starts[i])
            refuse(name + ".row_starts", "decreases at sample " + std::to_string(i), "increasing numbers");
    if (s.row_starts[s.num_samples] == 0) return;
    expect_given(name + ".columns", s.columns);
    expect_given(name + ".values", s.values);
    for (std::int64_t k = 0; k < s.row_starts[s.num_samples]; ++k)
        if (s.columns[k] < 0 || s.columns[k] >= s.num_features)
            refuse(name + ".columns", "has " + std::to_string(s.columns[k]) + " at entry " + std::to_string(k),
                   "a number in [0, num_features = " + std::to_string(s.num_features) + ")");
}

void check_extents(const std::string& name, const softmax_samples& s) {
    constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::ptrdiff_t>(sizeof(float));
    if (s.num_samples > most / s.num_features)
        refuse(name, "has extents [" + std::to_string(s.num_samples) + ", " + std::to_string(s.num_features) + "]",
               "fewer: these need more than memory can hold");
    expect_given(name + ".x",
                 s.kind == softmax_samples::storage::dense ? static_cast<const void*>(s.values) : s.pixels);
}

void check_samples(const std::string& name, const softmax_samples& s, const softmax_options& options) {
    if (s.kind == softmax_samples::storage::none || s.kind > softmax_samples::storage::sparse)
        refuse(name, "is not given", "samples");
    expect_in(name + ".num_samples", s.num_samples, 1, largest_dim);
    expect_in(name + ".num_features", s.num_features, 1, largest_dim);
    if (s.kind == softmax_samples::storage::sparse)
        check_entries(name, s);
    else
        check_extents(name, s);
    check_labels(name + ".labels", s.labels, s.num_samples, options.num_classes);
}

detail::softmax_parts check(const softmax_samples& train, const softmax_samples& validation,
                            const softmax_samples* held_out, const softmax_options& options) {
    expect_in("num_classes", options.num_classes, 2, largest_dim);
    if (options.weights > sample_weights::clip || options.weights < sample_weights::none)
        refuse("weights", "is " + std::to_string(static_cast<std::int64_t>(options.weights)), "one of sample_weights");
    if (options.regularizer != penalty::fixed && options.regularizer != penalty::per_feature)
        refuse("regularizer", "is " + std::to_string(static_cast<std::int64_t>(options.regularizer)),
               "penalty::fixed or penalty::per_feature");
    if (options.weights == sample_weights::none && options.regularizer == penalty::fixed)
        refuse("weights", "is none, with a fixed penalty",
               "sample weights or penalties that depend on v: there is nothing to learn");
    if (options.precision > product_precision::bf16x3)
        refuse("precision", "is " + std::to_string(static_cast<std::int64_t>(options.precision)),
               "one of product_precision");
    expect_in("problems_per_product", options.problems_per_product, 0, largest_dim / options.num_classes);
    check_samples("train", train, options);
    check_samples("validation", validation, options);
    if (held_out != nullptr) check_samples("held_out", *held_out, options);
    const auto expect_features = [&](const char* name, const softmax_samples& s) {
        if (s.num_features != train.num_features)
            refuse(name, "is " + std::to_string(s.num_features),
                   "train.num_features = " + std::to_string(train.num_features));
    };
    expect_features("validation.num_features", validation);
    if (held_out != nullptr) expect_features("held_out.num_features", *held_out);
    expect_in("num_classes * (num_features + 1)", options.num_classes * (train.num_features + 1), 1, largest_dim);
    expect_in("train.num_samples + num_features", train.num_samples + train.num_features, 1, largest_dim);
    if (!options.fixed_rho.is_per_problem() &&
        !(options.fixed_rho.value() >= 0 && options.fixed_rho.value() <= std::numeric_limits<float>::max()))
        refuse("fixed_rho", "is " + std::to_string(options.fixed_rho.value()), "a finite number, at least 0");
    return {train, validation, held_out != nullptr ? *held_out : softmax_samples(), options};
}

/// On the CPU unless CUDA is asked for. The environment is not looked at: a staged_solver works where its oracle does.
std::unique_ptr<oracle<float>> make_engine(const detail::softmax_parts& parts, const execution& e) {
    detail::check_execution(e);
    if (e.where != backend::cuda) {
        if (parts.options.precision != product_precision::fp32)
            refuse("precision", "is " + std::to_string(static_cast<std::int64_t>(parts.options.precision)),
                   "product_precision::fp32, all there is on the CPU");
        return detail::make_softmax_cpu(
            parts, detail::choose_instructions("softmax_oracle", e.instructions, &detail::is_softmax_compiled));
    }
    const auto expect_dense = [](const char* name, const softmax_samples& s) {
        if (s.kind == softmax_samples::storage::sparse) refuse(name, "is sparse", "dense samples, or bytes, on CUDA");
    };
    expect_dense("train", parts.train);
    expect_dense("validation", parts.validation);
    expect_dense("held_out", parts.held_out);
    return detail::make_softmax_cuda(parts, detail::require_softmax_device(), e.device);
}

}  // namespace

namespace detail {

const float* softmax_parts::given_penalties(std::int64_t num_problems) const {
    const setting<float>& rho = options.fixed_rho;
    if (!rho.is_per_problem() || num_penalties() > 0) return nullptr;
    const auto values = rho.values();
    if (values.data == nullptr) refuse("fixed_rho", "is null", "[num_problems = " + std::to_string(num_problems) + "]");
    if (values.rank != 0 || values.num_problems != num_problems)
        refuse("fixed_rho", "has extents [" + std::to_string(values.num_problems) + "]",
               "[num_problems = " + std::to_string(num_problems) + "]");
    return values.data;
}

void expect_count(std::int64_t num_problems) {
    if (num_problems < 0) refuse("num_problems", "is " + std::to_string(num_problems), "0 or more");
}

void expect_reserved(std::int64_t num_problems, std::int64_t reserved) {
    expect_count(num_problems);
    if (num_problems > reserved)
        refuse("num_problems", "is " + std::to_string(num_problems),
               "at most the " + std::to_string(reserved) + " that were reserved");
}

void expect_possible(std::int64_t num_problems, std::size_t bytes) {
    if (bytes >= piece_cutter::too_much)
        refuse("num_problems", "is " + std::to_string(num_problems), "fewer: these need more memory than there can be");
}

}  // namespace detail

softmax_oracle::softmax_oracle(const softmax_samples& train, const softmax_samples& validation,
                               const softmax_options& options, const cubome::execution& execution)
    : engine_(make_engine(check(train, validation, nullptr, options), execution)) {}

softmax_oracle::softmax_oracle(const softmax_samples& train, const softmax_samples& validation,
                               const softmax_samples& held_out, const softmax_options& options,
                               const cubome::execution& execution)
    : engine_(make_engine(check(train, validation, &held_out, options), execution)) {}

softmax_oracle::softmax_oracle(softmax_oracle&&) noexcept = default;
softmax_oracle& softmax_oracle::operator=(softmax_oracle&&) noexcept = default;
softmax_oracle::~softmax_oracle() = default;

std::int64_t softmax_oracle::outer_dim() const {
    return engine_->outer_dim();
}
std::int64_t softmax_oracle::inner_dim() const {
    return engine_->inner_dim();
}
backend softmax_oracle::where() const {
    return engine_->where();
}
bool softmax_oracle::has_held_out() const {
    return engine_->has_held_out();
}
void softmax_oracle::reserve(std::int64_t num_problems) {
    engine_->reserve(num_problems);
}
void softmax_oracle::prepare(const oracle_call& call, const float* outer) {
    engine_->prepare(call, outer);
}
void softmax_oracle::inner_gradient(const oracle_call& call, const float* outer, const float* inner, float* gradient) {
    engine_->inner_gradient(call, outer, inner, gradient);
}
void softmax_oracle::gap_gradient(const oracle_call& call, const float* outer, const float* inner, const float* descent,
                                  float* gap, float* magnitude, float* gradient) {
    engine_->gap_gradient(call, outer, inner, descent, gap, magnitude, gradient);
}
void softmax_oracle::outer_gradient(const oracle_call& call, const float* outer, const float* inner, float* value,
                                    float* of_outer, float* of_inner) {
    engine_->outer_gradient(call, outer, inner, value, of_outer, of_inner);
}
void softmax_oracle::held_out(const oracle_call& call, const float* outer, const float* inner, float* value) {
    engine_->held_out(call, outer, inner, value);
}

}  // namespace cubome
