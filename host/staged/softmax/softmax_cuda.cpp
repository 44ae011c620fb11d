// SPDX-License-Identifier: Apache-2.0
#include "host/staged/softmax/softmax_cuda.hpp"

#include <algorithm>
#include <string>

#include "cubome/error.hpp"
#include "host/cuda_device.hpp"
#include "host/cuda_memory.hpp"
#include "host/workspace.hpp"

namespace cubome::detail {
namespace {

// Rows of factors and of scores begin where tensor cores like to read: at multiples of 16 bytes.
constexpr std::int64_t elements_of_row = 8;

softmax_factor operator+(softmax_factor of, std::int64_t offset) {
    if (of.whole != nullptr) return {of.whole + offset, nullptr, nullptr};
    return {nullptr, of.high + offset, of.low + offset};
}

/// A handle of one's own, or the caller's.
class kept_handle {
public:
    kept_handle(cuda_runtime& runtime, const blas_library& blas, int device)
        : runtime_(runtime), blas_(blas), device_(device) {}
    kept_handle(const kept_handle&) = delete;
    kept_handle& operator=(const kept_handle&) = delete;
    ~kept_handle() {
        if (handle_ == nullptr) return;
        try {
            const device_scope scope(runtime_, device_);
            release();
        } catch (...) {
            release();
        }
    }

    void create() {
        blas_.call(runtime_, &blas_calls::create, "making a handle of cuBLAS", &handle_);
        is_own_ = true;
    }
    void borrow(cublasContext* handle) { handle_ = handle; }

    template <class... P, class... A>
    void call(cuda_call<P...> blas_calls::*which, const char* place, A... arguments) const {
        blas_.call(runtime_, which, place, handle_, arguments...);
    }

private:
    void release() noexcept {
        // A handle that was lent forgets, with the stream, the workspace, both of which are about to go.
        CUstream_st* const legacy = nullptr;
        if (is_own_)
            blas_.try_call(runtime_, &blas_calls::destroy, handle_);
        else
            blas_.try_call(runtime_, &blas_calls::set_stream, handle_, legacy);
    }

    cuda_runtime& runtime_;
    const blas_library& blas_;
    int device_;
    cublasContext* handle_ = nullptr;
    bool is_own_ = false;
};

/// A kernel on the device.
struct loaded {
    const void* kernel;
    std::int64_t most_blocks;  ///< that the device holds at a time
};

/// A set of samples on the device: rows of a factor, or bytes that become one panel by panel.
struct sample_set {
    explicit sample_set(cuda_runtime& runtime) : memory(runtime, kept_memory::where::device) {}

    softmax_factor rows(std::int64_t first, std::int64_t row) const { return factor + first * row; }

