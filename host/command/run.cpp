// SPDX-License-Identifier: Apache-2.0
#include "host/command/run.hpp"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

#include "cubome/families.hpp"
#include "cubome/readers.hpp"
#include "cubome/solver.hpp"
#include "cubome/version.hpp"
#include "host/sweep/devices.hpp"

#ifndef CUBOME_BUILD_KEY
#error "CUBOME_BUILD_KEY tells builds apart whose results differ"
#endif

namespace cubome::command {
namespace {

std::string hexadecimal(std::uint64_t x) {
    std::string text(16, '0');
    for (std::size_t i = 0; i < 16; ++i) text[15 - i] = "0123456789abcdef"[x >> (4 * i) & 15];
    return text;
}

}  // namespace

bool differs_in_batch(const sweep_spec& spec, const spec_key& key) {
    switch (key.is) {
        case spec_key::kind::fixed:
            return false;
        case spec_key::kind::grid:
            return !spec.axes[key.axis].is_of_batch;
        case spec_key::kind::drawn:
        case spec_key::kind::replicate:
            return true;
        case spec_key::kind::tied:
            return differs_in_batch(spec, spec.keys[key.tied_to]);
    }
    return false;
}

const char* build_key() {
    return CUBOME_BUILD_KEY;
}

template <class Real>
const std::vector<setting_member<Real>>& setting_members() {
    using s = settings<Real>;
    static const std::vector<setting_member<Real>> members = {
        {"settings.outer_step_size", &s::outer_step_size},
        {"settings.inner_step_size", &s::inner_step_size},
        {"settings.descent_step_size", &s::descent_step_size},
        {"settings.outer_schedule", &s::outer_schedule},
        {"settings.inner_schedule", &s::inner_schedule},
        {"settings.outer_momentum", &s::outer_momentum},
        {"settings.inner_momentum", &s::inner_momentum},
        {"settings.eta", &s::eta},
        {"settings.epsilon", &s::epsilon},
        {"settings.tol_stationarity", &s::tol_stationarity},
        {"settings.tol_gap", &s::tol_gap},
        {"settings.rel_tol_stationarity", &s::rel_tol_stationarity},
        {"settings.rel_tol_gap", &s::rel_tol_gap},
    };
    return members;
}
template const std::vector<setting_member<float>>& setting_members<float>();
template const std::vector<setting_member<double>>& setting_members<double>();

std::int64_t record_layout::bytes() const {
    return static_cast<std::int64_t>(record_reader::head_bytes + fields.size() * sizeof(double)) +
           (static_cast<std::int64_t>(trace_fields.size()) * num_trace_rows + num_variables) *
               static_cast<std::int64_t>(real_size);
}

sweep_range shard::of(std::int64_t num_problems) const {
    __extension__ using wide = __int128;
    const auto edge = [&](std::int64_t i) {
        return static_cast<std::int64_t>(static_cast<wide>(num_problems) * i / count);
    };
    return {edge(number), edge(number + 1) - edge(number)};
}

// --- a prepared sweep

struct prepared_sweep::batches {
    data_store store;
    std::vector<std::unique_ptr<problem_source<float>>> of_float;
    std::vector<std::unique_ptr<problem_source<double>>> of_double;

