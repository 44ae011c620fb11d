// SPDX-License-Identifier: Apache-2.0
#include "host/command/result_log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "cubome/readers.hpp"
#include "host/command/files.hpp"

namespace {

using cubome::read_error;
using cubome::command::file_calls;
using cubome::command::file_error;
using cubome::command::folder_in_use;
using cubome::command::folder_lock;
using cubome::command::index_range;
using cubome::command::log_identity;
using cubome::command::log_part;
using cubome::command::make_folder;
using cubome::command::open_file;
using cubome::command::result_log;
using cubome::command::result_log_reader;
using cubome::command::system_files;
using cubome::command::write_durably;

using byte_vector = std::vector<std::byte>;

// Under a sanitizer a fork takes fifteen milliseconds in the place of one.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t every_so_many_kills = 61;
constexpr unsigned num_cut_runs = 1000;
#else
constexpr std::size_t every_so_many_kills = 7;
constexpr unsigned num_cut_runs = 20'000;
#endif

// ---- folders and files

/// A folder for as long as this lives; in memory where there is such a place, since nothing here cuts the power for
/// real.
class temporary_folder {
public:
    temporary_folder() {
        std::string name = (::access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : ::testing::TempDir());
        name += "cubome_result_log_XXXXXX";
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        path = name;
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }

    std::string operator/(const std::string& name) const { return path + "/" + name; }

    std::string path;
};

std::string contents_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file.is_open()) << path;
    return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string& path, const std::string& contents) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
}

/// What a folder holds, to be put there again.
using folder_contents = std::map<std::string, std::string>;

folder_contents contents_of_folder(const std::string& folder) {
    folder_contents result;
    if (!std::filesystem::exists(folder)) return result;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        result[entry.path().filename().string()] = contents_of(entry.path().string());
    }
    return result;
}

void put_folder(const std::string& folder, const folder_contents& contents) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    for (const auto& [name, text] : contents) put(folder + "/" + name, text);
}

std::size_t num_open_descriptors() {
    std::size_t result = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++result;
    return result;
}

// ---- what is logged

/// Parts of several sizes, an empty one among them: 49 records.
log_identity several_parts() {
    return {0x0123456789abcdefU, 1000, {{20, 3}, {0, 7}, {1, 1}, {28, 12}}};
}

/// As few bits as there can be of everything.
log_identity few_bits() {
    return {7, 0, {{3, 2}, {2, 5}}};
}

std::int64_t record_bytes_of(const log_identity& identity, std::int64_t index) {
    for (const log_part& part : identity.parts) {
        if (index < part.num_records) return part.record_bytes;
        index -= part.num_records;
    }
    ADD_FAILURE() << "no such record";
    return 0;
}

/// The result of one problem: a function of its index, as a solve's is.
byte_vector payload_of(const log_identity& identity, std::int64_t index) {
    byte_vector result;
    for (std::int64_t i = 0; i < record_bytes_of(identity, index); ++i) {
        result.push_back(static_cast<std::byte>(index * 37 + i * 11 + (index >> 3) + 1));
    }
    return result;
}

byte_vector payloads_of(const log_identity& identity, std::int64_t first, std::int64_t count) {
    byte_vector result;
    for (std::int64_t i = first; i < first + count; ++i) {
        const byte_vector one = payload_of(identity, i);
        result.insert(result.end(), one.begin(), one.end());
    }
    return result;
}

/// Ranges in pieces of one part and at most `most` records.
std::vector<index_range> chunks_of(const log_identity& identity, const std::vector<index_range>& ranges,
                                   std::int64_t most) {
    std::vector<index_range> result;
    for (const index_range& range : ranges) {
        std::int64_t begin = 0;
        for (const log_part& part : identity.parts) {
            const std::int64_t last = std::min(begin + part.num_records, range.first + range.count);
            for (std::int64_t i = std::max(begin, range.first); i < last; i += most) {
                result.push_back({i, std::min(most, last - i)});
            }
            begin += part.num_records;
        }
    }
    return result;
}

/// A run: opens the log and solves what is missing. `durable` hears of every chunk that was written.
void run(const file_calls& calls, const std::string& folder, const log_identity& identity, std::int64_t most,
         const std::function<void(const index_range&)>& durable = {}) {
    const folder_lock lock(calls, folder);
    result_log log(calls, folder + "/results.log", identity);
    for (const index_range& chunk : chunks_of(identity, log.missing(), most)) {
        log.write(chunk.first, chunk.count, payloads_of(identity, chunk.first, chunk.count));
        if (durable) durable(chunk);
    }
}

/// The complete log's bytes.
std::string complete_log(const log_identity& identity) {
    const temporary_folder folder;
    run(system_files(), folder.path, identity, 1000);
    return contents_of(folder / "results.log");
}

/// Which records a reader shows; each must be right.
std::set<std::int64_t> readable(const std::string& path, const log_identity& identity,
                                std::int64_t* num_damaged = nullptr) {
    std::set<std::int64_t> result;
    result_log_reader reader(path);
    EXPECT_EQ(reader.identity().spec_key, identity.spec_key);
    EXPECT_EQ(reader.identity().first_index, identity.first_index);
    EXPECT_EQ(reader.identity().num_records(), identity.num_records());
    std::int64_t index = 0;
    std::span<const std::byte> payload;
    while (reader.next(index, payload)) {
        EXPECT_TRUE(result.empty() || *result.rbegin() < index);
        const byte_vector expected = payload_of(identity, index);
        EXPECT_TRUE(std::equal(payload.begin(), payload.end(), expected.begin(), expected.end())) << index;
        result.insert(index);
    }
    EXPECT_FALSE(reader.next(index, payload));
    if (num_damaged != nullptr) *num_damaged = reader.num_damaged();
    return result;
}

std::set<std::int64_t> indices_in(const std::vector<index_range>& ranges) {
    std::set<std::int64_t> result;
    for (const index_range& range : ranges) {
        for (std::int64_t i = 0; i < range.count; ++i) result.insert(range.first + i);
    }
    return result;
}