    kept_memory memory;
    std::int64_t num_samples = 0;
    std::int64_t panel_samples = 0;  ///< multiplied at once; a multiple of softmax_chunk, but for the last
    const std::int32_t* labels = nullptr;
    softmax_factor factor{};
    const std::uint8_t* bytes = nullptr;
    float shift = 0, scale = 1;
};

class softmax_cuda final : public oracle<float> {
public:
    softmax_cuda(const softmax_parts& parts, const softmax_device& on, int device)
        : runtime_(on.runtime),
          kernels_(on.kernels),
          limits_(on.limits),
          parts_(parts),
          device_(find_device(on.runtime, "softmax_oracle", device)),
          train_(on.runtime),
          validation_(on.runtime),
          held_out_(on.runtime),
          blas_workspace_(on.runtime, kept_memory::where::device),
          work_(on.runtime, kept_memory::where::device),
          stream_(on.runtime),
          blas_(on.runtime, on.blas, device_),
          num_classes_(options_.num_classes),
          num_features_(parts.num_features()),
          row_(round_up(num_features_ + 1, elements_of_row)),
          is_penalised_(parts.is_penalised()) {
        const device_scope scope(runtime_, device_);
        stream_.create();
        const int num_multiprocessors = count_multiprocessors(runtime_, device_);
        const auto load_kernel = [&](const void* kernel) {
            return loaded{kernel, count_blocks(runtime_, kernel, kernels_.threads_per_block, kernels_.shared_bytes,
                                               num_multiprocessors)};
        };
        rows_ = load_kernel(kernels_.rows);
        residuals_ = load_kernel(kernels_.residuals);
        losses_ = load_kernel(kernels_.losses);
        gap_ = load_kernel(kernels_.gap);
        collect_ = load_kernel(kernels_.collect);
        penalties_ = load_kernel(kernels_.penalties);
        penalty_gap_ = load_kernel(kernels_.penalty_gap);
        totals_ = load_kernel(kernels_.totals);
        if (options_.blas != nullptr)
            blas_.borrow(options_.blas);
        else
            blas_.create();
        blas_workspace_.reserve(limits_.blas_bytes);
        load(train_, parts.train, "train.x");
        load(validation_, parts.validation, "validation.x");
        if (parts.held_out.num_samples > 0) load(held_out_, parts.held_out, "held_out.x");
        num_partial_ = std::max({softmax_chunks(train_.num_samples) + (is_penalised_ ? feature_chunks() : 0),
                                 softmax_chunks(validation_.num_samples), softmax_chunks(held_out_.num_samples)});
        for (const sample_set* set : {&train_, &validation_, &held_out_}) {
            score_stride_ = std::max(score_stride_, round_up(set->panel_samples, elements_of_row));
            if (set->bytes != nullptr) panel_samples_ = std::max(panel_samples_, set->panel_samples);
        }
    }

    std::int64_t outer_dim() const override { return parts_.outer_dim(); }
    std::int64_t inner_dim() const override { return parts_.inner_dim(); }
    backend where() const override { return backend::cuda; }
    bool has_held_out() const override { return held_out_.num_samples > 0; }

    void reserve(std::int64_t num_problems) override {
        expect_count(num_problems);
        expect_current_device();
        has_start_losses_ = false;
        const float* const given = parts_.given_penalties(num_problems);
        const bool is_more = num_problems > reserved_;
        std::size_t work_bytes = 0;
        if (is_more) {
            piece_cutter counter(nullptr);
            cut(counter, num_problems);
            work_bytes = counter.used();
            expect_possible(num_problems, work_bytes);
            reserved_ = 0;
            work_.reserve(work_bytes);
            piece_cutter pieces(work_.data());
            a_ = cut(pieces, num_problems);
        }
        given_ = given;
        if (num_problems == 0) return;
        const bool is_copied = given != nullptr && !is_there("fixed_rho", given);
        if (is_copied) given_ = a_.given;
        const bool is_loaded = !is_more && num_problems == last_reserved_;
        if (is_loaded && !is_copied) return;
        last_reserved_ = 0;
        and_wait([&] {
            // Rows that are there for whole products alone are 0.
            if (is_more)
                runtime_.call(&cuda_calls::set, "clearing memory", static_cast<void*>(work_.data()), 0, work_bytes,
                              stream_.get());
            if (is_copied) copy(a_.given, given, static_cast<std::size_t>(num_problems) * sizeof(float));
            if (is_loaded) return;
            // The kernels that cuBLAS takes for such products are loaded now, and not while somebody captures.
            use(stream_.get());
            for (const sample_set* set : {&train_, &validation_, &held_out_}) multiply_nothing(*set, num_problems);
        });
        reserved_ = std::max(reserved_, num_problems);
        last_reserved_ = num_problems;
    }

    void prepare(const oracle_call& call, const float* outer) override {
        begin(call);
        if (parts_.num_penalties() > 0) expect_outer(call, outer);
        has_start_losses_ = false;
        if (!is_penalised_) return;
        softmax_penalties_arguments p{};
        if (parts_.num_penalties() > 0) {
            p.outer = outer;
            p.outer_dim = outer_dim();
            p.first = parts_.num_weights();
        } else if (options_.fixed_rho.is_per_problem()) {
            p.given = given_;
        } else {
            p.value = options_.fixed_rho.value();
        }
        p.scale = parts_.penalty_scale();
        p.rho = a_.rho;
        p.num_problems = call.num_problems;
        p.num_features = num_features_;
        launch(penalties_, p, call.stream);
    }

