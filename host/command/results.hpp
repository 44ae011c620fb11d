// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/command/run.hpp"
#include "host/command/sweep_results.hpp"

namespace cubome::command {

/// The results in folders that `cubome sweep` made: shards of one sweep.
class folder_results final : public sweep_results {
public:
    /// Reads all records once, to count them.
    /// @param wants_hints reads them once more
    /// @throws file_error, read_error, spec_error
    folder_results(const std::vector<std::string>& folders, bool wants_hints);

    void for_each(const std::function<void(const problem_row&)>& visit) const override;

    std::int64_t num_damaged() const { return num_damaged_; }  ///< records that are there, but not as written
    const sweep_spec& spec() const { return *spec_; }

    /// A row with what `problem_row` leaves out.
    struct whole_row {
        const problem_row& row;
        std::int64_t batch;
        std::span<const double> outer, inner;  ///< v and θ where they are kept
    };
    /// @return how many records are there, but not as written
    std::int64_t for_each_whole(const std::function<void(const whole_row&)>& visit) const;

private:
    struct part {
        std::string folder;
        std::uint64_t key;
        sweep_range range;
    };

    void find_parameters();
    void gather_hints();

    std::unique_ptr<const sweep_spec> spec_;
    std::vector<part> parts_;  ///< in order
    std::vector<std::pair<std::int64_t, std::int64_t>> dims_;
    std::vector<std::size_t> keys_of_parameters_;  ///< those of axes that are replicates: past the end
    std::vector<std::size_t> axes_of_parameters_;
    std::vector<std::vector<std::int32_t>> labels_of_places_;
    std::size_t rank_field_ = 0;  ///< where in a record the first field is
    std::int64_t num_damaged_ = 0;
};

/// Writes one row per problem, and a line of names before them.
void export_csv(const folder_results& results, const std::string& path);

/// Writes an array per parameter (of a word, its place in the spec) and field, `[num_present]`, and the traces, v and θ
/// where all problems have equally many numbers, as NumPy files into a folder.
/// @return the files' names
std::vector<std::string> export_npy(const folder_results& results, const std::string& folder);

}  // namespace cubome::command
