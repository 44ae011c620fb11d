// SPDX-License-Identifier: Apache-2.0
#include "cubome/readers.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cfloat>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "readers_files.hpp"

namespace {

using namespace readers_files;
using cubome::csv_table;
using cubome::idx_array;

// ---- files and streams to read

std::string idx(const std::vector<std::int64_t>& extents, const std::string& values) {
    std::string result = bytes({0, 0, 8, static_cast<int>(extents.size())});
    for (const std::int64_t extent : extents) {
        for (int shift = 24; shift >= 0; shift -= 8) result += static_cast<char>(extent >> shift & 0xff);
    }
    return result + values;
}

/// How many bytes the start of a gzip file holds.
std::int64_t length_of_truncated(std::string compressed, std::size_t most) {
    std::string plain(most, '\0');
    z_stream stream{};
    EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(compressed.data());
    stream.avail_in = static_cast<uInt>(compressed.size());
    stream.next_out = reinterpret_cast<Bytef*>(plain.data());
    stream.avail_out = static_cast<uInt>(plain.size());
    inflate(&stream, Z_SYNC_FLUSH);
    const auto length = static_cast<std::int64_t>(stream.total_out);
    inflateEnd(&stream);
    return length;
}

idx_array read_idx(const std::string& contents, std::size_t most_per_read = at_once, bool size_is_known = true) {
    return cubome::detail::read_idx(in_memory(contents, most_per_read, size_is_known), "x");
}

csv_table read_csv(const std::string& contents, std::size_t most_per_read = at_once, bool size_is_known = true) {
    return cubome::detail::read_csv(in_memory(contents, most_per_read, size_is_known), "x");
}

// ---- what came of it

std::string message_of(const std::string& contents, bool size_is_known = true) {
    return error_of([&] { return read_idx(contents, at_once, size_is_known); }).what();
}

std::string csv_message_of(const std::string& contents) {
    return error_of([&] { return read_csv(contents); }).what();
}

std::string text_of(const std::vector<std::uint8_t>& values) {
    return {values.begin(), values.end()};
}

// ---- the same again, naively

/// What an uncompressed IDX file holds, if it is one.
std::optional<idx_array> idx_oracle(const std::string& contents) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(contents[i]); };
    if (contents.size() < 4 || byte(0) != 0 || byte(1) != 0 || byte(2) != 8 || byte(3) < 1 || byte(3) > 4) return {};
    const std::size_t header = 4 + std::size_t{4} * byte(3);
    if (contents.size() < header) return {};
    idx_array result;
    double num_values = 1;  // exact for every number of values that a test file can hold
    for (std::size_t i = 4; i < header; i += 4) {
        result.extents.push_back((std::int64_t{byte(i)} << 24) + (byte(i + 1) << 16) + (byte(i + 2) << 8) +
                                 byte(i + 3));
        num_values *= static_cast<double>(result.extents.back());
    }
    if (num_values != static_cast<double>(contents.size() - header)) return {};
    result.values.assign(contents.begin() + static_cast<std::ptrdiff_t>(header), contents.end());
    return result;
}

/// What a text that is known to be a valid table holds.
csv_table csv_oracle(const std::string& contents) {
    csv_table result;
    std::size_t begin = 0;
    for (std::int64_t row = -1; begin < contents.size(); ++row) {
        std::size_t end = std::min(contents.find('\n', begin), contents.size());
        std::string line = contents.substr(begin, end - begin);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        line += ',';
        for (std::size_t cell = 0; cell < line.size();) {
            const std::size_t comma = line.find(',', cell);
            const std::string text = line.substr(cell, comma - cell);
            if (row < 0) {
                result.names.push_back(text);
            } else {
                result.values.push_back(std::strtod(text.c_str(), nullptr));
            }
            cell = comma + 1;
        }
        result.num_rows = row + 1;
        begin = end + 1;
    }
    result.num_columns = static_cast<std::int64_t>(result.names.size());
    return result;
}

/// Either right or refused at a byte of the file.
void expect_idx_right_or_refused(const std::string& plain, std::size_t most_per_read, bool size_is_known) {
    const auto tried = attempt_to([&] { return read_idx(plain, most_per_read, size_is_known); });
    const std::optional<idx_array> truth = idx_oracle(plain);
    ASSERT_EQ(tried.result.has_value(), truth.has_value()) << (tried.error ? tried.error->what() : "accepted");
    if (tried.result) {
        ASSERT_EQ(tried.result->extents, truth->extents);
        ASSERT_EQ(tried.result->values, truth->values);
    } else {
        ASSERT_GE(tried.error->offset(), 0);
        ASSERT_LE(tried.error->offset(), static_cast<std::int64_t>(plain.size()));
    }
}