    template <class Real>
    auto& of() {
        if constexpr (std::is_same_v<Real, float>)
            return of_float;
        else
            return of_double;
    }
};

prepared_sweep::prepared_sweep(sweep_spec given)
    : spec_(std::make_unique<const sweep_spec>(std::move(given))), batches_(std::make_unique<batches>()) {
    const auto prepare = [&]<class Real>(Real) {
        for (std::int64_t b = 0; b < spec_->num_batches(); ++b) {
            const sweep_point at = spec_->point(b * spec_->problems_per_batch());
            batches_->of<Real>().push_back(make_source<Real>(*spec_, at, batches_->store));
        }
        // What stands for «the rule's own» or «not set» is so for a whole batch.
        for (const auto& [name, member] : setting_members<Real>()) {
            const std::size_t which = spec_->find(name);
            const spec_key& key = spec_->keys[which];
            const std::string_view own = key.name;
            if (!differs_in_batch(*spec_, key) ||
                (own != "settings.epsilon" && own != "settings.outer_momentum" && !own.ends_with("step_size")))
                continue;
            const Real least = own == "settings.outer_momentum" ? Real(0) : std::numeric_limits<Real>::min();
            for (const double x : spec_->possible(which))
                if (static_cast<Real>(x) < least)
                    throw spec_error(spec_->path, key.line,
                                     key.name + " may be " + nlohmann::json(x).dump() + ", expected numbers " +
                                         (least == 0 ? "from 0 on" : "above 0") +
                                         " where there are several: others stand for the rule's own");
        }
    };
    spec_->is_double ? prepare(double()) : prepare(float());
}

prepared_sweep::prepared_sweep(prepared_sweep&&) noexcept = default;
prepared_sweep::~prepared_sweep() = default;

std::uint64_t prepared_sweep::data_key() const {
    return batches_->store.mixer.key();
}

std::uint64_t prepared_sweep::key() const {
    return key_mixer().add(spec_->key()).add(data_key()).add(std::string_view(build_key())).key();
}

std::int64_t prepared_sweep::outer_dim(std::int64_t batch) const {
    const auto b = static_cast<std::size_t>(batch);
    return spec_->is_double ? batches_->of_double[b]->problem().outer_dim()
                            : batches_->of_float[b]->problem().outer_dim();
}

std::int64_t prepared_sweep::inner_dim(std::int64_t batch) const {
    const auto b = static_cast<std::size_t>(batch);
    return spec_->is_double ? batches_->of_double[b]->problem().inner_dim()
                            : batches_->of_float[b]->problem().inner_dim();
}

template <class Real>
settings<Real> settings_of(const sweep_spec& spec, std::int64_t batch) {
    const sweep_point at = spec.point(batch * spec.problems_per_batch());
    const auto integer = [&](const char* key) { return spec.integer(spec.find(key), at); };
    cubome::settings<Real> result;
    result.outer_steps = integer("settings.outer_steps");
    result.inner_steps = integer("settings.inner_steps");
    result.refine_steps = integer("settings.refine_steps");
    result.trace_interval = spec.trace_interval;
    result.barrier = static_cast<barrier_form>(integer("settings.barrier"));
    result.steps = static_cast<step_rule>(integer("settings.steps"));
    result.box = static_cast<box_rule>(integer("settings.box"));
    result.inner_momentum_reset = integer("settings.inner_momentum_reset") != 0;
    for (const auto& [name, member] : setting_members<Real>()) {
        const std::size_t key = spec.find(name);
        if (!differs_in_batch(spec, spec.keys[key])) result.*member = static_cast<Real>(spec.number(key, at));
    }
    return result;
}
template settings<float> settings_of(const sweep_spec&, std::int64_t);
template settings<double> settings_of(const sweep_spec&, std::int64_t);

record_layout layout_of(const sweep_spec& spec, std::int64_t batch, std::int64_t num_variables) {
    record_layout result;
    result.fields = {"outer_value", "gap", "stationarity", "multiplier"};
    const auto add = [&](bool is_kept, std::initializer_list<const char*> names) {
        if (is_kept) result.fields.insert(result.fields.end(), names.begin(), names.end());
    };
    add(spec.keeps_refined, {"refined_outer_value", "refined_gap"});
    add(spec.keeps_curvature, {"inner_curvature", "outer_curvature"});
    add(spec.keeps_held_out, {"held_out"});
    result.fields.insert(result.fields.end(), spec.measures.begin(), spec.measures.end());
    if (spec.trace_interval > 0) {
        result.trace_fields = {"outer_value", "gap", "stationarity", "multiplier"};
        if (spec.keeps_held_out) result.trace_fields.emplace_back("held_out");
        result.num_trace_rows = settings_of<double>(spec, batch).outer_steps / spec.trace_interval + 1;
    }
    if (spec.keeps_variables) result.num_variables = num_variables;
    result.real_size = spec.is_double ? sizeof(double) : sizeof(float);
    return result;
}

record_layout prepared_sweep::layout(std::int64_t batch) const {
    return layout_of(*spec_, batch, outer_dim(batch) + inner_dim(batch));
}

namespace {

/// The setting that is wrong in the spec, for an argument that the library refuses.
[[noreturn]] void refuse(const sweep_spec& spec, const invalid_argument& problem) {
    const std::size_t key = spec.find(problem.argument());
    const std::string name = problem.argument() == "execution.memory" ? "--memory" : problem.argument();
    throw spec_error(spec.path, key < spec.keys.size() ? spec.keys[key].line : 0,
                     "'" + name + "' " + problem.found() + ", expected " + problem.expected());
}

/// Packs the records of a chunk.
template <class Real>
void pack(const sweep_chunk<Real>& chunk, const record_layout& layout, std::int64_t num_measures,
          std::vector<std::byte>& bytes) {
    const auto size = static_cast<std::size_t>(layout.bytes());
    bytes.assign(size * static_cast<std::size_t>(chunk.count), std::byte{0});
    const report<Real>& r = chunk.report;
    const batch_view<Real> numbers[] = {r.outer_value,
                                        r.gap,
                                        r.stationarity,
                                        r.multiplier,
                                        r.refined_outer_value,
                                        r.refined_gap,
                                        r.inner_curvature,
                                        r.outer_curvature,
                                        r.held_out};
    const batch_view<Real> traces[] = {r.trace_outer_value, r.trace_gap, r.trace_stationarity, r.trace_multiplier,
                                       r.trace_held_out};
    for (std::int64_t i = 0; i < chunk.count; ++i) {
        std::byte* to = bytes.data() + size * static_cast<std::size_t>(i);
        to[0] = static_cast<std::byte>(r.outcome.data[i]);
        to[1] = static_cast<std::byte>(r.quantity.data[i]);
        std::memcpy(to + 8, r.iterations.data + i, sizeof(std::int64_t));
        to += record_reader::head_bytes;
        const auto put = [&](const auto* from, std::int64_t count) {
            const std::size_t length = static_cast<std::size_t>(count) * sizeof *from;
            std::memcpy(to, from, length);
            to += length;
        };
        for (const batch_view<Real>& x : numbers) {
            if (x.data == nullptr) continue;
            const auto wide = static_cast<double>(x.data[i]);
            put(&wide, 1);
        }
        put(chunk.measures + i * num_measures, num_measures);
        for (const batch_view<Real>& x : traces)
            if (x.data != nullptr) put(x.data + i * x.size(), x.size());
        if (layout.num_variables > 0) {
            put(chunk.state.outer.data + i * chunk.state.outer.size(), chunk.state.outer.size());
            put(chunk.state.inner.data + i * chunk.state.inner.size(), chunk.state.inner.size());
        }
    }
}

/// The parts of `ranges` that are in [first, end).
std::vector<sweep_range> cut(const std::vector<sweep_range>& ranges, std::int64_t first, std::int64_t end) {
    std::vector<sweep_range> result;
    for (const sweep_range& r : ranges) {
        const std::int64_t from = std::max(r.first, first), to = std::min(r.first + r.count, end);
        if (from < to) result.push_back({from, to - from});
    }
    return result;
}

/// Adds up what the batches of a sweep report.
class overall_progress {
public:
    overall_progress(std::function<void(const sweep_progress&)> show, std::int64_t num_problems)
        : show_(std::move(show)), num_problems_(num_problems) {}