    void inner_gradient(const oracle_call& call, const float* outer, const float* inner, float* gradient) override {
        begin(call);
        if (parts_.num_weights() > 0) expect_outer(call, outer);
        const bool is_start = call.descent_step == 0;
        for_blocks(call, [&](const problem_block& block) {
            differentiate(train_, block, call.stream, inner, gradient, is_penalised_ ? a_.rho : nullptr,
                          [&](softmax_pass_arguments& pass) {
                              weigh(pass, outer);
                              if (is_start) pass.losses = a_.start_losses;
                          });
        });
        has_start_losses_ = has_start_losses_ || is_start;
    }

    void gap_gradient(const oracle_call& call, const float* outer, const float* inner, const float* descent, float* gap,
                      float* magnitude, float* gradient) override {
        begin(call);
        if (parts_.num_weights() > 0) expect_outer(call, outer);
        if (!has_start_losses_) {
            for_blocks(call, [&](const problem_block& block) {
                evaluate(train_, block, call.stream, inner, losses_,
                         [&](softmax_pass_arguments& pass) { pass.losses = a_.start_losses; });
            });
        }
        has_start_losses_ = false;
        for_blocks(call, [&](const problem_block& block) {
            evaluate(train_, block, call.stream, descent, gap_, [&](softmax_pass_arguments& pass) {
                weigh(pass, outer);
                pass.losses = a_.start_losses;
                if (parts_.num_weights() > 0) pass.of_outer = gradient;
            });
        });
        std::int64_t num_partial = softmax_chunks(train_.num_samples);
        if (is_penalised_) {
            softmax_penalty_gap_arguments p{};
            p.rho = a_.rho;
            p.inner = inner;
            p.descent = descent;
            if (parts_.num_penalties() > 0) p.of_outer = gradient;
            p.outer_dim = outer_dim();
            p.first = parts_.num_weights();
            p.num_problems = call.num_problems;
            p.num_classes = num_classes_;
            p.num_features = num_features_;
            p.partial = a_.partial;
            p.num_partial = num_partial_;
            p.first_partial = num_partial;
            launch(penalty_gap_, p, call.stream);
            num_partial += feature_chunks();
        }
        add_up(call, num_partial, gap, magnitude);
    }

    void outer_gradient(const oracle_call& call, const float*, const float* inner, float* value, float* of_outer,
                        float* of_inner) override {
        begin(call);
        runtime_.call(&cuda_calls::set, "clearing a gradient", static_cast<void*>(of_outer), 0,
                      static_cast<std::size_t>(call.num_problems * outer_dim()) * sizeof(float), call.stream);
        for_blocks(call, [&](const problem_block& block) {
            differentiate(validation_, block, call.stream, inner, of_inner, nullptr, [](softmax_pass_arguments&) {});
        });
        add_up(call, softmax_chunks(validation_.num_samples), value, nullptr);
    }

    void held_out(const oracle_call& call, const float*, const float* inner, float* value) override {
        begin(call);
        for_blocks(call, [&](const problem_block& block) {
            evaluate(held_out_, block, call.stream, inner, losses_, [](softmax_pass_arguments&) {});
        });
        add_up(call, softmax_chunks(held_out_.num_samples), value, nullptr);
    }

private:
    /// What the calls work in.
    struct arrays {
        float* start_losses;       ///< [num_problems, train samples]: ℓ at θ_k
        float* rho;                ///< [num_problems, num_features], scaled
        float* given;              ///< [num_problems]: ρ of the settings, from host memory
        float* partial;            ///< [num_problems, num_partial_, 2]
        softmax_factor theta;      ///< [rows of a product, row_]
        softmax_factor panel;      ///< [panel_samples_, row_]: samples that lie there as bytes
        float* scores;             ///< [rows of a product, score_stride_]
        softmax_factor residuals;  ///< likewise; floats are in the place of the scores
        float* products;           ///< [rows of a product, row_]: gradients
    };

