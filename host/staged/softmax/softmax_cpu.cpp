// SPDX-License-Identifier: Apache-2.0
#include "host/staged/softmax/softmax_cpu.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cubome/error.hpp"
#include "host/staged/softmax/kernels.hpp"
#include "host/staged/thread_team.hpp"
#include "host/workspace.hpp"

namespace cubome::detail {
namespace {

const softmax_kernels* kernels_for(instruction_set which) {
    switch (which) {
        case instruction_set::baseline:
            return softmax_float_baseline();
#ifdef CUBOME_HAS_CPU_AVX2
        case instruction_set::avx2:
            return softmax_float_avx2();
#endif
#ifdef CUBOME_HAS_CPU_AVX512
        case instruction_set::avx512:
            return softmax_float_avx512();
#endif
        default:
            return nullptr;
    }
}

constexpr std::int64_t num_chunks(std::int64_t x, std::int64_t of) {
    return (x + of - 1) / of;
}

// A panel of samples, as floats, stays in the second-level cache while all problems are multiplied with it.
constexpr std::int64_t floats_of_panel = std::int64_t{1} << 17;
constexpr std::int64_t most_samples_of_panel = 512;
// Samples are cut into slices, whose gradients are added at the end: as many as feed the threads of a large machine,
// but fewer where a gradient is so long that they would be more than the data. They decide the order of additions, so
// they depend on dimensions alone.
constexpr std::int64_t most_slices = 32, least_slices = 4;
constexpr std::int64_t floats_of_slices = std::int64_t{1} << 20;
// Problems that are multiplied at once.
constexpr std::int64_t floats_of_block = std::int64_t{1} << 25;
constexpr std::int64_t most_rows_of_block = 1024;
constexpr std::int64_t features_of_chunk = 4096;
// Features of sparse samples whose gradients are made, and then transposed, at once.
constexpr std::int64_t features_of_group = 64;
// Threads that there is room for, also where they are more than the cores.
constexpr std::int64_t least_lanes = 8;

/// A set of samples as the engine goes through it.
struct sample_set {
    sample_set(const softmax_samples& samples, std::int64_t num_classes) : of(samples) {
        if (of.num_samples == 0) return;
        if (is_sparse())
            transpose();
        else
            padded = round_up(of.num_features, softmax_lanes);
        row = padded + softmax_lanes;
        const std::int64_t fit = is_sparse() ? most_samples_of_panel : floats_of_panel / padded;
        panel_samples = std::clamp(fit / softmax_lanes * softmax_lanes, softmax_lanes, most_samples_of_panel);
        num_panels = num_chunks(of.num_samples, panel_samples);
        const std::int64_t wanted = std::clamp(floats_of_slices / (num_classes * row), least_slices, most_slices);
        slice_panels = num_chunks(num_panels, wanted);
        num_slices = num_chunks(num_panels, slice_panels);
        labels.resize(static_cast<std::size_t>(round_up(of.num_samples, softmax_lanes)));
        for (std::int64_t i = 0; i < of.num_samples; ++i)
            labels[static_cast<std::size_t>(i)] =
                static_cast<float>(of.labels.words != nullptr ? of.labels.words[i] : of.labels.bytes[i]);
    }

    bool is_sparse() const { return of.kind == softmax_samples::storage::sparse; }
    softmax_entries by_sample() const { return {of.row_starts, of.columns, of.values}; }
    softmax_entries by_feature() const { return {feature_starts.data(), entry_samples.data(), entry_values.data()}; }

