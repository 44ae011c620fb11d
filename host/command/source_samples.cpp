// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cubome/families.hpp"
#include "cubome/readers.hpp"
#include "host/command/source_makers.hpp"

namespace cubome::command {
namespace {

constexpr std::int64_t image_side = 28;
constexpr const char* default_fashion_folder = "/usr/share/datasets/fashion-mnist";

/// Samples by class, in the order of their labels.
struct sample_pool {
    struct one_class {
        double label = 0;
        std::vector<float> features;  ///< [count, num_features]
    };
    std::int64_t num_features = 0;
    std::vector<one_class> classes;

    std::uint32_t count(std::size_t which) const {
        return static_cast<std::uint32_t>(classes[which].features.size() / static_cast<std::size_t>(num_features));
    }
};

/// Two classes, by their places in the pool.
struct class_pair {
    std::size_t first, second;
};

/// Pair p of n classes, in the order (0, 1), (0, 2) … (1, 2) …
class_pair pair_of(std::int64_t p, std::size_t n) {
    for (std::size_t a = 0; a + 1 < n; ++a) {
        const auto pairs = static_cast<std::int64_t>(n - 1 - a);
        if (p < pairs) return {a, a + 1 + static_cast<std::size_t>(p)};
        p -= pairs;
    }
    return {0, 0};
}

/// Puts samples into their classes.
class pool_builder {
public:
    pool_builder(const char* reader, const std::string& path, std::int64_t num_features)
        : reader_(reader), path_(path), num_features_(num_features) {}

    /// A feature as samples have it.
    float feature(double x) const {
        if (std::abs(x) > static_cast<double>(std::numeric_limits<float>::max()))
            throw read_error(reader_, path_, 0, "a feature is beyond the numbers that float has");
        return static_cast<float>(x);
    }

    void add(double label, const std::vector<float>& features) {
        std::vector<float>& of_class = classes_[label];
        of_class.insert(of_class.end(), features.begin(), features.end());
    }