void expect_csv_right_or_refused(const std::string& plain, std::size_t most_per_read) {
    const auto tried = attempt_to([&] { return read_csv(plain, most_per_read); });
    if (tried.result) {
        const csv_table truth = csv_oracle(plain);
        ASSERT_EQ(tried.result->names, truth.names);
        ASSERT_EQ(tried.result->num_rows, truth.num_rows);
        ASSERT_EQ(tried.result->num_columns, truth.num_columns);
        ASSERT_TRUE(same_bits(tried.result->values, truth.values));
        for (const double value : truth.values) ASSERT_TRUE(std::isfinite(value));
    } else {
        ASSERT_GE(tried.error->offset(), 0);
        ASSERT_LE(tried.error->offset(), static_cast<std::int64_t>(plain.size()));
    }
}

// ---- IDX

struct idx_sample {
    std::vector<std::int64_t> extents;
    std::size_t num_values;
};

const std::vector<idx_sample> samples = {
    {{5}, 5}, {{2, 3}, 6}, {{3, 2, 2}, 12}, {{2, 1, 3, 2}, 12}, {{300, 700}, 210000}};

TEST(ReadIdx, ReturnsWhatWasWritten) {
    for (const idx_sample& sample : samples) {
        const std::string values = counting(sample.num_values);
        const temporary_file plain(idx(sample.extents, values));
        const temporary_file compressed(gzip(idx(sample.extents, values)));

        for (const std::string& path : {plain.path, compressed.path}) {
            const idx_array read = cubome::read_idx(path);

            EXPECT_EQ(read.extents, sample.extents);
            EXPECT_EQ(text_of(read.values), values);
        }
    }
}

TEST(ReadIdx, ReadsMoreValuesThanOnePieceHolds) {
    for (const std::size_t size : {(1U << 20) - 1, 1U << 20, (1U << 20) + 1, (5U << 20) + 3}) {
        const std::string values = counting(size);
        const std::string plain = idx({static_cast<std::int64_t>(size)}, values);

        EXPECT_EQ(text_of(read_idx(plain).values), values);
        EXPECT_EQ(text_of(read_idx(gzip(plain), at_once, false).values), values);
    }
}

TEST(ReadIdx, KeepsNoMoreMemoryThanTheValuesTake) {
    const std::size_t size = (5U << 20) + 3;

    const idx_array read = read_idx(idx({static_cast<std::int64_t>(size)}, counting(size)));

    EXPECT_EQ(read.values.capacity(), size);
}

TEST(ReadIdx, IsTheSameHoweverTheInputIsCut) {
    const std::string values = counting(300);
    const std::string plain = idx({100, 3}, values);
    const std::string two_members = gzip(plain.substr(0, 9)) + gzip("") + gzip(plain.substr(9));

    for (const std::string& file : {plain, gzip(plain), two_members}) {
        for (const std::size_t most_per_read : {1U, 2U, 3U, 7U, 64U}) {
            EXPECT_EQ(text_of(read_idx(file, most_per_read).values), values);
        }
    }
}

TEST(ReadIdx, AcceptsAnExtentOfZeroWhateverTheOthersAre) {
    const idx_array read = read_idx(idx({0xffffffff, 0, 0xffffffff, 0xffffffff}, ""));

    EXPECT_EQ(read.extents, (std::vector<std::int64_t>{0xffffffff, 0, 0xffffffff, 0xffffffff}));
    EXPECT_TRUE(read.values.empty());
    EXPECT_EQ(message_of(idx({0}, "a")), "read_idx: 'x' at byte 8: the file goes on after the last of 0 values");
}

TEST(ReadIdx, ReadsAPipe) {
    const std::string plain = idx({200, 1000}, counting(200000));  // more than a pipe holds at once
    const std::string pipe = ::testing::TempDir() + "cubome_readers_pipe_" + std::to_string(::getpid());
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    std::thread writer([&] { std::ofstream(pipe, std::ios::binary) << plain; });

    const auto read = attempt_to([&] { return cubome::read_idx(pipe); });
    writer.join();
    std::filesystem::remove(pipe);

    ASSERT_TRUE(read.result) << read.error->what();
    EXPECT_EQ(text_of(read.result->values), counting(200000));
}