    softmax_samples of;
    std::vector<float> labels;
    std::int64_t padded = 0;         ///< of dense samples: num_features, to whole vectors
    std::int64_t row = 0;            ///< of θ and of gradients, with room for the bias
    std::int64_t panel_samples = 0;  ///< a multiple of softmax_lanes
    std::int64_t num_panels = 0, slice_panels = 0, num_slices = 0;
    // Sparse samples by feature, in the order of samples: each feature's gradient is a sum of its own.
    std::vector<std::int64_t> feature_starts;
    std::vector<std::int32_t> entry_samples;
    std::vector<float> entry_values;

private:
    void transpose() {
        const auto num_entries = static_cast<std::size_t>(of.row_starts[of.num_samples]);
        feature_starts.resize(static_cast<std::size_t>(of.num_features) + 1);
        entry_samples.resize(num_entries);
        entry_values.resize(num_entries);
        // Counts, one place further on; their sums are where the next feature begins; filling moves these on.
        for (std::size_t k = 0; k < num_entries; ++k) ++feature_starts[static_cast<std::size_t>(of.columns[k]) + 1];
        std::partial_sum(feature_starts.begin(), feature_starts.end(), feature_starts.begin());
        for (std::int64_t i = 0; i < of.num_samples; ++i) {
            for (std::int64_t k = of.row_starts[i]; k < of.row_starts[i + 1]; ++k) {
                const auto to = static_cast<std::size_t>(feature_starts[static_cast<std::size_t>(of.columns[k])]++);
                entry_samples[to] = static_cast<std::int32_t>(i);
                entry_values[to] = of.values[k];
            }
        }
        std::rotate(feature_starts.begin(), feature_starts.end() - 1, feature_starts.end());
        feature_starts[0] = 0;
    }
};

/// What one lane of threads works in.
struct lane_memory {
    float* panel;     ///< samples as floats
    float* scores;    ///< [rows of a block, score_stride_]
    float* features;  ///< [features_of_group, padded rows of a block]: gradients of sparse samples
};

class softmax_cpu final : public oracle<float> {
public:
    softmax_cpu(const softmax_parts& parts, const softmax_kernels& kernels)
        : kernels_(kernels),
          parts_(parts),
          train_(parts.train, options_.num_classes),
          validation_(parts.validation, options_.num_classes),
          held_out_(parts.held_out, options_.num_classes),
          num_classes_(options_.num_classes),
          num_features_(parts.num_features()),
          num_weights_(parts.num_weights()),
          num_penalties_(parts.num_penalties()),
          is_penalised_(parts.is_penalised()) {
        for (const sample_set* set : {&train_, &validation_, &held_out_}) {
            most_slices_ = std::max(most_slices_, set->num_slices);
            most_samples_ = std::max(most_samples_, set->panel_samples);
            row_ = std::max(row_, set->row);
            panel_floats_ = std::max(panel_floats_, set->panel_samples * set->padded);
            slice_floats_ = std::max(slice_floats_, set->num_slices * set->row);
            if (set->is_sparse()) sparse_samples_ = std::max(sparse_samples_, set->of.num_samples);
        }
        // The lanes of scores must not all fall into the same places of a cache.
        score_stride_ = most_samples_ + softmax_lanes;
        num_lanes_ = std::min(most_slices_, std::max<std::int64_t>(least_lanes, std::thread::hardware_concurrency()));
    }

    std::int64_t outer_dim() const override { return parts_.outer_dim(); }
    std::int64_t inner_dim() const override { return parts_.inner_dim(); }
    bool has_held_out() const override { return held_out_.of.num_samples > 0; }

    void reserve(std::int64_t num_problems) override {
        expect_count(num_problems);
        given_ = parts_.given_penalties(num_problems);
        has_start_losses_ = false;
        if (num_problems <= reserved_) return;
        piece_cutter counter(nullptr);
        cut(counter, num_problems, nullptr);
        expect_possible(num_problems, counter.used());
        auto memory = std::make_unique<aligned_memory>(counter.used());
        // The system gives pages when they are touched: here, and not in the calls. Rows that are there for whole
        // vectors alone are 0.
        std::memset(memory->data(), 0, counter.used());
        std::vector<lane_memory> lanes(static_cast<std::size_t>(num_lanes_));
        memory_ = std::move(memory);
        lanes_ = std::move(lanes);
        piece_cutter pieces(memory_->data());
        a_ = cut(pieces, num_problems, lanes_.data());
        reserved_ = num_problems;
    }

    void prepare(const oracle_call& call, const float* outer) override {
        begin(call);
        has_start_losses_ = false;
        if (!is_penalised_) return;
        const float scale = parts_.penalty_scale();
        team_->for_each(call.num_problems, 1, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t b = first; b < last; ++b) {
                float* const rho = a_.rho + b * num_features_;
                if (num_penalties_ > 0) {
                    kernels_.penalties(outer + b * outer_dim() + num_weights_, num_features_, scale, rho);
                } else {
                    const float value = given_ != nullptr ? given_[b] : options_.fixed_rho.value();
                    std::fill_n(rho, num_features_, value * scale);
                }
            }
        });
    }