    sample_pool take(key_mixer& mixer) {
        sample_pool pool;
        pool.num_features = num_features_;
        mixer.add(static_cast<std::uint64_t>(num_features_));
        for (auto& [label, features] : classes_) {
            key_mixer of_class;
            for (const float x : features) of_class.add(bits_of(static_cast<double>(x)));
            mixer.add(bits_of(label)).add(of_class.key());
            pool.classes.push_back({label, std::move(features)});
        }
        return pool;
    }

private:
    const char* reader_;
    const std::string& path_;
    std::int64_t num_features_;
    std::map<double, std::vector<float>> classes_;
};

std::string fashion_file(const char* name) {
    const char* const folder = std::getenv("CUBOME_FASHION_MNIST");
    return std::string(folder != nullptr ? folder : default_fashion_folder) + "/" + name;
}

/// Images whose pixels are averaged in squares of `pool`.
sample_pool read_images(const std::string& images_path, const std::string& labels_path, std::int64_t pool,
                        key_mixer& mixer) {
    const idx_array images = read_idx(images_path), labels = read_idx(labels_path);
    if (images.extents.size() != 3)
        throw read_error("read_idx", images_path, 3, "the rank is not 3, as images have it");
    if (labels.extents.size() != 1 || labels.extents[0] != images.extents[0])
        throw read_error("read_idx", labels_path, 3, "is not one label for each image");
    const std::int64_t rows = images.extents[1], columns = images.extents[2];
    if (rows % pool != 0 || columns % pool != 0 || rows == 0 || columns == 0)
        throw read_error("read_idx", images_path, 8, "images are not made of squares of " + std::to_string(pool));
    const std::int64_t across = columns / pool, down = rows / pool;
    pool_builder builder("read_idx", images_path, across * down);
    std::vector<float> pooled(static_cast<std::size_t>(across * down));
    for (std::int64_t i = 0; i < images.extents[0]; ++i) {
        std::fill(pooled.begin(), pooled.end(), 0.0f);
        for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t c = 0; c < columns; ++c)
                pooled[static_cast<std::size_t>(r / pool * across + c / pool)] +=
                    images.values[static_cast<std::size_t>((i * rows + r) * columns + c)];
        for (float& x : pooled) x /= static_cast<float>(pool * pool);
        builder.add(labels.values[static_cast<std::size_t>(i)], pooled);
    }
    return builder.take(mixer);
}

sample_pool read_table(const std::string& path, const std::string& label_column, key_mixer& mixer) {
    const csv_table table = read_csv(path);
    const auto at = std::find(table.names.begin(), table.names.end(), label_column);
    if (at == table.names.end())
        throw read_error("read_csv", path, 0, "there is no column '" + label_column + "', which has the labels");
    if (table.num_columns < 2) throw read_error("read_csv", path, 0, "there is no column beside the labels");
    const auto label = static_cast<std::int64_t>(at - table.names.begin());
    pool_builder builder("read_csv", path, table.num_columns - 1);
    std::vector<float> features;
    for (std::int64_t r = 0; r < table.num_rows; ++r) {
        const double* const row = table.values.data() + r * table.num_columns;
        features.clear();
        for (std::int64_t c = 0; c < table.num_columns; ++c)
            if (c != label) features.push_back(builder.feature(row[c]));
        builder.add(row[label], features);
    }
    return builder.take(mixer);
}

sample_pool read_arrays(const std::string& features_path, const std::string& labels_path, key_mixer& mixer) {
    const npy_array x = read_npy(features_path), y = read_npy(labels_path);
    if (x.extents.size() != 2 || x.extents[1] < 1)
        throw read_error("read_npy", features_path, 0, "is not of [samples, features]");
    if (y.extents.size() != 1 || y.extents[0] != x.extents[0])
        throw read_error("read_npy", labels_path, 0, "is not one label for each sample");
    pool_builder builder("read_npy", features_path, x.extents[1]);
    for (std::int64_t r = 0; r < x.extents[0]; ++r) {
        const double* const row = x.values.data() + r * x.extents[1];
        std::vector<float> features(static_cast<std::size_t>(x.extents[1]));
        std::transform(row, row + x.extents[1], features.begin(), [&](double v) { return builder.feature(v); });
        builder.add(y.values[static_cast<std::size_t>(r)], features);
    }
    return builder.take(mixer);
}

sample_pool read_sparse(const std::string& path, key_mixer& mixer) {
    constexpr std::int64_t most_elements = std::int64_t{1} << 31;
    const sparse_table table = read_libsvm(path);
    const auto rows = static_cast<std::int64_t>(table.labels.size());
    if (table.num_columns < 1) throw read_error("read_libsvm", path, 0, "there is no feature");
    if (rows > most_elements / table.num_columns)
        throw read_error("read_libsvm", path, 0, "is too large for small problems: they are solved as dense ones");
    pool_builder builder("read_libsvm", path, table.num_columns);
    std::vector<float> features(static_cast<std::size_t>(table.num_columns));
    for (std::int64_t r = 0; r < rows; ++r) {
        std::fill(features.begin(), features.end(), 0.0f);
        for (std::int64_t e = table.row_starts[static_cast<std::size_t>(r)];
             e < table.row_starts[static_cast<std::size_t>(r) + 1]; ++e)
            features[static_cast<std::size_t>(table.columns[static_cast<std::size_t>(e)])] =
                builder.feature(table.values[static_cast<std::size_t>(e)]);
        builder.add(table.labels[static_cast<std::size_t>(r)], features);
    }
    return builder.take(mixer);
}

/// What problems are drawn from.
struct sample_pools {
    sample_pool train;
    sample_pool held_out;  ///< without classes: held-out samples are drawn from `train`, too
};

sample_pools read_pools(const sweep_spec& spec, const sweep_point& batch, data_store& store) {
    const auto text = [&](const char* key) { return spec.value(spec.find(std::string("problem.") + key), batch).text; };
    const auto file = [&](const char* key) {
        const std::string name = text(key);
        if (name.empty())
            throw spec_error(spec.path, spec.keys[spec.find("problem.format")].line,
                             std::string("problem.") + key + " is missing, which this format needs");
        return (std::filesystem::path(spec.folder) / name).string();
    };
    const std::string format = text("format");
    const bool has_held_out = !text("held_out_file").empty();
    sample_pools pools;
    if (format == "fashion_mnist") {
        const std::int64_t pool = spec.integer(spec.find("problem.pool"), batch);
        pools.train = read_images(fashion_file("train-images-idx3-ubyte.gz"),
                                  fashion_file("train-labels-idx1-ubyte.gz"), pool, store.mixer);
        pools.held_out = read_images(fashion_file("t10k-images-idx3-ubyte.gz"),
                                     fashion_file("t10k-labels-idx1-ubyte.gz"), pool, store.mixer);
        return pools;
    }
    const auto read = [&](const char* features, const char* labels) {
        if (format == "idx")
            return read_images(file(features), file(labels), spec.integer(spec.find("problem.pool"), batch),
                               store.mixer);
        if (format == "npy") return read_arrays(file(features), file(labels), store.mixer);
        if (format == "csv") return read_table(file(features), text("label_column"), store.mixer);
        return read_sparse(file(features), store.mixer);
    };
    pools.train = read("file", "labels");
    if (has_held_out) pools.held_out = read("held_out_file", "held_out_labels");
    const auto same_label = [](const auto& a, const auto& b) { return a.label == b.label; };
    if (has_held_out && (pools.held_out.num_features != pools.train.num_features ||
                         !std::equal(pools.held_out.classes.begin(), pools.held_out.classes.end(),
                                     pools.train.classes.begin(), pools.train.classes.end(), same_label)))
        throw spec_error(spec.path, spec.keys[spec.find("problem.held_out_file")].line,
                         "problem.held_out_file has other features or classes than problem.file");
    return pools;
}

/// Moves and scales features: one mean and one deviation for all of them, or one for each.
template <class Real>
class standardiser {
public:
    standardiser(bool is_per_feature, std::int64_t num_features, std::int64_t num_samples, const Real* features)
        : mean_(static_cast<std::size_t>(num_features), 0), factor_(static_cast<std::size_t>(num_features), 1) {
        const std::int64_t stride = num_features + 1;
        const auto fit = [&](std::int64_t from, std::int64_t to) {
            // Of differences from one of the numbers: exactly 0 where all are equal, whatever they are.
            const auto some = static_cast<double>(features[from]);
            double sum = 0, squares = 0;
            for (std::int64_t i = 0; i < num_samples; ++i) {
                for (std::int64_t j = from; j < to; ++j) {
                    const double x = static_cast<double>(features[i * stride + j]) - some;
                    sum += x;
                    squares += x * x;
                }
            }
            const double count = static_cast<double>(num_samples * (to - from)), mean = some + sum / count;
            const double variance = squares / count - (sum / count) * (sum / count);
            for (std::int64_t j = from; j < to; ++j) {
                mean_[static_cast<std::size_t>(j)] = mean;
                if (variance > 0) factor_[static_cast<std::size_t>(j)] = 1 / std::sqrt(variance);
            }
        };
        const std::int64_t width = is_per_feature ? 1 : num_features;
        for (std::int64_t j = 0; j < num_features; j += width) fit(j, j + width);
    }

