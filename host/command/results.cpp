// SPDX-License-Identifier: Apache-2.0
#include "host/command/results.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <utility>

#include "cubome/readers.hpp"
#include "cubome/summary.hpp"

namespace cubome::command {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

folder_results::folder_results(const std::vector<std::string>& folders, bool wants_hints) {
    manifest first;
    for (const std::string& folder : folders) {
        const std::string path = folder + "/manifest.json";
        const manifest about = manifest::read(read_text(path), path);
        if (parts_.empty()) {
            first = about;
            const std::string spec_path = folder + "/spec.json";
            spec_ = std::make_unique<const sweep_spec>(read_text(spec_path), spec_path, about.spec_folder(folder));
            if (spec_->key() != about.own_spec_key)
                throw spec_error(spec_path, 0, "was changed: the results beside it are of another spec");
        } else if (about.spec_key != first.spec_key || about.own_spec_key != first.own_spec_key ||
                   about.build != first.build || about.dims != first.dims) {
            throw spec_error(folder, 0, "has results of another sweep than " + folders.front());
        }
        parts_.push_back({folder, about.spec_key, about.part.of(spec_->num_problems())});
    }
    std::erase_if(parts_, [](const part& p) { return p.range.count == 0; });  // more shards than problems
    std::sort(parts_.begin(), parts_.end(), [](const part& a, const part& b) { return a.range.first < b.range.first; });
    for (std::size_t i = 1; i < parts_.size(); ++i)
        if (parts_[i].range.first < parts_[i - 1].range.first + parts_[i - 1].range.count)
            throw spec_error(parts_[i].folder, 0, "has problems that " + parts_[i - 1].folder + " has, too");
    dims_ = first.dims;
    if (static_cast<std::int64_t>(dims_.size()) != spec_->num_batches())
        throw spec_error(folders.front() + "/manifest.json", 0, "does not belong to spec.json");

    name = spec_->name;
    made_by = "cuBOME " + first.version + ", " + first.backend +
              (first.backend == "cpu" ? ", " + first.instructions : std::string()) +
              (spec_->is_double ? ", double" : ", float") + ", build " + first.build;
    sweep_results::spec = spec_->text;
    num_problems = spec_->num_problems();
    const record_layout layout = layout_of(*spec_, 0, 0);
    const auto rank = std::find(layout.fields.begin(), layout.fields.end(), spec_->rank_by);
    rank_field_ = static_cast<std::size_t>(rank - layout.fields.begin());
    const auto add = [&](const std::string& field) {
        fields.push_back({field, field == "accuracy" || field == "flip_f1"});
    };
    add(spec_->rank_by);
    for (std::size_t i = 0; i < layout.fields.size(); ++i)
        if (i != rank_field_) add(layout.fields[i]);
    trace_fields = layout.trace_fields;
    find_parameters();
    num_damaged_ = for_each_whole([&](const whole_row&) { ++num_present; });
    if (wants_hints) gather_hints();
}

void folder_results::find_parameters() {
    const auto add = [&](parameter p, std::size_t key, std::size_t axis, std::vector<std::int32_t> labels) {
        parameters.push_back(std::move(p));
        keys_of_parameters_.push_back(key);
        axes_of_parameters_.push_back(axis);
        labels_of_places_.push_back(std::move(labels));
    };
    const std::size_t none = spec_->keys.size();
    for (std::size_t a = 0; a < spec_->axes.size(); ++a) {
        const sweep_axis& axis = spec_->axes[a];
        if (axis.is_replicate) {
            parameter p{axis.name, parameter::kind::replicate, {}, {}};
            std::vector<std::int32_t> labels;
            for (std::int64_t i = 0; i < axis.size; ++i) {
                p.labels.push_back(std::to_string(i));
                p.numbers.push_back(static_cast<double>(i));
                labels.push_back(static_cast<std::int32_t>(i));
            }
            add(std::move(p), none, a, std::move(labels));
            continue;
        }
        for (std::size_t k = 0; k < none; ++k) {
            const spec_key& key = spec_->keys[k];
            if (key.is != spec_key::kind::grid || key.axis != a) continue;
            parameter p{key.name, parameter::kind::grid, {}, {}};
            std::vector<std::int32_t> labels;
            std::map<std::string, std::int32_t> known;  // zipped with others, one value may come several times
            for (const spec_value& v : key.values) {
                const auto [at, is_new] = known.emplace(v.text, static_cast<std::int32_t>(known.size()));
                labels.push_back(at->second);
                if (!is_new) continue;
                p.labels.push_back(v.text);
                const bool is_number =
                    key.rule->is == key_rule::kind::number || key.rule->is == key_rule::kind::integer;
                p.numbers.push_back(is_number ? v.number : nan);
            }
            add(std::move(p), k, a, std::move(labels));
        }
    }
    for (std::size_t k = 0; k < none; ++k)
        if (spec_->keys[k].is == spec_key::kind::drawn)
            add({spec_->keys[k].name, parameter::kind::drawn, {}, {}}, k, spec_->axes.size(), {});
}

std::int64_t folder_results::for_each_whole(const std::function<void(const whole_row&)>& visit) const {
    std::int64_t num_damaged = 0;
    const std::int64_t per_batch = spec_->problems_per_batch();
    std::vector<std::int32_t> places(parameters.size());
    std::vector<double> numbers(parameters.size()), values, trace, variables;
    std::int64_t layout_of_batch = -1;
    record_layout layout;
    for (const part& p : parts_) {
        const std::string path = p.folder + "/results.log";
        result_log_reader log(path);
        if (log.identity().spec_key != p.key || log.identity().first_index != p.range.first ||
            log.identity().num_records() != p.range.count)
            throw read_error("report", path, 0, "does not belong to the manifest beside it");
        std::int64_t index;
        std::span<const std::byte> payload;
        while (log.next(index, payload)) {
            problem_row row;
            row.index = p.range.first + index;
            const std::int64_t batch = row.index / per_batch;
            const auto [n_v, n_theta] = dims_[static_cast<std::size_t>(batch)];
            if (batch != layout_of_batch) {
                layout = layout_of(*spec_, batch, n_v + n_theta);
                layout_of_batch = batch;
            }
            if (static_cast<std::int64_t>(payload.size()) != layout.bytes())
                throw read_error("report", path, 0, "has records of another length than its spec asks for");
            const sweep_point at = spec_->point(row.index);
            for (std::size_t i = 0; i < parameters.size(); ++i) {
                if (parameters[i].is == parameter::kind::drawn) {
                    places[i] = -1;
                    numbers[i] = spec_->number(keys_of_parameters_[i], at);
                } else {
                    const auto place = static_cast<std::size_t>(at.places[axes_of_parameters_[i]]);
                    places[i] = labels_of_places_[i][place];
                    numbers[i] = parameters[i].numbers[static_cast<std::size_t>(places[i])];
                }
            }
            record_reader record(payload);
            row.outcome = record.ended;
            row.quantity = record.not_finite;
            row.iterations = record.iterations;
            values.clear();
            for (std::size_t i = 0; i < layout.fields.size(); ++i) values.push_back(record.next<double>());
            std::rotate(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank_field_),
                        values.begin() + static_cast<std::ptrdiff_t>(rank_field_) + 1);
            trace.resize(layout.trace_fields.size() * static_cast<std::size_t>(layout.num_trace_rows));
            for (double& x : trace) x = record.next_real(layout.real_size);
            variables.resize(static_cast<std::size_t>(layout.num_variables));
            for (double& x : variables) x = record.next_real(layout.real_size);
            row.places = places;
            row.numbers = numbers;
            row.values = values;
            row.trace = trace;
            row.num_trace_rows = layout.num_trace_rows;
            row.trace_interval = spec_->trace_interval;
            const std::span<const double> all(variables);
            const auto cut = all.empty() ? 0 : static_cast<std::size_t>(n_v);
            visit({row, batch, all.first(cut), all.subspan(cut)});
        }
        num_damaged += log.num_damaged();
    }
    return num_damaged;
}

