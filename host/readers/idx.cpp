// SPDX-License-Identifier: Apache-2.0
#include "cubome/readers.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "host/readers/byte_stream.hpp"
#include "host/readers_detail.hpp"

namespace cubome {
namespace {

using namespace detail::readers;

/// Reads rank, extents and with them the number of values: what the header claims, judged but not yet believed.
std::int64_t read_idx_header(byte_stream& stream, std::vector<std::int64_t>& extents) {
    std::array<std::uint8_t, 4> bytes{};
    if (stream.read(bytes.data(), 4) < 4) stream.fail("the file ends within the 4 bytes of the magic number");
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
        if (bytes[i] != 0) {
            stream.fail(static_cast<std::int64_t>(i), "byte " + std::to_string(i) + " of the magic number is " +
                                                          hexadecimal(bytes[i], 2) + ", expected 0x00");
        }
    }
    if (bytes[2] != 0x08) {
        stream.fail(2, "the value type is " + hexadecimal(bytes[2], 2) + ", expected 0x08 (unsigned byte)");
    }
    const int rank = bytes[3];
    if (rank < 1 || rank > 4) stream.fail(3, "the rank is " + std::to_string(rank) + ", expected 1 to 4");

    for (int d = 0; d < rank; ++d) {
        if (stream.read(bytes.data(), 4) < 4) {
            stream.fail("the file ends within dimension " + std::to_string(d) + " of " + std::to_string(rank));
        }
        std::int64_t extent = 0;
        for (const std::uint8_t byte : bytes) extent = extent * 256 + byte;
        extents.push_back(extent);
    }

    // Only after the last extent: it may be 0, and then the others claim nothing.
    if (std::find(extents.begin(), extents.end(), 0) != extents.end()) return 0;
    const std::optional<std::int64_t> room = stream.room();
    std::int64_t num_values = 1;
    for (std::size_t d = 0; d < extents.size(); ++d) {
        // Division, so that the product is formed only where it fits.
        if (extents[d] > room.value_or(int64_max) / num_values) {
            stream.fail(4 + 4 * static_cast<std::int64_t>(d),
                        "dimension " + std::to_string(d) + " is " +
                            hexadecimal(static_cast<std::uint32_t>(extents[d]), 8) + ", more than " +
                            (room ? "the file can hold" : "64 bits can count") + ": extents " + bracketed(extents) +
                            (room ? ", room for at most " + std::to_string(*room) + " values" : ""));
        }
        num_values *= extents[d];
    }
    return num_values;
}

idx_array read_idx_stream(byte_stream& stream) {
    idx_array result;
    const auto num_values = static_cast<std::uint64_t>(read_idx_header(stream, result.extents));

    // In pieces: whatever the header claims, room is made for no more than twice the bytes seen so far, or one piece.
    constexpr std::uint64_t piece = std::uint64_t{1} << 20;
    std::vector<std::uint8_t>& values = result.values;
    while (values.size() < num_values) {
        const std::size_t seen = values.size();
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(num_values - seen, piece));
        make_room(values, wanted, num_values);
        values.resize(seen + wanted);
        const std::size_t count = stream.read(values.data() + seen, wanted);
        if (count < wanted) {
            stream.fail("the file ends after " + std::to_string(seen + count) + " of " + std::to_string(num_values) +
                        " values");
        }
    }
    stream.expect_end(num_values);
    return result;
}

}  // namespace

idx_array read_idx(const std::string& path) {
    return read_file("read_idx", path, read_idx_stream);
}

idx_array detail::read_idx(const memory_file& file, const std::string& name) {
    return read_memory("read_idx", file, name, read_idx_stream);
}

}  // namespace cubome