TEST(ReadIdx, NamesTheByteAtWhichAHeaderIsTruncated) {
    const std::string plain = idx({2, 3}, "abcdef");

    EXPECT_EQ(message_of(""), "read_idx: 'x' at byte 0: the file ends within the 4 bytes of the magic number");
    EXPECT_EQ(message_of(plain.substr(0, 3)),
              "read_idx: 'x' at byte 3: the file ends within the 4 bytes of the magic number");
    EXPECT_EQ(message_of(plain.substr(0, 4)), "read_idx: 'x' at byte 4: the file ends within dimension 0 of 2");
    EXPECT_EQ(message_of(plain.substr(0, 11)), "read_idx: 'x' at byte 11: the file ends within dimension 1 of 2");
    EXPECT_EQ(message_of(plain.substr(0, 17)),
              "read_idx: 'x' at byte 8: dimension 1 is 0x00000003, more than the file can hold: extents [2, 3], room "
              "for at most 5 values");
    EXPECT_EQ(message_of(plain.substr(0, 17), false), "read_idx: 'x' at byte 17: the file ends after 5 of 6 values");
}

TEST(ReadIdx, RefusesEveryTruncation) {
    for (const idx_sample& sample : {samples[0], samples[1], samples[2], samples[3]}) {
        const std::string plain = idx(sample.extents, counting(sample.num_values));
        for (std::size_t size = 0; size < plain.size(); ++size) {
            const std::string cut = plain.substr(0, size);
            const temporary_file file(cut);

            const read_error of_file = error_of([&] { return cubome::read_idx(file.path); });
            const read_error of_pipe = error_of([&] { return read_idx(cut, 1, false); });

            EXPECT_GE(of_file.offset(), 0) << size;
            EXPECT_LE(of_file.offset(), static_cast<std::int64_t>(size));
            EXPECT_EQ(of_pipe.offset(), static_cast<std::int64_t>(size)) << of_pipe.what();
        }
    }
}

TEST(ReadIdx, RefusesEveryTruncationOfAGzipFile) {
    const std::string plain = idx({2, 3}, counting(6));
    const std::string whole = gzip(plain);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const temporary_file file(whole.substr(0, size));

        const read_error error = error_of([&] { return cubome::read_idx(file.path); });

        EXPECT_EQ(error.path(), file.path);
        EXPECT_GE(error.offset(), 0) << size;
        EXPECT_LE(error.offset(), static_cast<std::int64_t>(plain.size()));
        if (size >= 2) {
            EXPECT_EQ(error.reason(), "gzip: the file ends within the compressed data") << size;
        }
    }
}

TEST(ReadIdx, SaysHowMuchATruncatedGzipFileHeld) {
    const std::string plain = idx({100000}, counting(100000));
    const std::string whole = gzip(plain);

    const read_error error = error_of([&] { return read_idx(whole.substr(0, whole.size() - 8)); });

    EXPECT_STREQ(error.what(), "read_idx: 'x' at byte 100008: gzip: the file ends within the compressed data");
}

TEST(ReadIdx, IsRightOrRefusesForEveryValueOfEveryByte) {
    for (const idx_sample& sample : {samples[0], samples[1], samples[3]}) {
        const std::string plain = idx(sample.extents, counting(sample.num_values));
        for (std::size_t i = 0; i < plain.size(); ++i) {
            for (int value = 0; value < 256; ++value) {
                std::string changed = plain;
                changed[i] = static_cast<char>(value);

                expect_idx_right_or_refused(changed, at_once, true);
                expect_idx_right_or_refused(changed, 5, false);
                if (HasFatalFailure()) FAIL() << "byte " << i << " is " << value;
            }
        }
    }
}

TEST(ReadIdx, IsRightOrRefusesForEveryValueOfEveryByteOfAGzipFile) {
    const std::string values = counting(6);
    const std::string plain = idx({2, 3}, values);
    const std::string whole = gzip(plain);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        for (int value = 0; value < 256; ++value) {
            std::string changed = whole;
            changed[i] = static_cast<char>(value);

            const auto tried = attempt_to([&] { return read_idx(changed); });

            if (tried.result) {  // the checksum leaves no other contents possible
                ASSERT_EQ(text_of(tried.result->values), values) << "byte " << i << " is " << value;
                ASSERT_EQ(tried.result->extents, (std::vector<std::int64_t>{2, 3}));
            } else {
                ASSERT_GE(tried.error->offset(), 0);
                ASSERT_LE(tried.error->offset(), static_cast<std::int64_t>(std::max(plain.size(), whole.size())));
            }
        }
    }
}