bool includes(const std::set<std::int64_t>& all, const std::set<std::int64_t>& some) {
    return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

template <class Error, class F>
std::string message_of(const F& f) {
    try {
        f();
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was thrown";
}

// ---- calls of the system that are interfered with

enum class deed { pass, fail, give_zero, halve, kill_before, kill_after, kill_halfway };

struct interference {
    deed what = deed::pass;
    int code = 0;
};

/// A write of the first half; any other call as it is.
template <class Real, class... P>
std::int64_t half_of(const Real& real, P... p) {
    return real(p...);
}

template <class Real>
std::int64_t half_of(const Real& real, int file, const void* from, std::size_t size, std::int64_t offset) {
    return real(file, from, (size + 1) / 2, offset);
}

/// A table that counts its calls and asks before each what is to become of it.
file_calls interfered(const std::function<interference(std::int64_t, const std::string&)>& plan) {
    file_calls calls = system_files();
    const auto number = std::make_shared<std::int64_t>(0);
    calls.for_each([&](auto& call) {
        call.function = [plan, number, name = std::string(call.name), real = call.function](auto... p) -> std::int64_t {
            const interference what = plan((*number)++, name);
            switch (what.what) {
                case deed::pass:
                    break;
                case deed::fail:
                    if (name == "posix_fadvise") return what.code;  // as it does
                    if (name == "close") real(p...);                // which has closed nevertheless
                    errno = what.code;
                    return -1;
                case deed::give_zero:
                    return 0;
                case deed::halve:
                    return half_of(real, p...);
                case deed::kill_before:
                    return ::raise(SIGKILL);
                case deed::kill_halfway:
                    half_of(real, p...);
                    return ::raise(SIGKILL);
                case deed::kill_after:
                    real(p...);
                    return ::raise(SIGKILL);
            }
            return real(p...);
        };
    });
    return calls;
}

/// The names of a run's calls, in order.
std::vector<std::string> calls_of(const std::function<void(const file_calls&)>& run_with) {
    std::vector<std::string> names;
    run_with(interfered([&](std::int64_t, const std::string& name) {
        names.push_back(name);
        return interference{};
    }));
    return names;
}

constexpr std::int64_t records_per_chunk = 5;  // eleven chunks of several_parts()

void make_folder_and_run(const file_calls& calls, const std::string& folder,
                         const std::function<void(const index_range&)>& durable = {}) {
    make_folder(calls, folder);
    run(calls, folder, several_parts(), records_per_chunk, durable);
}

// ---- the format

TEST(result_log_test, the_format_is_what_the_header_says_byte_for_byte) {
    if constexpr (std::endian::native != std::endian::little) GTEST_SKIP() << "the bytes are those of another order";
    const temporary_folder folder;
    const log_identity identity{0x1122334455667788U, 100, {{2, 3}, {1, 1}}};
    {
        result_log log(system_files(), folder / "results.log", identity);
        log.write(0, 2, std::as_bytes(std::span("abc\0\0", 6)));
        log.write(2, 1, std::as_bytes(std::span("z", 1)));
    }
    std::string hexadecimal;
    for (const char c : contents_of(folder / "results.log")) {
        for (const int shift : {4, 0}) hexadecimal += "0123456789abcdef"[c >> shift & 0xf];
    }
    EXPECT_EQ(hexadecimal,
              "896375424f4d450a010000000403020150000000020000008877665544332211"
              "6400000000000000020000000000000003000000000000000100000000000000"
              "0100000000000000000000002aa1364f61626399f6dd2e00000089b136257af4"
              "63aa3c");
}

TEST(result_log_test, a_complete_log_has_the_same_bytes_whatever_the_chunks_and_their_order) {
    const std::vector<std::vector<log_part>> shapes = {{},
                                                       {{0, 1}},
                                                       {{1, 1}},
                                                       {{1, 64}},
                                                       {{0, 3}, {0, 4}},
                                                       {{20, 3}, {0, 7}, {1, 1}, {28, 12}},
                                                       {{300, 8}, {1, 4097}}};
    std::mt19937 random(1);
    for (const std::vector<log_part>& parts : shapes) {
        const log_identity identity{5, 17, parts};
        std::int64_t length = 48 + 16 * static_cast<std::int64_t>(parts.size());
        for (const log_part& part : parts) length += part.num_records * (part.record_bytes + 4);
        const std::string expected = complete_log(identity);
        ASSERT_EQ(static_cast<std::int64_t>(expected.size()), length);
        for (const std::int64_t most : {1, 2, 3, 7, 64, 1000}) {
            const temporary_folder folder;
            const std::string path = folder / "results.log";
            std::vector<index_range> chunks = chunks_of(identity, {{0, identity.num_records()}}, most);
            std::shuffle(chunks.begin(), chunks.end(), random);
            std::size_t next = 0;
            while (true) {  // opened anew every few chunks
                result_log log(system_files(), path, identity);
                std::set<std::int64_t> done = indices_in({chunks.begin(), chunks.begin() + static_cast<int>(next)});
                std::set<std::int64_t> missing = indices_in(log.missing());
                ASSERT_EQ(static_cast<std::int64_t>(done.size() + missing.size()), identity.num_records());
                done.merge(missing);
                ASSERT_EQ(static_cast<std::int64_t>(done.size()), identity.num_records());
                if (next == chunks.size()) break;
                for (std::size_t i = 0; i < 5 && next < chunks.size(); ++i, ++next) {
                    const auto [first, count] = chunks[next];
                    log.write(first, count, payloads_of(identity, first, count));
                }
            }
            ASSERT_EQ(contents_of(path), expected);
            std::int64_t num_damaged = -1;
            ASSERT_EQ(static_cast<std::int64_t>(readable(path, identity, &num_damaged).size()), identity.num_records());
            EXPECT_EQ(num_damaged, 0);
            EXPECT_EQ(contents_of_folder(folder.path).size(), 1U);
        }
    }
}

TEST(result_log_test, records_longer_than_the_buffer_are_read_and_written) {
    const log_identity identity{1, 0, {{3, (std::int64_t{1} << 20) + 5}, {5, 400'000}}};
    const temporary_folder folder;
    run(system_files(), folder.path, identity, 5);
    const std::string whole = contents_of(folder / "results.log");
    EXPECT_EQ(readable(folder / "results.log", identity).size(), 8U);

    std::string damaged = whole;
    damaged[100 + (1 << 20)] = static_cast<char>(damaged[100 + (1 << 20)] ^ 1);  // in record 0 or 1
    damaged.resize(damaged.size() - 1);
    put(folder / "results.log", damaged);
    EXPECT_EQ(readable(folder / "results.log", identity).size(), 6U);
    run(system_files(), folder.path, identity, 1);
    EXPECT_TRUE(contents_of(folder / "results.log") == whole);
}

TEST(result_log_test, holes_are_missing_and_counted) {
    const log_identity identity = several_parts();
    const temporary_folder folder;
    const std::string path = folder / "results.log";
    {
        result_log log(system_files(), path, identity);
        EXPECT_EQ(log.missing().size(), 1U);
        EXPECT_EQ(log.num_damaged(), 0);
        log.write(40, 2, payloads_of(identity, 40, 2));
        log.write(3, 4, payloads_of(identity, 3, 4));
        EXPECT_EQ(log.missing().size(), 1U);  // as it was opened
    }
    std::int64_t num_damaged = 0;
    EXPECT_EQ(readable(path, identity, &num_damaged), (std::set<std::int64_t>{3, 4, 5, 6, 40, 41}));
    EXPECT_EQ(num_damaged, 36);
    result_log log(system_files(), path, identity);
    ASSERT_EQ(log.missing().size(), 3U);
    EXPECT_EQ(log.missing()[0].first, 0);
    EXPECT_EQ(log.missing()[0].count, 3);
    EXPECT_EQ(log.missing()[1].first, 7);
    EXPECT_EQ(log.missing()[1].count, 33);
    EXPECT_EQ(log.missing()[2].first, 42);
    EXPECT_EQ(log.missing()[2].count, 7);
    EXPECT_EQ(log.num_damaged(), 36);
}

TEST(result_log_test, what_no_log_can_be_and_what_is_no_records_place_is_refused) {
    using cubome::invalid_argument;
    const temporary_folder folder;
    const auto refusal = [&](const log_identity& identity) {
        const std::string message =
            message_of<invalid_argument>([&] { result_log(system_files(), folder / "results.log", identity); });
        EXPECT_TRUE(contents_of_folder(folder.path).empty());
        return message;
    };
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    EXPECT_EQ(refusal({0, -1, {}}), "result_log: 'identity' has first_index -1, expected 0 or more");
    EXPECT_EQ(refusal({0, 0, {{1, 1}, {-1, 1}}}),
              "result_log: 'identity' has part 1 of -1 records, expected 0 or more");
    EXPECT_EQ(refusal({0, 0, {{1, 0}}}),
              "result_log: 'identity' has part 0 with records of 0 bytes, expected 1 to 1073741824");
    EXPECT_EQ(refusal({0, 0, {{1, most}}}), "result_log: 'identity' has part 0 with records of " +
                                                std::to_string(most) + " bytes, expected 1 to 1073741824");
    const std::string too_long = ", with which it is longer than 2⁶³ − 2, expected less";
    EXPECT_EQ(refusal({0, 0, {{most, 1}}}), "result_log: 'identity' has part 0" + too_long);
    EXPECT_EQ(refusal({0, 0, {{most / 8, 1}, {most / 8, 12}}}), "result_log: 'identity' has part 1" + too_long);
    EXPECT_EQ(refusal({0, most - 3, {{3, 1}}}), "result_log: 'identity' has part 0" + too_long);
    EXPECT_EQ(refusal({0, 0, std::vector<log_part>((1 << 20) + 1)}),
              "result_log: 'identity' has 1048577 parts, expected 1048576 at most");

    const log_identity identity = several_parts();
    result_log log(system_files(), folder / "results.log", identity);
    const std::string before = contents_of(folder / "results.log");
    const byte_vector payloads(12 * 30);
    const auto refused = [&](std::int64_t first, std::int64_t count, std::size_t size) {
        return message_of<invalid_argument>([&] { log.write(first, count, std::span(payloads).first(size)); });
    };
    EXPECT_EQ(refused(-1, 1, 3), "result_log::write: 'first' is -1, expected 0 to 49");
    EXPECT_EQ(refused(50, 0, 0), "result_log::write: 'first' is 50, expected 0 to 49");
    EXPECT_EQ(refused(48, 2, 24), "result_log::write: 'count' is 2, expected 0 to 1");
    EXPECT_EQ(refused(48, -1, 0), "result_log::write: 'count' is -1, expected 0 to 1");
    EXPECT_EQ(refused(20, 2, 13), "result_log::write: 'count' is 2 from 20, expected records of one part");
    EXPECT_EQ(refused(21, 2, 23), "result_log::write: 'payloads' has 23 bytes, expected 2 times 12");
    EXPECT_EQ(contents_of(folder / "results.log"), before);
    log.write(49, 0, {});
    log.write(48, 1, payloads_of(identity, 48, 1));
    EXPECT_EQ(readable(folder / "results.log", identity), std::set<std::int64_t>{48});
}

// ---- killed

/// Runs in another process, which reports each chunk that is durable.
/// @return whether it came to its end
bool run_in_child(const std::string& folder, const std::function<interference(std::int64_t, const std::string&)>& plan,
                  std::set<std::int64_t>& durable) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        try {
            make_folder_and_run(interfered(plan), folder, [&](const index_range& chunk) {
                if (::write(ends[1], &chunk, sizeof chunk) != sizeof chunk) ::_exit(2);
            });
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            ::_exit(3);
        }
        ::_exit(0);
    }
    ::close(ends[1]);
    index_range chunk;
    std::vector<index_range> chunks;
    while (::read(ends[0], &chunk, sizeof chunk) == sizeof chunk) chunks.push_back(chunk);
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    durable.merge(indices_in(chunks));
    if (WIFSIGNALED(status)) {
        EXPECT_EQ(WTERMSIG(status), SIGKILL);
        return false;
    }
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return true;
}

struct kill_point {
    std::int64_t number;
    deed when;

    interference operator()(std::int64_t n, const std::string&) const { return {n == number ? when : deed::pass}; }
};

/// Before and after each call, and halfway through each write.
std::vector<kill_point> kill_points(const std::vector<std::string>& calls) {
    std::vector<kill_point> result;
    for (std::size_t k = 0; k < calls.size(); ++k) {
        const auto number = static_cast<std::int64_t>(k);
        result.push_back({number, deed::kill_before});
        if (calls[k] == "pwrite") result.push_back({number, deed::kill_halfway});
        result.push_back({number, deed::kill_after});
    }
    return result;
}

void expect_readable(const std::string& folder, const std::set<std::int64_t>& durable) {
    if (std::filesystem::exists(folder + "/results.log")) {
        EXPECT_TRUE(includes(readable(folder + "/results.log", several_parts()), durable));
    } else {
        EXPECT_TRUE(durable.empty());
    }
}

TEST(result_log_test, a_run_that_is_killed_twice_at_any_call_of_the_system_loses_nothing_it_had_reported) {
    const temporary_folder root;
    const std::string folder = root / "out";
    const std::string expected = complete_log(several_parts());
    const std::vector<std::string> first_calls =
        calls_of([&](const file_calls& calls) { make_folder_and_run(calls, folder); });
    EXPECT_EQ(contents_of(folder + "/results.log"), expected);
    const std::vector<kill_point> first_kills = kill_points(first_calls);
    std::int64_t num_killed_twice = 0;
    for (std::size_t i = 0; i < first_kills.size() && !::testing::Test::HasFailure(); ++i) {
        SCOPED_TRACE("first kill at call " + std::to_string(first_kills[i].number) + ", " +
                     first_calls[static_cast<std::size_t>(first_kills[i].number)]);
        std::filesystem::remove_all(folder);
        std::set<std::int64_t> durable;
        EXPECT_FALSE(run_in_child(folder, first_kills[i], durable));
        expect_readable(folder, durable);
        const bool is_there = std::filesystem::exists(folder);
        const folder_contents killed = contents_of_folder(folder);

        // The same again up to here, unharmed: the calls that a resumed run makes.
        const std::vector<std::string> second_calls =
            calls_of([&](const file_calls& calls) { make_folder_and_run(calls, folder); });
        EXPECT_EQ(contents_of(folder + "/results.log"), expected);
        EXPECT_EQ(contents_of_folder(folder).size(), 2U);  // the log and the lock
        if (i % every_so_many_kills != 0) continue;
        for (const kill_point& second_kill : kill_points(second_calls)) {
            SCOPED_TRACE("second kill at call " + std::to_string(second_kill.number) + ", " +
                         second_calls[static_cast<std::size_t>(second_kill.number)]);
            put_folder(folder, killed);
            if (!is_there) std::filesystem::remove(folder);
            std::set<std::int64_t> durable_by_both = durable;
            // Without a folder to make, a call fewer or two: the last kills may come too late.
            const bool is_done = run_in_child(folder, second_kill, durable_by_both);
            EXPECT_TRUE(!is_done || !is_there);
            expect_readable(folder, durable_by_both);
            make_folder_and_run(system_files(), folder);
            EXPECT_EQ(contents_of(folder + "/results.log"), expected);
            EXPECT_EQ(contents_of_folder(folder).size(), 2U);
            ++num_killed_twice;
            if (::testing::Test::HasFailure()) break;
        }
    }
    RecordProperty("killed_once", static_cast<int>(first_kills.size()));
    RecordProperty("killed_twice", static_cast<int>(num_killed_twice));
    EXPECT_GT(num_killed_twice, 200);
}

// ---- the power is cut

/// A disk with a cache before it: what is lost with the power is whatever was not synced, or any part of it.
///
/// One file is its bytes as a process sees them, its bytes on the disk, and the writes in between. Names are likewise:
/// what was done to them since the folder's last sync, of which a cut leaves any first few.
class disk_model {
public:
    struct file {
        std::string seen;
        std::string on_disk;
        std::vector<std::pair<std::size_t, std::string>> writes;  ///< offset and bytes; a truncation has none
        bool is_folder = false;
    };
    using file_pointer = std::shared_ptr<file>;
    using names = std::map<std::string, file_pointer>;

    std::int64_t stop_at = -1;       ///< the call that is not made, nor any after it
    std::int64_t failing_sync = -1;  ///< which sync reports an error, and forgets what it had to write
    bool does_sync_nothing = false;  ///< a lie: syncs return at once
    std::int64_t num_calls = 0;
    std::int64_t num_syncs = 0;

    disk_model() {
        auto root = std::make_shared<file>();
        root->is_folder = true;
        seen_["."] = on_disk_["."] = root;
    }

    const names& seen() const { return seen_; }

    /// A file that lies on the disk as it is.
    void put(const std::string& path, const std::string& contents) {
        const auto f = std::make_shared<file>();
        f->seen = f->on_disk = contents;
        seen_[path] = on_disk_[path] = f;
    }

    bool is_stopped() const { return is_stopped_; }

    file_calls calls() {
        file_calls c = system_files();
        c.open.function = [this](const char* path, int flags, unsigned) {
            return step([&] { return open(path, flags); });
        };
        c.close.function = [this](int descriptor) {
            return step([&] { return open_.erase(descriptor) == 1 ? 0 : failed(EBADF); });
        };
        c.fstat.function = [this](int descriptor, struct stat* status) {
            return step([&] {
                status->st_size = static_cast<off_t>(at(descriptor).seen.size());
                status->st_mode = at(descriptor).is_folder ? S_IFDIR : S_IFREG;
                return 0;
            });
        };
        c.pread.function = [this](int descriptor, void* to, std::size_t size, std::int64_t offset) {
            return step([&]() -> std::int64_t {
                const std::string& seen = at(descriptor).seen;
                const std::size_t begin = std::min(static_cast<std::size_t>(offset), seen.size());
                return static_cast<std::int64_t>(seen.copy(static_cast<char*>(to), size, begin));
            });
        };
        c.pwrite.function = [this](int descriptor, const void* from, std::size_t size, std::int64_t offset) {
            const std::string written(static_cast<const char*>(from), size);
            return step([&] {
                file& f = at(descriptor);
                f.writes.emplace_back(static_cast<std::size_t>(offset), written);
                apply(f.seen, f.writes.back());
                return static_cast<std::int64_t>(size);
            });
        };
        c.ftruncate.function = [this](int descriptor, std::int64_t size) {
            return step([&] {
                file& f = at(descriptor);
                f.writes.emplace_back(static_cast<std::size_t>(size), "");
                apply(f.seen, f.writes.back());
                return 0;
            });
        };
        c.fdatasync.function = [this](int descriptor) {
            return step([&] {
                file& f = at(descriptor);
                if (does_sync_nothing) return 0;
                const bool is_failing = num_syncs++ == failing_sync;
                // What a failed sync forgot stays seen, and a later one does not write it.
                for (const auto& write : f.writes) {
                    if (!is_failing) apply(f.on_disk, write);
                }
                f.writes.clear();
                return is_failing ? failed(EIO) : 0;
            });
        };
        c.fsync.function = [this](int descriptor) {
            return step([&] {
                if (does_sync_nothing) return 0;
                const std::string folder = path_of(descriptor);
                // In order, and no further than this folder's names go.
                std::vector<change> later;
                for (const change& done : changes_) {
                    if (folder_of(done.to) == folder) {
                        apply(on_disk_, done);
                    } else {
                        later.push_back(done);
                    }
                }
                changes_ = later;
                return 0;
            });
        };
        c.fadvise.function = [this](int descriptor, int) {
            return step([&] {
                file& f = at(descriptor);
                f.seen = f.on_disk;
                for (const auto& write : f.writes) apply(f.seen, write);
                return 0;
            });
        };
        c.flock.function = [this](int, int) { return step([] { return 0; }); };
        c.rename.function = [this](const char* from, const char* to) {
            return step([&] {
                if (!seen_.contains(from)) return failed(ENOENT);
                change_names({from, to, nullptr});
                return 0;
            });
        };
        c.unlink.function = [this](const char* path) {
            return step([&] {
                if (!seen_.contains(path)) return failed(ENOENT);
                change_names({path, path, nullptr});
                return 0;
            });
        };
        c.mkdir.function = [this](const char* path, unsigned) {
            return step([&] {
                if (seen_.contains(path)) return failed(EEXIST);
                auto folder = std::make_shared<file>();
                folder->is_folder = true;
                change_names({"", path, folder});
                return 0;
            });
        };
        return c;
    }

    /// The process has come to its end; the machine runs on.
    void end_process() {
        open_.clear();
        is_stopped_ = false;
        num_calls = num_syncs = 0;
        stop_at = failing_sync = -1;
    }

    /// The power is cut. What the machine finds when it has it again.
    template <class Random>
    void restart(Random& random) {
        end_process();
        const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
        const std::size_t num_kept = below(changes_.size() + 1);
        for (std::size_t i = 0; i < num_kept; ++i) apply(on_disk_, changes_[i]);
        changes_.clear();
        // What is in a folder goes with its name; the order of the names has folders first.
        for (auto i = on_disk_.begin(); i != on_disk_.end();) {
            i = on_disk_.contains(folder_of(i->first)) ? std::next(i) : on_disk_.erase(i);
        }
        seen_ = on_disk_;
        const std::size_t how = below(3);
        for (auto& [path, f] : seen_) {
            for (const auto& write : f->writes) {
                // None, all, or any part of any of them.
                if (how == 0 || (how == 2 && below(2) == 0)) continue;
                auto part = write;
                if (how == 2 && !part.second.empty()) {
                    const std::size_t begin = below(part.second.size());
                    part.first += begin;
                    part.second = part.second.substr(begin, 1 + below(part.second.size() - begin));
                }
                apply(f->on_disk, part);
            }
            f->writes.clear();
            f->seen = f->on_disk;
        }
    }

private:
    struct change {
        std::string from, to;
        file_pointer made;  ///< null for a renaming, or where from is to for a removal
    };

    template <class F>
    std::int64_t step(const F& f) {
        if (num_calls++ == stop_at) is_stopped_ = true;
        return is_stopped_ ? failed(EIO) : static_cast<std::int64_t>(f());
    }

    static int failed(int code) {
        errno = code;
        return -1;
    }

    static std::string folder_of(const std::string& path) { return cubome::command::folder_of(path); }

    static void apply(std::string& bytes, const std::pair<std::size_t, std::string>& write) {
        const auto& [offset, written] = write;
        if (written.empty()) {
            bytes.resize(offset);
        } else {
            bytes.resize(std::max(bytes.size(), offset + written.size()));
            bytes.replace(offset, written.size(), written);
        }
    }

    static void apply(names& all, const change& done) {
        if (done.made) {
            all[done.to] = done.made;
        } else {
            if (done.from != done.to && all.contains(done.from)) all[done.to] = all[done.from];
            all.erase(done.from);
        }
    }

    void change_names(const change& done) {
        changes_.push_back(done);
        apply(seen_, done);
    }

    int open(const std::string& path, int flags) {
        if (!seen_.contains(path)) {
            if ((flags & O_CREAT) == 0 || !seen_.contains(folder_of(path))) return failed(ENOENT);
            change_names({"", path, std::make_shared<file>()});
        }
        const file_pointer f = seen_[path];
        if ((flags & O_TRUNC) != 0 && !f->seen.empty()) {
            f->writes.emplace_back(0, "");
            f->seen.clear();
        }
        open_[next_] = {path, f};
        return next_++;
    }

    file& at(int descriptor) { return *open_.at(descriptor).second; }
    std::string path_of(int descriptor) { return open_.at(descriptor).first; }

    names seen_, on_disk_;
    std::vector<change> changes_;
    std::map<int, std::pair<std::string, file_pointer>> open_;
    int next_ = 3;
    bool is_stopped_ = false;
};

/// Kills runs or cuts the power at random calls until one comes to its end, and cuts the power then.
/// @return whether the log is complete and nothing was lost that had been durable
bool survives(unsigned seed, bool does_sync_nothing, bool with_failing_syncs, const std::string& expected) {
    std::mt19937 random(seed);
    disk_model disk;
    disk.does_sync_nothing = does_sync_nothing;
    const file_calls calls = disk.calls();
    std::set<std::int64_t> durable;
    for (bool is_done = false; !is_done;) {
        disk.stop_at = std::uniform_int_distribution<std::int64_t>(0, 80)(random);
        if (with_failing_syncs) disk.failing_sync = std::uniform_int_distribution<std::int64_t>(0, 30)(random);
        try {
            make_folder(calls, "out");
            const folder_lock lock(calls, "out");
            result_log log(calls, "out/results.log", several_parts());
            const std::set<std::int64_t> missing = indices_in(log.missing());
            for (const std::int64_t i : durable) {
                if (missing.contains(i)) return false;
            }
            for (std::int64_t i = 0; i < several_parts().num_records(); ++i) {
                if (!missing.contains(i)) durable.insert(i);
            }
            for (const index_range& chunk : chunks_of(several_parts(), log.missing(), records_per_chunk)) {
                log.write(chunk.first, chunk.count, payloads_of(several_parts(), chunk.first, chunk.count));
                durable.merge(indices_in({chunk}));
            }
            is_done = true;
        } catch (const read_error&) {
            return false;  // a header that was not durable before it got its name
        } catch (const file_error&) {
        }
        // After a run that failed or was killed the machine may run on, and the next run sees what it remembers.
        if (is_done || (disk.is_stopped() && random() % 2 == 0)) {
            disk.restart(random);
        } else {
            disk.end_process();
        }
    }
    const auto log = disk.seen().find("out/results.log");
    return log != disk.seen().end() && log->second->seen == expected;
}

TEST(result_log_test, a_machine_that_loses_its_power_at_any_call_loses_nothing_that_was_reported_durable) {
    const std::string expected = complete_log(several_parts());
    for (unsigned seed = 0; seed < num_cut_runs; ++seed) {
        ASSERT_TRUE(survives(seed, false, false, expected)) << seed;
    }
}

TEST(result_log_test, what_a_failed_sync_lost_is_not_taken_for_durable_by_the_next_run) {
    const std::string expected = complete_log(several_parts());
    for (unsigned seed = 0; seed < num_cut_runs; ++seed) {
        ASSERT_TRUE(survives(seed, false, true, expected)) << seed;
    }
}

TEST(result_log_test, what_was_mended_or_cut_off_is_durable_without_a_further_write) {
    const log_identity identity = few_bits();
    const std::string whole = complete_log(identity);
    std::string damaged = whole;
    damaged[30] = 'x';
    std::mt19937 random(4);
    for (const std::string& log : {damaged, whole + "garbage", damaged + "garbage"}) {
        for (int i = 0; i < 20; ++i) {
            disk_model disk;
            disk.put("results.log", log);
            const file_calls calls = disk.calls();
            EXPECT_TRUE(result_log(calls, "results.log", identity).missing().empty());
            disk.restart(random);
            EXPECT_EQ(disk.seen().at("results.log")->seen, whole);
        }
    }
}

TEST(result_log_test, the_model_of_a_disk_notices_syncs_that_do_nothing) {
    const std::string expected = complete_log(several_parts());
    int num_survived = 0;
    for (unsigned seed = 0; seed < 100; ++seed) num_survived += survives(seed, true, false, expected) ? 1 : 0;
    EXPECT_LT(num_survived, 20);
}

// ---- calls that fail

TEST(result_log_test, a_call_that_fails_is_an_error_that_names_the_file_and_the_next_run_completes_the_log) {
    struct fault {
        interference what;
        bool is_for_ever;
        std::string calls;  ///< the only ones that it meets; all if empty
    };
    std::vector<fault> faults;
    for (const bool is_for_ever : {false, true}) {
        faults.push_back({{deed::fail, EIO}, is_for_ever, ""});
        faults.push_back({{deed::fail, ENOSPC}, is_for_ever, ""});
        faults.push_back({{deed::fail, EIO}, is_for_ever, "fdatasync fsync"});
        faults.push_back({{deed::give_zero, 0}, is_for_ever, "pwrite"});
        faults.push_back({{deed::halve, 0}, is_for_ever, "pwrite"});
    }
    const temporary_folder root;
    const std::string folder = root / "out";
    const std::string path = folder + "/results.log";
    const log_identity identity = several_parts();
    const std::string expected = complete_log(identity);
    const std::int64_t num_calls = static_cast<std::int64_t>(
        calls_of([&](const file_calls& calls) { make_folder_and_run(calls, folder); }).size());
    // Once with nothing there, once with a log of holes, damage and a torn tail.
    folder_contents begun = contents_of_folder(folder);
    std::string& log = begun["results.log"];
    log.resize(log.size() - 70);
    log[150] = static_cast<char>(log[150] ^ 4);
    log[9] = static_cast<char>(log[9] ^ 4);
    const std::size_t num_open = num_open_descriptors();
    for (const fault& f : faults) {
        for (const bool is_begun : {false, true}) {
            for (std::int64_t k = 0; k < num_calls; ++k) {
                std::filesystem::remove_all(folder);
                if (is_begun) put_folder(folder, begun);
                std::string failed;  // the first call that was made to fail
                std::vector<std::string> calls_after;
                const file_calls calls = interfered([&](std::int64_t number, const std::string& name) -> interference {
                    if (!failed.empty()) calls_after.push_back(name);
                    const bool is_met = f.calls.empty() || f.calls.find(name) != std::string::npos;
                    if (!is_met || number < k || (!failed.empty() && !f.is_for_ever)) return {};
                    if (failed.empty()) failed = name;
                    return f.what;
                });
                SCOPED_TRACE("call " + std::to_string(k) + " of code " + std::to_string(f.what.code));
                std::set<std::int64_t> durable;
                bool is_error = false;
                try {
                    make_folder(calls, folder);
                    const folder_lock lock(calls, folder);
                    result_log results(calls, path, identity);
                    const auto chunks = chunks_of(identity, results.missing(), records_per_chunk);
                    for (std::size_t i = 0; i < chunks.size(); ++i) {
                        const auto write = [&](const index_range& chunk) {
                            results.write(chunk.first, chunk.count, payloads_of(identity, chunk.first, chunk.count));
                        };
                        try {
                            write(chunks[i]);
                        } catch (const file_error& error) {
                            EXPECT_TRUE(error.operation() == "write" || error.operation() == "sync");
                            EXPECT_EQ(error.path(), path);
                            EXPECT_EQ(failed, error.operation() == "write" ? "pwrite" : "fdatasync");
                            // The rest fails in the same words, without a call of the system.
                            calls_after.clear();
                            for (const index_range& chunk : chunks) {
                                EXPECT_EQ(message_of<file_error>([&] { write(chunk); }), error.what());
                            }
                            EXPECT_TRUE(calls_after.empty());
                            throw;
                        }
                        durable.merge(indices_in({chunks[i]}));
                    }
                } catch (const file_error& error) {
                    is_error = true;
                    const std::string text = error.what();
                    EXPECT_EQ(text, "cannot " + error.operation() + " '" + error.path() +
                                        "': " + std::generic_category().message(error.code()));
                    EXPECT_TRUE(error.path().starts_with(root.path)) << text;
                    EXPECT_EQ(error.code(), f.what.code == 0 ? EIO : f.what.code) << text;
                }
                // What need not succeed: a whole write at once, closing after a sync, a hint to the system.
                const bool is_harmless =
                    failed.empty() || f.what.what == deed::halve || failed == "close" || failed == "posix_fadvise";
                EXPECT_TRUE(is_error || is_harmless) << failed;

                // A reader has nothing to say of a header that was not mended yet.
                if (std::filesystem::exists(path) && contents_of(path)[9] == 0) expect_readable(folder, durable);
                make_folder_and_run(system_files(), folder);
                ASSERT_EQ(contents_of(path), expected);
                ASSERT_EQ(contents_of_folder(folder).size(), 2U);
                ASSERT_EQ(num_open_descriptors(), num_open);
                ASSERT_FALSE(::testing::Test::HasFailure());
            }
        }
    }
}

TEST(result_log_test, a_file_takes_nothing_more_after_the_first_failure) {
    const temporary_folder folder;
    const std::string path = folder / "file";
    const std::vector<std::function<void(open_file&)>> deeds = {
        [](open_file& file) { file.write_at(0, std::as_bytes(std::span("x", 1))); },
        [](open_file& file) { file.truncate(0); }, [](open_file& file) { file.sync(); }};
    const std::vector<std::string> words = {"write", "truncate", "sync"};
    for (std::size_t first = 0; first < deeds.size(); ++first) {
        std::int64_t num_calls = 0;
        bool is_failing = true;
        const file_calls calls = interfered([&](std::int64_t number, const std::string&) -> interference {
            num_calls = number + 1;
            if (number > 0 && is_failing) return {deed::fail, EIO};
            return {};
        });
        open_file file(calls, path, O_RDWR | O_CREAT);
        const std::string expected = "cannot " + words[first] + " '" + path + "': Input/output error";
        EXPECT_EQ(message_of<file_error>([&] { deeds[first](file); }), expected);
        is_failing = false;
        for (const auto& later : deeds) EXPECT_EQ(message_of<file_error>([&] { later(file); }), expected);
        EXPECT_EQ(num_calls, 2);
        EXPECT_EQ(file.size(), 0);  // it can still be read
    }
}

TEST(result_log_test, calls_that_a_signal_interrupts_are_made_again) {
    const temporary_folder root;
    std::string last;
    const file_calls calls = interfered([&](std::int64_t, const std::string& name) -> interference {
        const bool is_repeatable = name != "fstat" && name != "rename" && name != "mkdir" && name != "unlink";
        if (name == last || !is_repeatable) {
            last = "";
            return {};
        }
        last = name == "close" || name == "posix_fadvise" ? "" : name;  // neither is made again
        return {deed::fail, EINTR};
    });
    make_folder_and_run(calls, root / "out");
    EXPECT_EQ(contents_of(root / "out/results.log"), complete_log(several_parts()));
}

TEST(result_log_test, every_descriptor_is_closed_in_programs_that_the_process_starts) {
    const temporary_folder folder;
    const folder_lock lock(system_files(), folder.path);
    const result_log log(system_files(), folder / "results.log", few_bits());
    const result_log_reader reader(folder / "results.log");
    std::size_t num_ours = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code ignored;
        const std::string to = std::filesystem::read_symlink(entry.path(), ignored).string();
        if (!to.starts_with(folder.path)) continue;
        ++num_ours;
        EXPECT_NE(::fcntl(std::stoi(entry.path().filename().string()), F_GETFD) & FD_CLOEXEC, 0) << to;
    }
    EXPECT_EQ(num_ours, 3U);

    file_calls calls = system_files();
    std::int64_t num_opened = 0;
    calls.open.function = [&](const char* path, int flags, unsigned mode) {
        EXPECT_NE(flags & O_CLOEXEC, 0) << path;
        ++num_opened;
        return system_files().open(path, flags, mode);
    };
    make_folder_and_run(calls, folder / "out");
    EXPECT_EQ(num_opened, 7);  // the folder above, the lock, the log, what becomes the log, its folder twice, the log
}

// ---- damage

/// Opens what is left of a log, and solves what is missing.
/// @return empty, or the read_error's text
std::string completed_or_refused(const std::string& folder, const std::string& damaged, const log_identity& identity,
                                 const std::string& expected) {
    const std::string path = folder + "/results.log";
    put(path, damaged);
    std::set<std::int64_t> shown;
    bool is_shown = true;
    try {
        shown = readable(path, identity);
    } catch (const read_error&) {
        is_shown = false;
    }
    std::string refusal;
    try {
        result_log log(system_files(), path, identity);
        const std::set<std::int64_t> missing = indices_in(log.missing());
        for (std::int64_t i = 0; i < identity.num_records() && is_shown; ++i) {
            EXPECT_NE(shown.contains(i), missing.contains(i)) << i;
        }
        // What is missing is written for the first time.
        for (const index_range& chunk : chunks_of(identity, log.missing(), 2)) {
            log.write(chunk.first, chunk.count, payloads_of(identity, chunk.first, chunk.count));
        }
    } catch (const read_error& error) {
        refusal = error.what();
        EXPECT_EQ(error.path(), path);
        EXPECT_EQ(contents_of(path), damaged);
        return refusal;
    }
    EXPECT_EQ(contents_of(path), expected);
    return "";
}

TEST(result_log_test, a_log_with_any_one_bit_flipped_is_completed_to_the_same_bytes) {
    const temporary_folder folder;
    const log_identity identity = few_bits();
    const std::string whole = complete_log(identity);
    const std::size_t header_bytes = 48 + 32;
    for (const std::size_t length : {whole.size(), whole.size() - 9, header_bytes + 6}) {
        for (std::size_t bit = 0; bit < 8 * length; ++bit) {
            std::string damaged = whole.substr(0, length);
            damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
            // The only record that shows whose the header is may be the one that is damaged.
            ASSERT_EQ(completed_or_refused(folder.path, damaged, identity, whole), "") << length << ", bit " << bit;
            ASSERT_FALSE(HasFailure()) << length << ", bit " << bit;
        }
    }
}

TEST(result_log_test, a_header_without_records_is_mended_but_for_the_bytes_that_make_it_a_log) {
    const temporary_folder folder;
    const log_identity identity = few_bits();
    const std::string whole = complete_log(identity);
    const std::string header = whole.substr(0, 80);
    for (std::size_t bit = 0; bit < 8 * header.size(); ++bit) {
        std::string damaged = header;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
        const std::string refusal = completed_or_refused(folder.path, damaged, identity, whole);
        ASSERT_EQ(refusal,
                  bit >= 64 ? "" : "result_log: '" + folder.path + "/results.log' at byte 0: it is no result log");
    }
}

TEST(result_log_test, a_log_with_two_bytes_overwritten_is_completed_or_refused) {
    const temporary_folder folder;
    const log_identity identity = few_bits();
    const std::string whole = complete_log(identity);
    std::mt19937 random(2);
    for (int i = 0; i < 3000; ++i) {
        std::string damaged = whole.substr(0, random() % 4 == 0 ? random() % whole.size() + 1 : whole.size());
        for (int j = 0; j < 2; ++j) damaged[random() % damaged.size()] = static_cast<char>(random());
        const std::string refusal = completed_or_refused(folder.path, damaged, identity, whole);
        ASSERT_TRUE(refusal.empty() || damaged.size() <= 80 + 6 + 6) << refusal;
        ASSERT_FALSE(HasFailure()) << i;
    }
}

TEST(result_log_test, a_log_cut_off_anywhere_is_completed_to_the_same_bytes) {
    const temporary_folder folder;
    for (const log_identity& identity : {few_bits(), several_parts()}) {
        const std::string whole = complete_log(identity);
        for (std::size_t length = 0; length <= whole.size(); ++length) {
            ASSERT_EQ(completed_or_refused(folder.path, whole.substr(0, length), identity, whole), "") << length;
        }
    }
}

TEST(result_log_test, what_is_appended_to_a_log_is_cut_off) {
    const temporary_folder folder;
    const log_identity identity = few_bits();
    const std::string whole = complete_log(identity);
    const std::string first_record = whole.substr(80, 6);
    const std::string longer_record = whole.substr(80 + 18, 9);
    std::mt19937 random(3);
    for (std::size_t length = 80; length <= whole.size(); ++length) {
        std::string garbage;
        for (int i = 0; i < 50; ++i) garbage += static_cast<char>(random());
        for (const std::string& more :
             {std::string("x"), std::string(100, '\0'), std::string(100, '\xff'), garbage,
              first_record + first_record + first_record, longer_record + longer_record, whole}) {
            const std::string damaged = whole.substr(0, length) + more;
            ASSERT_EQ(completed_or_refused(folder.path, damaged, identity, whole), "") << length;
            ASSERT_FALSE(HasFailure()) << length;
        }
    }
}

TEST(result_log_test, a_record_in_the_place_of_another_is_missing) {
    const log_identity identity{9, 0, {{40, 4}}};
    const temporary_folder folder;
    const std::string whole = complete_log(identity);
    for (std::size_t from = 0; from < 40; ++from) {
        for (std::size_t to = 0; to < 40; ++to) {
            std::string damaged = whole;
            damaged.replace(64 + to * 8, 8, whole.substr(64 + from * 8, 8));
            put(folder / "results.log", damaged);
            std::set<std::int64_t> expected;
            for (std::int64_t i = 0; i < 40; ++i) expected.insert(i);
            if (from != to) expected.erase(static_cast<std::int64_t>(to));
            ASSERT_EQ(readable(folder / "results.log", identity), expected);
        }
    }
}

TEST(result_log_test, zeros_are_no_records_whatever_their_index) {
    // More indices than a checksum of 16 bits would need to be 0 at one of them.
    const log_identity identity{3, 0, {{400'000, 1}}};
    const temporary_folder folder;
    { const result_log log(system_files(), folder / "results.log", identity); }
    std::filesystem::resize_file(folder / "results.log", 64 + 400'000 * 5);
    EXPECT_TRUE(readable(folder / "results.log", identity).empty());
}

TEST(result_log_test, a_checksum_that_would_be_zero_is_written_as_another) {
    // A payload of 4 bytes can make any CRC: the one that makes 0 is solved for.
    const log_identity identity{3, 0, {{2, 4}}};
    const temporary_folder folder;
    const std::string path = folder / "results.log";
    { const result_log log(system_files(), path, identity); }
    const std::string header = contents_of(path);
    const auto crc_of = [&](std::int64_t index, std::uint32_t payload) {
        std::uint32_t crc = 0;
        std::memcpy(&crc, header.data() + header.size() - 4, 4);
        crc = static_cast<std::uint32_t>(::crc32(crc, reinterpret_cast<const Bytef*>(&index), 8));
        return static_cast<std::uint32_t>(::crc32(crc, reinterpret_cast<const Bytef*>(&payload), 4));
    };
    // Affine over the bits: eliminate.
    std::uint32_t solution = 0, left = crc_of(0, 0);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> rows;  // what it changes in the CRC, the payload's bits
    for (int bit = 0; bit < 32; ++bit) {
        std::pair row(crc_of(0, 1U << bit) ^ crc_of(0, 0), 1U << bit);
        for (const auto& other : rows) {
            if ((row.first ^ other.first) < row.first) row = {row.first ^ other.first, row.second ^ other.second};
        }
        rows.push_back(row);
        std::sort(rows.rbegin(), rows.rend());
    }
    for (const auto& row : rows) {
        if ((left ^ row.first) < left) left ^= row.first, solution ^= row.second;
    }
    ASSERT_EQ(crc_of(0, solution), 0U);
    {
        result_log log(system_files(), path, identity);
        log.write(0, 1, std::as_bytes(std::span(&solution, 1)));
    }
    EXPECT_EQ(contents_of(path).substr(header.size() + 4), "\xff\xff\xff\xff");
    EXPECT_EQ(result_log(system_files(), path, identity).missing().front().first, 1);
    std::string zeroed = contents_of(path);
    zeroed.replace(header.size() + 4, 4, std::string(4, '\0'));
    put(path, zeroed);
    EXPECT_EQ(result_log(system_files(), path, identity).missing().front().first, 0);
}

// ---- another log, another file

template <class T>
std::string with(std::string header, std::size_t offset, T value, std::size_t header_bytes = 80) {
    std::memcpy(header.data() + offset, &value, sizeof value);
    const auto crc = static_cast<std::uint32_t>(
        ::crc32(0, reinterpret_cast<const Bytef*>(header.data()), static_cast<uInt>(header_bytes - 4)));
    std::memcpy(header.data() + header_bytes - 4, &crc, sizeof crc);
    return header;
}

TEST(result_log_test, another_identity_is_refused_with_what_differs) {
    const temporary_folder folder;
    const std::string path = folder / "results.log";
    const log_identity identity = few_bits();
    const std::string whole = complete_log(identity);
    put(path, whole);
    const auto refusal = [&](const log_identity& other) {
        const std::string message = message_of<read_error>([&] { result_log(system_files(), path, other); });
        EXPECT_EQ(contents_of(path), whole);
        const std::string start = "result_log: '" + path + "' at byte ";
        EXPECT_TRUE(message.starts_with(start)) << message;
        return message.substr(std::min(start.size(), message.size()));
    };
    log_identity other = identity;
    other.spec_key = 0xabc;
    EXPECT_EQ(refusal(other),
              "24: the spec or the build is another: the key is 0x0000000000000007, expected 0x0000000000000abc");
    other = identity;
    other.first_index = 100;
    EXPECT_EQ(refusal(other), "32: the shard is another: its first problem is 0, expected 100");
    other = identity;
    other.parts.push_back({1, 1});
    EXPECT_EQ(refusal(other), "20: the sizes are others: 2 parts, expected 3");
    other = identity;
    other.parts[1].num_records = 4;
    EXPECT_EQ(refusal(other),
              "56: the sizes are others: part 1 has 2 records of 5 bytes, expected 4 records of 5 bytes");
    other = identity;
    other.parts[0].record_bytes = 8;
    EXPECT_EQ(refusal(other),
              "40: the sizes are others: part 0 has 3 records of 2 bytes, expected 3 records of 8 bytes");
}

TEST(result_log_test, other_versions_and_byte_orders_are_refused_and_never_taken_for_damage) {
    const temporary_folder folder;
    const std::string path = folder / "results.log";
    const log_identity identity = few_bits();
    const std::string whole = complete_log(identity);
    const auto refused = [&](const std::string& log, const std::string& reason) {
        put(path, log);
        EXPECT_EQ(message_of<read_error>([&] { result_log(system_files(), path, identity); }),
                  "result_log: '" + path + "' at byte " + reason);
        EXPECT_EQ(contents_of(path), log);
        EXPECT_EQ(message_of<read_error>([&] { result_log_reader{path}; }),
                  "result_log_reader: '" + path + "' at byte " + reason);
    };
    refused(with(whole, 8, std::uint32_t{2}), "8: the format's version is 2, expected 1");
    refused(with(whole, 12, std::uint32_t{5}), "12: the byte-order mark is 0x00000005, expected 0x01020304");
    refused(with(whole, 20, std::uint32_t{3}), "20: the header has 80 bytes and 3 parts");
    refused(with(whole, 72, std::uint32_t{1}), "72: the header's last bytes are not 0");
    // A later version may have a shorter header.
    const std::string shorter = with(with(whole, 8, std::uint32_t{2}, 24), 16, std::uint32_t{24}, 24);
    refused(shorter.substr(0, 24), "8: the format's version is 2, expected 1");

    // As the other kind of machine would have written it.
    std::string reversed = whole.substr(0, 80);
    for (const std::ptrdiff_t at : {8, 12, 16, 20, 72}) std::reverse(reversed.begin() + at, reversed.begin() + at + 4);
    for (const std::ptrdiff_t at : {24, 32, 40, 48, 56, 64}) {
        std::reverse(reversed.begin() + at, reversed.begin() + at + 8);
    }
    reversed = with(reversed, 72, std::uint32_t{0});
    std::reverse(reversed.end() - 4, reversed.end());
    refused(reversed + whole.substr(80), "12: the byte order is another machine's");
}

TEST(result_log_test, headers_that_claim_what_cannot_be_are_refused_by_the_reader) {
    const temporary_folder folder;
    const std::string path = folder / "results.log";
    const std::string whole = complete_log(few_bits());
    const auto refused = [&](const std::string& log) {
        put(path, log);
        const std::string message = message_of<read_error>([&] { result_log_reader{path}; });
        const std::string start = "result_log_reader: '" + path + "' at byte ";
        return message.substr(std::min(start.size(), message.size()));
    };
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    EXPECT_EQ(refused(with(whole, 32, std::int64_t{-1})), "32: the header has first_index -1, expected 0 or more");
    EXPECT_EQ(refused(with(whole, 40, std::int64_t{-2})),
              "40: the header has part 0 of -2 records, expected 0 or more");
    EXPECT_EQ(refused(with(whole, 64, std::int64_t{0})),
              "64: the header has part 1 with records of 0 bytes, expected 1 to 1073741824");
    EXPECT_EQ(refused(with(whole, 40, most)),
              "40: the header has part 0, with which it is longer than 2⁶³ − 2, expected less");
    EXPECT_EQ(refused(""), "0: the header is damaged or cut off");
    EXPECT_EQ(refused("PK\3\4"), "0: it is no result log");
    EXPECT_EQ(refused(whole.substr(0, 23)), "0: the header is damaged or cut off");
    EXPECT_EQ(refused(whole.substr(0, 79)), "0: the header is damaged or cut off");
    std::string damaged = whole;
    damaged[24] = 'x';
    EXPECT_EQ(refused(damaged), "0: the header is damaged or cut off");
    // Claims within the range are believed, and cost nothing.
    put(path, with(whole, 40, most / 1000));
    EXPECT_EQ(result_log_reader(path).identity().num_records(), most / 1000 + 2);
}

TEST(result_log_test, a_damaged_header_over_somebody_elses_records_is_left_alone) {
    const temporary_folder folder;
    const std::string path = folder / "results.log";
    std::string theirs = complete_log(few_bits());
    theirs[17] = 'x';
    put(path, theirs);
    log_identity ours = few_bits();
    ours.spec_key = 8;
    EXPECT_EQ(message_of<read_error>([&] { result_log(system_files(), path, ours); }),
              "result_log: '" + path +
                  "' at byte 0: the header is damaged or cut off, and no record tells that it is this sweep's");
    put(path, "name,value\n1,2\n");
    EXPECT_EQ(message_of<read_error>([&] { result_log(system_files(), path, ours); }),
              "result_log: '" + path + "' at byte 0: it is no result log");
    EXPECT_EQ(contents_of(path), "name,value\n1,2\n");
}

TEST(result_log_test, what_is_no_file_is_an_error) {
    const temporary_folder folder;
    const std::string path = folder / "results.log";
    EXPECT_EQ(message_of<file_error>([&] { result_log_reader{path}; }),
              "cannot open '" + path + "': No such file or directory");
    std::filesystem::create_directory(path);
    EXPECT_EQ(message_of<file_error>([&] { result_log(system_files(), path, few_bits()); }),
              "cannot open '" + path + "': Is a directory");
    EXPECT_EQ(message_of<read_error>([&] { result_log_reader{path}; }),
              "result_log_reader: '" + path + "' at byte 0: it is no regular file");
    std::filesystem::remove(path);
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    EXPECT_EQ(message_of<read_error>([&] { result_log(system_files(), path, few_bits()); }),
              "result_log: '" + path + "' at byte 0: it is no regular file");
    EXPECT_EQ(message_of<read_error>([&] { result_log_reader{path}; }),
              "result_log_reader: '" + path + "' at byte 0: it is no regular file");
    EXPECT_EQ(message_of<file_error>([&] { result_log(system_files(), folder / "no/results.log", few_bits()); }),
              "cannot open '" + (folder / "no/results.log.new") + "': No such file or directory");
    EXPECT_EQ(message_of<file_error>([&] { result_log_reader{std::string("a\0b", 3)}; }).substr(0, 11), "cannot open");
}

// ---- readers beside a writer

TEST(result_log_test, a_reader_beside_a_writer_sees_what_was_durable_before_it_came) {
    const log_identity identity{1, 0, {{3000, 40}}};
    const temporary_folder folder;
    const std::string path = folder / "results.log";
    { const result_log log(system_files(), path, identity); }
    std::atomic<std::int64_t> num_durable{0};
    std::atomic<bool> has_failed{false};
    std::thread writer([&] {
        try {
            result_log log(system_files(), path, identity);
            for (std::int64_t i = 0; i < 3000; i += 3) {
                log.write(i, 3, payloads_of(identity, i, 3));
                num_durable = i + 3;
            }
        } catch (...) {
            has_failed = true;
        }
    });
    std::int64_t least = 0;
    do {
        least = num_durable;
        EXPECT_GE(static_cast<std::int64_t>(readable(path, identity).size()), least);
    } while (least < 3000 && !has_failed && !HasFailure());
    writer.join();
    EXPECT_FALSE(has_failed);
}

// ---- folders

TEST(result_log_test, a_second_run_in_a_folder_is_refused_by_any_process) {
    const temporary_folder folder;
    const auto message = [&] { return message_of<folder_in_use>([&] { folder_lock(system_files(), folder.path); }); };
    const std::string expected = "another run is at work in '" + folder.path + "' (process ";
    {
        const folder_lock lock(system_files(), folder.path);
        EXPECT_EQ(message(), expected + std::to_string(::getpid()) + ")");
        const pid_t child = ::fork();
        if (child == 0) ::_exit(message() == expected + std::to_string(::getppid()) + ")" ? 0 : 1);
        int status = -1;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    }
    EXPECT_EQ(message(), "nothing was thrown");

    // Another process has it, and is killed.
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const folder_lock lock(system_files(), folder.path);
        if (::write(ends[1], "x", 1) != 1) ::_exit(1);
        ::pause();
    }
    char ready = 0;
    EXPECT_EQ(::read(ends[0], &ready, 1), 1);
    EXPECT_EQ(message(), expected + std::to_string(child) + ")");
    put(folder / "lock", "x");
    EXPECT_EQ(message(), "another run is at work in '" + folder.path + "'");
    ::kill(child, SIGKILL);
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    ::close(ends[0]);
    ::close(ends[1]);
    put(folder / "lock", "1234567890123\n12345\n");
    EXPECT_EQ(message(), "nothing was thrown");
    EXPECT_EQ(contents_of(folder / "lock"), std::to_string(::getpid()) + "\n");
}

TEST(result_log_test, folders_are_made_with_those_above_them) {
    const temporary_folder root;
    make_folder(system_files(), root / "a/b/c");
    make_folder(system_files(), root / "a/b/c");
    make_folder(system_files(), root / "a/d//");
    EXPECT_TRUE(std::filesystem::is_directory(root / "a/b/c"));
    EXPECT_TRUE(std::filesystem::is_directory(root / "a/d"));
    put(root / "file", "");
    EXPECT_EQ(message_of<file_error>([&] { make_folder(system_files(), root / "file"); }),
              "cannot open '" + (root / "file") + "': Not a directory");
    EXPECT_EQ(message_of<file_error>([&] { make_folder(system_files(), root / "file/a"); }),
              "cannot make the folder '" + (root / "file/a") + "': Not a directory");
    EXPECT_EQ(message_of<file_error>([&] { make_folder(system_files(), ""); }),
              "cannot make the folder '': No such file or directory");
    EXPECT_EQ(message_of<file_error>([&] { folder_lock(system_files(), root / "none"); }),
              "cannot open '" + (root / "none/lock") + "': No such file or directory");
}

TEST(result_log_test, a_file_written_durably_is_the_old_or_the_new_one_whatever_fails) {
    const temporary_folder folder;
    const std::string path = folder / "report.json";
    const std::string old_text = "old", new_text(100, 'n');
    const auto write = [&](const file_calls& calls) { write_durably(calls, path, std::as_bytes(std::span(new_text))); };
    const std::vector<std::string> calls = calls_of(write);
    EXPECT_EQ(contents_of(path), new_text);
    EXPECT_EQ(calls,
              (std::vector<std::string>{"open", "pwrite", "fdatasync", "close", "rename", "open", "fsync", "close"}));
    const std::size_t num_open = num_open_descriptors();
    for (const int code : {EIO, ENOSPC, EACCES}) {
        for (std::int64_t k = 0; k < static_cast<std::int64_t>(calls.size()); ++k) {
            put(path, old_text);
            const std::string message = message_of<file_error>([&] {
                write(interfered([&](std::int64_t number, const std::string&) -> interference {
                    if (number == k) return {deed::fail, code};
                    return {};
                }));
            });
            EXPECT_EQ(contents_of(path), k <= 4 ? old_text : new_text);
            EXPECT_EQ(contents_of_folder(folder.path).size(), 1U);
            const std::string reason = "': " + std::generic_category().message(code);
            const std::vector<std::string> expected = {
                "cannot open '" + path + ".new" + reason, "cannot write '" + path + ".new" + reason,
                "cannot sync '" + path + ".new" + reason, "cannot close '" + path + ".new" + reason,
                "cannot replace '" + path + reason,       "cannot open '" + folder.path + reason,
                "cannot sync '" + folder.path + reason,   "nothing was thrown"};
            EXPECT_EQ(message, expected[static_cast<std::size_t>(k)]);
        }
    }
    EXPECT_EQ(num_open_descriptors(), num_open);

    put(path + ".new", "what a crash has left, and longer than what is written now: " + std::string(200, 'x'));
    write(system_files());
    EXPECT_EQ(contents_of(path), new_text);
    EXPECT_EQ(contents_of_folder(folder.path).size(), 1U);
    // Folders that cannot be synced are left to their file system.
    write(interfered([&](std::int64_t, const std::string& name) -> interference {
        if (name == "fsync") return {deed::fail, EINVAL};
        return {};
    }));
}

TEST(result_log_test, a_name_without_a_folder_is_in_the_current_one) {
    EXPECT_EQ(cubome::command::folder_of("results.log"), ".");
    EXPECT_EQ(cubome::command::folder_of("a/results.log"), "a");
    EXPECT_EQ(cubome::command::folder_of("/results.log"), "/");
}

}  // namespace