    void apply(std::int64_t num_samples, Real* features) const {
        const std::size_t d = mean_.size();
        for (std::size_t i = 0; i < static_cast<std::size_t>(num_samples); ++i)
            for (std::size_t j = 0; j < d; ++j) {
                Real& x = features[i * (d + 1) + j];
                x = static_cast<Real>((static_cast<double>(x) - mean_[j]) * factor_[j]);
            }
    }

private:
    std::vector<double> mean_, factor_;
};

enum class scaling { overall, per_feature, none };

template <class Real>
class samples final : public problem_source<Real> {
public:
    samples(const sweep_spec& spec, const sweep_point& batch, data_store& store)
        : spec_(spec), pools_(store.get<sample_pools>("samples", [&] { return read_pools(spec, batch, store); })) {
        const auto integer = [&](const char* key) { return spec.integer(key_of(key), batch); };
        num_train_ = integer("train");
        num_validation_ = integer("validation");
        num_held_out_ = integer("held_out");
        num_features_ = pools_.train.num_features + 1;
        scaling_ = static_cast<scaling>(integer("standardise"));
        options_.weights = static_cast<sample_weights>(integer("weights"));
        options_.regularizer = integer("penalties") == 0 ? penalty::fixed : penalty::per_feature;
        options_.num_held_out = num_held_out_;
        pair_ = key_of("pair"), flip_rate_ = key_of("flip_rate"), unit_ = key_of("unit");
        penalty_ = key_of("penalty"), outer_penalty_ = key_of("outer_penalty");
        check();
    }