    void inner_gradient(const oracle_call& call, const float* outer, const float* inner, float* gradient) override {
        begin(call);
        const bool is_start = call.descent_step == 0;
        for_blocks(call, [&](const problem_block& block) {
            gather(train_, block, inner);
            differentiate(train_, block, [&](softmax_pass& pass, std::int64_t b, std::int64_t first) {
                weigh(pass, outer, b, first);
                if (is_start) pass.loss = a_.start_loss + b * stored_samples() + first;
            });
            collect(train_, block, inner, is_penalised_ ? a_.rho : nullptr, gradient);
        });
        has_start_losses_ = has_start_losses_ || is_start;
    }

    void outer_gradient(const oracle_call& call, const float*, const float* inner, float* value, float* of_outer,
                        float* of_inner) override {
        begin(call);
        std::fill_n(of_outer, call.num_problems * outer_dim(), 0.0F);
        for_blocks(call, [&](const problem_block& block) {
            gather(validation_, block, inner);
            differentiate(validation_, block, [](softmax_pass&, std::int64_t, std::int64_t) {});
            collect(validation_, block, inner, nullptr, of_inner);
            for (std::int64_t b = 0; b < block.num; ++b)
                value[block.first + b] = slice_total(validation_.num_slices, block.num, b, 0);
        });
    }

    void gap_gradient(const oracle_call& call, const float* outer, const float* inner, const float* descent, float* gap,
                      float* magnitude, float* gradient) override {
        begin(call);
        if (!has_start_losses_) {
            for_blocks(call, [&](const problem_block& block) {
                gather(train_, block, inner);
                evaluate(train_, block, kernels_.losses, [&](softmax_pass& pass, std::int64_t b, std::int64_t first) {
                    pass.loss = a_.start_loss + b * stored_samples() + first;
                });
            });
        }
        has_start_losses_ = false;
        for_blocks(call, [&](const problem_block& block) {
            gather(train_, block, descent);
            evaluate(train_, block, kernels_.gap, [&](softmax_pass& pass, std::int64_t b, std::int64_t first) {
                weigh(pass, outer, b, first);
                pass.start_loss = a_.start_loss + b * stored_samples() + first;
                if (num_weights_ > 0) pass.of_v = gradient + b * outer_dim() + first;
            });
            for (std::int64_t b = 0; b < block.num; ++b) {
                gap[block.first + b] = slice_total(train_.num_slices, block.num, b, 0);
                magnitude[block.first + b] = slice_total(train_.num_slices, block.num, b, 1);
            }
        });
        if (is_penalised_) add_penalties(call, inner, descent, gap, magnitude, gradient);
    }

    void held_out(const oracle_call& call, const float*, const float* inner, float* value) override {
        begin(call);
        for_blocks(call, [&](const problem_block& block) {
            gather(held_out_, block, inner);
            evaluate(held_out_, block, kernels_.losses, [](softmax_pass&, std::int64_t, std::int64_t) {});
            for (std::int64_t b = 0; b < block.num; ++b)
                value[block.first + b] = slice_total(held_out_.num_slices, block.num, b, 0);
        });
    }

private:
    /// What the calls work in.
    struct arrays {
        float* start_loss;    ///< [num_problems, stored_samples]: ℓ at θ_k
        float* rho;           ///< [num_problems, num_features], scaled
        float* penalty_sums;  ///< [num_problems, feature chunks, 2]
        float* theta;         ///< [rows of a block, row_]
        float* features;      ///< [num_features + 1, padded rows of a block]: θ, transposed for sparse samples
        float* residuals;     ///< [sparse samples, padded rows of a block]
        float* parts;         ///< [slices, rows of a block, row of the set]
        float* sums;          ///< [slices, problems of a block, 2]
    };

    std::int64_t stored_samples() const { return round_up(train_.of.num_samples, softmax_lanes); }
    std::int64_t feature_chunks() const { return num_chunks(num_features_, features_of_chunk); }
    std::int64_t block_problems(std::int64_t num_problems) const {
        std::int64_t of_row = slice_floats_;
        if (sparse_samples_ > 0) of_row = std::max({of_row, num_features_ + 1, sparse_samples_});
        const std::int64_t rows = std::min(most_rows_of_block, floats_of_block / of_row);
        return std::min(num_problems, std::max<std::int64_t>(1, rows / num_classes_));
    }
    std::int64_t padded_rows(const problem_block& block) const {
        return round_up(block.num * num_classes_, softmax_lanes);
    }

