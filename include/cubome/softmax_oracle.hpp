// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "cubome/families.hpp"
#include "cubome/settings.hpp"
#include "cubome/staged.hpp"

struct cublasContext;  // what cublasHandle_t points to

/// The shipped oracle of the staged engine. Link cubome::staged.
namespace cubome {

/// Class numbers, one per sample, `[num_samples]`.
struct class_labels {
    constexpr class_labels() noexcept = default;
    constexpr class_labels(const std::int32_t* of_words) noexcept : words(of_words) {}
    constexpr class_labels(const std::uint8_t* of_bytes) noexcept : bytes(of_bytes) {}

    const std::int32_t* words = nullptr;
    const std::uint8_t* bytes = nullptr;
};

/// Samples x_i ∈ R^num_features with their classes, in the caller's memory. Made by `dense_samples`, `byte_samples` and
/// `sparse_samples`.
struct softmax_samples {
    enum class storage : std::uint8_t { none, dense, bytes, sparse };

    storage kind = storage::none;
    std::int64_t num_samples = 0;
    std::int64_t num_features = 0;
    class_labels labels;
    const float* values = nullptr;
    const std::uint8_t* pixels = nullptr;
    float shift = 0, scale = 1;
    const std::int64_t* row_starts = nullptr;
    const std::int32_t* columns = nullptr;
};

/// @param x row-major [num_samples, num_features], finite; no column of ones, the bias is the oracle's
constexpr softmax_samples dense_samples(const float* x, class_labels labels, std::int64_t num_samples,
                                        std::int64_t num_features) noexcept {
    softmax_samples result;
    result.kind = softmax_samples::storage::dense;
    result.num_samples = num_samples;
    result.num_features = num_features;
    result.labels = labels;
    result.values = x;
    return result;
}

/// Samples (x − shift) scale of a quarter of the memory: the same bits as dense ones that were computed so in float.
///
/// @param x row-major [num_samples, num_features]
constexpr softmax_samples byte_samples(const std::uint8_t* x, class_labels labels, std::int64_t num_samples,
                                       std::int64_t num_features, float shift = 0, float scale = 1) noexcept {
    softmax_samples result;
    result.kind = softmax_samples::storage::bytes;
    result.num_samples = num_samples;
    result.num_features = num_features;
    result.labels = labels;
    result.pixels = x;
    result.shift = shift;
    result.scale = scale;
    return result;
}

/// Samples of which most features are 0, as compressed rows.
///
/// @param row_starts [num_samples + 1], from 0: where each sample's entries begin
/// @param columns    [row_starts[num_samples]], from 0, in any order; those that are met twice add up
/// @param values     [row_starts[num_samples]], finite
constexpr softmax_samples sparse_samples(const std::int64_t* row_starts, const std::int32_t* columns,
                                         const float* values, class_labels labels, std::int64_t num_samples,
                                         std::int64_t num_features) noexcept {
    softmax_samples result;
    result.kind = softmax_samples::storage::sparse;
    result.num_samples = num_samples;
    result.num_features = num_features;
    result.labels = labels;
    result.values = values;
    result.row_starts = row_starts;
    result.columns = columns;
    return result;
}

/// How CUDA multiplies matrices. Sums are floats in all of them.
enum class product_precision : std::uint8_t {
    fp32,    ///< floats
    tf32,    ///< floats taken as TF32, of 11 bits, on tensor cores
    bf16x3,  ///< floats as sums of two bfloat16, of 16 bits together, in three products on tensor cores
};

struct softmax_options {
    std::int64_t num_classes = 2;
    sample_weights weights = sample_weights::none;
    /// ρ_j, as in linear_model; penalty::per_group is refused.
    penalty regularizer = penalty::fixed;
    setting<float> fixed_rho = 0.0F;   ///< ρ ≥ 0 of penalty::fixed, for all features; not read otherwise
    bool is_penalty_averaged = false;  ///< the sum over θ² is divided by its num_classes · num_features terms