TEST(ReadIdx, NamesTheDimensionThatIsMoreThanTheFileCanHold) {
    const temporary_file file(idx({0xffffffff, 28}, counting(16)));

    const read_error error = error_of([&] { return cubome::read_idx(file.path); });

    EXPECT_EQ(error.offset(), 4);
    EXPECT_EQ(error.path(), file.path);
    EXPECT_EQ(error.reason(),
              "dimension 0 is 0xffffffff, more than the file can hold: extents [4294967295, 28], room for at most 16 "
              "values");
    EXPECT_EQ(error.what(), "read_idx: '" + file.path + "' at byte 4: " + error.reason());
    EXPECT_EQ(error_of([&] { return read_idx(idx({16, 2}, counting(16))); }).offset(), 8);
}

TEST(ReadIdx, BoundsWhatAGzipFileCanHoldByTheBestCompressionThereIs) {
    const std::size_t size = 10'000'000;
    const std::string zeros(size, '\0');  // as well compressed as anything can be
    const std::string whole = gzip(idx({static_cast<std::int64_t>(size)}, zeros));

    EXPECT_EQ(read_idx(whole).values.size(), size);
    EXPECT_LT(whole.size(), size / 900);  // so that the bound is nearly met

    const std::string lie = gzip(idx({0xffffffff}, zeros.substr(0, 100)));
    EXPECT_EQ(message_of(lie),
              "read_idx: 'x' at byte 4: dimension 0 is 0xffffffff, more than the file can hold: "
              "extents [4294967295], room for at most " +
                  std::to_string(1032 * lie.size() - 8) + " values");
}

TEST(ReadIdx, AllocatesNothingForBytesThatItHasNotSeen) {
    // No machine could: 0xffffffff · 0x7fffffff is nearly 2^63. std::bad_alloc in place of the error would end the
    // test.
    EXPECT_EQ(message_of(idx({0xffffffff, 0x7fffffff}, "abc"), false),
              "read_idx: 'x' at byte 15: the file ends after 3 of 9223372030412324865 values");
    EXPECT_EQ(message_of(gzip(idx({0xffffffff, 0x7fffffff}, "abc")), false),
              "read_idx: 'x' at byte 15: the file ends after 3 of 9223372030412324865 values");
}

TEST(ReadIdx, CountsUpTo64BitsAndNotBeyond) {
    // 2^63 - 1 = 153092023 · 92737 · 649657
    EXPECT_EQ(message_of(idx({153092023, 92737, 649657}, ""), false),
              "read_idx: 'x' at byte 16: the file ends after 0 of 9223372036854775807 values");
    EXPECT_EQ(message_of(idx({0x80000000, 0x80000000, 2}, ""), false),
              "read_idx: 'x' at byte 12: dimension 2 is 0x00000002, more than 64 bits can count: extents [2147483648, "
              "2147483648, 2]");
    // The product is 2^64, and would be 0 if it wrapped around.
    EXPECT_EQ(error_of([] { return read_idx(idx({0x10000, 0x10000, 0x10000, 0x10000}, ""), 1, false); }).offset(), 16);
    EXPECT_EQ(error_of([] { return read_idx(idx({0x10000, 0x10000, 0x10000, 0x10000}, "")); }).offset(), 4);
}

TEST(ReadIdx, RefusesTrailingBytes) {
    const std::string plain = idx({2, 3}, "abcdef");

    EXPECT_EQ(message_of(plain + "g"), "read_idx: 'x' at byte 18: the file goes on after the last of 6 values");
    EXPECT_EQ(message_of(gzip(plain + "g")), "read_idx: 'x' at byte 18: the file goes on after the last of 6 values");
    EXPECT_EQ(message_of(gzip(plain) + gzip("g")),
              "read_idx: 'x' at byte 18: the file goes on after the last of 6 values");
    EXPECT_EQ(message_of(gzip(plain) + "g"), "read_idx: 'x' at byte 18: bytes that are not gzip follow the gzip data");
    EXPECT_EQ(message_of(gzip(plain) + '\0'), "read_idx: 'x' at byte 18: bytes that are not gzip follow the gzip data");
    EXPECT_EQ(message_of(gzip(plain) + "\x1f"),
              "read_idx: 'x' at byte 18: bytes that are not gzip follow the gzip data");
    EXPECT_EQ(message_of(gzip(plain) + "\x1f\x8b"),
              "read_idx: 'x' at byte 18: gzip: the file ends within the compressed data");
}

TEST(ReadIdx, VerifiesTheChecksumsOfAGzipFile) {
    std::string wrong_checksum = gzip(idx({2, 3}, "abcdef"));
    std::string wrong_length = wrong_checksum;
    wrong_checksum[wrong_checksum.size() - 8] ^= 1;
    wrong_length[wrong_length.size() - 4] ^= 1;

    EXPECT_EQ(message_of(wrong_checksum), "read_idx: 'x' at byte 18: gzip: incorrect data check");
    EXPECT_EQ(message_of(wrong_length), "read_idx: 'x' at byte 18: gzip: incorrect length check");
}