    cubome::problem<Real> problem() const override {
        return linear_model<Real>(num_train_, num_validation_, num_features_, options_);
    }

    std::vector<std::string> arrays() const override {
        std::vector<std::string> names = {"train_x",      "train_y",       "validation_x",
                                          "validation_y", "outer_penalty", "outer_center"};
        if (options_.regularizer == penalty::fixed) names.emplace_back("penalty");
        if (num_held_out_ > 0) names.emplace_back("held_out_x"), names.emplace_back("held_out_y");
        return names;
    }

    void make(const sweep_point& at, const problem_place<Real>& to) const override {
        const class_pair classes = pair_of(spec_.integer(pair_, at), pools_.train.classes.size());
        Real* const held_out_x = num_held_out_ > 0 ? to.arrays[to.arrays.size() - 2] : nullptr;
        Real* const held_out_y = num_held_out_ > 0 ? to.arrays[to.arrays.size() - 1] : nullptr;
        for (int side = 0; side < 2; ++side) {
            const std::size_t which = side == 0 ? classes.first : classes.second;
            draw_stream random = spec_.draws("samples", at, static_cast<std::uint64_t>(which));
            const bool is_apart = !pools_.held_out.classes.empty();
            const std::uint32_t n = half(num_train_, side), m = half(num_validation_, side),
                                h = half(num_held_out_, side);
            // Training samples from the front of one random order, held-out and then validation ones from its back: the
            // size of a set changes no other one, but for that of held-out samples.
            const std::uint32_t count = pools_.train.count(which), last = is_apart ? count : count - h;
            const auto order = draw_distinct(count, count, random);
            const std::span<const std::uint32_t> all(order);
            put(pools_.train, which, side, all.first(n), to.arrays[0], to.arrays[1]);
            put(pools_.train, which, side, all.subspan(last - m, m), to.arrays[2], to.arrays[3]);
            if (is_apart) {
                draw_stream apart = spec_.draws("held-out samples", at, static_cast<std::uint64_t>(which));
                put(pools_.held_out, which, side, draw_distinct(pools_.held_out.count(which), h, apart), held_out_x,
                    held_out_y);
            } else
                put(pools_.train, which, side, all.subspan(last), held_out_x, held_out_y);
        }
        if (scaling_ != scaling::none) {
            const standardiser<Real> by(scaling_ == scaling::per_feature, num_features_ - 1, num_train_, to.arrays[0]);
            by.apply(num_train_, to.arrays[0]);
            by.apply(num_validation_, to.arrays[2]);
            if (num_held_out_ > 0) by.apply(num_held_out_, held_out_x);
        }
        const double unit = spec_.number(unit_, at);
        if (unit != 1) {
            scale(num_train_, unit, to.arrays[0]);
            scale(num_validation_, unit, to.arrays[2]);
            scale(num_held_out_, unit, held_out_x);
        }
        for (const std::uint32_t i : flipped(at)) to.arrays[1][i] = -to.arrays[1][i];

        const double rho = spec_.number(penalty_, at) * unit * unit;
        to.arrays[4][0] = static_cast<Real>(spec_.number(outer_penalty_, at));
        const std::int64_t num_weights = options_.weights == sample_weights::none ? 0 : num_train_;
        const bool has_penalties = options_.regularizer == penalty::per_feature;
        const std::int64_t n_v = num_weights + (has_penalties ? num_features_ - 1 : 0);
        const auto start_weight = static_cast<Real>(options_.weights == sample_weights::clip ? 0.5 : 0);
        for (std::int64_t i = 0; i < n_v; ++i) {
            to.outer[i] = i < num_weights ? start_weight : static_cast<Real>(cubome::log(rho));
            to.arrays[5][i] = to.outer[i];
        }
        if (!has_penalties) std::fill_n(to.arrays[6], num_features_ - 1, static_cast<Real>(rho));
    }

    void measure(const sweep_point& at, const problem_place<Real>& solved, double* to) const override {
        for (const std::string& name : spec_.measures)
            *to++ = name == "accuracy" ? accuracy(solved) : flip_f1(at, solved);
    }

private:
    std::size_t key_of(const char* key) const { return spec_.find(std::string("problem.") + key); }