    /// @param lanes [num_lanes_], or null where the pieces are only counted
    arrays cut(piece_cutter& pieces, std::int64_t num_problems, lane_memory* lanes) const {
        arrays a{};
        const std::int64_t problems = block_problems(num_problems), rows = problems * num_classes_;
        a.start_loss = pieces.take<float>(num_problems, stored_samples());
        if (is_penalised_) {
            a.rho = pieces.take<float>(num_problems, num_features_);
            a.penalty_sums = pieces.take<float>(num_problems, 2 * feature_chunks());
        }
        a.theta = pieces.take<float>(rows, row_);
        const std::int64_t columns = round_up(rows, softmax_lanes);
        if (sparse_samples_ > 0) {
            a.features = pieces.take<float>(num_features_ + 1, columns);
            a.residuals = pieces.take<float>(sparse_samples_, columns);
        }
        a.parts = pieces.take<float>(rows, slice_floats_);
        a.sums = pieces.take<float>(most_slices_, 2 * problems);
        for (std::int64_t k = 0; k < num_lanes_; ++k) {
            lane_memory lane{};
            lane.panel = pieces.take<float>(panel_floats_);
            lane.scores = pieces.take<float>(rows, score_stride_);
            if (sparse_samples_ > 0) lane.features = pieces.take<float>(features_of_group, columns);
            if (lanes != nullptr) lanes[k] = lane;
        }
        return a;
    }

    void begin(const oracle_call& call) {
        expect_reserved(call.num_problems, reserved_);
        if (!team_ || team_threads_ != call.num_threads) {
            team_.emplace(std::max(1, call.num_threads));
            team_threads_ = call.num_threads;
        }
    }

    template <class Work>
    void for_blocks(const oracle_call& call, const Work& work) {
        const std::int64_t step = block_problems(call.num_problems);
        for (std::int64_t first = 0; first < call.num_problems; first += step)
            work(problem_block{first, std::min(step, call.num_problems - first)});
    }