void folder_results::for_each(const std::function<void(const problem_row&)>& visit) const {
    for_each_whole([&](const whole_row& whole) { visit(whole.row); });
}

/// Asks the library's summary what it thinks of each batch. Equal hints of several batches are told once.
void folder_results::gather_hints() {
    std::vector<cubome::outcome> outcomes;
    std::vector<cubome::quantity> quantities;
    std::vector<std::int64_t> iterations;
    std::vector<std::vector<double>> columns(fields.size()), numbers;
    std::vector<std::size_t> number_keys;
    std::int64_t current = -1;
    const auto ask = [&] {
        const auto n = static_cast<std::int64_t>(outcomes.size());
        if (n == 0) return;
        report<double> r;
        r.outcome = per_problem(outcomes.data(), n);
        r.quantity = per_problem(quantities.data(), n);
        r.iterations = per_problem(iterations.data(), n);
        const std::pair<const char*, batch_view<double>*> arrays[] = {
            {"outer_value", &r.outer_value},        {"gap", &r.gap},
            {"stationarity", &r.stationarity},      {"refined_outer_value", &r.refined_outer_value},
            {"refined_gap", &r.refined_gap},        {"inner_curvature", &r.inner_curvature},
            {"outer_curvature", &r.outer_curvature}};
        for (std::size_t f = 0; f < fields.size(); ++f)
            for (const auto& [called, view] : arrays)
                if (fields[f].name == called) *view = per_problem(columns[f].data(), n);
        auto s = settings_of<double>(*spec_, current);
        std::size_t i = 0;
        for (const auto& [called, member] : setting_members<double>())
            if (differs_in_batch(*spec_, spec_->keys[spec_->find(called)]))
                s.*member = batch_view<const double>(per_problem(numbers[i++].data(), n));
        for (const std::string& hint : summary(r, s).hints)
            if (std::find(hints.begin(), hints.end(), hint) == hints.end()) hints.push_back(hint);
    };
    const auto clear = [&] {
        outcomes.clear(), quantities.clear(), iterations.clear();
        for (auto& column : columns) column.clear();
        for (auto& column : numbers) column.clear();
    };
    for (const auto& [called, member] : setting_members<double>()) {
        const std::size_t key = spec_->find(called);
        if (differs_in_batch(*spec_, spec_->keys[key])) number_keys.push_back(key);
    }
    numbers.resize(number_keys.size());
    for_each_whole([&](const whole_row& whole) {
        if (whole.batch != current) {
            ask();
            clear();
            current = whole.batch;
        }
        outcomes.push_back(whole.row.outcome);
        quantities.push_back(whole.row.quantity);
        iterations.push_back(whole.row.iterations);
        for (std::size_t f = 0; f < fields.size(); ++f) columns[f].push_back(whole.row.values[f]);
        if (number_keys.empty()) return;
        const sweep_point at = spec_->point(whole.row.index);
        for (std::size_t i = 0; i < number_keys.size(); ++i) numbers[i].push_back(spec_->number(number_keys[i], at));
    });
    ask();
}