    std::int64_t feature_chunks() const { return softmax_chunks(num_features_); }
    bool is_split() const { return options_.precision == product_precision::bf16x3; }

    std::int64_t block_problems(std::int64_t num_problems) const {
        if (options_.problems_per_product > 0) return options_.problems_per_product;
        return std::min(num_problems, std::max<std::int64_t>(1, limits_.of_scores / (num_classes_ * score_stride_)));
    }
    std::int64_t product_rows(const problem_block& block) const {
        return num_classes_ * std::max(block.num, options_.problems_per_product);
    }

    softmax_factor take_factor(piece_cutter& pieces, std::int64_t rows, std::int64_t row) const {
        softmax_factor result{};
        if (is_split()) {
            result.high = pieces.take<std::uint16_t>(rows, row);
            result.low = pieces.take<std::uint16_t>(rows, row);
        } else {
            result.whole = pieces.take<float>(rows, row);
        }
        return result;
    }

    arrays cut(piece_cutter& pieces, std::int64_t num_problems) const {
        arrays a{};
        const std::int64_t rows = block_problems(num_problems) * num_classes_;
        a.start_losses = pieces.take<float>(num_problems, train_.num_samples);
        if (is_penalised_) a.rho = pieces.take<float>(num_problems, num_features_);
        if (options_.fixed_rho.is_per_problem()) a.given = pieces.take<float>(num_problems);
        a.partial = pieces.take<float>(num_problems, 2 * num_partial_);
        a.theta = take_factor(pieces, rows, row_);
        if (panel_samples_ > 0) a.panel = take_factor(pieces, panel_samples_, row_);
        a.scores = pieces.take<float>(rows, score_stride_);
        a.residuals =
            is_split() ? take_factor(pieces, rows, score_stride_) : softmax_factor{a.scores, nullptr, nullptr};
        a.products = pieces.take<float>(rows, row_);
        return a;
    }

    /// Whether it is read where it lies; what was enqueued for it without naming a stream is then done.
    /// @throws invalid_argument for memory of another device
    bool is_there(const char* name, const void* address) {
        memory_kind kind = memory_kind::pageable;
        int where = 0;
        runtime_.call(&cuda_calls::address, "asking where an array lies", &kind, &where, address);
        if (kind == memory_kind::device && where != device_)
            throw invalid_argument("softmax_oracle", name, "lies on device " + std::to_string(where),
                                   "memory of the host or of device " + std::to_string(device_));
        if (kind != memory_kind::device && kind != memory_kind::managed) return false;
        CUstream_st* const legacy = nullptr;
        runtime_.call(&cuda_calls::synchronize, "waiting for the default stream", legacy);
        return true;
    }

    void copy(void* to, const void* from, std::size_t bytes) {
        runtime_.call(&cuda_calls::copy, "copying samples to the device", to, from, bytes, stream_.get());
    }

    template <class Arguments>
    void launch(const loaded& which, const Arguments& of, CUstream_st* stream) {
        const std::int64_t blocks = std::min(num_items(of), which.most_blocks);
        if (blocks == 0) return;
        auto a = of;
        void* arguments[] = {&a};
        runtime_.call(&cuda_calls::launch, "launching the oracle's work", which.kernel, static_cast<unsigned>(blocks),
                      static_cast<unsigned>(kernels_.threads_per_block), static_cast<void**>(arguments),
                      kernels_.shared_bytes, stream);
    }