TEST(ReadIdx, SaysWhichPartOfTheMagicNumberIsWrong) {
    EXPECT_EQ(message_of("PK\3\4"), "read_idx: 'x' at byte 0: byte 0 of the magic number is 0x50, expected 0x00");
    EXPECT_EQ(message_of(bytes({0, 1, 8, 1})),
              "read_idx: 'x' at byte 1: byte 1 of the magic number is 0x01, expected 0x00");
    EXPECT_EQ(message_of(bytes({0, 0, 13, 1})),
              "read_idx: 'x' at byte 2: the value type is 0x0d, expected 0x08 (unsigned byte)");
    EXPECT_EQ(message_of(bytes({0, 0, 8, 0})), "read_idx: 'x' at byte 3: the rank is 0, expected 1 to 4");
    EXPECT_EQ(message_of(idx({1, 1, 1, 1, 1}, "a")), "read_idx: 'x' at byte 3: the rank is 5, expected 1 to 4");
    EXPECT_EQ(message_of(bytes({0, 0, 8, 255})), "read_idx: 'x' at byte 3: the rank is 255, expected 1 to 4");
}

TEST(ReadIdx, IsRightOrRefusesAfterRandomChanges) {
    std::mt19937 random(20240607);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    for (int round = 0; round < 10000; ++round) {
        const idx_sample& sample = samples[below(4)];
        std::string changed = idx(sample.extents, counting(sample.num_values));
        for (std::size_t changes = 1 + below(4); changes > 0 && !changed.empty(); --changes) {
            const std::size_t at = below(changed.size());
            switch (below(4)) {
                case 0:
                    changed[at] = static_cast<char>(below(256));
                    break;
                case 1:
                    changed.erase(at, 1 + below(8));
                    break;
                case 2:
                    changed.insert(at, 1 + below(8), static_cast<char>(below(256)));
                    break;
                default:
                    changed[at] = static_cast<char>(changed[at] ^ 1 << below(8));
                    break;
            }
        }

        if (round % 2 == 0) {
            expect_idx_right_or_refused(changed, 1 + below(9), below(2) == 0);
            if (HasFatalFailure()) FAIL() << "round " << round;
        } else {
            const std::optional<idx_array> truth = idx_oracle(changed);
            const auto tried = attempt_to([&] { return read_idx(gzip(changed), 1 + below(9), below(2) == 0); });
            ASSERT_EQ(tried.result.has_value(), truth.has_value()) << "round " << round;
            if (truth) {
                ASSERT_EQ(tried.result->values, truth->values);
            } else {
                ASSERT_LE(tried.error->offset(), static_cast<std::int64_t>(changed.size()));
            }
        }
    }
}

// ---- what both readers say about files that cannot be read

TEST(ReadError, SaysWhyAFileCannotBeOpened) {
    const std::string folder = ::testing::TempDir();
    const std::string missing = folder + "cubome_readers_no_such_file";
    const std::string loop = folder + "cubome_readers_loop_" + std::to_string(::getpid());
    std::filesystem::create_symlink(loop, loop);

    const read_error of_idx = error_of([&] { return cubome::read_idx(missing); });
    const read_error of_csv = error_of([&] { return cubome::read_csv(folder); });
    const read_error of_loop = error_of([&] { return cubome::read_csv(loop); });
    std::filesystem::remove(loop);

    EXPECT_EQ(of_idx.what(),
              "read_idx: '" + missing + "' at byte 0: cannot be opened: " + std::string(std::strerror(ENOENT)));
    EXPECT_EQ(of_csv.what(), "read_csv: '" + folder + "' at byte 0: cannot be opened: it is a directory");
    EXPECT_EQ(of_loop.reason(), "cannot be opened: " + std::string(std::strerror(ELOOP)));
    EXPECT_EQ(error_of([&] { return cubome::read_idx(""); }).offset(), 0);
}

TEST(ReadError, DoesNotOpenAnotherFileWhereThePathHoldsAZeroByte) {
    const temporary_file file(idx({1}, "a"));

    const read_error error = error_of([&] { return cubome::read_idx(file.path + '\0' + ".gz"); });

    EXPECT_EQ(error.reason(), "cannot be opened: the path holds a zero byte");
}