// --- export

namespace {

/// A stream into a file that says when it fails.
class output_file {
public:
    explicit output_file(const std::string& path) : path_(path), stream_(path, std::ios::binary | std::ios::trunc) {
        check("open");
    }
    void write(const void* data, std::size_t bytes) {
        stream_.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    }
    void write(const std::string& text) { write(text.data(), text.size()); }
    void close() {
        stream_.close();
        check("write");
    }

private:
    void check(const char* operation) const {
        if (!stream_) throw file_error(operation, path_, errno);
    }
    std::string path_;
    std::ofstream stream_;
};

/// An array of doubles as a NumPy file, row after row.
class npy_writer {
public:
    npy_writer(const std::string& path, std::int64_t rows, std::int64_t columns, const char* type) : file_(path) {
        std::string header = "{'descr': '" + std::string(type) + "', 'fortran_order': False, 'shape': (" +
                             std::to_string(rows) + "," +
                             (columns < 0 ? std::string() : " " + std::to_string(columns)) + "), }";
        constexpr std::size_t before = 10, multiple = 64;
        header.resize((before + header.size() + 1 + multiple - 1) / multiple * multiple - before, ' ');
        header.back() = '\n';
        const std::string magic("\x93NUMPY\x01\x00", 8);
        const auto length = static_cast<std::uint16_t>(header.size());
        file_.write(magic);
        file_.write(&length, sizeof length);
        file_.write(header);
    }
    void add(std::span<const double> values) { file_.write(values.data(), values.size_bytes()); }
    void add(std::int64_t value) { file_.write(&value, sizeof value); }
    void close() { file_.close(); }

private:
    output_file file_;
};

}  // namespace

