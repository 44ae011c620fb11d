// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <cubome/staged.hpp>
#include <memory>
#include <vector>

#include "blas.hpp"

namespace own_gradients {

/// A machine for enqueued_oracle that does at once what it is given.
template <class Real>
class host_machine {
public:
    using real = Real;
    static constexpr cubome::backend where = cubome::backend::cpu;

    template <class T>
    T* allocate(std::int64_t count) {
        const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
        memory_.push_back(std::make_unique<std::byte[]>(bytes));
        // A device's memory is not clear either: NaN shows what is read before it is written.
        std::memset(memory_.back().get(), 0xff, bytes);
        return reinterpret_cast<T*>(memory_.back().get());
    }
    template <class T>
    void upload(T* to, const T* from, std::int64_t count) {
        std::copy(from, from + count, to);
    }
    void follow(CUstream_st*) {}
    void multiply(matrix<const real> a, matrix<const real> b, real keep, matrix<real> c) {
        own_gradients::multiply(a, b, keep, c);
    }
    template <class Work>
    void for_each(std::int64_t count, const Work& work) {
        for (std::int64_t i = 0; i < count; ++i) work(i);
    }

private:
    std::vector<std::unique_ptr<std::byte[]>> memory_;
};

}  // namespace own_gradients