TEST(ReadError, SaysThatAFileMayNotBeRead) {
    const temporary_file file(idx({1}, "a"));
    ASSERT_EQ(::chmod(file.path.c_str(), 0), 0);
    const bool is_root = ::geteuid() == 0;
    if (is_root && ::seteuid(65534) != 0) GTEST_SKIP() << "root may read every file, and cannot become another user";

    const read_error error = error_of([&] { return cubome::read_idx(file.path); });
    if (is_root) {
        ASSERT_EQ(::seteuid(0), 0);
    }

    EXPECT_EQ(error.reason(), "cannot be opened: " + std::string(std::strerror(EACCES)));
}

TEST(ReadError, SaysThatReadingFailedAndNotThatTheFileIsEmpty) {
    const std::string memory = "/proc/self/mem";  // opens, and has nothing to read at address 0
    if (!std::filesystem::exists(memory)) GTEST_SKIP() << "needs " << memory;

    EXPECT_EQ(error_of([&] { return cubome::read_idx(memory); }).reason(),
              "cannot be read: " + std::string(std::strerror(EIO)));
}

TEST(ReadError, IsACubomeError) {
    EXPECT_THROW(read_idx("x"), cubome::error);
    EXPECT_THROW(read_csv(""), cubome::error);
}

// ---- CSV

TEST(ReadCsv, ReturnsWhatWasWritten) {
    const std::string text =
        "x,y 1,\xce\xbb\n"
        "1,-2.5,3e2\n"
        "-0,.5,5.\n"
        "5e-324,1.7976931348623157e308,0.1\n"
        "0e999,-0.0e-999,123456789012345678901234567890\n";
    const temporary_file plain(text);
    const temporary_file compressed(gzip(text));

    for (const std::string& path : {plain.path, compressed.path}) {
        const csv_table read = cubome::read_csv(path);

        EXPECT_EQ(read.names, (std::vector<std::string>{"x", "y 1", "\xce\xbb"}));
        EXPECT_EQ(read.num_rows, 4);
        EXPECT_EQ(read.num_columns, 3);
        EXPECT_TRUE(same_bits(
            read.values, {1, -2.5, 300, -0.0, 0.5, 5, 5e-324, DBL_MAX, 0.1, 0, -0.0, 123456789012345678901234567890.}));
    }
}