    void load(sample_set& set, const softmax_samples& from, const char* name) {
        const std::int64_t n = from.num_samples, d = num_features_;
        set.num_samples = n;
        const bool is_bytes = from.kind == softmax_samples::storage::bytes;
        const void* const x = is_bytes ? static_cast<const void*>(from.pixels) : from.values;
        const bool is_in_place = is_there(name, x);
        std::int64_t most = limits_.of_scores / num_classes_;
        if (is_bytes) most = std::min(most, limits_.of_panel / row_);
        most = round_up(std::max<std::int64_t>(most, 1), softmax_chunk);
        set.panel_samples = std::min(n, most);

        std::int32_t* labels = nullptr;
        std::uint8_t* bytes = nullptr;
        const auto cut_set = [&](piece_cutter& pieces) {
            labels = pieces.take<std::int32_t>(n);
            if (!is_bytes)
                set.factor = take_factor(pieces, n, row_);
            else if (!is_in_place)
                bytes = pieces.take<std::uint8_t>(n, d);
        };
        piece_cutter counter(nullptr);
        cut_set(counter);
        set.memory.reserve(counter.used());
        piece_cutter pieces(set.memory.data());
        cut_set(pieces);
        set.labels = labels;

        // Memory of the runtime's, which it does not give back under work that it cannot end.
        kept_memory words(runtime_, kept_memory::where::pinned), staging(runtime_, kept_memory::where::device);
        const std::size_t label_bytes = static_cast<std::size_t>(n) * sizeof(std::int32_t);
        words.reserve(label_bytes);
        auto* const of_samples = reinterpret_cast<std::int32_t*>(words.data());
        for (std::int64_t i = 0; i < n; ++i)
            of_samples[i] = from.labels.words != nullptr ? from.labels.words[i] : from.labels.bytes[i];
        and_wait([&] {
            copy(labels, of_samples, label_bytes);
            if (is_bytes) {
                set.bytes = is_in_place ? from.pixels : bytes;
                set.shift = from.shift;
                set.scale = from.scale;
                if (!is_in_place) copy(bytes, from.pixels, static_cast<std::size_t>(n * d));
                return;
            }
            const std::int64_t some = is_in_place ? n : std::min(n, std::max<std::int64_t>(1, limits_.of_staging / d));
            if (!is_in_place) staging.reserve(static_cast<std::size_t>(some * d) * sizeof(float));
            for (std::int64_t first = 0; first < n; first += some) {
                softmax_rows_arguments r{};
                r.floats = from.values + first * d;
                r.num_rows = r.num_written = std::min(some, n - first);
                if (!is_in_place) {
                    copy(staging.data(), r.floats, static_cast<std::size_t>(r.num_rows * d) * sizeof(float));
                    r.floats = reinterpret_cast<const float*>(staging.data());
                }
                r.num_columns = d;
                r.behind = 1;
                r.to = set.rows(first, row_);
                r.row = row_;
                launch(rows_, r, stream_.get());
            }
        });
    }

    /// Enqueues work on the oracle's own stream, and waits for it, also where it throws.
    template <class Work>
    void and_wait(const Work& work) {
        try {
            work();
            runtime_.call(&cuda_calls::synchronize, "preparing the oracle", stream_.get());
        } catch (...) {
            runtime_.try_call(&cuda_calls::synchronize, stream_.get());
            throw;
        }
    }

    void expect_current_device() {
        int current = 0;
        runtime_.call(&cuda_calls::current_device, "asking for the current device", &current);
        if (current != device_)
            throw invalid_argument("softmax_oracle", "execution.device", "is " + std::to_string(device_),
                                   "that of the solver, " + std::to_string(current));
    }
    static void expect_outer(const oracle_call& call, const float* outer) {
        if (call.num_problems > 0 && outer == nullptr)
            throw invalid_argument("softmax_oracle", "outer", "is null", "an array");
    }

    void begin(const oracle_call& call) {
        expect_reserved(call.num_problems, reserved_);
        expect_current_device();
        use(call.stream);
    }

    /// Lets products be enqueued on a stream.
    void use(CUstream_st* stream) {
        constexpr const char* place = "preparing products";
        blas_.call(&blas_calls::set_stream, place, stream);
        blas_.call(&blas_calls::set_workspace, place, static_cast<void*>(blas_workspace_.data()), limits_.blas_bytes);
        blas_.call(&blas_calls::set_pointer_mode, place);
        blas_.call(&blas_calls::set_math_mode, place);
    }