    std::function<void(const sweep_progress&)> of_batch() {
        if (!show_) return {};
        return [this](const sweep_progress& p) {
            sweep_progress all = p;
            all.num_problems = num_problems_;
            all.num_done += before_.num_done;
            all.num_received += before_.num_received;
            all.num_converged += before_.num_converged;
            all.num_failed += before_.num_failed;
            all.seconds += before_.seconds;
            all.problems_per_second = all.seconds > 0 ? static_cast<double>(all.num_done) / all.seconds : 0;
            if (all.num_done > 0)
                all.seconds_left = static_cast<double>(num_problems_ - all.num_done) / all.problems_per_second;
            total_ = all;
            show_(all);
        };
    }
    void end_batch() { before_ = total_; }

private:
    std::function<void(const sweep_progress&)> show_;
    std::int64_t num_problems_;
    sweep_progress before_, total_;
};

}  // namespace

/// What the library is to solve, and the spec's keys of `sweep_plan::numbers`.
template <class Real>
struct prepared_sweep::batch_plan {
    const problem_source<Real>& source;
    sweep_plan<Real> plan;
    std::vector<std::size_t> number_keys;
};

template <class Real>
prepared_sweep::batch_plan<Real> prepared_sweep::plan_of(std::int64_t batch,
                                                         const std::vector<sweep_range>& ranges) const {
    const std::int64_t per_batch = spec_->problems_per_batch();
    const problem_source<Real>& source = *batches_->of<Real>()[static_cast<std::size_t>(batch)];
    batch_plan<Real> result{source,
                            {source.problem(),
                             settings_of<Real>(*spec_, batch),
                             source.arrays(),
                             {},
                             cut(ranges, batch * per_batch, (batch + 1) * per_batch),
                             spec_->keeps_refined,
                             spec_->keeps_curvature,
                             spec_->keeps_held_out,
                             static_cast<std::int64_t>(spec_->measures.size())},
                            {}};
    for (const auto& [name, member] : setting_members<Real>()) {
        const std::size_t key = spec_->find(name);
        if (!differs_in_batch(*spec_, spec_->keys[key])) continue;
        result.plan.numbers.push_back(member);
        result.number_keys.push_back(key);
    }
    return result;
}

template <class Real>
sweep_schedule prepared_sweep::schedule_in(const std::vector<sweep_range>& ranges, const sweep_execution& how) const {
    sweep_schedule total;
    for (std::int64_t b = 0; b < spec_->num_batches(); ++b) {
        sweep_schedule own;
        try {
            own = cubome::schedule(plan_of<Real>(b, ranges).plan, how);
        } catch (const invalid_argument& problem) {
            refuse(*spec_, problem);
        }
        const std::int64_t num_chunks = total.num_chunks + own.num_chunks;
        if (b == 0 || own.memory > total.memory) total = own;
        total.num_chunks = num_chunks;
    }
    return total;
}

sweep_schedule prepared_sweep::schedule(const std::vector<sweep_range>& ranges, const sweep_execution& how) const {
    for (std::int64_t b = 0; b < spec_->num_batches(); ++b)
        if (const std::int64_t bytes = layout(b).bytes(); bytes > most_record_bytes)
            throw spec_error(spec_->path, 0,
                             "has results of " + std::to_string(bytes) + " bytes a problem, expected at most " +
                                 std::to_string(most_record_bytes) + ": a longer trace_interval, or less in 'keep'");
    return spec_->is_double ? schedule_in<double>(ranges, how) : schedule_in<float>(ranges, how);
}

template <class Real>
sweep_result prepared_sweep::run_in(const std::vector<sweep_range>& ranges, const sweep_execution& how,
                                    const receiver& receive) const {
    std::int64_t num_problems = 0;
    for (const sweep_range& r : ranges) num_problems += r.count;
    overall_progress shown(how.progress, num_problems);
    sweep_result total;
    for (std::int64_t b = 0; b < spec_->num_batches() && !total.is_cancelled; ++b) {
        const batch_plan<Real> of = plan_of<Real>(b, ranges);
        const problem_source<Real>& source = of.source;
        const sweep_plan<Real>& plan = of.plan;
        const std::vector<std::size_t>& number_keys = of.number_keys;
        if (plan.ranges.empty()) continue;
        const auto place = [](const sweep_chunk<Real>& chunk, std::int64_t i) {
            problem_place<Real> to;
            for (const batch_view<Real>& a : chunk.arrays) to.arrays.push_back(a.data + i * a.size());
            to.outer = chunk.state.outer.data + i * chunk.state.outer.size();
            to.inner = chunk.state.inner.data + i * chunk.state.inner.size();
            return to;
        };
        const record_layout layout = this->layout(b);
        std::vector<std::byte> records;
        sweep_functions<Real> functions;
        functions.generate = [&](const sweep_chunk<Real>& chunk) {
            const std::atomic<bool>* const cancel = how.solve.cancel;
            for (std::int64_t i = 0; i < chunk.count; ++i) {
                // The solve looks at it, too, and gives the chunk up.
                if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
                const sweep_point at = spec_->point(chunk.first + i);
                for (std::size_t k = 0; k < number_keys.size(); ++k)
                    chunk.numbers[k].data[i] = static_cast<Real>(spec_->number(number_keys[k], at));
                source.make(at, place(chunk, i));
            }
        };
        functions.measure = [&](const sweep_chunk<Real>& chunk) {
            if (plan.num_measures == 0) return;
            for (std::int64_t i = 0; i < chunk.count; ++i)
                source.measure(spec_->point(chunk.first + i), place(chunk, i), chunk.measures + i * plan.num_measures);
        };
        functions.receive = [&](const sweep_chunk<Real>& chunk) {
            pack(chunk, layout, plan.num_measures, records);
            receive(chunk.first, chunk.count, records);
        };
        sweep_execution of_batch = how;
        of_batch.progress = shown.of_batch();
        sweep_result result;
        try {
            result = cubome::sweep(plan, functions, of_batch);
        } catch (const invalid_argument& problem) {
            refuse(*spec_, problem);
        }
        shown.end_batch();
        result.num_received += total.num_received;
        total = result;
    }
    return total;
}

sweep_result prepared_sweep::run(const std::vector<sweep_range>& ranges, const sweep_execution& how,
                                 const receiver& receive) const {
    return spec_->is_double ? run_in<double>(ranges, how, receive) : run_in<float>(ranges, how, receive);
}

// --- a folder of results

std::string manifest::spec_folder(const std::string& results) const {
    // Whatever links there are on the way: not what the text alone would come to.
    namespace fs = std::filesystem;
    std::error_code problem;
    const fs::path there = fs::path(results) / folder, whole = fs::weakly_canonical(there, problem);
    return (problem ? there : whole).string();
}

std::string manifest::to_json() const {
    nlohmann::ordered_json json;
    json["cubome_results"] = 1;
    json["name"] = name;
    json["version"] = version;
    json["build"] = build;
    json["key"] = hexadecimal(spec_key);
    json["spec"] = hexadecimal(own_spec_key);
    json["backend"] = backend;
    json["instructions"] = instructions;
    json["spec_folder"] = folder;
    json["shard"] = {part.number, part.count};
    json["dims"] = dims;
    try {
        return json.dump(2) + "\n";
    } catch (const nlohmann::json::type_error&) {
        throw spec_error(folder, 0, "is the spec's folder, whose name is not UTF-8: a manifest cannot hold it");
    }
}

manifest manifest::read(const std::string& text, const std::string& path) {
    const json_node root = parse_json(text, path);
    const auto need = [&](const char* name, json_node::kind is) -> const json_node& {
        const json_node* found = root.find(name);
        if (found == nullptr || found->is != is)
            throw spec_error(path, root.line,
                             std::string("is no manifest of results: '") + name + "' is not there or no such thing");
        return *found;
    };
    const auto text_of = [&](const char* name) { return need(name, json_node::kind::text).text; };
    if (need("cubome_results", json_node::kind::number).number != 1)
        throw spec_error(path, root.line, "is of another version of this format: this program reads version 1");
    manifest m;
    m.name = text_of("name");
    m.version = text_of("version");
    m.build = text_of("build");
    const auto key_of = [&](const char* name) {
        const std::string key = text_of(name);
        if (key.size() != 16 || key.find_first_not_of("0123456789abcdef") != std::string::npos)
            throw spec_error(path, root.find(name)->line, std::string("has a '") + name + "' that is no key");
        return std::stoull(key, nullptr, 16);
    };
    m.spec_key = key_of("key");
    m.own_spec_key = key_of("spec");
    m.backend = text_of("backend");
    m.instructions = text_of("instructions");
    m.folder = text_of("spec_folder");
    const auto integers = [&](const json_node& list) {
        std::vector<std::int64_t> result;
        for (const json_node& x : list.list) {
            if (x.is != json_node::kind::number || !(x.number >= 0 && x.number <= 1e15) ||
                x.number != static_cast<double>(static_cast<std::int64_t>(x.number)))
                throw spec_error(path, list.line, "has a number that is out of range");
            result.push_back(static_cast<std::int64_t>(x.number));
        }
        if (result.size() != 2) throw spec_error(path, list.line, "has a list that is no pair");
        return result;
    };
    const auto part = integers(need("shard", json_node::kind::list));
    m.part = {part[0], part[1]};
    if (m.part.number >= m.part.count) throw spec_error(path, root.line, "has a shard that is none");
    for (const json_node& x : need("dims", json_node::kind::list).list) {
        if (x.is != json_node::kind::list) throw spec_error(path, x.line, "has a list that is no pair");
        const auto pair = integers(x);
        m.dims.emplace_back(pair[0], pair[1]);
    }
    return m;
}

std::string read_text(const std::string& path) {
    open_file file(system_files(), path, O_RDONLY);
    constexpr std::int64_t most = 1 << 26;
    if (file.size() > most) throw spec_error(path, 0, "is larger than 64 MiB");
    std::string text(static_cast<std::size_t>(file.size()), '\0');
    text.resize(file.read_at(0, std::as_writable_bytes(std::span(text))));
    return text;
}

struct sweep_run::state {
    state(prepared_sweep of, const std::string& in, const sweep_execution& with, const file_calls& c)
        : calls(c), folder(in), lock(c, in), sweep(std::move(of)), how(with) {}

