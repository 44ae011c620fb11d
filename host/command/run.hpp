// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cubome/sweep.hpp"
#include "host/command/files.hpp"
#include "host/command/result_log.hpp"
#include "host/command/sources.hpp"
#include "host/command/spec.hpp"

/// Solves the problems of a spec.
namespace cubome::command {

/// What the record of one problem holds, in a batch: outcome and quantity (a byte each, and six of nothing), iterations
/// (64 bits), fields (double), the trace [num_trace_fields, num_trace_rows], v and θ (both in the sweep's precision).
struct record_layout {
    std::vector<std::string> fields;        ///< the report's numbers, then the measures
    std::vector<std::string> trace_fields;  ///< likewise along the trace
    std::int64_t num_trace_rows = 0;
    std::int64_t num_variables = 0;  ///< n_v + n_θ where they are kept
    std::size_t real_size = 0;

    std::int64_t bytes() const;
    bool operator==(const record_layout&) const = default;
};

/// Reads a record: its head at once, then one number after another.
class record_reader {
public:
    static constexpr std::size_t head_bytes = 16;

    explicit record_reader(std::span<const std::byte> bytes) : at_(bytes.data()) {
        ended = static_cast<outcome>(at_[0]);
        not_finite = static_cast<quantity>(at_[1]);
        at_ += head_bytes - sizeof iterations;
        iterations = next<std::int64_t>();
    }

    outcome ended;
    quantity not_finite;
    std::int64_t iterations;

    template <class T>
    T next() {
        T x;
        std::memcpy(&x, at_, sizeof x);
        at_ += sizeof x;
        return x;
    }
    double next_real(std::size_t size) { return size == sizeof(float) ? double{next<float>()} : next<double>(); }

private:
    const std::byte* at_;
};

record_layout layout_of(const sweep_spec& spec, std::int64_t batch, std::int64_t num_variables);

/// The settings that all problems of a batch have.
template <class Real>
settings<Real> settings_of(const sweep_spec& spec, std::int64_t batch);

/// Whether a key's value differs between the problems of a batch.
bool differs_in_batch(const sweep_spec& spec, const spec_key& key);

/// Problems i·N/n … (i + 1)·N/n of N.
struct shard {
    std::int64_t number = 0;  ///< i
    std::int64_t count = 1;   ///< n

    sweep_range of(std::int64_t num_problems) const;
};

/// A spec whose problems have been looked at: files read, arrays checked.
class prepared_sweep {
public:
    explicit prepared_sweep(sweep_spec spec);
    prepared_sweep(prepared_sweep&&) noexcept;
    ~prepared_sweep();

    const sweep_spec& spec() const { return *spec_; }
    std::uint64_t data_key() const;  ///< of what was in the files

    /// Of everything that changes a record's bits, but for what runs the sweep.
    std::uint64_t key() const;

    record_layout layout(std::int64_t batch) const;
    std::int64_t outer_dim(std::int64_t batch) const;
    std::int64_t inner_dim(std::int64_t batch) const;

    /// How these problems, `ranges` in ascending order, would be divided. All chunks count; the rest is that of the
    /// batch whose chunks take the most memory.
    /// @throws spec_error where the library would refuse any batch; not_compiled, backend_unavailable
    sweep_schedule schedule(const std::vector<sweep_range>& ranges, const sweep_execution& how) const;

    /// Solves some of the problems, `ranges` in ascending order. `receive` gets packed records of one batch, in the
    /// order of the indices.
    using receiver = std::function<void(std::int64_t first, std::int64_t count, std::span<const std::byte> records)>;
    sweep_result run(const std::vector<sweep_range>& ranges, const sweep_execution& how, const receiver& receive) const;

private:
    template <class Real>
    struct batch_plan;
    template <class Real>
    batch_plan<Real> plan_of(std::int64_t batch, const std::vector<sweep_range>& ranges) const;
    template <class Real>
    sweep_schedule schedule_in(const std::vector<sweep_range>& ranges, const sweep_execution& how) const;
    template <class Real>
    sweep_result run_in(const std::vector<sweep_range>& ranges, const sweep_execution& how,
                        const receiver& receive) const;

    struct batches;
    std::unique_ptr<const sweep_spec> spec_;
    std::unique_ptr<batches> batches_;
};

/// The settings' keys that are numbers, with their members.
template <class Real>
struct setting_member {
    const char* key;  ///< "settings.eta"
    setting<Real> settings<Real>::*member;
};
template <class Real>
const std::vector<setting_member<Real>>& setting_members();

/// What a folder of results says of itself.
struct manifest {
    std::string name;
    std::string version;             ///< of cuBOME
    std::string build;               ///< of the code that results depend on
    std::uint64_t spec_key = 0;      ///< of spec, data, build, backend and instruction set: the log's
    std::uint64_t own_spec_key = 0;  ///< sweep_spec::key()
    std::string backend;
    std::string instructions;  ///< the instruction set; of a device "sm_90"
    std::string folder;        ///< of the spec, as seen from the folder of results
    shard part;
    std::vector<std::pair<std::int64_t, std::int64_t>> dims;  ///< n_v and n_θ of each batch

    /// The folder of the spec, for the folder of results that this manifest is in.
    std::string spec_folder(const std::string& results) const;

    /// @throws spec_error where the folder's name is not UTF-8
    std::string to_json() const;
    /// @throws spec_error
    static manifest read(const std::string& text, const std::string& path);
};

/// The manifest of a folder whose results this build can go on with.
/// @throws file_error, spec_error
manifest read_manifest(const std::string& folder);

/// A sweep and the folder that its results go to.
class sweep_run {
public:
    /// Begins a sweep in a folder without results. Those of the backend and instruction set that it is begun with are
    /// kept.
    /// @throws folder_in_use, file_error, spec_error, …
    static sweep_run begin(const std::string& spec_path, const std::string& folder, const shard& part,
                           const sweep_execution& how, const file_calls& calls);
    /// Goes on with the one that is there.
    static sweep_run resume(const std::string& folder, const sweep_execution& how, const file_calls& calls);
    sweep_run(sweep_run&&) noexcept;
    ~sweep_run();

    const prepared_sweep& sweep() const;
    sweep_schedule schedule() const;  ///< of what is missing
    sweep_range range() const;        ///< of the shard
    std::int64_t num_missing() const;
    std::int64_t num_damaged() const;

    /// Takes over the records of problems that another sweep has solved: one with other values in its grids, more
    /// replicates, other axes. What is missing is then what it has not.
    /// @return how many
    /// @throws spec_error if its records may differ from what would be solved here
    std::int64_t take_from(const std::string& folder);

    /// Solves what is missing. What `progress` is told counts these problems alone.
    sweep_result run();

private:
    struct state;
    std::vector<sweep_range> missing() const;
    explicit sweep_run(std::unique_ptr<state> s);
    std::unique_ptr<state> state_;
};

/// What results depend on besides the spec: a key of the sources, and the compiler.
const char* build_key();

std::string read_text(const std::string& path);

}  // namespace cubome::command