    /// C = A B or Aᵀ B, of factors in the precision that was asked for.
    void multiply(matrix_product p, const softmax_factor& a, const softmax_factor& b) {
        const auto enqueue = [&](const void* of_a, const void* of_b) {
            p.a = of_a;
            p.b = of_b;
            blas_.call(&blas_calls::multiply, "multiplying", static_cast<const matrix_product*>(&p));
            p.is_added = true;
        };
        if (!is_split()) {
            p.arithmetic =
                options_.precision == product_precision::tf32 ? product_arithmetic::tf32 : product_arithmetic::fp32;
            enqueue(a.whole, b.whole);
            return;
        }
        // The small ones first; what is left out is 2⁻¹⁶ of the whole.
        p.arithmetic = product_arithmetic::bfloat16;
        enqueue(a.low, b.high);
        enqueue(a.high, b.low);
        enqueue(a.high, b.high);
    }
    /// scores [rows, score_stride_] = Θ Xᵀ
    void multiply_scores(const softmax_factor& x, std::int64_t num_samples, std::int64_t rows) {
        matrix_product p{};
        p.is_a_transposed = true;
        p.m = num_samples;
        p.n = rows;
        p.k = p.lda = p.ldb = row_;
        p.c = a_.scores;
        p.ldc = score_stride_;
        multiply(p, x, a_.theta);
    }
    /// products [rows, row_] = R X, or that added to them
    void multiply_residuals(const softmax_factor& x, std::int64_t num_samples, std::int64_t rows, bool is_added) {
        matrix_product p{};
        p.is_added = is_added;
        p.m = p.lda = p.ldc = row_;
        p.n = rows;
        p.k = num_samples;
        p.ldb = score_stride_;
        p.c = a_.products;
        multiply(p, x, a_.residuals);
    }

    template <class Work>
    void for_blocks(const oracle_call& call, const Work& work) {
        const std::int64_t step = block_problems(call.num_problems);
        for (std::int64_t first = 0; first < call.num_problems; first += step)
            work(problem_block{first, std::min(step, call.num_problems - first)});
    }

    /// f(samples as a factor, the first, how many) for each panel
    template <class F>
    void for_panels(const sample_set& set, CUstream_st* stream, const F& f) {
        for (std::int64_t first = 0; first < set.num_samples; first += set.panel_samples) {
            const std::int64_t num = std::min(set.panel_samples, set.num_samples - first);
            if (set.bytes == nullptr) {
                f(set.rows(first, row_), first, num);
                continue;
            }
            softmax_rows_arguments r{};
            r.bytes = set.bytes + first * num_features_;
            r.shift = set.shift;
            r.scale = set.scale;
            r.num_rows = r.num_written = num;
            r.num_columns = num_features_;
            r.behind = 1;
            r.to = a_.panel;
            r.row = row_;
            launch(rows_, r, stream);
            f(a_.panel, first, num);
        }
    }

    /// The products of all blocks of so many problems, whatever the numbers are.
    void multiply_nothing(const sample_set& set, std::int64_t num_problems) {
        const std::int64_t step = block_problems(num_problems), last = num_problems % step;
        std::int64_t before = 0;
        for (const std::int64_t num : {std::min(step, num_problems), last}) {
            const std::int64_t rows = product_rows({0, num});
            if (num == 0 || rows == before) continue;
            before = rows;
            for_panels(set, stream_.get(), [&](const softmax_factor& x, std::int64_t first, std::int64_t num_samples) {
                multiply_scores(x, num_samples, rows);
                multiply_residuals(x, num_samples, rows, first > 0);
            });
        }
    }

    /// θ of a block as a factor; rows without a problem are 0.
    void gather(const problem_block& block, const float* inner, CUstream_st* stream) {
        softmax_rows_arguments r{};
        r.floats = inner + block.first * inner_dim();
        r.num_rows = block.num * num_classes_;
        r.num_columns = num_features_ + 1;
        r.to = a_.theta;
        r.num_written = product_rows(block);
        r.row = row_;
        launch(rows_, r, stream);
    }