void export_csv(const folder_results& results, const std::string& path) {
    output_file file(path);
    std::string line = "index";
    for (const parameter& p : results.parameters) line += "," + p.name;
    line += ",outcome,quantity,iterations";
    for (const field& f : results.fields) line += "," + f.name;
    file.write(line + "\n");
    results.for_each([&](const problem_row& row) {
        line = std::to_string(row.index);
        for (std::size_t i = 0; i < results.parameters.size(); ++i)
            line += "," + (row.places[i] < 0 ? spell(row.numbers[i])
                                             : results.parameters[i].labels[static_cast<std::size_t>(row.places[i])]);
        line += std::string(",") + to_string(row.outcome) + "," + to_string(row.quantity) + "," +
                std::to_string(row.iterations);
        for (const double x : row.values) line += "," + spell(x);
        file.write(line + "\n");
    });
    file.close();
}

std::vector<std::string> export_npy(const folder_results& results, const std::string& folder) {
    make_folder(system_files(), folder);
    std::vector<std::string> names;
    std::vector<npy_writer> writers;
    const auto add = [&](const std::string& name, std::int64_t columns, const char* type) {
        names.push_back(name + ".npy");
        writers.emplace_back(folder + "/" + names.back(), results.num_present, columns, type);
    };
    add("index", -1, "<i8"), add("outcome", -1, "<i8"), add("iterations", -1, "<i8");
    for (const parameter& p : results.parameters) add(p.name, -1, "<f8");
    for (const field& f : results.fields) add(f.name, -1, "<f8");
    // Traces and variables have one shape where all batches agree.
    std::int64_t rows = -1, n_v = -1, n_theta = -1;
    bool has_one_shape = true;
    results.for_each_whole([&](const folder_results::whole_row& whole) {
        const auto outer = static_cast<std::int64_t>(whole.outer.size()),
                   inner = static_cast<std::int64_t>(whole.inner.size());
        has_one_shape =
            has_one_shape && (rows < 0 || (rows == whole.row.num_trace_rows && n_v == outer && n_theta == inner));
        rows = whole.row.num_trace_rows, n_v = outer, n_theta = inner;
    });
    const std::size_t num_plain = writers.size();
    std::int64_t num_written = 0;
    if (has_one_shape && rows > 0)
        for (const std::string& f : results.trace_fields) add("trace_" + f, rows, "<f8");
    const bool has_variables = has_one_shape && n_v > 0;
    if (has_variables) add("outer", n_v, "<f8"), add("inner", n_theta, "<f8");
    results.for_each_whole([&](const folder_results::whole_row& whole) {
        const problem_row& row = whole.row;
        std::size_t w = 0;
        writers[w++].add(row.index);
        writers[w++].add(static_cast<std::int64_t>(row.outcome));
        writers[w++].add(row.iterations);
        for (std::size_t i = 0; i < row.numbers.size(); ++i) {
            // A word is told by its place among the spec's.
            const double x = std::isnan(row.numbers[i]) ? static_cast<double>(row.places[i]) : row.numbers[i];
            writers[w++].add({&x, 1});
        }
        for (const double& x : row.values) writers[w++].add({&x, 1});
        w = num_plain;
        if (has_one_shape && rows > 0)
            for (std::size_t f = 0; f < results.trace_fields.size(); ++f)
                writers[w++].add(row.trace.subspan(f * static_cast<std::size_t>(rows), static_cast<std::size_t>(rows)));
        if (has_variables) writers[w++].add(whole.outer), writers[w++].add(whole.inner);
        ++num_written;
    });
    // The headers say how many there were at first.
    if (num_written != results.num_present)
        throw error("results were added while they were read: export them once more");
    for (npy_writer& w : writers) w.close();
    return names;
}

}  // namespace cubome::command