TEST(ReadCsv, AcceptsEitherLineEndAndNoneAtTheEnd) {
    for (const std::string text : {"a,b\n1,2\n3,4\n", "a,b\n1,2\n3,4", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r\n1,2\n3,4"}) {
        const csv_table read = read_csv(text);

        EXPECT_EQ(read.names, (std::vector<std::string>{"a", "b"})) << text;
        EXPECT_EQ(read.num_rows, 2);
        EXPECT_TRUE(same_bits(read.values, {1, 2, 3, 4}));
    }
}

TEST(ReadCsv, AcceptsAHeaderWithoutRows) {
    for (const std::string text : {"a,b", "a,b\n", "a,b\r\n"}) {
        const csv_table read = read_csv(text);

        EXPECT_EQ(read.num_rows, 0) << text;
        EXPECT_EQ(read.num_columns, 2);
        EXPECT_TRUE(read.values.empty());
    }
}

TEST(ReadCsv, SaysWhatIsWrongWithAHeader) {
    EXPECT_EQ(csv_message_of(""),
              "read_csv: 'x' at byte 0: line 1: the file is empty; the first line must name the columns");
    EXPECT_EQ(csv_message_of("\n"), "read_csv: 'x' at byte 0: line 1: column 0 has no name");
    EXPECT_EQ(csv_message_of("a,,b\n"), "read_csv: 'x' at byte 2: line 1: column 1 has no name");
    EXPECT_EQ(csv_message_of("a,b,\n"), "read_csv: 'x' at byte 4: line 1: column 2 has no name");
    EXPECT_EQ(csv_message_of("a,b,a\n"), "read_csv: 'x' at byte 4: line 1: column 2: the name 'a' occurs twice");
    EXPECT_EQ(csv_message_of("1,2.5\n3,4\n"),
              "read_csv: 'x' at byte 5: line 1: only numbers; the first line must name the columns");
    EXPECT_EQ(csv_message_of("a,\"b\"\n"), "read_csv: 'x' at byte 2: line 1: a quote; quoted cells are not read");
    EXPECT_EQ(csv_message_of("a\tb\n"), "read_csv: 'x' at byte 0: line 1: column 0: 'a\\x09b' has a control character");
    EXPECT_EQ(csv_message_of("\xef\xbb\xbf"
                             "a\n"),
              "read_csv: 'x' at byte 0: line 1: a byte order mark; save the file without");
    EXPECT_EQ(read_csv("1,2,z\n").num_columns, 3);
}

TEST(ReadCsv, RefusesRaggedRows) {
    EXPECT_EQ(csv_message_of("a,b\n1,2\n3\n"),
              "read_csv: 'x' at byte 9: line 3: cells: 1, expected 2 as in the header");
    EXPECT_EQ(csv_message_of("a,b\n1,2,3\n"),
              "read_csv: 'x' at byte 8: line 2: more than the 2 cells that the header names");
    EXPECT_EQ(csv_message_of("a,b\n1"), "read_csv: 'x' at byte 5: line 2: cells: 1, expected 2 as in the header");
}

TEST(ReadCsv, RefusesBlankLines) {
    EXPECT_EQ(csv_message_of("a\n1\n\n"), "read_csv: 'x' at byte 4: line 3: the line is blank");
    EXPECT_EQ(csv_message_of("a,b\r\n\r\n1,2\r\n"), "read_csv: 'x' at byte 5: line 2: the line is blank");
}

TEST(ReadCsv, RefusesEmptyCells) {
    EXPECT_EQ(csv_message_of("a,b\n,2\n"), "read_csv: 'x' at byte 4: line 2: column 'a': the cell is empty");
    EXPECT_EQ(csv_message_of("a,b\n1,\n"), "read_csv: 'x' at byte 6: line 2: column 'b': the cell is empty");
    EXPECT_EQ(csv_message_of("a,b\n1,"), "read_csv: 'x' at byte 6: line 2: column 'b': the cell is empty");
}

TEST(ReadCsv, RefusesWhatIsNotANumber) {
    for (const std::string cell : {"abc", "1x", " 1", "1 ", "+1", "-", ".", "1e", "1e+", "--1", "0x10", "1;2", "1_0"}) {
        EXPECT_EQ(csv_message_of("a,b\n7," + cell + "\n"),
                  "read_csv: 'x' at byte 6: line 2: column 'b': '" + cell + "' is not a number");
    }
    EXPECT_EQ(csv_message_of("a\n" + bytes({'1', 0, '2'}) + "\n"),
              "read_csv: 'x' at byte 2: line 2: column 'a': '1\\x002' is not a number");
    EXPECT_EQ(csv_message_of("a\n" + std::string(40, 'z')),
              "read_csv: 'x' at byte 2: line 2: column 'a': '" + std::string(32, 'z') + "...' is not a number");
    EXPECT_EQ(csv_message_of("a\n1\x7f\xff"),
              "read_csv: 'x' at byte 2: line 2: column 'a': '1\\x7f\\xff' is not a number");
    EXPECT_EQ(csv_message_of("a\x7f"), "read_csv: 'x' at byte 0: line 1: column 0: 'a\\x7f' has a control character");
    EXPECT_EQ(csv_message_of(bytes({'a', 0})),
              "read_csv: 'x' at byte 0: line 1: column 0: 'a\\x00' has a control character");
}

TEST(ReadCsv, RefusesWhatIsNotFinite) {
    for (const std::string cell : {"nan", "NaN", "-nan", "inf", "-INF", "infinity", "nan(1)"}) {
        EXPECT_EQ(csv_message_of("a\n" + cell + "\n"),
                  "read_csv: 'x' at byte 2: line 2: column 'a': '" + cell + "' is not finite");
    }
}

TEST(ReadCsv, RefusesWhatADoubleCannotTell) {
    for (const std::string cell : {"1e400", "-1e400", "1e-400", "-.000001e-320"}) {
        EXPECT_EQ(csv_message_of("a\n" + cell + "\n"),
                  "read_csv: 'x' at byte 2: line 2: column 'a': '" + cell + "' is outside the range of double");
    }
}

TEST(ReadCsv, RefusesACarriageReturnWithoutALineFeed) {
    EXPECT_EQ(csv_message_of("a\r1\r"), "read_csv: 'x' at byte 1: line 1: a carriage return without a line feed");
    EXPECT_EQ(csv_message_of("a\r\n1\r"), "read_csv: 'x' at byte 4: line 2: a carriage return without a line feed");
}

TEST(ReadCsv, ReadsLongLinesAndRefusesLongCells) {
    std::string text = "c0";
    for (int i = 1; i < 50000; ++i) text += ",c" + std::to_string(i);
    const std::size_t header = text.size() + 1;
    text += "\n0";
    for (int i = 1; i < 50000; ++i) text += "," + std::to_string(i);

    const csv_table read = read_csv(text);

    ASSERT_EQ(read.num_columns, 50000);
    for (int i = 0; i < 50000; ++i) ASSERT_EQ(read.values[static_cast<std::size_t>(i)], i);

    const read_error error = error_of([&] { return read_csv(text + "x"); });
    EXPECT_EQ(error.offset(), static_cast<std::int64_t>(text.size() - 5));
    EXPECT_EQ(error.reason(), "line 2: column 'c49999': '49999x' is not a number");
    EXPECT_EQ(error_of([&] { return read_csv(text.substr(0, header)); }).reason(), "no error");

    EXPECT_TRUE(same_bits(read_csv("a\n1." + std::string(4094, '0')).values, {1}));
    EXPECT_EQ(csv_message_of("a\n1." + std::string(4095, '0')),
              "read_csv: 'x' at byte 2: line 2: a cell of more than 4096 bytes");
    EXPECT_EQ(csv_message_of(std::string(1'000'000, 'a')),
              "read_csv: 'x' at byte 0: line 1: a cell of more than 4096 bytes");
}

TEST(ReadCsv, FindsLineEndsThatStraddleItsBuffer) {
    constexpr std::size_t buffer = std::size_t{1} << 14;
    for (std::size_t shift = 0; shift < 8; ++shift) {
        std::string text = "name" + std::string(shift, '_') + "\r\n";
        while (text.size() < 2 * buffer + 16) text += "25\r\n";

        const csv_table read = read_csv(text);
        const read_error error = error_of([&] { return read_csv(text + "26\r27"); });

        EXPECT_TRUE(same_bits(read.values, csv_oracle(text).values)) << shift;
        EXPECT_EQ(error.offset(), static_cast<std::int64_t>(text.size() + 2));
    }
}

TEST(ReadCsv, IsRightOrRefusesForEveryTruncation) {
    const std::string plain = "ab,c\r\n1.25,-3e1\n7,8\r\n";
    for (std::size_t size = 0; size <= plain.size(); ++size) {
        expect_csv_right_or_refused(plain.substr(0, size), at_once);
        expect_csv_right_or_refused(plain.substr(0, size), 1);
    }
    const std::string whole = gzip(plain);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const temporary_file file(whole.substr(0, size));
        const read_error error = error_of([&] { return cubome::read_csv(file.path); });
        EXPECT_GE(error.offset(), 0) << size;
        EXPECT_LE(error.offset(), static_cast<std::int64_t>(plain.size()));
    }
}