    void weigh(softmax_pass_arguments& pass, const float* outer) const {
        if (parts_.num_weights() == 0) return;
        pass.outer = outer;
        pass.outer_dim = outer_dim();
        pass.is_sigmoid = options_.weights == sample_weights::sigmoid;
    }

    /// Scores of each panel, and what `kernel` makes of them; then use(panel, its first sample, how many).
    template <class Setup, class Use>
    void pass(const sample_set& set, const problem_block& block, CUstream_st* stream, const float* inner,
              const loaded& kernel, const Setup& setup, const Use& use) {
        gather(block, inner, stream);
        for_panels(set, stream, [&](const softmax_factor& x, std::int64_t first, std::int64_t num) {
            multiply_scores(x, num, product_rows(block));
            softmax_pass_arguments p{};
            p.scores = a_.scores;
            p.to = a_.residuals;
            p.stride = score_stride_;
            p.first_problem = block.first;
            p.num_problems = block.num;
            p.num_classes = num_classes_;
            p.first_sample = first;
            p.num_samples = num;
            p.labels = set.labels;
            p.scale = 1 / static_cast<float>(set.num_samples);
            p.losses_stride = train_.num_samples;
            p.partial = a_.partial;
            p.num_partial = num_partial_;
            setup(p);
            launch(kernel, p, stream);
            use(x, first, num);
        });
    }

    template <class Setup>
    void evaluate(const sample_set& set, const problem_block& block, CUstream_st* stream, const float* inner,
                  const loaded& kernel, const Setup& setup) {
        pass(set, block, stream, inner, kernel, setup, [](const softmax_factor&, std::int64_t, std::int64_t) {});
    }

    template <class Setup>
    void differentiate(const sample_set& set, const problem_block& block, CUstream_st* stream, const float* inner,
                       float* gradient, const float* rho, const Setup& setup) {
        pass(set, block, stream, inner, residuals_, setup,
             [&](const softmax_factor& x, std::int64_t first, std::int64_t num) {
                 multiply_residuals(x, num, product_rows(block), first > 0);
             });
        softmax_collect_arguments c{};
        c.products = a_.products;
        c.row = row_;
        c.rho = rho;
        c.inner = inner;
        c.to = gradient;
        c.first_problem = block.first;
        c.num_problems = block.num;
        c.num_classes = num_classes_;
        c.num_features = num_features_;
        launch(collect_, c, stream);
    }

    void add_up(const oracle_call& call, std::int64_t num_partial, float* first, float* second) {
        softmax_totals_arguments t{};
        t.partial = a_.partial;
        t.stride = num_partial_;
        t.num_partial = num_partial;
        t.first = first;
        t.second = second;
        t.num_problems = call.num_problems;
        launch(totals_, t, call.stream);
    }

    cuda_runtime& runtime_;
    const softmax_device_kernels& kernels_;
    const softmax_limits limits_;
    const softmax_parts parts_;
    const softmax_options& options_ = parts_.options;
    int device_;
    sample_set train_, validation_, held_out_;
    kept_memory blas_workspace_;
    kept_memory work_;
    kept_stream stream_;  ///< for what is done besides the calls
    kept_handle blas_;    ///< given back before the memory that it works in
    std::int64_t num_classes_, num_features_;
    std::int64_t row_;  ///< of factors: features, a 1 for the bias, zeros
    bool is_penalised_;
    // The most of all sets:
    std::int64_t num_partial_ = 0, score_stride_ = 0;
    std::int64_t panel_samples_ = 0;  ///< of those that are bytes
    loaded rows_{}, residuals_{}, losses_{}, gap_{}, collect_{}, penalties_{}, penalty_gap_{}, totals_{};

    arrays a_{};
    std::int64_t reserved_ = 0, last_reserved_ = 0;
    const float* given_ = nullptr;
    bool has_start_losses_ = false;  ///< a_.start_losses is of the θ_k of the next gap_gradient
};

}  // namespace

std::unique_ptr<oracle<float>> make_softmax_cuda(const softmax_parts& parts, const softmax_device& on, int device) {
    return std::make_unique<softmax_cuda>(parts, on, device);
}

}  // namespace cubome::detail