    /// Samples of a set that are of the first (side 0) or the second class.
    static std::uint32_t half(std::int64_t count, int side) {
        return static_cast<std::uint32_t>(side == 0 ? (count + 1) / 2 : count / 2);
    }

    void check() const {
        const auto fail = [&](const char* key, const std::string& reason) {
            throw spec_error(spec_.path, spec_.keys[key_of(key)].line, std::string("problem.") + key + " " + reason);
        };
        if (options_.weights == sample_weights::none && options_.regularizer == penalty::fixed)
            fail("weights", "is none and problem.penalties is fixed: there is nothing to be learnt");
        const sample_pool& train = pools_.train;
        const auto num_pairs = static_cast<std::int64_t>(train.classes.size() * (train.classes.size() - 1) / 2);
        if (num_held_out_ == 0 && spec_.keeps_held_out) fail("held_out", "is 0, but 'keep' has held_out");
        double last = 0;
        for (const double x : spec_.possible(pair_)) last = std::max(last, x);
        if (train.classes.empty() || last >= static_cast<double>(num_pairs))
            fail("pair", "is up to " + std::to_string(static_cast<std::int64_t>(last)) + ", but there are " +
                             std::to_string(train.classes.size()) + " classes, " + std::to_string(num_pairs) +
                             " pairs");
        const bool is_apart = !pools_.held_out.classes.empty();
        for (std::size_t c = 0; c < train.classes.size(); ++c) {
            const std::uint32_t wanted = half(num_train_, 0) + half(num_validation_, 0);
            const std::uint32_t held_out = half(num_held_out_, 0);
            if (train.count(c) < wanted + (is_apart ? 0 : held_out) ||
                (is_apart && pools_.held_out.count(c) < held_out))
                fail("train", "and the other sets take more samples than class " + std::to_string(c) + " has");
        }
    }

    void put(const sample_pool& pool, std::size_t which, int side, std::span<const std::uint32_t> chosen, Real* x,
             Real* y) const {
        const auto d = static_cast<std::size_t>(pool.num_features);
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            const std::size_t row = 2 * i + static_cast<std::size_t>(side);
            const float* const from = pool.classes[which].features.data() + chosen[i] * d;
            Real* const to = x + row * (d + 1);
            for (std::size_t j = 0; j < d; ++j) to[j] = static_cast<Real>(from[j]);
            to[d] = 1;
            y[row] = static_cast<Real>(side == 0 ? -1 : 1);
        }
    }

    void scale(std::int64_t count, double unit, Real* x) const {
        for (std::int64_t i = 0; i < count; ++i)
            for (std::int64_t j = 0; j + 1 < num_features_; ++j)
                x[i * num_features_ + j] = static_cast<Real>(unit * static_cast<double>(x[i * num_features_ + j]));
    }

    /// Which training labels are wrong.
    std::vector<std::uint32_t> flipped(const sweep_point& at) const {
        const auto count =
            static_cast<std::uint32_t>(std::lround(spec_.number(flip_rate_, at) * static_cast<double>(num_train_)));
        draw_stream random = spec_.draws("flips", at);
        return draw_distinct(static_cast<std::uint32_t>(num_train_), count, random);
    }

    /// The share of held-out samples that θ classifies as their labels do.
    double accuracy(const problem_place<Real>& solved) const {
        if (num_held_out_ == 0) return std::numeric_limits<double>::quiet_NaN();
        const Real* const x = solved.arrays[solved.arrays.size() - 2];
        const Real* const y = solved.arrays[solved.arrays.size() - 1];
        std::int64_t right = 0;
        for (std::int64_t i = 0; i < num_held_out_; ++i) {
            double score = 0;
            for (std::int64_t j = 0; j < num_features_; ++j)
                score += static_cast<double>(x[i * num_features_ + j]) * static_cast<double>(solved.inner[j]);
            right += score * static_cast<double>(y[i]) > 0;
        }
        return static_cast<double>(right) / static_cast<double>(num_held_out_);
    }