    /// work(item, lane) for each item, by threads with memory of their own.
    template <class Work>
    void for_each_on_lanes(std::int64_t num_items, const Work& work) {
        std::atomic<std::int64_t> next{0};
        const std::int64_t num = std::min({static_cast<std::int64_t>(team_->num_threads()), num_lanes_, num_items});
        team_->for_each(num, 1, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t lane = first; lane < last; ++lane)
                for (std::int64_t item; (item = next.fetch_add(1)) < num_items;)
                    work(item, lanes_[static_cast<std::size_t>(lane)]);
        });
    }

    /// θ of a block, as a set's samples can be multiplied with it.
    void gather(const sample_set& set, const problem_block& block, const float* inner) {
        const float* const from = inner + block.first * inner_dim();
        const std::int64_t rows = block.num * num_classes_, d = num_features_;
        if (set.is_sparse()) {
            const std::int64_t columns = padded_rows(block);
            team_->for_each(d + 1, features_of_chunk, [&](std::int64_t first, std::int64_t last) {
                for (std::int64_t j = first; j < last; j += softmax_lanes)
                    for (std::int64_t k = 0; k < rows; ++k)
                        for (std::int64_t q = j; q < std::min(j + softmax_lanes, last); ++q)
                            a_.features[q * columns + k] = from[k * (d + 1) + q];
            });
            return;
        }
        team_->for_each(rows, rows_per_piece(), [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t k = first; k < last; ++k) {
                float* const to = a_.theta + k * set.row;
                const float* const theta = from + k * (d + 1);
                std::copy_n(theta, d, to);
                std::fill(to + d, to + set.padded, 0.0F);
                to[set.padded] = theta[d];
            }
        });
    }
    std::int64_t rows_per_piece() const { return std::max<std::int64_t>(1, (std::int64_t{1} << 16) / row_); }

    /// Samples as floats in rows of whole vectors. Floats are copied, too: read in one go they come from memory sooner
    /// than when blocks of a product ask for them.
    softmax_panel panel(const sample_set& set, std::int64_t first, std::int64_t num, float* room) const {
        const std::int64_t d = num_features_, padded = set.padded;
        for (std::int64_t i = 0; i < num; ++i) {
            float* const to = room + i * padded;
            if (set.of.kind == softmax_samples::storage::bytes)
                kernels_.normalise(set.of.pixels + (first + i) * d, d, set.of.shift, set.of.scale, to);
            else
                std::copy_n(set.of.values + (first + i) * d, d, to);
            std::fill(to + d, to + padded, 0.0F);
        }
        return {room, padded, padded, num};
    }

    /// Scores of each panel of a slice, and what `pass` makes of those of each problem; then use(panel, its first
    /// sample, whether it is the first of the slice). Of sparse samples the panel has no features.
    template <class Setup, class Use>
    void run_slice(const sample_set& set, const problem_block& block, std::int64_t slice, const lane_memory& lane,
                   void (*pass)(softmax_pass&), const Setup& setup, const Use& use) {
        float* const sums = a_.sums + slice * block.num * 2;
        std::fill_n(sums, 2 * block.num, 0.0F);
        const std::int64_t first_panel = slice * set.slice_panels;
        const std::int64_t last_panel = std::min(first_panel + set.slice_panels, set.num_panels);
        for (std::int64_t k = first_panel; k < last_panel; ++k) {
            const std::int64_t first = k * set.panel_samples;
            const std::int64_t num = std::min(set.panel_samples, set.of.num_samples - first);
            softmax_panel x{nullptr, 0, 0, num};
            if (set.is_sparse()) {
                kernels_.sparse_scores(set.by_sample(), first, num, a_.features, num_features_, padded_rows(block),
                                       block.num * num_classes_, lane.scores, score_stride_);
            } else {
                x = panel(set, first, num, lane.panel);
                kernels_.scores(x, {a_.theta, block.num * num_classes_}, lane.scores, score_stride_);
            }
            for (std::int64_t b = 0; b < block.num; ++b) {
                softmax_pass p{};
                p.scores = lane.scores + b * num_classes_ * score_stride_;
                p.stride = score_stride_;
                p.num_samples = num;
                p.num_classes = num_classes_;
                p.labels = set.labels.data() + first;
                p.scale = 1 / static_cast<float>(set.of.num_samples);
                setup(p, block.first + b, first);
                pass(p);
                sums[2 * b] += p.sums[0];
                sums[2 * b + 1] += p.sums[1];
            }
            use(x, first, k == first_panel);
        }
    }

    /// What `pass` makes of all scores: its sums.
    template <class Setup>
    void evaluate(const sample_set& set, const problem_block& block, void (*pass)(softmax_pass&), const Setup& setup) {
        for_each_on_lanes(set.num_slices, [&](std::int64_t slice, const lane_memory& lane) {
            run_slice(set, block, slice, lane, pass, setup, [](const softmax_panel&, std::int64_t, bool) {});
        });
    }

    /// The same for residuals, and the gradient of each slice; of sparse samples that of the bias alone.
    template <class Setup>
    void differentiate(const sample_set& set, const problem_block& block, const Setup& setup) {
        const std::int64_t rows = block.num * num_classes_, columns = padded_rows(block);
        for_each_on_lanes(set.num_slices, [&](std::int64_t slice, const lane_memory& lane) {
            run_slice(set, block, slice, lane, kernels_.residuals, setup,
                      [&](const softmax_panel& x, std::int64_t first, bool is_first) {
                          kernels_.gradient(x, lane.scores, score_stride_, {a_.parts + slice * rows * set.row, rows},
                                            !is_first);
                          if (!set.is_sparse()) return;
                          for (std::int64_t k = 0; k < rows; ++k)
                              for (std::int64_t i = 0; i < x.num_samples; ++i)
                                  a_.residuals[(first + i) * columns + k] = lane.scores[k * score_stride_ + i];
                      });
        });
    }

    /// The gradients of all slices, with that of the penalty.
    void collect(const sample_set& set, const problem_block& block, const float* inner, const float* rho, float* to) {
        const std::int64_t rows = block.num * num_classes_, d = num_features_;
        const std::int64_t offset = block.first * inner_dim();
        const auto rho_of = [&](std::int64_t k) {
            return rho == nullptr ? nullptr : rho + (block.first + k / num_classes_) * d;
        };
        team_->for_each(rows, rows_per_piece(), [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t k = first; k < last; ++k) {
                const float* const parts = a_.parts + k * set.row;
                float* const row = to + offset + k * (d + 1);
                kernels_.collect(parts + set.padded, rows * set.row, set.num_slices, 1, nullptr, nullptr, row + d);
                if (!set.is_sparse())
                    kernels_.collect(parts, rows * set.row, set.num_slices, d, rho_of(k), inner + offset + k * (d + 1),
                                     row);
            }
        });
        if (!set.is_sparse()) return;
        const std::int64_t columns = padded_rows(block), chunks = feature_chunks();
        for_each_on_lanes(chunks, [&](std::int64_t chunk, const lane_memory& lane) {
            const std::int64_t last = std::min((chunk + 1) * features_of_chunk, d);
            for (std::int64_t j = chunk * features_of_chunk; j < last; j += features_of_group) {
                const std::int64_t num = std::min(features_of_group, last - j);
                kernels_.sparse_gradient(set.by_feature(), j, num, a_.residuals, columns, lane.features);
                float of_row[features_of_group] = {};
                for (std::int64_t k = 0; k < rows; ++k) {
                    for (std::int64_t q = 0; q < num; ++q) of_row[q] = lane.features[q * columns + k];
                    const std::int64_t at = offset + k * (d + 1) + j;
                    kernels_.collect(of_row, 0, 1, num, rho == nullptr ? nullptr : rho_of(k) + j, inner + at, to + at);
                }
            }
        });
    }

    void weigh(softmax_pass& pass, const float* outer, std::int64_t b, std::int64_t first) const {
        if (num_weights_ == 0) return;
        pass.weight_v = outer + b * outer_dim() + first;
        pass.is_sigmoid = options_.weights == sample_weights::sigmoid;
    }

    float slice_total(std::int64_t num_slices, std::int64_t num_problems, std::int64_t b, std::int64_t which) const {
        float total = 0;
        for (std::int64_t s = 0; s < num_slices; ++s) total += a_.sums[(s * num_problems + b) * 2 + which];
        return total;
    }

    void add_penalties(const oracle_call& call, const float* inner, const float* descent, float* gap, float* magnitude,
                       float* gradient) {
        const std::int64_t chunks = feature_chunks();
        team_->for_each(call.num_problems * chunks, 1, [&](std::int64_t first_item, std::int64_t last_item) {
            for (std::int64_t item = first_item; item < last_item; ++item) {
                const std::int64_t b = item / chunks, first = item % chunks * features_of_chunk;
                softmax_penalty p{};
                p.num_features = std::min(features_of_chunk, num_features_ - first);
                p.num_classes = num_classes_;
                p.row = num_features_ + 1;
                p.rho = a_.rho + b * num_features_ + first;
                p.inner = inner + b * inner_dim() + first;
                p.descent = descent + b * inner_dim() + first;
                if (num_penalties_ > 0) p.of_v = gradient + b * outer_dim() + num_weights_ + first;
                kernels_.penalty_gap(p);
                std::copy_n(p.sums, 2, a_.penalty_sums + 2 * item);
            }
        });
        for (std::int64_t b = 0; b < call.num_problems; ++b) {
            for (std::int64_t k = 0; k < chunks; ++k) {
                gap[b] += a_.penalty_sums[2 * (b * chunks + k)];
                magnitude[b] += a_.penalty_sums[2 * (b * chunks + k) + 1];
            }
        }
    }

    const softmax_kernels& kernels_;
    const softmax_parts parts_;
    const softmax_options& options_ = parts_.options;
    sample_set train_, validation_, held_out_;
    std::int64_t num_classes_, num_features_, num_weights_, num_penalties_;
    bool is_penalised_;
    // The most of all sets:
    std::int64_t row_ = 0, most_slices_ = 1, most_samples_ = 0, sparse_samples_ = 0;
    std::int64_t panel_floats_ = 0;
    std::int64_t slice_floats_ = 0;  ///< of a row's gradients of all slices
    std::int64_t score_stride_ = 0, num_lanes_ = 1;

    std::unique_ptr<aligned_memory> memory_;
    std::vector<lane_memory> lanes_;
    arrays a_{};
    std::int64_t reserved_ = 0;
    const float* given_ = nullptr;   ///< ρ of each problem
    bool has_start_losses_ = false;  ///< a_.start_loss is of the θ_k of the next gap_gradient
    std::optional<thread_team> team_;
    int team_threads_ = 0;
};

}  // namespace

std::unique_ptr<oracle<float>> make_softmax_cpu(const softmax_parts& parts, instruction_set instructions) {
    return std::make_unique<softmax_cpu>(parts, *kernels_for(instructions));
}

bool is_softmax_compiled(instruction_set instructions) {
    return kernels_for(instructions) != nullptr;
}

}  // namespace cubome::detail