    product_precision precision = product_precision::fp32;  ///< CUDA
    /// CUDA: problems of one product, of which cuBLAS picks a kernel by its extents. 0 means all of the batch, or as
    /// many as have 512 MiB of scores (1 GiB with bf16x3). With another number every product has this many, those that
    /// are missing being 0: the same kernel then, whatever the size of the batch.
    std::int64_t problems_per_product = 0;
    /// CUDA: a handle that serves the oracle as if it were its own, of its device. Each call sets its stream,
    /// workspace, pointer mode and math mode, which stay so; when the oracle goes, it is left with the legacy default
    /// stream and a workspace of cuBLAS's. It must outlive the oracle. Null means one of its own.
    cublasContext* blas = nullptr;
};

/// Softmax regression on data that all problems of a batch share, whose sample weights, penalties, or both are learnt
/// on validation data.
///
///     g = (1/n) Σ_i w_i(v) ℓ_i(θ) + ½ Σ_j ρ_j(v) Σ_c θ_cj²,   i over the n training samples
///     f = (1/m) Σ_i ℓ_i(θ),                                   i over the m validation samples
///     ℓ_i = log Σ_c exp z_ic − z_iy,   z_ic = Σ_j x_ij θ_cj + b_c,   y the class of sample i
///
/// With fixed_rho = 0.002 the penalty is 0.001 ‖θ‖², as in data hyper-cleaning (arXiv 2209.08709); with per_feature and
/// is_penalty_averaged it is ½ mean(θ² e^v). The bias b is never penalised. report.held_out is the mean ℓ over samples
/// of its own. A feature with ρ_j = 0 has no term in g, however large its θ_j.
///
/// v is [n] sample weights (unless none), followed by [num_features] log-penalties (with per_feature); it must not be
/// empty. θ is [num_classes, num_features + 1], row-major; the last column is b.
///
/// What is measured against data is one product of matrices for all problems, each sample being read once per gradient
/// (sparse ones and CUDA's floats twice). `gap_gradient` makes one product more, and no gradient: what inner_gradient
/// found at θ_k is kept.
///
/// On the CPU a problem's bits are the same in every batch, at every position and on every number of threads; between
/// instruction sets they differ. On CUDA they are cuBLAS's, the same whenever the same batch is solved again on the
/// same device; for those of other batches see problems_per_product.
///
/// Memory, taken by `reserve`: num_problems · n floats, num_problems · num_features with penalties, and what some
/// problems at a time work in. Labels are copied, and of sparse samples there is a transposed copy; on the CPU the
/// views' memory is read in each call, and must outlive the oracle. A fixed_rho of each problem is read by `reserve`.
///
/// On CUDA samples lie in host memory or in the device's, labels in host memory. Bytes in device memory, and a
/// fixed_rho there, are read in each call; all else is copied, samples by the constructor. What was enqueued for them
/// on other streams than the legacy default one must be done. Products are cuBLAS's, on the stream of each call, in 32
/// MiB of workspace; bytes become floats a panel of some 16 MiB at a time. What the calls work in is the oracle's: one
/// solve at a time may be at work with it, and graphs that have captured one need it as it was, without more being
/// reserved.
class softmax_oracle : public oracle<float> {
public:
    /// @param train, validation each as it likes in storage, with the same num_features
    /// @param execution where: cuda, otherwise the CPU, whatever CUBOME_BACKEND says; the device, or the instructions.
    ///                  How many threads, each call says
    /// @throws invalid_argument, which names what is wrong: sizes outside [1, 2³¹ − 1024] or that no memory can hold,
    ///         null pointers, labels outside [0, num_classes), entries of sparse samples out of place, a v without
    ///         elements; on CUDA sparse samples, memory of another device; not_compiled, also without cuBLAS;
    ///         backend_unavailable; cuda_error, with the status of cuBLAS where it is a call of its that failed;
    ///         std::bad_alloc
    softmax_oracle(const softmax_samples& train, const softmax_samples& validation, const softmax_options& options,
                   const cubome::execution& execution = {});
    /// With a metric on held-out data.
    softmax_oracle(const softmax_samples& train, const softmax_samples& validation, const softmax_samples& held_out,
                   const softmax_options& options, const cubome::execution& execution = {});
    softmax_oracle(softmax_oracle&&) noexcept;
    softmax_oracle& operator=(softmax_oracle&&) noexcept;
    ~softmax_oracle() override;

    std::int64_t outer_dim() const override;
    std::int64_t inner_dim() const override;
    backend where() const override;
    bool has_held_out() const override;

    /// Waits, on CUDA, and makes cuBLAS load what the products take; no call may be at work, and the oracle's device is
    /// the current one, as in every call.
    /// @throws invalid_argument where fixed_rho is given per problem, for another number of them; std::bad_alloc, and
    ///         then what was reserved before still is; cuda_error, and then nothing may be
    void reserve(std::int64_t num_problems) override;
    void prepare(const oracle_call& call, const float* outer) override;
    void inner_gradient(const oracle_call& call, const float* outer, const float* inner, float* gradient) override;
    void gap_gradient(const oracle_call& call, const float* outer, const float* inner, const float* descent, float* gap,
                      float* magnitude, float* gradient) override;
    void outer_gradient(const oracle_call& call, const float* outer, const float* inner, float* value, float* of_outer,
                        float* of_inner) override;
    void held_out(const oracle_call& call, const float* outer, const float* inner, float* value) override;

private:
    std::unique_ptr<oracle<float>> engine_;  ///< of the backend
};

}  // namespace cubome