    /// F1 of finding the wrong labels: those whose weight fell below ½. 2 hits / (found + wrong).
    double flip_f1(const sweep_point& at, const problem_place<Real>& solved) const {
        if (options_.weights == sample_weights::none) return std::numeric_limits<double>::quiet_NaN();
        const double threshold = options_.weights == sample_weights::clip ? 0.5 : 0;
        const std::vector<std::uint32_t> wrong = flipped(at);
        const auto is_found = [&](std::int64_t i) { return static_cast<double>(solved.outer[i]) < threshold; };
        std::int64_t found = 0, hits = 0;
        for (std::int64_t i = 0; i < num_train_; ++i) found += is_found(i);
        for (const std::uint32_t i : wrong) hits += is_found(i);
        const auto both = found + static_cast<std::int64_t>(wrong.size());
        return both == 0 ? std::numeric_limits<double>::quiet_NaN()
                         : 2 * static_cast<double>(hits) / static_cast<double>(both);
    }

    const sweep_spec& spec_;
    const sample_pools& pools_;
    std::int64_t num_train_, num_validation_, num_held_out_, num_features_;
    scaling scaling_;
    linear_model_options options_;
    std::size_t pair_, flip_rate_, unit_, penalty_, outer_penalty_;
};

}  // namespace

source_rules samples_rules() {
    using kind = key_rule::kind;
    constexpr double most = 1000000;
    return {"samples",
            "logistic regression between two classes of samples, whose sample weights or penalties are learnt",
            {{"format",
              kind::word,
              nullptr,
              0,
              0,
              {"fashion_mnist", "csv", "npy", "libsvm", "idx"},
              false,
              "of the files; fashion_mnist: the package's, or those in the folder CUBOME_FASHION_MNIST"},
             {"file", kind::path, "\"\"", 0, 0, {}, false, "features; csv and libsvm: and labels"},
             {"labels", kind::path, "\"\"", 0, 0, {}, false, "npy, idx: the labels"},
             {"label_column", kind::text, "\"label\"", 0, 0, {}, false, "csv: the column of the labels"},
             {"held_out_file", kind::path, "\"\"", 0, 0, {}, false, "held-out samples; absent: of 'file'"},
             {"held_out_labels", kind::path, "\"\"", 0, 0, {}, false, "npy, idx: their labels"},
             {"pool",
              kind::integer,
              "4",
              1,
              static_cast<double>(image_side),
              {},
              false,
              "images: averaged in squares of so many pixels"},
             {"pair", kind::integer, "0", 0, most, {}, false, "which two classes: 0 is (0, 1), 1 is (0, 2), …"},
             {"train", kind::integer, "256", 2, most, {}, true, "training samples"},
             {"validation", kind::integer, "64", 2, most, {}, true, "validation samples, those of f"},
             {"held_out", kind::integer, "400", 0, most, {}, true, "held-out samples"},
             {"standardise",
              kind::word,
              "\"overall\"",
              0,
              0,
              {"overall", "per_feature", "none"},
              true,
              "by the training samples' mean and deviation"},
             {"unit", kind::number, "1", 1e-6, 1e6, {}, false, "multiplies every feature; the penalty by its square"},
             {"flip_rate", kind::number, "0", 0, 1, {}, false, "share of the training labels that are wrong"},
             {"weights", kind::word, "\"sigmoid\"", 0, 0, {"none", "sigmoid", "clip"}, true, "what v does to samples"},
             {"penalties", kind::word, "\"fixed\"", 0, 0, {"fixed", "per_feature"}, true, "what v does to penalties"},
             {"penalty", kind::number, "0.03", 1e-12, 1e12, {}, false, "where fixed, else where log-penalties start"},
             {"outer_penalty", kind::number, "0.001", 0, 1e12, {}, false, "keeps v near its start"}},
            {"accuracy", "flip_f1"},
            true};
}

template <class Real>
std::unique_ptr<problem_source<Real>> make_samples(const sweep_spec& spec, const sweep_point& batch,
                                                   data_store& store) {
    for (const char* const key :
         {"format", "file", "labels", "label_column", "held_out_file", "held_out_labels", "pool"}) {
        const spec_key& k = spec.keys[spec.find(std::string("problem.") + key)];
        if (k.is != spec_key::kind::fixed) throw spec_error(spec.path, k.line, k.name + " cannot be swept");
    }
    return std::make_unique<samples<Real>>(spec, batch, store);
}

template std::unique_ptr<problem_source<float>> make_samples(const sweep_spec&, const sweep_point&, data_store&);
template std::unique_ptr<problem_source<double>> make_samples(const sweep_spec&, const sweep_point&, data_store&);

}  // namespace cubome::command