    const file_calls& calls;
    std::string folder;
    folder_lock lock;
    prepared_sweep sweep;
    sweep_execution how;  ///< with the backend and instruction set of the manifest
    manifest about;
    sweep_range range;
    std::optional<result_log> log;

    void open_log() {
        const std::int64_t per_batch = sweep.spec().problems_per_batch();
        range = about.part.of(sweep.spec().num_problems());
        log_identity identity;
        identity.spec_key = about.spec_key;
        identity.first_index = range.first;
        for (std::int64_t b = 0; b < sweep.spec().num_batches(); ++b) {
            const auto own = cut({range}, b * per_batch, (b + 1) * per_batch);
            if (!own.empty()) identity.parts.push_back({own.front().count, sweep.layout(b).bytes()});
        }
        log.emplace(calls, folder + "/results.log", identity);
    }
};

sweep_run::sweep_run(std::unique_ptr<state> s) : state_(std::move(s)) {}
sweep_run::sweep_run(sweep_run&&) noexcept = default;
sweep_run::~sweep_run() = default;

namespace {

/// What results depend on besides the build: the CPU's instruction set, or the device's compute capability.
std::string architecture(const run_info& info) {
    if (info.where == backend::cpu) return to_string(info.instructions);
    return "sm_" + std::to_string(detail::compute_capability(info.device));
}

}  // namespace

sweep_run sweep_run::begin(const std::string& spec_path, const std::string& folder, const shard& part,
                           const sweep_execution& how, const file_calls& calls) {
    namespace fs = std::filesystem;
    const std::string text = read_text(spec_path);
    sweep_spec spec(text, spec_path, fs::path(spec_path).parent_path().string());
    prepared_sweep sweep(std::move(spec));
    const run_info info = sweep.schedule({part.of(sweep.spec().num_problems())}, how).runs_on;
    make_folder(calls, folder);
    auto s = std::make_unique<state>(std::move(sweep), folder, how, calls);
    if (fs::exists(folder + "/manifest.json"))
        throw spec_error(folder, 0, "has results already: 'cubome resume " + folder + "' goes on with them");
    const prepared_sweep& solved = s->sweep;
    s->how.solve.where = info.where;
    s->how.solve.instructions = info.instructions;
    manifest& m = s->about;
    m.name = solved.spec().name;
    m.version = CUBOME_VERSION_STRING;
    m.build = build_key();
    m.spec_key =
        key_mixer().add(solved.key()).add(std::string_view(to_string(info.where))).add(architecture(info)).key();
    m.own_spec_key = solved.spec().key();
    m.backend = to_string(info.where);
    m.instructions = architecture(info);
    const fs::path spec_folder = fs::path(spec_path).parent_path();
    m.folder = fs::relative(spec_folder.empty() ? "." : spec_folder, folder).generic_string();
    m.part = part;
    for (std::int64_t b = 0; b < solved.spec().num_batches(); ++b)
        m.dims.emplace_back(solved.outer_dim(b), solved.inner_dim(b));
    write_durably(calls, folder + "/spec.json", std::as_bytes(std::span(text)));
    const std::string json = m.to_json();
    write_durably(calls, folder + "/manifest.json", std::as_bytes(std::span(json)));
    s->open_log();
    return sweep_run(std::move(s));
}

manifest read_manifest(const std::string& folder) {
    const std::string path = folder + "/manifest.json";
    manifest about = manifest::read(read_text(path), path);
    if (about.build != build_key())
        throw spec_error(folder, 0,
                         "was made by another build of cuBOME (" + about.version + ", " + about.build +
                             "), whose results may differ: go on with that one");
    return about;
}

namespace {

/// The sweep that a folder's results are of.
prepared_sweep prepare_again(const std::string& folder, const manifest& about) {
    const std::string path = folder + "/spec.json";
    prepared_sweep sweep(sweep_spec(read_text(path), path, about.spec_folder(folder)));
    if (key_mixer().add(sweep.key()).add(about.backend).add(about.instructions).key() != about.spec_key)
        throw spec_error(folder, 0,
                         "has results of another spec or of other data: spec.json or a file that it names was changed");
    return sweep;
}

}  // namespace

sweep_run sweep_run::resume(const std::string& folder, const sweep_execution& how, const file_calls& calls) {
    const manifest about = read_manifest(folder);
    auto s = std::make_unique<state>(prepare_again(folder, about), folder, how, calls);
    s->about = about;
    execution& on = s->how.solve;
    for (const backend b : {backend::cpu, backend::cuda})
        if (about.backend == to_string(b)) on.where = b;
    for (const instruction_set i :
         {instruction_set::automatic, instruction_set::baseline, instruction_set::avx2, instruction_set::avx512})
        if (about.instructions == to_string(i)) on.instructions = i;
    const std::string found = architecture(s->sweep.schedule({}, s->how).runs_on);
    if (found != about.instructions)
        throw spec_error(folder, 0, "was begun on " + about.instructions + ", and this device is " + found);
    s->open_log();
    return sweep_run(std::move(s));
}

std::int64_t sweep_run::take_from(const std::string& folder) {
    state& s = *state_;
    const manifest about = read_manifest(folder);
    const prepared_sweep other = prepare_again(folder, about);
    if (about.backend != s.about.backend || about.instructions != s.about.instructions)
        throw spec_error(folder, 0,
                         "was solved by " + about.backend + ", " + about.instructions + ", not by " + s.about.backend +
                             ", " + s.about.instructions);
    if (other.data_key() != s.sweep.data_key()) throw spec_error(folder, 0, "is of other data");

    const sweep_spec &from = other.spec(), &to = s.sweep.spec();
    const auto layouts_of = [](const prepared_sweep& sweep) {
        std::vector<record_layout> layouts;
        for (std::int64_t b = 0; b < sweep.spec().num_batches(); ++b) layouts.push_back(sweep.layout(b));
        return layouts;
    };
    const std::vector<record_layout> from_layouts = layouts_of(other), to_layouts = layouts_of(s.sweep);

    struct known_record {
        std::size_t batch;
        std::vector<std::byte> bytes;
    };
    std::unordered_map<std::uint64_t, known_record> known;
    const sweep_range theirs = about.part.of(from.num_problems());
    const std::string path = folder + "/results.log";
    result_log_reader log(path);
    if (log.identity().spec_key != about.spec_key || log.identity().first_index != theirs.first ||
        log.identity().num_records() != theirs.count)
        throw read_error("take_from", path, 0, "does not belong to the manifest beside it");
    std::int64_t index;
    std::span<const std::byte> payload;
    while (log.next(index, payload)) {
        const sweep_point at = from.point(theirs.first + index);
        const auto batch = static_cast<std::size_t>(at.index / from.problems_per_batch());
        if (static_cast<std::int64_t>(payload.size()) != from_layouts[batch].bytes())
            throw read_error("take_from", path, 0, "has records of another length than its spec asks for");
        known[from.problem_key(at)] = {batch, {payload.begin(), payload.end()}};
    }

    constexpr std::int64_t most_at_once = 4096;
    std::int64_t taken = 0;
    const std::int64_t per_batch = to.problems_per_batch();
    std::vector<std::byte> stretch;
    for (const index_range& gap : s.log->missing()) {
        std::int64_t first = 0, count = 0;  // of the stretch, in the sweep
        const auto write = [&] {
            if (count > 0) s.log->write(first - s.range.first, count, stretch);
            taken += count;
            count = 0;
            stretch.clear();
        };
        for (std::int64_t i = s.range.first + gap.first; i < s.range.first + gap.first + gap.count; ++i) {
            const auto found = known.find(to.problem_key(to.point(i)));
            const bool is_known = found != known.end() && from_layouts[found->second.batch] ==
                                                              to_layouts[static_cast<std::size_t>(i / per_batch)];
            if (!is_known || count == most_at_once || (count > 0 && i % per_batch == 0)) write();
            if (!is_known) continue;
            if (count++ == 0) first = i;
            stretch.insert(stretch.end(), found->second.bytes.begin(), found->second.bytes.end());
        }
        write();
    }
    s.open_log();  // what is missing now
    return taken;
}

const prepared_sweep& sweep_run::sweep() const {
    return state_->sweep;
}
sweep_range sweep_run::range() const {
    return state_->range;
}
std::int64_t sweep_run::num_damaged() const {
    return state_->log->num_damaged();
}

std::vector<sweep_range> sweep_run::missing() const {
    std::vector<sweep_range> result;
    for (const index_range& r : state_->log->missing()) result.push_back({state_->range.first + r.first, r.count});
    return result;
}

std::int64_t sweep_run::num_missing() const {
    std::int64_t count = 0;
    for (const sweep_range& r : missing()) count += r.count;
    return count;
}

sweep_schedule sweep_run::schedule() const {
    return state_->sweep.schedule(missing(), state_->how);
}

sweep_result sweep_run::run() {
    state& s = *state_;
    return s.sweep.run(missing(), s.how,
                       [&](std::int64_t first, std::int64_t count, std::span<const std::byte> records) {
                           s.log->write(first - s.range.first, count, records);
                       });
}

}  // namespace cubome::command