TEST(ReadCsv, CountsEveryByteThatATruncatedGzipFileHeld) {
    std::string plain = "a\n";
    for (int row = 0; row < 50000; ++row) plain += "0\n";  // so well compressed that single codes straddle the buffer
    const std::string whole = gzip(plain);
    for (std::size_t size = 2; size < whole.size(); ++size) {
        const std::string cut = whole.substr(0, size);

        const read_error error = error_of([&] { return read_csv(cut); });

        EXPECT_EQ(error.reason(), "gzip: the file ends within the compressed data") << size;
        EXPECT_EQ(error.offset(), length_of_truncated(cut, plain.size() + 1)) << size;
    }
}

TEST(ReadCsv, IsRightOrRefusesForEveryValueOfEveryByte) {
    const std::string plain = "ab,c\r\n1.25,-3e1\n7,8\r\n";
    for (std::size_t i = 0; i < plain.size(); ++i) {
        for (int value = 0; value < 256; ++value) {
            std::string changed = plain;
            changed[i] = static_cast<char>(value);

            expect_csv_right_or_refused(changed, at_once);
            if (HasFatalFailure()) FAIL() << "byte " << i << " is " << value;
        }
    }
}

TEST(ReadCsv, IsRightOrRefusesAfterRandomChanges) {
    std::mt19937 random(20240608);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    const std::string telling = "0123456789.-+eEnaif, \r\n\"\t";
    for (int round = 0; round < 10000; ++round) {
        std::string changed = "ab,c\r\n1.25,-3e1\n7,8\r\n0.1,1e308\n";
        for (std::size_t changes = 1 + below(4); changes > 0 && !changed.empty(); --changes) {
            const std::size_t at = below(changed.size());
            const char c = below(4) == 0 ? static_cast<char>(below(256)) : telling[below(telling.size())];
            switch (below(3)) {
                case 0:
                    changed[at] = c;
                    break;
                case 1:
                    changed.erase(at, 1 + below(4));
                    break;
                default:
                    changed.insert(at, 1 + below(4), c);
                    break;
            }
        }

        expect_csv_right_or_refused(changed, 1 + below(9));
        if (HasFatalFailure()) FAIL() << "round " << round << ": " << changed;
    }
}

}  // namespace
